"""Asks a DL/T 645 meter for its values, one identifier after another, and checks who answered what.

A look is one request for each identifier of the profile; what is frozen at midnight is asked once a day.
A part that fails is bad, the rest is not. The first two requests that nobody answers end the look.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

import msgspec

from headgate.sdk import (
    Block,
    Channel,
    ChannelTimeout,
    Device,
    DeviceRefused,
    Frame,
    HeadgateError,
    Identity,
    LineSettings,
    PollingDriver,
    Problem,
    ProtocolError,
    Quality,
    Status,
    Value,
    line_of,
    status_word,
)
from headgate_drivers.dlt645 import frames, messages, requests
from headgate_drivers.dlt645.codec import Codec
from headgate_drivers.dlt645.frames import Fault, encode, same_meter
from headgate_drivers.dlt645.frames import Frame as Telegram
from headgate_drivers.dlt645.messages import Message, read_items
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

#: A meter that says it has no such data is asked for them again after so many looks.
REST_LOOKS = 100
#: Follow-up frames of one answer, at most.
MOST_FOLLOWS = 16
NO_SUCH_DATA = 1 << 1
#: A switch command is void after so long.
VALID_S = 300
#: A meter takes the time only where it is less than this off, and not around midnight (clause 7.8).
SYNC_MOST_S, SYNC_LEAST_S, SYNC_NOT_BEFORE, SYNC_NOT_AFTER = 300.0, 5.0, "00:10", "23:50"
#: A round that failed is tried again after this.
ROUND_RETRY_US = 15 * 60 * 1_000_000
DAY_US = 86_400 * 1_000_000

Said = dict[str, tuple[Value, Quality, int]]


class Answers:
    """Cuts meters' answers out of what comes; the key is the address, or None with `anybody`.

    Our own request, heard again on a pair that echoes, is passed over. `damaged` counts what was none.
    """

    unique_keys = False

    def __init__(self, functions: Iterable[int], address: str) -> None:
        self.damaged = 0
        self._functions = frozenset(functions)
        self._address = address

    def next(self, buffer: bytearray) -> Frame | None:
        """The next answer of any meter, whatever it says."""
        codec = Codec("master", buffer)
        while (event := codec.next()) is not None:
            found = event.frame if isinstance(event, Fault) else event
            if found is None:
                self.damaged += event.consumed > 2 if isinstance(event, Fault) else 0
            elif found.reply and found.function in self._functions:
                mine = same_meter(self._address, found.address)
                key: Hashable = self._address if mine else found.address
                return Frame(key, encode(found))
        return None


def answer_of(payload: bytes) -> Telegram | None:
    """A whole answer read, also one whose values are no numbers."""
    for event in Codec().feed(payload):
        return event.frame if isinstance(event, Fault) else event
    return None


class Dlt645Driver(PollingDriver):
    """Electricity meters; 2400 8E1 is what the standard asks of the line."""

    name: ClassVar[str] = "dlt645"
    #: Also on a line of Modbus RTU: its units and the meters share the pair.
    schemes: ClassVar[tuple[str, ...]] = (
        "serial", "serial+tcp", "serial+rfc2217", "modbus+rtu", "modbus+rtu+tcp", "modbus+rtu+rfc2217",
    )  # fmt: skip
    point_keys: ClassVar[Mapping[str, str]] = {
        "di": "00010000 | B611 | clock_offset | switch",
        "field": "which item of an answer that has several",
        "bit": "which bit of a status word",
        "round": "look | day",
    }

    def check_channel(self, channel: str, options: Mapping[str, Any]) -> Sequence[Problem]:
        """`meters`: a table by address, with the password by reference of those that are switched."""
        table = options.get("meters", {})
        unknown = sorted(set(options) - {"meters", "operator"})
        right = isinstance(table, Mapping) and all(
            isinstance(entry, Mapping) and set(entry) == {"password"} for entry in table.values()
        )
        if right and not unknown:
            return ()
        fields: dict[str, str | int | float] = {
            "device": channel, "key": unknown[0] if unknown else "meters", "value": "...",
            "allowed": "operator, and meters: a table by address with a password each",
        }  # fmt: skip
        return (Problem(f'channel "{channel}"', "HG-3640", fields),)

    def codec(self) -> Codec:
        """For recorded bytes."""
        return Codec()

    def plan(self, device: Device) -> Asked:
        """What is asked of this meter, and where each point's value comes from.

        Raises:
            ProfileError: address, points or quirks that cannot be.
        """
        return Asked(device)

    def line_bytes(self, device: Device, plan: Asked) -> Sequence[tuple[int, int]]:
        return [
            (len(requests.read(plan.address, each.identifier, plan.wake)),
             frames.LEAST + 4 + each.size())
            for each in plan.requests if not each.daily
        ]  # fmt: skip

    # ------------------------------------------------------------ a look

    async def read(self, channel: Channel, device: Device, plan: Asked) -> Block:
        """One look: the points of a request that failed are bad, the others are not.

        Raises:
            ChannelTimeout: nobody answered the first two requests.
            ChannelClosed, DeviceRefused, ProtocolError: every request failed; the last reason.
        """
        look = _Look(self, channel, device, plan)
        daily = _round_due(channel, plan)
        for request in plan.requests:
            if not request.daily or daily:
                await look.take(request)
        await look.own()
        if daily:
            _round_done(channel, plan, look)
        return look.block()

    async def ask(
        self, channel: Channel, device: Device, plan: Asked, request: bytes, functions: tuple[int, ...],
    ) -> Telegram:  # fmt: skip
        """One exchange, repeated as often as the device is to be.

        Raises:
            ChannelTimeout: nobody answered.
            ProtocolError: what came was damaged, or another's.
            DeviceRefused: the meter said no; the detail is the word of its refusal.
        """
        left = device.retries
        while True:
            framing = Answers(functions, plan.address)
            try:
                payload = await channel.exchange(
                    request, framing, key=plan.address, timeout_s=device.timeout_s,
                    settings=_settings(channel.url, plan),
                )  # fmt: skip
                break
            except ChannelTimeout as error:
                if left <= 0 and framing.damaged:
                    raise _damaged(device, channel.id) from error
                if left <= 0:
                    raise
                left -= 1
        answer = answer_of(payload)
        if answer is None:
            raise _damaged(device, channel.id)
        if answer.refused:
            raise _refused(device, answer)
        return answer

    async def values(
        self, channel: Channel, device: Device, plan: Asked, identifier: str
    ) -> Message:
        """What stands behind an identifier, follow-up frames put together. Raises as `ask`."""
        old = len(identifier) == 4
        functions = (messages.READ_1997,) if old else (messages.READ,)
        raw = requests.read(plan.address, identifier, plan.wake)
        answer = await self.ask(channel, device, plan, raw, functions)
        message = _belongs(device, channel, answer, identifier)
        content, number = message.content, 0
        while answer.more:
            number += 1
            if number > MOST_FOLLOWS:
                raise _damaged(device, channel.id)
            raw = requests.follow(plan.address, identifier, number, plan.wake)
            functions = (messages.FOLLOW_1997,) if old else (messages.FOLLOW,)
            answer = await self.ask(channel, device, plan, raw, functions)
            part = _belongs(device, channel, answer, identifier)
            if not old and part.sequence != number:
                raise _damaged(device, channel.id)
            content += part.content
        if not number:
            return message
        fields, flaws = read_items(identifier, content)
        return Message(identifier, fields, content, flaws=flaws)

    # ------------------------------------------------------------ who is there

    async def identify(self, channel: Channel, device: Device) -> Identity | None:
        """Model and software version, where the meter has them (2007)."""
        bare = _bare(device)
        plan = self.plan(bare)
        told = []
        for identifier in ("0400040B", "04800001"):
            try:
                message = await self.values(channel, bare, plan, identifier)
            except (DeviceRefused, ProtocolError, ChannelTimeout):
                told.append("")
                continue
            text = message.fields[0].value if message.fields else None
            told.append(str(text)[:64] if text else "")
        return Identity(vendor="", model=told[0], firmware=told[1] or None) if any(told) else None

    async def addresses(self, channel: Channel, device: Device) -> Sequence[str]:
        """The address of the one meter on the pair, asked for with the address that all take for theirs.

        Several meters answer at once, and what comes is nobody's: then there is none.

        Raises:
            ChannelClosed: the line is down.
        """
        plan = self.plan(msgspec.structs.replace(_bare(device), address=frames.EVERYBODY))
        try:
            answer = await self.ask(channel, device, plan, requests.who(), (messages.ADDRESS,))
        except (ChannelTimeout, DeviceRefused, ProtocolError):
            return []
        told = answer.message.fields if answer.message is not None else ()
        found = str(told[0].value) if told else answer.address
        return [found] if found != frames.EVERYBODY else []

    async def present(self, channel: Channel, device: Device) -> bool:
        """Whether the meter at this address answers, with whatever. Raises ChannelClosed."""
        bare = _bare(device)
        for identifier in ("00010000", "9010"):
            try:
                await self.values(channel, bare, self.plan(bare), identifier)
            except ChannelTimeout:
                continue
            except (DeviceRefused, ProtocolError):
                return True
            return True
        return False

    # ------------------------------------------------------------ what moves something

    async def write(self, channel: Channel, device: Device, point: str, raw: Value) -> Value:
        """Trip or close the meter's switch; True is closed: power. What reads back is its relay.

        Raises:
            DeviceRefused: a point that is no switch, no password, no trusted clock, or the meter said no.
            ChannelTimeout, ProtocolError: nobody knows whether it moved.
        """
        plan = self.plan(device)
        if plan.own.get(SWITCH) != point or not isinstance(raw, bool):
            raise DeviceRefused(
                f"device {device.id}: {point} = {raw!r} cannot be written",
                code="HG-3641", device=device.id, point=point, value=str(raw),
            )  # fmt: skip
        password, operator = _authority(channel, device, plan)
        wall_us = channel.wall_us()
        if wall_us is None:
            raise DeviceRefused(
                f"device {device.id}: the clock is not trusted", code="HG-3645", device=device.id
            )
        until = _local(wall_us, plan) + timedelta(seconds=VALID_S)
        what: requests.Switch = "trip"
        if raw:
            what = "permit close" if plan.close == "permit close" else "close"
        request = requests.switch(plan.address, what, until, password, operator, plan.wake)
        # Once: whether it moved is looked at, never tried again.
        once = msgspec.structs.replace(device, retries=0)
        await self.ask(channel, once, plan, request, (messages.SWITCH,))
        message = await self.values(channel, device, plan, STATUS_3)
        return _closed(message)

    # ------------------------------------------------------------ recordings

    def looks_at(
        self, device: Device, frames: Iterable[tuple[bytes, bytes]]
    ) -> list[tuple[bytes, bytes]]:
        """Of a trace's exchanges those that read this meter and were answered, the last of each. Pure."""
        plan = self.plan(device)
        wanted: dict[bytes, list[tuple[bytes, bytes]]] = {
            requests.read(plan.address, each.identifier, plan.wake): [] for each in plan.requests
        }
        for sent, said in frames:
            if sent in wanted and _framed(plan, said) is not None:
                wanted[sent] = [(sent, said)]
        return [each for kept in wanted.values() for each in kept]

    def replay(self, device: Device, frames: Iterable[tuple[bytes, bytes]]) -> Block:
        """The block that recorded answers would have brought; its time is 0.

        Raises:
            ProfileError: a device that cannot be read.
            DeviceRefused: every answer says no.
        """
        plan = self.plan(device)
        look = _Look(self, None, device, plan)
        answers: dict[str, Telegram] = {}
        for sent, said in frames:
            question, answer = answer_of(sent), _framed(plan, said)
            if question is not None and question.message is not None and answer is not None:
                answers[question.message.identifier] = answer
        for request in plan.requests:
            answer = answers.get(request.identifier)
            if answer is None or answer.message is None:
                continue
            look.answered += 1
            if answer.refused:
                look.refused(request, _refused(device, answer))
            else:
                look.tell(request, answer.message)
        if SWITCH in plan.own and STATUS_3 in answers and answers[STATUS_3].message is not None:
            look.said[plan.own[SWITCH]] = (_closed(answers[STATUS_3].message), Quality.GOOD, 0)
        if CLOCK_OFFSET in plan.own:  # a recording does not say what time it was
            look.said[plan.own[CLOCK_OFFSET]] = (None, Quality.BAD, status_word(Status.NOT_READ))
        return look.block()


