"""What a centre asks a station that is on a call, and whose answer is whose.

    questions = Questions()
    answer = await questions.ask(channel, device, 0x4C, frame)        # in `write`, in `errand`
    questions.heard(channel, device, frame.function, frame)           # in `attend`, for each frame

The core lets one question at a time be put to a station. What is sent is sent once: nothing here repeats.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, NamedTuple, TypeVar

import msgspec

from headgate.errors import ChannelClosed, ChannelTimeout, DeviceRefused
from headgate.model import Value
from headgate.sdk.channel import Channel
from headgate.sdk.device import Device

T = TypeVar("T")

#: How long a station on a mobile network has to answer.
ANSWER_S = 20.0


class Errand(msgspec.Struct, frozen=True):
    """Something that a station on a call can be asked, or told, and that is no point.

    Attributes:
        about: code of the sentence in the catalogue that says what it is (HG-36xx).
        arguments: their names in order; one that ends with `?` may be left out; where the last ends
            with `...`, as many as are wanted.
        changes: it changes something at the station (its clock), so a person is asked before.
    """

    about: str
    arguments: tuple[str, ...] = ()
    changes: bool = False


class Told(msgspec.Struct, frozen=True):
    """One line of an answer, as a person reads it. `at`: of the station's own clock, as text."""

    name: str
    value: Value = None
    unit: str = ""
    at: str = ""


class _Key(NamedTuple):
    call: Channel
    device: int
    key: Hashable


class _Open(NamedTuple, Generic[T]):
    answer: asyncio.Future[T]
    fits: Callable[[T], bool]


class Questions(Generic[T]):
    """Questions that wait for their answers, of all calls of a driver. `T` is what a frame is to it."""

    def __init__(self) -> None:
        self._open: dict[_Key, _Open[T]] = {}
        #: Answers that may still come for questions that nobody waits for any more.
        self._owed: Counter[_Key] = Counter()

    async def ask(
        self,
        channel: Channel,
        device: Device,
        key: Hashable,
        *frames: bytes,
        fits: Callable[[T], bool] = lambda answer: True,
        answer_s: float = ANSWER_S,
    ) -> T:
        """Send `frames` once and return what `heard` is told under the same key.

        Args:
            key: what an answer has in common with its question: the function, where there is one the
                serial number.
            fits: whether an answer is one to this question. It is asked only where an earlier one was
                not answered in time, whose late answer looks the same.

        Raises:
            DeviceRefused: the call is over already, so nothing was sent (HG-3650).
            ChannelTimeout: no answer; whether it was done is not known (HG-3651).
            ChannelClosed: the call ended before an answer came; the same (HG-3652).
        """
        place = _Key(channel, device.number, key)
        if place in self._open:
            raise DeviceRefused(f"{device.id} is being asked", code="HG-3653", device=device.id)
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        mine = self._open[place] = _Open(answer, fits)
        sent = False
        try:
            for data in frames:
                await channel.send(data)
                sent = True
            async with asyncio.timeout(answer_s):
                return await answer
        except TimeoutError:
            raise ChannelTimeout(
                f"{device.id} did not answer in {answer_s:g} s: it may have been done, or not",
                code="HG-3651", device=device.id, seconds=answer_s,
            ) from None  # fmt: skip
        except ChannelClosed as error:
            if not sent:
                raise no_call(device) from error
            raise _ended(device) from error
        finally:
            if self._open.get(place) is mine:  # else the call is over, and owes nothing
                del self._open[place]
                if sent and not (answer.done() and not answer.cancelled()):
                    self._owed[place] += 1

    async def next(
        self, channel: Channel, device: Device, key: Hashable, within_s: float
    ) -> T | None:
        """What a station says next under a key, by itself; None: nothing in time, or its call ended."""
        place = _Key(channel, device.number, key)
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        mine = self._open[place] = _Open(answer, lambda said: True)
        try:
            async with asyncio.timeout(within_s):
                return await answer
        except (TimeoutError, ChannelClosed):
            return None
        finally:
            if self._open.get(place) is mine:
                del self._open[place]

    def heard(self, channel: Channel, device: Device, key: Hashable, answer: T) -> bool:
        """Give what a station said to whoever waits for it; whether somebody did."""
        place = _Key(channel, device.number, key)
        waits, owed = self._open.get(place), self._owed[place] > 0
        if waits is None or waits.answer.done() or (owed and not waits.fits(answer)):
            if owed:
                self._owed[place] -= 1
            else:
                del self._owed[place]
            return False
        del self._owed[place]
        waits.answer.set_result(answer)
        return True

    def over(self, channel: Channel) -> None:
        """A call is over: who waits for an answer on it is told so."""
        for place in [place for place in self._open if place.call is channel]:
            waits = self._open.pop(place)
            if not waits.answer.done():
                waits.answer.set_exception(ChannelClosed(f"{channel.peer} hung up"))
        for place in [place for place in self._owed if place.call is channel]:
            del self._owed[place]


def no_call(device: Device) -> DeviceRefused:
    """A station is on no call: nothing was sent to it."""
    text = f"{device.id} is on no call: nothing was sent"
    return DeviceRefused(text, code="HG-3650", device=device.id)


def _ended(device: Device) -> ChannelClosed:
    text = f"{device.id} hung up before it answered: it may have been done, or not"
    return ChannelClosed(text, code="HG-3652", device=device.id)


def arguments_of(errand: Errand, words: Sequence[str]) -> dict[str, str] | None:
    """What was said, by the errand's names; `...` holds the rest, joined by blanks. None: it does not fit."""
    names = [name.rstrip("?.") for name in errand.arguments]
    least = sum("?" not in name for name in errand.arguments)
    many = bool(errand.arguments) and "..." in errand.arguments[-1]
    if len(words) < least or (len(words) > len(names) and not many):
        return None
    said = dict(zip(names, words, strict=False))
    if many and len(words) > len(names):
        said[names[-1]] = " ".join(words[len(names) - 1 :])
    return said
