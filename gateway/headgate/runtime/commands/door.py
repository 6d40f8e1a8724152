"""The door that commands come in by: floods stay outside, and what nobody proves is not answered.

Messages are taken one by one, so a token, a counter and an id are never judged twice at once. What passes
is its issuer's, for this box, fresh by its token and counted on disk: steps 0 to 8 of
`docs/reference/commands.md`, section 4. What may then be done is the desk's to say.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Final, Literal, Protocol

import msgspec

from headgate.env import Env
from headgate.envelope.command import Content, Step
from headgate.errors import SpoolError
from headgate.runtime.commands.allowed import Refusal
from headgate.runtime.commands.flood import Bucket
from headgate.runtime.commands.journal import Changes, Journal, Kept
from headgate.runtime.commands.proving import Heard, Proof
from headgate.runtime.commands.selections import Selections
from headgate.runtime.commands.telling import Teller

log = logging.getLogger(__name__)

replace = msgspec.structs.replace

#: Messages that wait to be proved, and unproved ones that wait to be written down.
MOST_INBOX: Final = 32


class Inside(Protocol):
    """Where a proved message goes."""

    def queued(self, heard: Heard) -> bool:
        """Whether this is about a command that waits in a queue, by its own token."""

    async def step(self, heard: Heard, kept: Kept) -> None:
        """Do what a fresh message wants."""

    async def refuse(self, kept: Kept, error: Exception, *, keep: bool) -> None:
        """Tell a refusal; `keep` whether it is the command that is refused, not only the message."""


class Door:
    """Takes messages of every uplink.

    Args:
        trusted_us: wall time in unix microseconds where the clock is trusted, else None.
        number: a device's number for items; 0 for a name that is none.
    """

    def __init__(
        self,
        env: Env,
        gateway: str,
        journal: Journal,
        teller: Teller,
        proof: Proof,
        selections: Selections,
        desk: Inside,
        trusted_us: Callable[[], int | None],
        number: Callable[[str], int],
    ) -> None:
        self._env = env
        self._now_us = env.clock.boottime_us
        self._gateway = gateway
        self._journal = journal
        self._teller = teller
        self._proof = proof
        self._selections = selections
        self._desk = desk
        self._trusted_us = trusted_us
        self._number = number
        #: Refused messages by their code.
        self.refusals: Counter[str] = Counter()
        self._buckets: dict[str, Bucket] = {}
        self._inbox: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(MOST_INBOX)
        self._doubts: asyncio.Queue[tuple[str, Refusal]] = asyncio.Queue(MOST_INBOX)

    # ------------------------------------------------------------ messages

    def receive(self, uplink: str, message: bytes, *, how: Literal["live", "retained"]) -> None:
        """Take a message that came down. Never waits, never raises."""
        bucket = self._buckets.setdefault(uplink, Bucket(self._now_us()))
        if not bucket.take(self._now_us()):
            self._unproved(uplink, Refusal("too many", code="HG-6534"))
        elif how == "retained":
            # What a broker keeps was said to somebody else, some other day.
            self._unproved(uplink, Refusal("retained", code="HG-6533"))
        else:
            try:
                self._inbox.put_nowait((uplink, bytes(message)))
            except asyncio.QueueFull:
                self._unproved(uplink, Refusal("too many", code="HG-6534"))

    def _unproved(self, uplink: str, why: Refusal) -> None:
        self.refusals[why.code] += 1
        if not self._doubts.full():
            self._doubts.put_nowait((uplink, why))

    async def serve(self) -> None:
        """Take what comes in, one by one, until cancelled."""
        while True:
            uplink, message = await self._inbox.get()
            try:
                await self._take(uplink, message)
            except Exception:
                log.exception("a command met a bug")

    async def doubt(self) -> None:
        """Write down what proves nobody, until cancelled."""
        while True:
            uplink, why = await self._doubts.get()
            await self._teller.unproved(uplink, why.code, str(why))

    async def _take(self, uplink: str, message: bytes) -> None:
        try:
            heard = self._proof.hear(uplink, message)
        except Refusal as error:
            self._unproved(uplink, error)
            return
        kept = self._kept(heard)
        try:
            if heard.content.gateway != self._gateway:
                raise Refusal("another gateway", code="HG-6503", gateway=heard.content.gateway)
            if self._answered_before(heard):
                return
            self._redeem(heard)
            await self._count(heard, kept)
            self.dates(heard.content)
        except (Refusal, SpoolError) as error:
            await self._desk.refuse(kept, error, keep=False)
            return
        await self._desk.step(heard, kept)

    def _kept(self, heard: Heard) -> Kept:
        return Kept(
            content=heard.content, issuer=heard.key, who=heard.who,
            step=heard.command.step.value, state="received", at_us=self._now_us(),
            boot=self._env.clock.boot_id(), uplink=heard.uplink, request=heard.request,
            number=self._number(heard.content.device),
        )  # fmt: skip

    def _answered_before(self, heard: Heard) -> bool:
        """Whether this was done, or answered, already: then the same is said again.

        Raises:
            Refusal: an id that is spent, for another content or by somebody else (HG-6540).
        """
        held = self._selections.holder(heard.content.device, self._now_us())
        if held is not None and held.request == heard.request:
            kept = self._journal.command(heard.content.command)
            if held.pending:
                return True  # its answer is on the way
            if kept is not None and kept.state == "selected":
                left_ms = self._selections.left_ms(held, self._now_us())
                self._teller.answer(kept, heard.request, held.token, left_ms)
                return True
        known = self._journal.command(heard.content.command)
        if known is None or not known.spent:
            return False
        same = known.content == heard.content and known.issuer == heard.key
        if not same:
            raise Refusal("an id of before", code="HG-6540")
        if heard.command.step is Step.CANCEL and known.state == "accepted":
            return False
        said = replace(known, step=heard.command.step.value, uplink=heard.uplink)
        self._teller.answer(said, heard.request)
        return True

    def _redeem(self, heard: Heard) -> None:
        """Use up the token. Raises Refusal."""
        command = heard.command
        if command.step is Step.SELECT or (
            command.step is Step.CANCEL and self._desk.queued(heard)
        ):
            return
        self._selections.redeem(command.token, heard.content, heard.key, self._now_us())

    async def _count(self, heard: Heard, kept: Kept) -> None:
        """Spend the counter, on disk. Raises Refusal, SpoolError."""
        counter = heard.command.counter
        highest = self._journal.counter(heard.key)
        if counter <= highest or not self._journal.knows_issuer(heard.key):
            raise Refusal("an old counter", code="HG-6506", counter=counter, highest=highest)
        known = self._journal.command(heard.content.command)
        first = [kept] if known is None or (not known.spent and known.issuer == heard.key) else []
        await self._journal.write(Changes(counters={heard.key: counter}, commands=first))

    def dates(self, content: Content) -> None:
        """Raise Refusal when a trusted clock says that it is too early or too late."""
        now_us = self._trusted_us()
        if now_us is not None and not content.not_before_us <= now_us < content.expiry_us:
            raise Refusal("out of its dates", code="HG-6507")
