"""Data of frames of SZY 206 and SL/T 427 (clause 7), read and written.

What a station reports: values of one kind | alarm word 2 | state word 2 | Tp. Nothing says whether Tp has
five bytes (SZY 206) or seven (SL/T 427): the values have to fit before it, they have to be numbers, and it
has to be a time. Settings and answers: `parameters`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import msgspec

from headgate_drivers.szy206 import parameters, readings, values
from headgate_drivers.szy206.frames import PICTURES, Afn, Frame, Kind
from headgate_drivers.szy206.items import LINKS, Edition, Label, Message
from headgate_drivers.szy206.parameters import COMMANDS, QUESTIONS

#: Which byte of the alarm and the state word comes first. The standard says low; some stations say high.
Order = Literal["little", "big"]
#: Functions whose frames up hold values and words.
REPORTS = (Afn.REPORT, Afn.ALARM, Afn.BY_HAND, Afn.VOLTAGE, Afn.ASK_VALUES)
_SIZES = (7, 5)
#: Of an alarm alone: two words and a short label, or one word and a long one.
_EITHER = 9
#: Bits of the alarm word that tell of what an alarm's values are.
_TELLS = {
    Kind.LEVEL: 1 << 2 | 1 << 7, Kind.FLOW: 1 << 3 | 1 << 5 | 1 << 12, Kind.QUALITY: 1 << 4,
    Kind.POWER: 1 << 6, Kind.PRESSURE: 1 << 8, Kind.WATER_TEMPERATURE: 1 << 9,
}  # fmt: skip


class Reading(NamedTuple):
    """How data is to be read where a frame does not say it: by a station's own settings.

    Attributes:
        label: bytes of Tp; 0: as it fits.
        words: which byte of a word comes first.
        edition: by which tables; empty: by the label, where there is none by SL/T 427.
    """

    label: Literal[0, 5, 7] = 0
    words: Order = "little"
    edition: Edition | Literal[""] = ""

    def by(self, label: int) -> Edition:
        """The edition of a frame whose label has so many bytes."""
        return self.edition or ("szy206" if label == 5 else "slt427")


AS_IT_FITS = Reading()


def read(frame: Frame, how: Reading = AS_IT_FITS) -> Message | None:
    """What the data of a frame says; None of a part of a picture. Flaws say what does not fit."""
    if frame.picture or (frame.up and frame.afn in PICTURES):
        return None
    if frame.afn == Afn.LINK:
        return _link(frame.data)
    if frame.up and frame.afn in REPORTS:
        message = _report(frame, how)
        # A part of a report says nothing by itself.
        return Message(raw=frame.data) if frame.parts and message.flaws else message
    if not frame.up and frame.afn in (*REPORTS, Afn.PICTURE) and frame.afn != Afn.ASK_VALUES:
        return _confirmation(frame.data)
    if frame.own is None and frame.afn in COMMANDS | QUESTIONS and not frame.parts:
        return _parameters(frame, how)
    return Message(raw=frame.data)


def joined(frame: Frame, parts: Sequence[bytes], how: Reading = AS_IT_FITS) -> Frame:
    """A report out of its parts. Some stations say the time behind each of them, not only the last."""
    found = msgspec.structs.replace(frame, data=b"".join(parts), parts=0)
    for size in _SIZES:
        message = _report(found, how)
        if not message.flaws:
            break
        if all(len(part) > size and values.label(part[-size:]) for part in parts):
            data = b"".join(part[:-size] for part in parts[:-1]) + parts[-1]
            found = msgspec.structs.replace(found, data=data)
    return msgspec.structs.replace(found, message=_report(found, how))


def _link(data: bytes) -> Message:
    if not data:
        return Message(flaws=("a link test that says nothing",))
    flaws = () if data[0] in LINKS else (f"link {data[0]:02X}",)
    return Message(link=data[0], raw=data[1:], flaws=flaws)


def _confirmation(data: bytes) -> Message:
    tp = values.label(data[1:]) if len(data) - 1 in _SIZES else None
    if not data:
        return Message(flaws=("a confirmation that says nothing",))
    flaws = () if tp is not None or len(data) == 1 else (f"{len(data) - 1} bytes are no time",)
    return Message(mode=data[0], label=tp, raw=b"" if tp else data[1:], flaws=flaws)


# ---------------------------------------------------------------- reports


class _Cut(NamedTuple):
    """One way to cut a report: where its values stand, and its words."""

    values: slice
    alarm: int | None
    state: int | None
    tells: bool = False


def _report(frame: Frame, how: Reading) -> Message:
    data = frame.data
    sizes: tuple[int, ...] = (how.label,) if how.label else _SIZES
    if frame.afn in (Afn.ASK_VALUES, Afn.VOLTAGE) and not how.label:
        sizes = (*_SIZES, 0)
    best: tuple[tuple[int, ...], _Cut, int] | None = None
    for size in (size for size in sizes if size <= len(data)):
        tp = values.label(data[len(data) - size :]) if size else None
        for cut in _cuts(frame, len(data) - size, how):
            edition = how.by(size)
            rank = readings.fits(frame, data[cut.values], edition)
            if not rank:
                continue
            if len(data) == _EITHER and cut.state is not None and cut.state >> 7:
                rank = 1  # spare bits: that is no state word, it is a time
            whole = not any(each.wrong for each in readings.read(frame, data[cut.values], edition))
            spare = not (cut.alarm or 0) >> 14 and not (cut.state or 0) >> 7
            few = -(cut.alarm or 0).bit_count() if frame.afn == Afn.ALARM else 0
            score = (rank, tp is not None, whole, cut.tells, spare, few, size)
            if best is None or score > best[0]:
                best = score, cut, size
    if best is None:
        return Message(raw=data, flaws=(f"{len(data)} bytes are no {frame.kind.name.lower()}",))
    return _cut_up(frame, best[1], best[2], how.by(best[2]))


def _cuts(frame: Frame, end: int, how: Reading) -> Iterator[_Cut]:
    """How the bytes before Tp may be cut; where two are as good, the first one is taken."""
    data = frame.data

    def word(at: int) -> int:
        return int.from_bytes(data[at : at + 2], how.words)

    if frame.afn == Afn.VOLTAGE:
        yield _Cut(slice(0, end), None, None)  # table B.98: the voltage alone
    if frame.afn == Afn.ALARM and end >= 4:
        # Clause 7.5.2: the alarm word, the values that it is about, the state word.
        alarm, tells = word(0), _TELLS.get(frame.kind, 0)
        yield _Cut(slice(2, end - 2), alarm, word(end - 2), bool(alarm & tells))
    if end >= 4:
        alarm, tells = word(end - 4), _TELLS.get(frame.kind, 0) * (frame.afn == Afn.ALARM)
        yield _Cut(slice(0, end - 4), alarm, word(end - 2), bool(alarm & tells))
    if frame.afn == Afn.ALARM and frame.kind is Kind.ALARM and end >= 2:
        yield _Cut(slice(0, end - 2), word(end - 2), None)


def _cut_up(frame: Frame, cut: _Cut, size: int, edition: Edition) -> Message:
    data = frame.data
    label: Label | None = values.label(data[len(data) - size :]) if size else None
    found = readings.read(frame, data[cut.values], edition)
    flaws = tuple(f"{each.name} is no number" for each in found if each.wrong)
    if label is None and size:
        flaws = (*flaws, f"{data[len(data) - size :].hex()} is no time")
    return Message(
        values=tuple(found),
        raw=data[cut.values],
        alarm=cut.alarm,
        state=cut.state,
        label=label,
        edition=edition,
        words="around" if cut.values.start else "behind",
        flaws=flaws,
    )


# ---------------------------------------------------------------- settings and answers


def _parameters(frame: Frame, how: Reading) -> Message:
    """Of a command down D | PW | Tp, of everything else D alone; some stations say PW and Tp again.

    Then two gauges' limits could be one's and what is said again: a time that nothing delays is one.
    """
    data = frame.data
    labels = (how.label,) if how.label else _SIZES
    tails = [(2, label) for label in labels if frame.afn in COMMANDS]
    again = frame.up and not data.endswith(b"\x00")
    tails = [(0, 0), *tails] if again or frame.afn in QUESTIONS else [*tails, (0, 0)]
    tails += [(0, label) for label in labels]
    for password, label in tails:
        end = len(data) - password - label
        tp = values.label(data[end + password :]) if label and end >= 0 else None
        if end < 0 or (label and tp is None):
            continue
        edition = how.by(label)
        found = parameters.read(frame.afn, data[:end], edition, up=frame.up)
        if found is None:
            continue
        return Message(
            values=found.values,
            texts=found.texts,
            raw=data[:end],
            alarm=found.alarm,
            state=found.state,
            label=tp,
            password=data[end : end + password].hex().upper(),
            edition=edition,
            flaws=tuple(f"{each.name} is no number" for each in found.values if each.wrong),
        )
    # Makers add functions and lengths of their own: what is not understood is no damage.
    return Message(raw=data)


# ---------------------------------------------------------------- written


def write(frame: Frame, message: Message, order: Order = "little") -> bytes:
    """The data that says this, in a frame of this kind and function.

    Raises:
        ValueError: what has no place in it.
    """
    if message.link is not None:
        return bytes([message.link]) + message.raw
    label = b"" if message.label is None else values.label_bytes(message.label)
    if message.mode is not None:
        return bytes([message.mode]) + (label or message.raw)
    if not (frame.up and frame.afn in REPORTS):
        alarm = b"" if message.alarm is None else message.alarm.to_bytes(2, order)
        state = b"" if message.state is None else message.state.to_bytes(2, order)
        words = alarm + state
        raw = message.raw if message.raw.endswith(words) else message.raw + words
        return raw + bytes.fromhex(message.password) + label
    told = readings.write(frame, list(message.values), message.edition)
    alarm = b"" if message.alarm is None else message.alarm.to_bytes(2, order)
    state = b"" if message.state is None else message.state.to_bytes(2, order)
    if message.words == "around":
        return alarm + told + state + label
    return told + alarm + state + label
