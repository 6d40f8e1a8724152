"""A logger of HJ 212 at its own end of a call, written by the standard, and what a gateway stored of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from kit.dialled import PATIENCE_S, Dialled, everything
from kit.dialled import site as site_of
from kit.running import Site

from headgate.env import ClockState, SystemClock
from headgate.profiles import packaged_folder

MN, ST = "000101", "32"


def site(
    folder: Path, *mns: str, port: int, udp: str = "", options: str = "",
    profile: str = "generic/water-outfall",
) -> Site:  # fmt: skip
    loggers = {f"log-{mn.lower()}": mn for mn in mns}
    return site_of(folder, "hj212", port, loggers, profile, udp=udp, options=options)


def check(data: bytes) -> int:
    """Annex A of HJ 212-2017, as its text has it."""
    register = 0xFFFF
    for byte in data:
        register = (register >> 8) ^ byte
        for _ in range(8):
            low, register = register & 1, register >> 1
            if low:
                register ^= 0xA001
    return register


def packet(
    cn: str, cp: str, *, qn: str = "20260718143000001", mn: str = MN, st: str = ST, pw: str = "123456",
    flag: int | None = 5, parts: str = "",
) -> bytes:  # fmt: skip
    head = f"QN={qn};" if qn else ""
    flags = "" if flag is None else f"Flag={flag};"
    said = f"{head}ST={st};CN={cn};PW={pw};MN={mn};{flags}{parts}CP=&&{cp}&&".encode()
    return b"##%04d%b%04X\r\n" % (len(said), said, check(said))


def sealed_packet(cp_cn: str, cp: str, key: bytes = b"0" * 16, **changes: Any) -> bytes:
    """A packet as 2025 encrypts it (annex A.2): the check before, whole blocks only."""
    plain = packet(cp_cn, cp, flag=9, **changes)
    head, mark, rest = plain[6:-6].partition(b"CP=&&")
    body = rest[:-2]
    whole = len(body) // 16 * 16
    turn = Cipher(algorithms.SM4(key), modes.ECB()).encryptor()
    said = head + mark + turn.update(body[:whole]) + body[whole:] + b"&&"
    return plain[:6] + said + plain[-6:]


def cod(value: float, at: str = "20260718143000", **changes: Any) -> bytes:
    return packet("2011", f"DataTime={at};w01018-Rtd={value},w01018-Flag=N", **changes)


class Logger(Dialled[dict[str, str]]):
    """A logger's end of a call."""

    async def answer(self) -> dict[str, str]:
        """The next packet's fields, its length and check verified."""
        async with asyncio.timeout(PATIENCE_S):
            head = await self.reader.readexactly(6)
            assert head[:2] == b"##", head
            said = await self.reader.readexactly(int(head[2:]))
            assert await self.reader.readexactly(6) == b"%04X\r\n" % check(said)
        fields, _, cp = said.decode().partition("CP=")
        found = dict(each.partition("=")[::2] for each in fields.split(";") if each)
        return {**found, "CP": cp.removeprefix("&&").removesuffix("&&")}


def stored(at: Site) -> list[tuple[str, Any, str, int | None]]:
    """(point, value, quality, time) of all that was stored but the clock's own."""
    return [
        (each.point, each.value, each.quality.name, each.device_time_us)
        for each in everything(at)
        if each.point != "clock_off"
    ]


class Trusted(SystemClock):
    """A clock that is believed."""

    def wall_state(self) -> tuple[ClockState, int | None]:
        """Synchronised, to a millisecond."""
        return "synced", 1000


def own_profile(folder: Path, more: str = "", changed: Mapping[str, str] = {}) -> str:
    """The outfall's profile as `our/outfall` under `folder`/profiles, with more in it."""
    made = folder / "profiles" / "our" / "outfall"
    made.mkdir(parents=True)
    text = (packaged_folder() / "generic" / "water-outfall" / "profile.toml").read_text()
    text = text.replace('vendor = "generic"', 'vendor = "our"')
    text = text.replace('model = "water-outfall"', 'model = "outfall"')
    for before, after in changed.items():
        assert before in text
        text = text.replace(before, after)
    (made / "profile.toml").write_text(text + more)
    return "our/outfall"