class _Look:
    """One look at one meter: what was told so far."""

    def __init__(
        self, driver: Dlt645Driver, channel: Channel | None, device: Device, plan: Asked
    ) -> None:
        self.driver, self.device, self.plan = driver, device, plan
        self._channel = channel
        self.said: Said = {}
        self.daily: set[str] = set()
        self.daily_failed = False
        self.answered = self._unanswered = 0
        self._failure: HeadgateError | None = None
        self.clock: datetime | None = None

    @property
    def channel(self) -> Channel:
        assert self._channel is not None
        return self._channel

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
            message = await self.driver.values(self.channel, self.device, self.plan, identifier)
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
            closed = None if message is None else _closed(message)
            bad = closed is None
            self.said[own[SWITCH]] = (closed, Quality.BAD if bad else Quality.GOOD, 0)
        if CLOCK_OFFSET not in own and self.plan.sync_clock == "no":
            return
        date, time = await self._ask(DATE, None), await self._ask(TIME, None)
        offset = self._offset(date, time)
        if CLOCK_OFFSET in own:
            bad = offset is None
            self.said[own[CLOCK_OFFSET]] = (offset, Quality.BAD if bad else Quality.GOOD, 0)
        if offset is not None and self.plan.sync_clock == "day":
            await self._set_clocks(offset)

    def _offset(self, date: Message | None, time: Message | None) -> float | None:
        wall_us = self.channel.wall_us()
        told = [
            str(message.fields[0].value)
            for message in (date, time) if message is not None and message.fields
        ]  # fmt: skip
        try:
            self.clock = datetime.fromisoformat("T".join(told)).replace(tzinfo=self.plan.zone)
        except ValueError:
            return None
        return None if wall_us is None else self.clock.timestamp() - wall_us // 1_000_000

    async def _set_clocks(self, offset: float) -> None:
        """Broadcast the time: what the site has asked for with `sync_clock`."""
        wall_us, plan = self.channel.wall_us(), self.plan
        if wall_us is None or not SYNC_LEAST_S <= abs(offset) < SYNC_MOST_S:
            return
        now = _local(wall_us, plan)
        if not SYNC_NOT_BEFORE <= f"{now:%H:%M}" <= SYNC_NOT_AFTER:
            return
        if plan.synced_us and self.channel.now_us() - plan.synced_us < DAY_US:
            return
        plan.synced_us = self.channel.now_us()
        request = requests.clock(now, plan.wake)
        settings = _settings(self.channel.url, plan)
        if settings is None or settings == line_of(self.channel.url):
            await self.channel.send(request)
            return
        try:  # its own speed on the pair, and nobody will answer
            await self.channel.exchange(request, Answers((), ""), timeout_s=0.2, settings=settings)
        except ChannelTimeout:
            return

    def block(self) -> Block:
        """What was told. Raises the last failure where nothing was, and everything was asked."""
        if not self.answered and self._failure is not None:
            raise self._failure
        if self._failure is not None and all(s[2] for s in self.said.values()):
            raise self._failure
        now_us = self._channel.now_us() if self._channel is not None else 0
        offsets = None
        if self.daily and self._channel is not None:
            wall_us = self._channel.wall_us()
            if wall_us is not None:
                # A frozen value was true at midnight, whenever it was asked for.
                midnight = _local(wall_us, self.plan).replace(
                    hour=0, minute=0, second=0, microsecond=0
                )
                back = int(midnight.timestamp()) * 1_000_000 - wall_us
                offsets = dict.fromkeys(self.daily, back)
        clock_us = None if self.clock is None else int(self.clock.timestamp()) * 1_000_000
        return self.device.partial(now_us, self.said, offsets_us=offsets, device_time_us=clock_us)


