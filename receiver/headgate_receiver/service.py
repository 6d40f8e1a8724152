"""The receiver at work: MQTT in, one transaction per turn, receipts out.

A turn takes whatever has arrived, judges it, commits it, and only then tells the broker that the messages
are ours. Under load turns grow by themselves, up to the broker's window; an idle line answers at once.
The platform's keys may be slow, one by one: a grant is opened and a receipt signed beside the turns, and
what waits for a slow key waits alone. Killed at any point, the broker or the gateway sends again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from headgate.env import Env
from headgate.envelope.receipt import Receipt
from headgate.errors import UplinkUnavailable
from headgate.link import Context
from headgate.mqtt import Link, Message, PublishRefused, Settings, connect
from headgate_receiver.core import Answer, Core
from headgate_receiver.errands import KeyErrands
from headgate_receiver.keys import PlatformKeys
from headgate_receiver.resend import FIRST_S, Missing
from headgate_receiver.store import Sink, StoreError

log = logging.getLogger(__name__)

TOPICS: Final = ("headgate/v1/+/up/grant", "headgate/v1/+/up/record")
MAX_TURN: Final = 64
_FIRST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 30.0
_LOOK_S: Final = 1.0


class Receiver:
    """Receives until cancelled; reconnects by itself.

    `turns` and `stored` count, for a page that shows them.

    Args:
        resend_after_s: how long a hole in what is stored may stay before the gateway is asked for it.
    """

    def __init__(
        self,
        env: Env,
        core: Core,
        sink: Sink,
        keys: PlatformKeys,
        broker: Settings,
        *,
        tls: Context | None = None,
        resend_after_s: float = FIRST_S,
    ) -> None:
        self._env = env
        self._core = core
        self._sink = sink
        self._errands = KeyErrands(keys)
        self._broker = broker
        self._tls = tls
        self._serial = 0
        self._missing = Missing(resend_after_s)
        self._look_s = min(_LOOK_S, resend_after_s)
        self._look_us = 0
        self.turns = 0
        self.stored = 0
        self.connected = asyncio.Event()

    async def run(self) -> None:
        """Receive until cancelled."""
        wait = _FIRST_WAIT_S
        thread = self._env.single("receiver-store")
        try:
            while True:
                try:
                    async with connect(self._broker, tls=self._tls) as link:
                        # One after the other: the grant's road must be open before records come.
                        await link.subscribe(*TOPICS)
                        log.info("receiving", extra={"broker": repr(self._broker)})
                        self.connected.set()
                        wait = _FIRST_WAIT_S
                        await self._receive(link, thread)
                except UplinkUnavailable as error:
                    log.warning("broker lost: %s", error, extra={"code": error.code})
                except StoreError as error:
                    # Nothing of the turn is kept and nothing was acknowledged: all of it comes again.
                    log.error("store failed: %s", error, extra={"code": error.code})
                    self._core.forget()
                    self._missing.forget()
                finally:
                    self.connected.clear()
                await asyncio.sleep(wait * self._env.random.uniform(0.5, 1.0))
                wait = min(2 * wait, _LONGEST_WAIT_S)
        finally:
            thread.shutdown(wait=True)

    async def _receive(self, link: Link, thread: object) -> None:
        messages = link.messages(manual=True)
        coming = asyncio.ensure_future(anext(messages))
        opened = asyncio.ensure_future(self._errands.opened())
        try:
            while True:
                await asyncio.wait(
                    (coming, opened), timeout=self._look_s, return_when=asyncio.FIRST_COMPLETED
                )
                if coming.done():
                    turn = [coming.result(), *link.take_waiting(MAX_TURN - 1)]
                    await self._turn(link, turn, thread)
                    coming = asyncio.ensure_future(anext(messages))
                elif opened.done():
                    await self._turn(link, (), thread)
                if opened.done():
                    opened = asyncio.ensure_future(self._errands.opened())
                # Between turns, where all that is known is committed; and also on an idle line.
                await self._ask_again(link)
        finally:
            coming.cancel()
            opened.cancel()
            await asyncio.gather(coming, opened, return_exceptions=True)
            await self._errands.stop()

    async def _turn(self, link: Link, turn: Sequence[Message], thread: object) -> None:
        core = self._core
        if core.begin():
            self._missing.forget()
        parts = [(message, message.topic.split("/")) for message in turn]
        came = [(each, part[2], part[4]) for each, part in parts if len(part) == 5]
        wrapped = [
            found
            for each, sender, kind in came
            if kind == "grant" and (found := core.check_grant(each.payload, sender)) is not None
        ]
        # Keys at hand answer at once, and the records that came along need not be held.
        await self._errands.unwrap(wrapped)
        for what, secret in self._errands.take():
            if isinstance(secret, bytes):
                core.granted(what, secret)
            else:
                core.not_granted(what, secret)
        for each, sender, kind in came:
            if kind == "record":
                core.record(each.payload, sender)
        batch, answers = core.end()
        if not batch.empty:
            loop = asyncio.get_running_loop()
            # Shielded: a commit that runs cannot be stopped, and its outcome must be known.
            commit = loop.run_in_executor(thread, self._sink.commit, batch)  # type: ignore[arg-type]
            try:
                await asyncio.shield(commit)
            except asyncio.CancelledError:
                await asyncio.wait((commit,))
                raise
        self.turns += 1
        self.stored += len(batch.records)
        for told in core.told:
            self._missing.met(*told)
        self._answer(link, answers)
        for message in turn:
            link.ack(message)

    def _answer(self, link: Link, answers: Sequence[Answer]) -> None:
        for answer in answers:
            if answer.settled:
                self._missing.met(answer.gateway, answer.epoch)
            for receipt in self._core.receipts(answer, self._next_serial()):
                self._serial = receipt.serial
                self._errands.sign(receipt, lambda topic, data: self._send(link, topic, data))

    async def _ask_again(self, link: Link) -> None:
        """Receipts that settle nothing and say what this store misses."""
        now_us = self._env.clock.boottime_us()
        if now_us < self._look_us:
            return
        self._look_us = now_us + int(self._look_s * 1e6)
        for wish in self._missing.wishes(self._core, now_us):
            log.info(
                "asking for what is missing",
                extra={
                    "gateway": wish.gateway,
                    "epoch": wish.epoch.hex(),
                    "ranges": wish.ranges[:8],
                },
            )
            serial = self._serial = self._next_serial()
            receipt = Receipt(wish.gateway, wish.epoch, serial, 0, resend=wish.ranges)
            self._errands.sign(receipt, lambda topic, data: self._send(link, topic, data))

    def _next_serial(self) -> int:
        # Rises through restarts without being stored.
        return max(self._serial + 1, self._env.clock.wall_us())

    async def _send(self, link: Link, topic: str, message: bytes) -> None:
        try:
            await link.publish(topic, message)
        except PublishRefused as error:
            log.error("receipt refused by the broker: %s", error, extra={"code": error.code})
        except UplinkUnavailable as error:
            # The gateway sends again what got no receipt, and gets one then.
            log.debug("receipt not sent: %s", error)
