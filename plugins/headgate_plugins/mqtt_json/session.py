"""One connection of the JSON uplink: records out as messages, each settled when all of them are taken."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterator

import msgspec

from headgate.mqtt import Link, PublishRefused
from headgate.sdk import HeadgateError, Item, Outbox, SecurityError, StoredRecord, UplinkError
from headgate_plugins.mqtt.stay import Say, first_of
from headgate_plugins.mqtt_json.render import Message, Renderer, Shape

log = logging.getLogger(__name__)

#: PUBACK of a broker that took a message nobody has subscribed to.
NO_SUBSCRIBER = 0x10
#: How often a record that cannot go yet is looked at again.
AGAIN_S = 5.0
#: Records without a local key that are kept aside, so that those behind them can go.
MOST_LOCKED, LOCKED_AGAIN_S = 256, 60.0
#: A record that is damaged, not merely locked: no key will ever open it.
_BROKEN = ("HG-6002", "HG-6005")


class NobodyListens(UplinkError):
    """The broker took a message, and nobody has subscribed to it."""

    default_code = "HG-5023"


class Manners(msgspec.Struct, frozen=True):
    """How an uplink behaves. `hold`: nothing goes without a trusted time. `epoch`: of this start."""

    uplink: str
    in_flight: int
    hold: bool
    unheard: bool
    epoch: bytes
    retry_low_s: float
    retry_high_s: float


class _Pending:
    """A record whose messages are on their way. `closed` once the last one has been sent off."""

    def __init__(self, record: StoredRecord) -> None:
        self.record = record
        self.left = 0
        self.closed = False
        self.refused = False
        self.unreadable: str | None = None


class JsonSession:
    """Drives one open link. Everything taken is settled, refused or given back when `run` ends."""

    def __init__(
        self, shape: Shape, manners: Manners, link: Link, outbox: Outbox, say: Say
    ) -> None:
        self._manners, self._link, self._outbox, self._say = manners, link, outbox, say
        self._renderer = Renderer(shape, outbox.table)
        self._held: dict[tuple[bytes, int], StoredRecord] = {}
        self._locked: list[StoredRecord] = []
        self._slots = asyncio.Semaphore(manners.in_flight)
        self._idle = asyncio.Event()
        self._idle.set()
        self._on_link = 0
        self._refused: HeadgateError | None = None
        self._refusals = 0

    async def run(self) -> None:
        """Deliver until the link is lost.

        Raises:
            UplinkError: why it ended.
        """
        self._say("online", None)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._until_lost(), name="link")
                while True:
                    await self._round(group)
        except BaseExceptionGroup as several:
            raise first_of(several) from None
        finally:
            self._outbox.give_back([*self._held.values(), *self._locked])

    async def _until_lost(self) -> None:
        raise await self._link.lost()

    async def _round(self, group: asyncio.TaskGroup) -> None:
        if self._refused is not None:
            await self._cool_down()
        taken = await self._outbox.take(1 if self._refused else self._manners.in_flight)
        for record in taken:
            self._held[record.epoch, record.n] = record
        for record in taken:
            if self._refused is not None and len(taken) > 1:
                del self._held[record.epoch, record.n]
                self._outbox.give_back([record])
                continue
            items = await self._open(record)
            if items is not None:
                await self._send(group, record, items)
        if self._refused is not None:
            await self._idle.wait()

    # ------------------------------------------------------------ one record

    async def _open(self, record: StoredRecord) -> list[Item] | None:
        """The items, once they may go; None when this record is dealt with otherwise."""
        try:
            items = list(self._outbox.open(record))
        except SecurityError as error:
            await self._not_opened(record, error)
            return None
        boot = self._outbox.boot(record.epoch)
        # A start that is over will get no clock fix any more: its records go, marked.
        if self._manners.hold and record.epoch == self._manners.epoch:
            while any(self._outbox.wall_us(at, boot) is None for at in _times(items)):
                self._say("holding", UplinkError("no trusted time yet", code="HG-5026"))
                await asyncio.sleep(AGAIN_S)
            self._tell()
        return items

    async def _not_opened(self, record: StoredRecord, error: SecurityError) -> None:
        del self._held[record.epoch, record.n]
        if error.code in _BROKEN:
            log.error(
                "record does not open",
                extra={"uplink": self._manners.uplink, "n": record.n, "code": error.code},
            )
            self._outbox.refuse(record, str(error))
            return
        if not self._locked:
            log.warning(
                "no local key for a record",
                extra={"uplink": self._manners.uplink, "code": "HG-5025", "reason": str(error)},
            )
        self._locked.append(record)
        self._tell()
        if len(self._locked) >= MOST_LOCKED:
            # Those behind them must wait as well, or this would grow without end.
            await asyncio.sleep(LOCKED_AGAIN_S)
            self._outbox.give_back(self._locked)
            self._locked = []

    async def _send(
        self, group: asyncio.TaskGroup, record: StoredRecord, items: list[Item]
    ) -> None:
        pending = _Pending(record)
        for count, message in enumerate(self._render(pending, items)):
            await self._slots.acquire()
            pending.left += 1
            self._on_link += 1
            self._idle.clear()
            group.create_task(self._publish(message, pending))
            if pending.refused:
                break
            if count % 16 == 15:
                # Rendering is work on the loop that polls devices: never a whole record at once.
                await asyncio.sleep(0)
        pending.closed = True
        self._finish(pending)

    def _render(self, pending: _Pending, items: list[Item]) -> Iterator[Message]:
        boot = self._outbox.boot(pending.record.epoch)

        def wall(at_us: int) -> int | None:
            return self._outbox.wall_us(at_us, boot)

        def unreadable(reason: str) -> None:
            pending.unreadable = reason

        return self._renderer.messages(items, wall, unreadable)

    async def _publish(self, message: Message, pending: _Pending) -> None:
        topic, payload = message
        try:
            code = await self._link.publish(topic, payload)
            if code == NO_SUBSCRIBER and not self._manners.unheard:
                text = f"nobody listens on {topic}"
                raise NobodyListens(text, topic=topic)
        except (PublishRefused, NobodyListens) as error:
            pending.refused = True
            self._on_refusal(error)
        finally:
            self._slots.release()
            pending.left -= 1
            self._on_link -= 1
            if self._on_link == 0:
                self._idle.set()
        self._finish(pending)

    def _finish(self, pending: _Pending) -> None:
        if pending.left or not pending.closed:
            return
        record = pending.record
        self._held.pop((record.epoch, record.n), None)
        if pending.refused:
            self._outbox.give_back([record])
        elif pending.unreadable is not None:
            log.error(
                "record cannot be rendered",
                extra={"uplink": self._manners.uplink, "n": record.n, "reason": pending.unreadable},
            )
            self._outbox.refuse(record, pending.unreadable)
        else:
            self._outbox.settle([record])
            if self._refused is not None:
                self._refused, self._refusals = None, 0
                self._tell()

    # ------------------------------------------------------------ what stands in the way

    def _on_refusal(self, error: HeadgateError) -> None:
        if self._refused is None:
            log.warning(
                "the broker refuses messages",
                extra={"uplink": self._manners.uplink, "code": error.code, "reason": str(error)},
            )
        self._refused = error
        self._tell()

    async def _cool_down(self) -> None:
        """Wait, longer each time, before a broker that refuses is asked again."""
        ceiling = self._manners.retry_low_s * 2.0 ** min(self._refusals, 16)
        self._refusals += 1
        await asyncio.sleep(
            random.uniform(0.5, 1.0) * min(self._manners.retry_high_s, ceiling)  # noqa: S311 - jitter
        )

    def _tell(self) -> None:
        if self._refused is not None:
            self._say("refused", self._refused)
        elif self._locked:
            self._say("locked", UplinkError("no local key for some records", code="HG-5025"))
        else:
            self._say("online", None)


def _times(items: list[Item]) -> Iterator[int]:
    return (at for item in items if isinstance(at := getattr(item, "at_us", None), int))