# ---------------------------------------------------------------- rounds, secrets, errors


def _round_due(channel: Channel, plan: Asked) -> bool:
    """Whether what is frozen at midnight is to be asked now."""
    if not plan.daily:
        return False
    now_us, wall_us = channel.now_us(), channel.wall_us()
    if plan.day_tried_us and now_us - plan.day_tried_us < ROUND_RETRY_US:
        return False
    if wall_us is None:  # nobody knows when midnight is: once in 24 hours
        return not plan.round_us or now_us - plan.round_us >= DAY_US
    return plan.day != f"{_round_day(wall_us, plan)}"


def _round_day(wall_us: int, plan: Asked) -> str:
    at = _local(wall_us, plan) - timedelta(minutes=plan.after_min)
    return f"{at:%Y-%m-%d}"


def _round_done(channel: Channel, plan: Asked, look: _Look) -> None:
    plan.day_tried_us = channel.now_us()
    if look.daily_failed:
        return
    plan.round_us, plan.day_tried_us = channel.now_us(), 0
    wall_us = channel.wall_us()
    if wall_us is not None:
        plan.day = _round_day(wall_us, plan)


def _local(wall_us: int, plan: Asked) -> datetime:
    return datetime.fromtimestamp(wall_us / 1_000_000, plan.zone)


