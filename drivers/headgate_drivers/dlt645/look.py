"""One look at one meter: what was told of each point, and why the others are bad."""

from __future__ import annotations

from datetime import datetime

from headgate.sdk import (
    Block,
    ChannelTimeout,
    Device,
    DeviceRefused,
    HeadgateError,
    ProtocolError,
    Quality,
    Status,
    Value,
    status_word,
)
from headgate_drivers.dlt645.days import midnight_before, tell_the_time
from headgate_drivers.dlt645.messages import Message
from headgate_drivers.dlt645.points import (
    CLOCK_OFFSET,
    DATE,
    RELAY_OPEN,
    STATUS_3,
    SWITCH,
    TIME,
    Asked,
    Request,
)
from headgate_drivers.dlt645.talk import Talk

#: A meter that says it has no such data is asked for them again after so many looks.
REST_LOOKS = 100
NO_SUCH_DATA = 1 << 1

Said = dict[str, tuple[Value, Quality, int]]


class Look:
    """One look at one meter: what was told so far."""

    def __init__(self, talk: Talk | None, device: Device, plan: Asked) -> None:
        self.device, self.plan = device, plan
        self._talk = talk
        self.said: Said = {}
        self.daily: set[str] = set()
        self.daily_failed = False
        self.answered = self._unanswered = 0
        self._failure: HeadgateError | None = None
        self.clock: datetime | None = None

    @property
    def talk(self) -> Talk:
        """The meter on its pair; a recording has none."""
        assert self._talk is not None
        return self._talk

    async def take(self, request: Request) -> None:
        """Ask for one identifier. Raises when nobody is there."""
        if request.rest:
            request.rest -= 1
            self.fail(request, status_word(Status.REFUSED, NO_SUCH_DATA))
            return
        message = await self._ask(request.identifier, request)
        if message is not None:
            self.tell(request, message)

    async def _ask(self, identifier: str, request: Request | None) -> Message | None:
        word = 0
        try:
            message = await self.talk.values(identifier)
        except DeviceRefused as error:
            self.answered += 1
            self.refused(request, error)
            return None
        except ProtocolError as error:
            self._failure, word = error, status_word(Status.MALFORMED)
        except ChannelTimeout as error:
            self._failure, word = error, status_word(Status.NO_ANSWER)
            self._unanswered += 1
            if not self.answered and self._unanswered == 2:
                raise
        else:
            self.answered += 1
            return message
        if request is not None:
            self.fail(request, word)
        return None

    def refused(self, request: Request | None, error: DeviceRefused) -> None:
        """The meter answers that it will not, or has none."""
        self._failure = error
        if request is not None:
            if error.detail & NO_SUCH_DATA:
                request.rest = REST_LOOKS
            self.fail(request, status_word(Status.REFUSED, error.detail))

    def fail(self, request: Request, word: int) -> None:
        """All points of a request are bad, for one reason."""
        for wanted in request.points:
            self.said[wanted.name] = (None, Quality.BAD, word)
        if request.daily:
            self.daily.update(wanted.name for wanted in request.points)
            self.daily_failed |= request.rest == 0

    def tell(self, request: Request, message: Message) -> None:
        """The values that an answer has."""
        fields = {field.name: field for field in message.fields}
        for wanted in request.points:
            value = wanted.value(fields)
            missing = value is None
            word = status_word(Status.SENTINEL) if missing else 0
            self.said[wanted.name] = (value, Quality.BAD if missing else Quality.GOOD, word)
            if request.daily:
                self.daily.add(wanted.name)

    async def own(self) -> None:
        """The points that no identifier has: the switch, and how far the clock is off."""
        own = self.plan.own
        if SWITCH in own:
            message = await self._ask(STATUS_3, None)
            closed = None if message is None else closed_in(message)
            bad = closed is None
            self.said[own[SWITCH]] = (closed, Quality.BAD if bad else Quality.GOOD, 0)
        if CLOCK_OFFSET not in own and self.plan.sync_clock == "no":
            return
        date, time = await self._ask(DATE, None), await self._ask(TIME, None)
        offset = self._offset(date, time)
        if CLOCK_OFFSET in own:
            bad = offset is None
            # It told its time: then it is our clock that there is nothing to compare with.
            word = status_word(Status.NO_CLOCK) if bad and self.clock is not None else 0
            self.said[own[CLOCK_OFFSET]] = (offset, Quality.BAD if bad else Quality.GOOD, word)
        if offset is not None and self.plan.sync_clock == "day":
            await tell_the_time(self.talk, offset)

    def _offset(self, date: Message | None, time: Message | None) -> float | None:
        wall_us = self.talk.channel.wall_us()
        told = [
            str(message.fields[0].value)
            for message in (date, time) if message is not None and message.fields
        ]  # fmt: skip
        try:
            self.clock = datetime.fromisoformat("T".join(told)).replace(tzinfo=self.plan.zone)
        except ValueError:
            return None
        return None if wall_us is None else self.clock.timestamp() - wall_us // 1_000_000

    def block(self) -> Block:
        """What was told. Raises the last failure where nothing was, and everything was asked."""
        if not self.answered and self._failure is not None:
            raise self._failure
        if self._failure is not None and all(s[2] for s in self.said.values()):
            raise self._failure
        channel = None if self._talk is None else self._talk.channel
        now_us = 0 if channel is None else channel.now_us()
        wall_us = None if channel is None else channel.wall_us()
        offsets = None
        if self.daily and wall_us is not None:
            # A frozen value was true at midnight, whenever it was asked for.
            offsets = dict.fromkeys(self.daily, -midnight_before(wall_us, self.plan))
        clock_us = None if self.clock is None else int(self.clock.timestamp()) * 1_000_000
        return self.device.partial(now_us, self.said, offsets_us=offsets, device_time_us=clock_us)


def closed_in(message: Message | None) -> bool | None:
    """Whether a status word says that the relay is closed; None where it says nothing."""
    value = message.fields[0].value if message is not None and message.fields else None
    return not value & RELAY_OPEN if isinstance(value, int) else None
