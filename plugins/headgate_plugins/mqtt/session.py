"""One connection: status, grants, then records as fast as the window allows, and receipts as they come.

Everything taken from the outbox is settled, refused or given back before `run` returns, however it
ends: a connection leaves nothing in flight.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Literal

import msgspec

from headgate.mqtt import Link, PublishRefused
from headgate.sdk import (
    HeadgateError,
    Outbox,
    SecurityError,
    StoredRecord,
    UplinkError,
    UplinkUnavailable,
)
from headgate_plugins.mqtt import receipts
from headgate_plugins.mqtt.stay import Say, first_of
from headgate_plugins.mqtt.window import Window

log = logging.getLogger(__name__)

#: PUBACK of a broker that took a message nobody has subscribed to.
NO_SUBSCRIBER = 0x10
#: A goodbye is worth this long.
GOODBYE_S = 1.0


class Terms(msgspec.Struct, frozen=True):
    """What an uplink and its platform have agreed on.

    `by_platform`: a receipt frees a record, else the broker's PUBACK. `unheard`: with the broker's word,
    a PUBACK that says "nobody listens" counts as well. At most `ahead` records and `ahead_bytes` wait
    for their receipt, each for `receipt_s` before it is offered again.
    """

    gateway: str
    by_platform: bool
    unheard: bool
    in_flight: int
    ahead: int
    ahead_bytes: int
    receipt_s: float
    retry_low_s: float
    retry_high_s: float
    online: bytes
    offline: bytes

    def topic(self, kind: str) -> str:
        """`up/record`, `up/grant`, `down/receipt` or `status` of this gateway."""
        return f"headgate/v1/{self.gateway}/{kind}"


class Session:
    """Drives one open link.

    Args:
        say: told the state for people and what stands in the way, whenever either may have changed.
        doubt: told of each receipt that did not prove itself.
    """

    def __init__(
        self,
        terms: Terms,
        link: Link,
        outbox: Outbox,
        say: Say,
        doubt: Callable[[SecurityError], None],
    ) -> None:
        self._terms, self._link, self._outbox = terms, link, outbox
        self._say, self._doubt = say, doubt
        self._window = Window(terms.ahead, terms.ahead_bytes, terms.receipt_s, terms.in_flight)
        self._granted: set[bytes] = set()
        self._publishing = 0
        # Since the last record that was taken: what the broker said, how often, and a pause to make.
        self._refused: HeadgateError | None = None
        self._refusals = 0
        self._cool = False
        # Refused records wait here, so that those behind them are tried too.
        self._parked: list[StoredRecord] = []
        self._changed = asyncio.Event()

    # ------------------------------------------------------------ life

    async def run(self) -> None:
        """Deliver until the link is lost.

        Raises:
            UplinkError: why it ended.
        """
        try:
            await self._greet()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._receive(), name="receipts")
                group.create_task(self._watch(), name="receipts overdue")
                group.create_task(self._answer(), name="answers")
                await self._send(group)
        except BaseExceptionGroup as several:
            raise first_of(several) from None
        except asyncio.CancelledError:
            await self._goodbye()
            raise
        finally:
            self._outbox.give_back([*self._window.all(), *self._parked])

    async def _greet(self) -> None:
        terms = self._terms
        try:
            await self._link.subscribe(terms.topic("down/receipt"))
        except UplinkUnavailable as error:
            # A broker of somebody else's need not know receipts.
            if terms.by_platform or error.code != "HG-5020":
                raise
            log.info("no receipts from this broker", extra={"code": error.code})
        try:
            await self._link.subscribe(terms.topic("down/command"))
        except UplinkUnavailable as error:
            # Readings come first: a broker that keeps commands away keeps nothing else away.
            if error.code != "HG-5020":
                raise
            log.warning("no commands from this broker", extra={"code": error.code})
        try:
            await self._link.publish(terms.topic("status"), terms.online, retain=True)
        except PublishRefused as error:
            log.warning(
                "status refused", extra={"code": error.code, "reason_code": error.reason_code}
            )
        self._tell()
        for key_id, message in self._outbox.grants():
            try:
                await self._grant(key_id, message)
            except PublishRefused as error:
                # Told, not fatal: the records of this key will meet the same answer, and wait for it.
                self._on_refusal(error)
                break

    async def _goodbye(self) -> None:
        try:
            async with asyncio.timeout(GOODBYE_S):
                await self._link.publish(
                    self._terms.topic("status"), self._terms.offline, retain=True
                )
        except (UplinkError, TimeoutError):
            log.debug("no goodbye")

    # ------------------------------------------------------------ up

    async def _send(self, group: asyncio.TaskGroup) -> None:
        while True:
            await self._until_room()
            free = min(self._terms.in_flight - self._publishing, self._window.room())
            records = await self._outbox.take(1 if self._refused else free)
            for record in records:
                self._window.add(record)
            for record in records:
                self._publishing += 1
                if record.key_id in self._granted:
                    group.create_task(self._publish(record))
                else:
                    # Alone on the link: a record must not overtake the grant of its key.
                    await self._publish(record)

    async def _until_room(self) -> None:
        """Wait until one more record may go; after a refusal, until its pause is over and one may try."""
        while True:
            if self._cool and not self._publishing:
                self._cool = False
                await asyncio.sleep(self._pause_s())
            elif not self._cool and self._window.room():
                most = 1 if self._refused else self._terms.in_flight
                if self._publishing < most:
                    return
            self._changed.clear()
            if self._cool or self._publishing or not self._window.room():
                await self._changed.wait()

    def _pause_s(self) -> float:
        ceiling = self._terms.retry_low_s * 2.0 ** min(self._refusals, 16)
        return random.uniform(0.5, 1.0) * min(self._terms.retry_high_s, ceiling)  # noqa: S311 - jitter

    async def _publish(self, record: StoredRecord) -> None:
        try:
            if record.key_id not in self._granted:
                await self._grant(record.key_id, self._outbox.grant(record.key_id))
            code = await self._link.publish(self._terms.topic("up/record"), record.data)
        except PublishRefused as error:
            self._park(record)
            self._on_refusal(error)
        else:
            self._on_published(record, code)
        finally:
            self._publishing -= 1
            self._changed.set()

    async def _grant(self, key_id: bytes, message: bytes | None) -> None:
        if message is None:
            # The platform may have it from before; if not it says so, by a verdict.
            log.warning("no grant for this key", extra={"key_id": key_id.hex()})
        else:
            await self._link.publish(self._terms.topic("up/grant"), message)
        self._granted.add(key_id)

    def _on_published(self, record: StoredRecord, code: int) -> None:
        if code == NO_SUBSCRIBER and (self._terms.by_platform or not self._terms.unheard):
            self._park(record)
            topic = self._terms.topic("up/record")
            self._on_refusal(UplinkError(f"nobody listens on {topic}", code="HG-5023", topic=topic))
            return
        if self._terms.by_platform:
            self._window.published(record, _now())
            self._outbox.sent([record])
        elif self._window.drop((record.epoch, record.n)) is not None:
            self._outbox.settle([record])
        if self._refused is not None:
            self._refused, self._refusals, self._cool = None, 0, False
            self._tell()

    def _park(self, record: StoredRecord) -> None:
        # A receipt may have come for an earlier copy meanwhile; then there is nothing to keep.
        if self._window.drop((record.epoch, record.n)) is not None:
            self._parked.append(record)

    def _on_refusal(self, error: HeadgateError) -> None:
        if not self._cool:
            self._refusals += 1
        self._cool = True
        if self._refused is None:
            log.warning(
                "the broker refuses records", extra={"code": error.code, "reason": str(error)}
            )
        self._refused = error
        self._tell()

    # ------------------------------------------------------------ down

    async def _receive(self) -> None:
        receipt, command = self._terms.topic("down/receipt"), self._terms.topic("down/command")
        async for message in self._link.messages():
            if message.topic == receipt:
                await self._on_receipt(message.payload)
            elif message.topic == command:
                how: Literal["live", "retained"] = "retained" if message.retain else "live"
                self._outbox.command(message.payload, how=how)

    async def _answer(self) -> None:
        """What the core says to commands goes up, once: the records say it for good."""
        topic = self._terms.topic("up/answer")
        while True:
            answer = await self._outbox.answer()
            try:
                await self._link.publish(topic, answer)
            except PublishRefused as error:
                log.warning(
                    "an answer was refused", extra={"code": error.code, "reason": str(error)}
                )

    async def _on_receipt(self, message: bytes) -> None:
        try:
            if len(message) > receipts.MOST_BYTES:
                raise SecurityError(f"a receipt of {len(message)} bytes", code="HG-6005")
            done = self._outbox.receipt(message)
        except SecurityError as error:
            self._doubt(error)
            return
        named = receipts.named(message)
        if named is not None:
            self._window.settle(named)
            for n, reason in named.unopened:
                log.error("the platform could not open a record", extra={"n": n, "reason": reason})
        for epoch, n, reason in done.refused:
            log.error(
                "the platform refused a record",
                extra={"code": "HG-5002", "epoch": epoch.hex(), "n": n, "reason": reason},
            )
        self._changed.set()
        self._tell()
        for key_id in done.need_grants:
            await self._grant_again(key_id)

    async def _grant_again(self, key_id: bytes) -> None:
        message = self._outbox.grant(key_id)
        if message is None:
            log.warning(
                "the platform asks for a grant that is not here", extra={"key_id": key_id.hex()}
            )
            return
        try:
            await self._link.publish(self._terms.topic("up/grant"), message)
        except PublishRefused as error:
            self._on_refusal(error)
            self._changed.set()

    async def _watch(self) -> None:
        """Offer again what got no receipt, and what the broker refused."""
        longest = min(self._terms.receipt_s, self._terms.retry_high_s)
        while True:
            due = self._window.next_due_s()
            await asyncio.sleep(longest if due is None else min(longest, max(0.0, due - _now())))
            if self._parked:
                self._outbox.give_back(self._parked)
                self._parked = []
            late = self._window.overdue(_now())
            if late:
                log.warning("no receipts", extra={"code": "HG-5024", "records": len(late)})
                self._outbox.give_back(late)
                self._changed.set()
                self._tell()
                await self._listen_again()

    async def _listen_again(self) -> None:
        """A broker may have forgotten, on a link that lives on, that we listen; asking twice is free."""
        try:
            await self._link.subscribe(self._terms.topic("down/receipt"))
        except UplinkUnavailable as error:
            if error.code != "HG-5020":
                raise

    def _tell(self) -> None:
        if self._refused is not None:
            self._say("refused", self._refused)
        elif self._window.silent:
            self._say("no receipts", UplinkError("no receipts from the platform", code="HG-5024"))
        else:
            self._say("online", None)


def _now() -> float:
    return asyncio.get_running_loop().time()
