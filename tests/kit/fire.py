"""Fire alarm transmitters at a whole gateway: their frames, their end of a call, their alarms."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from kit.dialled import Dialled
from kit.dialled import site as site_of
from kit.links import SetClock
from kit.running import Site

from headgate.env import Env, system_env
from headgate.model import Alarm
from headgate_drivers.gb26875 import adu
from headgate_drivers.gb26875.codec import Codec
from headgate_drivers.gb26875.frames import Command, Frame, encode, stamp_of
from headgate_drivers.gb26875.items import Message, Part, State

ADDRESS = 42070400000017
AT = datetime(2026, 7, 18, 14, 30, 15)  # noqa: DTZ001


def site(
    folder: Path, port: int, address: int = ADDRESS, *, udp: str = "", options: str = "",
    profile: str = "generic/fire-panel",
) -> Site:  # fmt: skip
    return site_of(
        folder, "gb26875", port, {"panel": str(address)}, profile,
        udp=udp, options=options, interval="",
    )  # fmt: skip


class Panel(Dialled[Frame]):
    """A transmitter's end of a call."""

    codec = Codec


def sent(serial: int, message: Message | None, *, source: int = ADDRESS) -> bytes:
    data = b"" if message is None else adu.write(message)
    return encode(Frame(serial, (1, 2), stamp_of(AT), source, 1, Command.SEND_DATA, data))


def component(number: int, word: int, text: str = "3层走廊") -> Message:
    return Message(2, 1, (State(Part(1, 1, 42, number), word, AT, text),))


def alarms(at: Site) -> list[tuple[str, bool]]:
    return [(each.code, each.active) for each in at.stored() if isinstance(each, Alarm)]


def at_noon() -> Env:
    """The real world at noon of 19 July 2026, Beijing time, by a clock that is trusted."""
    env = system_env()
    env.clock = SetClock(datetime(2026, 7, 19, 4, tzinfo=UTC))
    return env
