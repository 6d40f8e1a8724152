"""Discovery on serial lines that are not Modbus: what talks is overheard, what is silent is asked."""

from __future__ import annotations

import asyncio
import sys
import termios
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "channels")]

from ptybus import PtyPort, pty_port  # noqa: E402
from test_errands import ask, until  # noqa: E402

from headgate.app import Gateway  # noqa: E402
from headgate.channels import ChannelState  # noqa: E402
from headgate.cli.client import call  # noqa: E402
from headgate.env import system_env  # noqa: E402
from headgate.errors import HeadgateError  # noqa: E402

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
id = "port"
url = "serial://{path}?baud=9600"
timeout = "100ms"
reconnect_min = "20ms"
"""
COVER = """\
[[device]]
id = "cover-7"
channel = "port"
address = "0012A3F4"
profile = "generic/manhole-cover"
interval = "1h"
"""
# As the packaged cases have them: two covers, a weather stick's wind and weather.
WORDS = bytes.fromhex(
    "7E432300000011010101020000020200000302000A04020E1005020000060400000001CE124F"
    "7E43230012A3F40A0201020005020201800302 04B404020BEA050200B906040000019DA96C6E"
)
WIND = b"$WIMWV,214.8,R,3.2,M,A*2E\r\n"
WEATHER = b"$WIXDR,C,22.0,C,TEMP,H,55.1,P,HUMI,P,1.0132,B,PRES*45\r\n"
# Meter 00924040000018 of the published vectors; the question for addresses is one of them, too.
METER = bytes.fromhex("68101800004040920081 16901F00290000002C290000002C000000000000000023B516")
WHO = bytes.fromhex("6810AAAAAAAAAAAAAA0303810A01B016")
READ_METER = bytes.fromhex("6810180000404092000103")
PROBE = b"#07 D=1.204 T=+18.5 N=412"


def crc_modbus(data: bytes) -> int:
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ 0xA001 if value & 1 else value >> 1
    return value


def up(gateway: Gateway) -> bool:
    line = gateway._field.line("port")
    return line is not None and line.state is ChannelState.UP


@asynccontextmanager
async def running(folder: Path, more: str = "") -> AsyncIterator[tuple[Gateway, PtyPort]]:
    with pty_port(folder) as port:
        (folder / "site.toml").write_text(SITE.format(path=port.path) + more)
        gateway = Gateway(system_env(), folder / "site.toml", [])
        stop = asyncio.Event()
        task = asyncio.create_task(gateway.run(stop))
        await gateway.ready.wait()
        try:
            await until(lambda: up(gateway))
            yield gateway, port
        finally:
            stop.set()
            await task


@asynccontextmanager
async def talking(port: PtyPort, said: bytes, speed: int) -> AsyncIterator[None]:
    """Says it again and again, and noise at any other speed."""

    async def talk() -> None:
        while True:
            port.say(said if port.attributes[4] == speed else bytes(b ^ 0x5A for b in said))
            await asyncio.sleep(0.05)

    task = asyncio.create_task(talk())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def findings(folder: Path, **asked: Any) -> list[dict[str, Any]]:
    said = await ask(folder, "discover", channel="port", **{"timeout_s": 0.1, **asked})
    assert said[-1]["asked"] == said[-1]["total"]
    steps = [one["asked"] for one in said if "asked" in one]
    assert steps == sorted(steps)
    return [one for one in said if "profiles" in one]


def profiles(found: dict[str, Any]) -> list[str]:
    return [one["profile"].partition("@")[0] for one in found["profiles"]]


async def test_covers_that_talk_are_told_by_their_addresses(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, port), talking(port, WORDS, termios.B9600):
        found = await findings(tmp_path, listen_s=0.5)
        told = {one["unit"]: profiles(one) for one in found}
        assert set(told) == {"00000011", "0012A3F4"}
        assert "generic/manhole-cover" in told["0012A3F4"]


async def test_a_weather_stick_is_found_at_its_own_baud_rate(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, port), talking(port, WIND + WEATHER, termios.B4800):
        found = await findings(tmp_path, listen_s=0.5, bauds="9600,4800,2400", units="1")
        assert [(one["unit"], one["line"]) for one in found] == [("", "4800 8N1")]
        assert "generic/weather-stick" in profiles(found[0])
        await until(lambda: port.attributes[4] == termios.B9600)


async def test_on_a_line_whose_devices_talk_nobody_is_asked(tmp_path: Path) -> None:
    async with running(tmp_path, COVER) as (_, port), talking(port, WORDS, termios.B9600):
        heard = bytearray()
        port.heard = heard.extend
        found = await findings(tmp_path, listen_s=0.5)
        assert {(one["unit"], one["device"]) for one in found} == {
            ("00000011", ""), ("0012A3F4", "cover-7"),
        }  # fmt: skip
        # Alarms are acknowledged as ever; nothing else was said.
        assert not bytes(heard).replace(b"\x7e\x41\x07", b"").count(b"#")
        assert WHO not in heard


def meter(port: PtyPort, speed: int) -> Callable[[bytes], None]:
    said = bytearray()

    def heard(data: bytes) -> None:
        said.extend(data)
        if port.attributes[4] != speed:
            said.clear()
        elif WHO[:9] in said and said.endswith(WHO[-1:]):
            # Its address, told of type 10: vector form 68 T A0..A6 83 03 0A 81 SER CS 16.
            body = bytes.fromhex("6810180000404092008303 0A8100")
            port.say(body + bytes([sum(body) & 0xFF, 0x16]))
            said.clear()
        elif READ_METER in said and said.endswith(b"\x16"):
            port.say(METER)
            said.clear()
        elif len(said) > 40:
            said.clear()

    return heard


async def test_a_water_meter_tells_its_address_when_everybody_is_asked(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, port):
        port.heard = meter(port, termios.B2400)
        found = await findings(tmp_path, listen_s=0, bauds="9600,2400", units="1")
        assert [(one["unit"], one["line"]) for one in found] == [("00924040000018", "2400 8N1")]
        assert profiles(found[0]) == ["generic/water-meter-cjt188"]
        assert any("0.29" in text for text in found[0]["profiles"][0]["sample"])


async def test_a_probe_that_wants_its_own_request_is_found_by_its_profile(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, port):

        def heard(data: bytes) -> None:
            if data == b"#07R\r":
                port.say(PROBE + f"*{crc_modbus(PROBE):04X}\r\n".encode())

        port.heard = heard
        found = await findings(
            tmp_path, listen_s=0, units="5-8", profiles=["generic/level-probe-text"]
        )
        assert [one["unit"] for one in found] == ["7"]
        assert profiles(found[0]) == ["generic/level-probe-text"]


async def test_a_probe_that_lost_its_first_question_behind_another_s_is_found(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as (_, port):
        heard_before: list[bytes] = []

        def heard(data: bytes) -> None:
            # What a meter was asked has no carriage return: the probe takes it for the begin of its own.
            if data == b"#07R\r" and heard_before:
                port.say(PROBE + f"*{crc_modbus(PROBE):04X}\r\n".encode())
            if data == b"#07R\r":
                heard_before.append(data)

        port.heard = heard
        found = await findings(
            tmp_path, listen_s=0, units="7-8", profiles=["generic/level-probe-text"]
        )
        assert [one["unit"] for one in found] == ["7"]


async def test_a_search_that_is_left_puts_the_line_back(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, port):

        def begin() -> None:
            socket = tmp_path / "state" / "headgate.sock"
            said = call(socket, "discover", channel="port", bauds="2400,4800", listen_s=30)
            next(said)
            next(said)
            said.close()

        await asyncio.to_thread(begin)
        await until(lambda: port.attributes[4] == termios.B9600)


async def test_a_profile_that_is_not_there_is_told(tmp_path: Path) -> None:
    async with running(tmp_path):
        with pytest.raises(HeadgateError) as refused:
            await ask(tmp_path, "discover", channel="port", profiles=["generic/weather-stik"])
        assert "HG-8040" in str(refused.value.code) + str(refused.value)