def _authority(channel: Channel, device: Device, plan: Asked) -> tuple[str, str]:
    """Password and operator for this meter, out of the channel's options."""
    table = channel.options.get("meters", {})
    entry = table.get(plan.address, table.get(str(device.address), {}))
    password = entry.get("password") if isinstance(entry, Mapping) else None
    operator = str(channel.options.get("operator", "00000000"))
    if not isinstance(password, str) or len(password) != 8 or not password.isdecimal():
        raise DeviceRefused(f"device {device.id}: no password", code="HG-3644", device=device.id)
    return password, operator


def _closed(message: Message | None) -> bool | None:
    value = message.fields[0].value if message is not None and message.fields else None
    return not value & RELAY_OPEN if isinstance(value, int) else None


def _framed(plan: Asked, said: bytes) -> Telegram | None:
    frame = Answers((messages.READ, messages.READ_1997), plan.address).next(bytearray(said))
    return answer_of(frame.payload) if frame is not None and frame.key == plan.address else None


def _belongs(device: Device, channel: Channel, answer: Telegram, identifier: str) -> Message:
    message = answer.message
    if message is None or message.identifier != identifier:
        raise _damaged(device, channel.id)
    return message


def _settings(url: str, plan: Asked) -> LineSettings | None:
    return line_of(url).with_text(plan.line) if plan.line else None


def _bare(device: Device) -> Device:
    table = msgspec.structs.replace(device.table, points=())
    return msgspec.structs.replace(device, points=(), table=table)


def _refused(device: Device, answer: Telegram) -> DeviceRefused:
    message = answer.message
    reason = message.says if message is not None else ""
    return DeviceRefused(
        f"device {device.id}: the meter refuses: {reason}",
        detail=(message.error or 0) & 0xFF if message is not None else 0,
        code="HG-3642", device=device.id, reason=reason,
    )  # fmt: skip


def _damaged(device: Device, channel: str) -> ProtocolError:
    return ProtocolError(
        f"device {device.id}: an answer came, damaged or another's",
        code="HG-3643", device=device.id, channel=channel,
    )  # fmt: skip
