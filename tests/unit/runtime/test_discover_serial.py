"""Discovery on a serial pair: the unit answers at one baud rate only, and the one already there goes on."""

from __future__ import annotations

import asyncio
import sys
import termios
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "channels")]

from ptybus import PtyPort, pty_port  # noqa: E402
from test_errands import PROFILE, ask, until  # noqa: E402

from headgate.app import Gateway  # noqa: E402
from headgate.channels.serial import SerialChannel  # noqa: E402
from headgate.env import system_env  # noqa: E402
from headgate.errors import ChannelError, HeadgateError  # noqa: E402
from headgate.sdk import LineSettings  # noqa: E402

SET = SerialChannel._set

SITE = """\
schema = 1
[gateway]
id = "hg-test"
[state]
folder = "state"
ballast = "0B"
[metrics]
listen = "off"
[[channel]]
id = "bus"
url = "modbus+rtu://{path}?baud=9600"
timeout = "100ms"
reconnect_min = "20ms"
[[device]]
id = "v1"
channel = "bus"
address = 1
profile = "test/valve"
interval = "200ms"
retries = 0
"""


def crc(data: bytes) -> bytes:
    # Bit by bit from the standard's own words, so as not to share a table's mistake.
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ 0xA001 if value & 1 else value >> 1
    return value.to_bytes(2, "little")


def units(port: PtyPort, speeds: dict[int, int]) -> None:
    """Units that hold 500 and 200 from register 10, each at its own speed; deaf at any other."""

    def heard(data: bytes) -> None:
        if len(data) != 8 or crc(data[:6]) != data[6:]:
            return
        unit, function, start, count = data[0], data[1], data[2] << 8 | data[3], data[5]
        if speeds.get(unit) != port.attributes[4]:
            return
        if function == 3 and start >= 10 and start + count <= 12:
            words = (500, 200)[start - 10 : start - 10 + count]
            body = bytes((unit, 3, 2 * count)) + b"".join(w.to_bytes(2, "big") for w in words)
        else:
            body = bytes((unit, function | 0x80, 2))
        port.say(body + crc(body))

    port.heard = heard


async def without_parity(channel: SerialChannel, line: LineSettings) -> None:
    if line.parity != "N":
        fields = {"channel": channel.id, "line": str(line), "reason": "no parity here"}
        raise ChannelError("no parity here", code="HG-3012", **fields)
    await SET(channel, line)


async def test_a_unit_is_found_at_its_own_baud_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "profiles" / "test" / "valve").mkdir(parents=True)
    (tmp_path / "profiles" / "test" / "valve" / "profile.toml").write_text(PROFILE)
    with pty_port(tmp_path) as port:
        units(port, {1: termios.B9600, 2: termios.B19200})
        (tmp_path / "site.toml").write_text(SITE.format(path=port.path))
        gateway = Gateway(system_env(), tmp_path / "site.toml", [tmp_path / "profiles"])
        stop = asyncio.Event()
        task = asyncio.create_task(gateway.run(stop))
        await gateway.ready.wait()
        try:
            await until(lambda: gateway.status()["devices"][0]["good"] > 0)
            asked = {
                "channel": "bus",
                "units": "1-2",
                "timeout_s": 0.05,
                "profiles": ["test/valve"],
            }
            said = await ask(tmp_path, "discover", **asked, bauds="9600,19200")
            found = {(one["unit"], one["line"]) for one in said if "profiles" in one}
            assert found == {(1, "9600 8N1"), (2, "19200 8N1")}
            assert said[-1]["total"] == 4
            # An adapter that has no parity: the other settings are searched.
            monkeypatch.setattr(SerialChannel, "_set", without_parity)
            said = await ask(tmp_path, "discover", **asked, bauds="9600,19200", parities="E,N")
            found = {(one["unit"], one["line"]) for one in said if "profiles" in one}
            assert found == {(1, "9600 8N1"), (2, "19200 8N1")}
            assert [one["unset"] for one in said if "unset" in one] == ["9600 8E1", "19200 8E1"]
            assert (said[-1]["asked"], said[-1]["total"]) == (4, 4)
            good = gateway.status()["devices"][0]["good"]
            await until(lambda: gateway.status()["devices"][0]["good"] > good + 2)
            assert port.attributes[4] == termios.B9600
            for wrong in ({"bauds": "fast"}, {"parities": "X"}):
                with pytest.raises(HeadgateError) as refused:
                    await ask(tmp_path, "discover", channel="bus", units="1", **wrong)
                assert refused.value.code == "HG-9148"
        finally:
            stop.set()
            await task
