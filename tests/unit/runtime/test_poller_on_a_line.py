"""Wheel, worker, channel and Modbus together on a real socket: one silent unit among many."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "modbus"), str(HERE.parent / "channels")]

from byteserver import Peer, byte_server  # noqa: E402
from modbus_device import make  # noqa: E402
from virtual import ListSink, check_account  # noqa: E402

from headgate.channels import ChannelSettings, open_channel  # noqa: E402
from headgate.columns import readings  # noqa: E402
from headgate.env import system_env  # noqa: E402
from headgate.model import Block  # noqa: E402
from headgate.runtime.poller import Poller  # noqa: E402
from headgate.sdk import Device  # noqa: E402
from headgate_drivers.modbus import ModbusDriver  # noqa: E402


class CountingSink(ListSink):
    """Says when enough good blocks of every living device are there."""

    def __init__(self, wanted: dict[int, int]) -> None:
        super().__init__()
        self.wanted = dict(wanted)
        self.enough = asyncio.Event()

    def put(self, block: Block, device: Device) -> bool:
        if block.columns is not None and block.device in self.wanted:
            self.wanted[block.device] -= 1
            if all(left <= 0 for left in self.wanted.values()):
                self.enough.set()
        return super().put(block, device)


async def test_one_silent_unit_behind_a_shared_connection_does_not_stall_the_others() -> None:
    async def units(request: bytes, peer: Peer) -> None:
        if request[6] != 3:
            peer.say(request[:5] + b"\5" + request[6:8] + b"\2\0" + request[6:7])

    async with byte_server(units) as server:
        sink = CountingSink(dict.fromkeys((1, 2, 4, 5), 20))
        poller = Poller(system_env(), sink)
        url = f"modbus+tcp://127.0.0.1:{server.port}"
        poller.add_channel(
            open_channel(system_env(), ChannelSettings("c1", url, silent_limit=10_000))
        )
        driver = ModbusDriver()
        devices = {
            n: make(
                {"register": 0}, id=f"d{n}", number=n, address=n, interval_us=50_000, timeout_s=0.1
            )
            for n in range(1, 6)
        }
        for device in devices.values():
            poller.add(device, driver, driver.plan(device), lambda block: block)
        await sink.enough.wait()
        detail = await poller.read_once("d2")
        assert [f.hex[12:] for f in detail.frames] == ["020300000001", "0203020002"]
        assert server.connections == 1
        await poller.stop()
        for n, device in devices.items():
            check_account(sink, n)
            for block in sink.blocks:
                if block.device == n and block.columns is not None:
                    assert [r.value for r in readings(block, device.table)] == [n]
        assert not [b for b in sink.blocks if b.device == 3 and b.columns is not None]
