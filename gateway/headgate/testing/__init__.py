r"""The kit that vendors and our own tests use. Nothing of the product imports it.

    device = make_device(points=[Point("temperature", "i16")])
    channel = FakeChannel([(b"\x07\x10", b"\x07\x10\x00\xd7\x02\x58")])
    await run_driver_contract(TH20(), device, channel)

`headgate.testing.loopback` puts a driver at the other end of a wire, as a host process would.
`headgate.testing.listening` has a profile of a device that talks by itself on its real driver.
`headgate.testing.env` is a world whose time, files and threads belong to the test.
"""

from headgate.testing.channel import Exchange, FakeChannel, FakeListener
from headgate.testing.contract import run_driver_contract
from headgate.testing.devices import make_device

__all__ = ["Exchange", "FakeChannel", "FakeListener", "make_device", "run_driver_contract"]
