"""What the receiver wrote as JSON lines, read back.

Readings are in the lines; plans, gaps and clock fixes are read from the state file beside them
(`FILE.state`), which also says how far the lines are committed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from headgate.envelope.payload import decode_table
from headgate_receiver.verify.items import Look
from headgate_receiver.verify.sound import Sound, sounds
from headgate_receiver.verify.stored import SqliteStored, good_value, unreadable


class _Line(msgspec.Struct, frozen=True):
    """A reading; other kinds of lines have none of this but `kind`."""

    kind: str
    gateway: str = ""
    epoch: str = ""
    n: int = 0
    device: str | int = ""
    point: str = ""
    boot: str | None = None
    at_us: int = 0
    slot: int | None = None
    value: int | float | bool | str | None = None
    raw: int | float | bool | str | None = None
    quality: int = 0
    status: int = 0
    received_us: int = 0
    device_time_us: int | None = None


class LinesStored(SqliteStored):
    """JSON lines and the state file beside them."""

    def __init__(self, path: Path, gateway: str | None = None) -> None:
        self._lines = path
        super().__init__(path.with_name(path.name + ".state"), gateway)
        # A line names its device and point, not its table: one that fits is enough.
        self._sound: dict[tuple[str | int, str], list[Sound]] = {}
        for (body,) in self.rows("SELECT body FROM tables"):
            table = decode_table(body)
            for point, sound in zip(table.points, sounds(table), strict=True):
                self._sound.setdefault((table.device, point.name), []).append(sound)

    def looks(self) -> Iterator[Look]:
        """Every look, in the order in which they were stored."""
        part: tuple[object, ...] | None = None
        look: Look | None = None
        wrong: list[str] = []
        for line in self._readings():
            own_us = line.device_time_us
            key = line.gateway, line.epoch, line.n, line.device, line.slot, own_us
            if look is None or key != part or line.point in look.values:
                if look is not None:
                    yield look._replace(wrong="; ".join(wrong)) if wrong else look
                wrong.clear()
                part = key
                run = self.run(line.gateway, bytes.fromhex(line.epoch))
                boot, received_s = bytes.fromhex(line.boot or ""), line.received_us / 1e6
                device, at_us = str(line.device), line.at_us
                look = Look(run, device, boot, at_us, line.slot, received_s, {}, "", own_us)
            # A point may tell of an instant long past (what midnight froze): a look was its newest.
            if line.slot is not None and line.at_us > look.at_us:
                look = look._replace(at_us=line.at_us)
            look.values[line.point] = good_value(line.value, line.quality)
            if text := self._wrong(line):
                wrong.append(f"{line.point}: {text}")
        if look is not None:
            yield look._replace(wrong="; ".join(wrong)) if wrong else look

    def _wrong(self, line: _Line) -> str:
        said = [
            sound.wrong(line.value, line.raw, line.quality, line.status)
            for sound in self._sound.get((line.device, line.point), ())
        ]
        return said[0] if said and all(said) else ""

    def _readings(self) -> Iterator[_Line]:
        decode = msgspec.json.Decoder(_Line).decode
        left = sum(
            int(row[0]) for row in self.rows("SELECT value FROM meta WHERE key = 'lines_end'")
        )
        try:
            with self._lines.open("rb") as file:
                for number, written in enumerate(file, 1):
                    left -= len(written)
                    if left < 0:  # not committed: it comes again
                        return
                    try:
                        line = decode(written)
                    except (msgspec.DecodeError, UnicodeDecodeError) as error:
                        raise unreadable(self._lines, f"line {number}: {error}") from None
                    if line.kind == "reading" and self._gateway in (None, line.gateway):
                        yield line
        except OSError as error:
            raise unreadable(self._lines, error.strerror or str(error)) from None
