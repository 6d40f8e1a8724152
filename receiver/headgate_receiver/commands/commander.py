"""Send commands and watch them: `Commands` is what a platform's program holds.

    async with Commands(env, provider, keys, anchors, journal, BrokerRoad(env, broker)) as commands:
        content = commands.draft(Wish("pump-house-3", "ps-001", "pump1_run", True))
        await commands.select(content.command)
        await commands.operate(content.command)
        standing = await commands.settled(content.command, 60)
        standing.done      # only ever by read-back

Every message is in the journal before it leaves, every word of a gateway as soon as its signature is checked.
Nothing is sent twice: after a crash or a lost connection, `ask`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self

from headgate.crypto.crl import RevocationList
from headgate.crypto.provider import CryptoProvider
from headgate.crypto.x509 import Certificate
from headgate.env import Env
from headgate.envelope.answer import Answer, verify_answer
from headgate.envelope.command import (
    Command,
    CommandValue,
    Content,
    Step,
    encode_command,
    join_command,
)
from headgate.envelope.signers import Trust, person
from headgate.errors import SecurityError
from headgate_receiver.commands.approvals import approve
from headgate_receiver.commands.errors import (
    AlreadySent,
    CommandError,
    CommandRefused,
    InDoubt,
    NoAnswer,
    NobodyThere,
)
from headgate_receiver.commands.journal import Journal
from headgate_receiver.commands.keys import OperatorKeys
from headgate_receiver.commands.results import Results
from headgate_receiver.commands.road import Delivery, Road
from headgate_receiver.commands.standing import MOVING, UNMOVED, Stage, Standing, Told
from headgate_receiver.commands.wish import USUAL_WINDOW_S, Wish, content_of

log = logging.getLogger(__name__)

#: How long an answer is waited for, and how often the store is looked into.
ANSWER_S: Final = 10.0
LOOK_S: Final = 0.5


class Commands:
    """Commands of one operator. Use it as a context manager; all of it on one loop.

    Attributes:
        refused_answers: messages on the answer topics whose signature did not hold, or that answer nothing
            of ours. Somebody who can write there can cost an answer, never forge one.
    """

    def __init__(
        self,
        env: Env,
        provider: CryptoProvider,
        keys: OperatorKeys,
        anchors: Sequence[Certificate],
        journal: Journal,
        road: Road,
        *,
        results: Results | None = None,
        crls: Sequence[RevocationList] = (),
        revoked: Callable[[Certificate], bool] = lambda certificate: False,
        answer_s: float = ANSWER_S,
        look_s: float = LOOK_S,
    ) -> None:
        """Put together; nothing is sent or opened.

        Args:
            keys: the operator's.
            anchors: roots that vouch for gateways.
            results: the receiver's store; without it only answers are known, which may get lost.
            crls: revocation lists; `revoked` names further certificates that are no longer good.
            answer_s: how long an answer is waited for.
        """
        self._env = env
        self._provider = provider
        self._keys = keys
        self._anchors = tuple(anchors)
        self._journal = journal
        self._road = road
        self._results = results
        self._crls, self._revoked = tuple(crls), revoked
        self._answer_s = answer_s
        self._look_s = look_s
        own = keys.certificates[0]
        self._signer = own.fingerprint
        self._issuer = provider.sm3(own.spki)
        self._name = own.subject_cn or person(own)
        self._changed = asyncio.Event()
        #: One message at a time: its counter must not be overtaken on the way.
        self._sending = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self.refused_answers = 0

    async def __aenter__(self) -> Self:
        """Connect, and begin to look into the store."""
        self._tasks.append(asyncio.create_task(self._road.run(self._heard), name="commands road"))
        if self._results is not None:
            self._look(self._results)
            self._tasks.append(
                asyncio.create_task(self._looking(self._results), name="commands results")
            )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Hang up. What was asked for goes on at the gateway."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ------------------------------------------------------------ what we ask

    def draft(self, wish: Wish, *, window_s: float = USUAL_WINDOW_S) -> Content:
        """Write a command down under a new id. Nothing is sent; others may approve it from now on."""
        content = content_of(wish, self._env.random.token(16), self._wall_us(), window_s)
        self._journal.draft(content, self._name, self._wall_us())
        return content

    async def select(self, command: bytes) -> Standing:
        """Reserve the device and get a token. It moves nothing.

        Raises:
            InDoubt: an OPERATE of this command is open: `ask`.
            CommandRefused: the gateway said no, and why.
            NobodyThere, NoAnswer: it did not get there, or nothing came back.
        """
        standing = self.standing(command)
        if standing.in_doubt:
            raise InDoubt("its OPERATE is open", command=command.hex())
        return await self._select(standing.content)

    async def operate(self, command: bytes, approvals: Sequence[bytes] = ()) -> Standing:
        """Have a selected command carried out, once. Returns with the gateway's first word on it.

        Args:
            approvals: messages of other people, whole (`approve`).

        Raises:
            CommandRefused: nothing was written.
            NobodyThere: it did not leave this program; nothing was written.
            InDoubt: it was sent, and no word came. Ask, watch, look at the device; do not select anew.
            AlreadySent: this selection was operated before.
            CommandError: it is not selected (HG-7118).
        """
        return await self._move(Step.OPERATE, command, approvals)

    async def renew(self, command: bytes, approvals: Sequence[bytes] = ()) -> Standing:
        """Begin a lease anew, with a command that was drafted for the value that is forced, and selected.

        Nothing is written to the device. Raises as `operate` does.
        """
        return await self._move(Step.RENEW, command, approvals)

    async def cancel(self, command: bytes) -> Standing:
        """Give a selection back, or take an accepted command out of the queue.

        Raises:
            CommandRefused: too late, it is being carried out.
            NobodyThere, NoAnswer: as with `select`.
            CommandError: there is nothing to give back (HG-7118).
        """
        token = self._token(self.standing(command))
        return await self._sent_and_answered(self._journal.content(command), Step.CANCEL, token)

    async def ask(self, command: bytes) -> Standing:
        """Find out what became of an OPERATE, by a SELECT of the same content. It moves nothing.

        A gateway that accepted the id says how it stands. One that gives a token instead never accepted
        it and never will; that selection is given back at once.

        Raises:
            InDoubt: still nobody knows: no answer, or a refusal that came too late to prove anything.
        """
        standing = self.standing(command)
        if not standing.in_doubt:
            return standing
        try:
            standing = await self._select(standing.content)
        except (CommandRefused, NobodyThere, NoAnswer) as error:
            standing = self.standing(command)
            if standing.in_doubt:
                raise InDoubt(str(error), command=command.hex()) from None
            return standing
        if standing.stage is Stage.SELECTED:
            return await self.cancel(command)
        return standing

    async def approve(
        self,
        content: Content,
        *,
        low: CommandValue | None = None,
        high: CommandValue | None = None,
        token: bytes | None = None,
    ) -> bytes:
        """This operator's approval of somebody else's command, as a message for its OPERATE.

        `low` and `high` widen it to a range. With a token it needs no trusted clock at the gateway.
        """
        return await approve(self._keys, content, low=low, high=high, token=token)

    # ------------------------------------------------------------ how things stand

    def standing(self, command: bytes) -> Standing:
        """Where a command stands, by both sides' word."""
        return self._journal.standing(command)

    async def watch(self, command: bytes) -> AsyncIterator[Standing]:
        """Where a command stands, now and when that has changed, until nothing more can come.

        Words that come close together are told together; `history` has every one.
        """
        seen: Standing | None = None
        while True:
            changed = self._changed
            standing = self.standing(command)
            if seen is None or (standing.stage, standing.history) != (seen.stage, seen.history):
                seen = standing
                yield standing
                if standing.settled and standing.state not in ("confirmed", "renewed"):
                    return
                continue
            await changed.wait()

    async def settled(self, command: bytes, timeout_s: float) -> Standing:
        """Where a command stands as soon as it is known how it ended, or after `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                async for standing in self.watch(command):
                    if standing.settled:
                        return standing
        except TimeoutError:
            pass
        return self.standing(command)

    # ------------------------------------------------------------ out

    async def _select(self, content: Content) -> Standing:
        standing = await self._sent_and_answered(content, Step.SELECT, None)
        if standing.state in UNMOVED and standing.last is not None:
            raise CommandRefused(standing.last.code, standing.last.text, standing.state)
        return standing

    async def _move(self, step: Step, command: bytes, approvals: Sequence[bytes]) -> Standing:
        standing = self.standing(command)
        token = self._token(standing)
        if any(each.step in MOVING and each.token == token for each in standing.sent):
            raise AlreadySent("operated before", command=command.hex(), step=step.value)
        try:
            standing = await self._sent_and_answered(standing.content, step, token, approvals)
        except NoAnswer:
            raise InDoubt("no answer to the OPERATE", command=command.hex()) from None
        last = standing.last
        if last is not None and last.state in UNMOVED:
            raise CommandRefused(last.code, last.text, last.state)
        return standing

    def _token(self, standing: Standing) -> bytes:
        token = standing.token
        if token is None:
            command = standing.content.command.hex()
            raise CommandError(f"{command} is not selected", code="HG-7118", command=command)
        return token

    async def _sent_and_answered(
        self, content: Content, step: Step, token: bytes | None, approvals: Sequence[bytes] = ()
    ) -> Standing:
        request, delivery = await self._send(content, step, token, approvals)
        if delivery is not Delivery.UNKNOWN:
            self._journal.delivered(request, delivery.value)
        if delivery is Delivery.NOBODY and step not in MOVING:
            raise NobodyThere(f"no gateway {content.gateway} there", gateway=content.gateway)
        # Also where nobody knows whether it arrived: the answer may come over the next connection. And
        # that an OPERATE reached nobody is only the broker's word.
        try:
            async with asyncio.timeout(self._answer_s):
                while True:
                    changed = self._changed
                    standing = self.standing(content.command)
                    if self._answered(standing, step, request):
                        return standing
                    await changed.wait()
        except TimeoutError:
            raise NoAnswer(
                f"no answer of {content.gateway}", gateway=content.gateway, step=step.value
            ) from None

    def _answered(self, standing: Standing, step: Step, request: bytes) -> bool:
        """Whether there is a word on this very message, or a durable one that says as much."""
        for told in standing.history:
            if told.request == request:
                if step is Step.CANCEL and told.state == "refused":
                    raise CommandRefused(told.code, told.text)
                return True
        return step is not Step.SELECT and standing.settled

    async def _send(
        self, content: Content, step: Step, token: bytes | None, approvals: Sequence[bytes]
    ) -> tuple[bytes, Delivery]:
        async with self._sending:
            counter = self._journal.next_counter(self._issuer, self._wall_us())
            command = Command(step, content, self._signer, counter, token)
            body = encode_command(command)
            signature = await self._keys.sign(body)
            message = join_command(body, signature, self._keys.certificates, approvals)
            request = self._provider.sm3(body)
            self._journal.sending(command, request, message, self._wall_us())
            self._tell()
            expiry_s = (content.expiry_us - self._wall_us()) // 1_000_000
            try:
                return request, await self._road.publish(content.gateway, message, expiry_s)
            except NobodyThere:
                self._journal.delivered(request, "unsent")
                raise

    # ------------------------------------------------------------ in

    def _heard(self, sender: str, message: bytes) -> None:
        now_us = self._wall_us()
        now = datetime.fromtimestamp(now_us / 1_000_000, UTC)
        trust = Trust(self._anchors, now, self._crls, self._revoked)
        try:
            answer = verify_answer(self._provider, message, trust)
        except SecurityError as error:
            self.refused_answers += 1
            log.warning("answer refused: %s", error, extra={"sender": sender, "code": error.code})
            return
        try:
            if not self._ours(answer):
                self.refused_answers += 1
            elif self._journal.heard(answer.gateway, _told(answer, now_us), message):
                self._tell()
        except CommandError as error:
            log.error("answer not kept: %s", error, extra={"code": error.code})

    def _ours(self, answer: Answer) -> bool:
        """Whether it answers a message of this journal, of that step, to that gateway."""
        if not self._journal.knows(answer.command):
            return False  # somebody else's command: theirs to know
        standing = self.standing(answer.command)
        return standing.content.gateway == answer.gateway and any(
            each.request == answer.request and each.step == answer.step.value
            for each in standing.sent
        )

    async def _looking(self, results: Results) -> None:
        while True:
            await asyncio.sleep(self._look_s)
            try:
                self._look(results)
            except CommandError as error:
                log.warning("store not read: %s", error, extra={"code": error.code})

    def _look(self, results: Results) -> None:
        if results.newest() < self._journal.cursor:
            self._journal.heard_all((), cursor=0)  # another store, or one that was emptied
        while rows := results.since(self._journal.cursor):
            words = [(row.gateway, row.told, None) for row in rows]
            if self._journal.heard_all(words, cursor=rows[-1].id):
                self._tell()

    def _tell(self) -> None:
        """Wake everybody who waits for a change."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _wall_us(self) -> int:
        return self._env.clock.wall_us()


def _told(answer: Answer, received_us: int) -> Told:
    return Told(
        answer.command, answer.state, "answer", answer.at_us, received_us, answer.step.value,
        answer.code, answer.text, answer.value, answer.lease_ms, "", answer.request, answer.token,
        answer.token_ms,
    )  # fmt: skip
