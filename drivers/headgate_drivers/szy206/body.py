"""Data of frames of SZY 206 (clause 7.3 of SL/T 427), read and written.

What a station reports: values of one kind | alarm word 2 | state word 2 | Tp. Nothing says whether Tp has
five bytes (SZY 206) or seven (SL/T 427): the values have to fit before it and it has to be a time.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from headgate_drivers.szy206 import readings, values
from headgate_drivers.szy206.frames import PICTURES, Afn, Frame, Kind
from headgate_drivers.szy206.items import LINKS, Label, Message

#: Which byte of the alarm and the state word comes first. The standard says low; some stations say high.
Order = Literal["little", "big"]
#: Functions whose frames up hold values and words.
REPORTS = (Afn.REPORT, Afn.ALARM, Afn.BY_HAND, Afn.VOLTAGE, Afn.ASK_VALUES)
_SIZES = (7, 5)
#: Of an alarm alone: two words and a short label, or one word and a long one.
_EITHER = 9


class Reading(NamedTuple):
    """How data is to be read where a frame does not say it: by a station's own settings.

    Attributes:
        label: bytes of Tp; 0: as it fits.
        words: which byte of a word comes first.
    """

    label: Literal[0, 5, 7] = 0
    words: Order = "little"


AS_IT_FITS = Reading()


def read(frame: Frame, how: Reading = AS_IT_FITS) -> Message | None:
    """What the data of a frame says; None of a part of a picture. Flaws say what does not fit."""
    if frame.picture or (frame.parts and frame.afn in PICTURES):
        return None
    if frame.afn == Afn.LINK:
        return _link(frame.data)
    if frame.up and frame.afn in REPORTS:
        return _report(frame, how)
    if not frame.up and frame.afn in REPORTS and frame.afn != Afn.ASK_VALUES:
        return _confirmation(frame.data)
    return Message(raw=frame.data)


def _link(data: bytes) -> Message:
    if not data:
        return Message(flaws=("a link test that says nothing",))
    flaws = () if data[0] in LINKS else (f"link {data[0]:02X}",)
    return Message(link=data[0], raw=data[1:], flaws=flaws)


def _confirmation(data: bytes) -> Message:
    # A password may stand before Tp in important frames; a confirmation has none.
    tp = values.label(data[1:]) if len(data) - 1 in _SIZES else None
    if not data:
        return Message(flaws=("a confirmation that says nothing",))
    flaws = () if tp is not None or len(data) == 1 else (f"{len(data) - 1} bytes are no time",)
    return Message(mode=data[0], label=tp, raw=b"" if tp else data[1:], flaws=flaws)


def _report(frame: Frame, how: Reading) -> Message:
    data, best = frame.data, (0, False, 0)
    sizes: tuple[int, ...] = (how.label,) if how.label else _SIZES
    if frame.afn == Afn.ASK_VALUES and not how.label:
        sizes = (*_SIZES, 0)
    words = 4
    for size in sizes:
        tp = values.label(data[len(data) - size :]) if 0 < size <= len(data) else None
        for kept in (4, 2) if frame.kind is Kind.ALARM else (4,):
            end = len(data) - size - kept
            if end < 0:
                continue
            rank = readings.fits(frame, data[:end]) if kept == 4 else 1
            if len(data) == _EITHER and int.from_bytes(data[2:4], how.words) >> 7:
                rank = min(rank, 1)  # spare bits: that is no state word, it is a time
            if (rank, tp is not None, size) > best and rank:
                best, words = (rank, tp is not None, size), kept
    rank, dated, size = best
    if not rank:
        return Message(raw=data, flaws=(f"{len(data)} bytes are no {frame.kind.name.lower()}",))
    end = len(data) - size - words
    label: Label | None = values.label(data[len(data) - size :]) if dated else None
    found = readings.read(frame, data[:end])
    flaws = tuple(f"{each.name} is no number" for each in found if each.wrong)
    if not dated and size:
        flaws = (*flaws, f"{data[len(data) - size :].hex()} is no time")
    return Message(
        values=tuple(found),
        raw=data[:end],
        alarm=int.from_bytes(data[end : end + 2], how.words),
        state=int.from_bytes(data[end + 2 : end + 4], how.words) if words == 4 else None,
        label=label,
        flaws=flaws,
    )


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
    if message.alarm is None:
        return message.raw
    state = b"" if message.state is None else message.state.to_bytes(2, order)
    told = readings.write(frame, list(message.values))
    return told + message.alarm.to_bytes(2, order) + state + label
