"""What is said of a command: to the audit log, upstream as a durable item, and as a signed answer."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Literal

import msgspec

from headgate.audit import Audit, Entry
from headgate.crypto.provider import Sm2PrivateKey
from headgate.crypto.x509 import Certificate
from headgate.env import Env
from headgate.envelope.answer import Answer, make_answer
from headgate.envelope.command import Step
from headgate.errors import SpoolError
from headgate.messages import say
from headgate.model import Alarm, CommandResult, Event, Item
from headgate.runtime.commands.journal import Kept

log = logging.getLogger(__name__)

Outcome = Literal["ok", "refused", "failed"]

#: Answers that wait for an uplink; what is older is in the records anyhow.
MOST_WAITING: Final = 64
#: An answer waits this long for its record to be on disk.
DURABLE_S: Final = 5.0
UNPROVED_EVERY_US: Final = 1_000_000
_KINDS: Final = {"renewed": "lease-renewed", "ending": "lease-ending", "ended": "lease-ended"}
_FAILED: Final = frozenset({"failed", "unknown"})
_REFUSED: Final = frozenset({"refused", "expired", "cancelled", "superseded"})


class Signer(msgspec.Struct, frozen=True):
    """Who answers: the gateway's key and its certificates, its own first."""

    key: Sm2PrivateKey
    chain: tuple[Certificate, ...]


class Post:
    """Answers on their way to the uplinks that the commands came by."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[bytes]] = {}
        self._came: dict[str, asyncio.Event] = {}

    def send(self, uplink: str, answer: bytes) -> None:
        """Hand an answer to an uplink; the oldest is given up when nobody takes them."""
        self._waiting.setdefault(uplink, deque(maxlen=MOST_WAITING)).append(answer)
        self._came.setdefault(uplink, asyncio.Event()).set()

    async def take(self, uplink: str) -> bytes:
        """The next answer for an uplink; waits while there is none."""
        waiting = self._waiting.setdefault(uplink, deque(maxlen=MOST_WAITING))
        came = self._came.setdefault(uplink, asyncio.Event())
        while not waiting:
            came.clear()
            await came.wait()
        return waiting.popleft()


class Teller:
    """Says what became of commands.

    Args:
        put_item, durable: the writer's.
        signer: who answers now; None on a box that nobody could believe yet.
    """

    def __init__(
        self,
        env: Env,
        gateway: str,
        audit: Audit,
        put_item: Callable[[Item], None],
        durable: Callable[[], Awaitable[None]],
        signer: Callable[[], Signer | None],
    ) -> None:
        self._env = env
        self._gateway = gateway
        self._audit = audit
        self._put_item = put_item
        self._durable = durable
        self._signer = signer
        self.post = Post()
        self._unproved = 0
        self._unproved_us: int | None = None

    # ------------------------------------------------------------ the audit log

    async def note(self, kept: Kept, **more: str | int | float | bool | None) -> None:
        """Write a step down. Raises SpoolError: then it must not happen."""
        content = kept.content
        what = f"{content.device}/{content.point} {content.operation.value} {content.value}"
        fields: dict[str, str | int | float | bool | None] = {
            "command": content.command.hex(), "step": kept.step, "uplink": kept.uplink,
            "unit": content.unit, "lease_s": content.lease_s, "back": kept.value, **more,
        }  # fmt: skip
        await self._audit.note(
            Entry(
                kind=_KINDS.get(kept.state, f"command-{kept.state}"), who=kept.who, what=what,
                result=_outcome(kept.state), code=kept.code, fields=fields,
            )
        )  # fmt: skip

    async def try_note(self, kept: Kept, **more: str | int | float | bool | None) -> bool:
        """As `note`, for what has happened already, or must happen whatever the disk says."""
        try:
            await self.note(kept, **more)
        except SpoolError as error:
            log.error(
                "the audit log refuses", extra={"reason": str(error), "state": kept.state}
            )  # fmt: skip
            return False
        return True

    async def unproved(self, uplink: str, code: str, reason: str) -> None:
        """A message that proves nobody: counted, and an entry for each second of them."""
        self._unproved += 1
        now_us = self._env.clock.boottime_us()
        if self._unproved_us is not None and now_us - self._unproved_us < UNPROVED_EVERY_US:
            return
        count, self._unproved, self._unproved_us = self._unproved, 0, now_us
        log.warning(
            "a command that proves nobody", extra={"uplink": uplink, "code": code, "times": count}
        )
        fields: dict[str, str | int | float | bool | None] = {
            "reason": reason[:200],
            "times": count,
        }
        entry = Entry(
            kind="command-unproved", who="unknown", what=f"uplink {uplink}", result="refused",
            code=code, fields=fields,
        )  # fmt: skip
        try:
            await self._audit.note(entry)
        except SpoolError as error:
            log.error("the audit log refuses", extra={"reason": str(error)})

    async def switched(self, who: str, what: str, **fields: str) -> None:
        """Somebody at the box locked the others out, or let them in. Raises SpoolError."""
        entry = Entry(kind="local-switch", who=who, what=what, result="ok", fields={**fields})
        await self._audit.note(entry)

    # ------------------------------------------------------------ upstream

    async def report(self, kept: Kept, lease_us: int | None = None) -> None:
        """As an item of the alarm lane; returns when it is on disk, or the disk is too slow for that."""
        self._put_item(
            CommandResult(
                kept.content.command, kept.state, self._env.clock.boottime_us(), kept.text,
                kept.number, kept.content.point, kept.value, kept.code, kept.who, kept.step, lease_us,
            )
        )  # fmt: skip
        log.info(
            "command",
            extra={
                "state": kept.state, "command": kept.content.command.hex(), "who": kept.who,
                "device": kept.content.device, "point": kept.content.point, "code": kept.code,
            },
        )  # fmt: skip
        try:
            async with asyncio.timeout(DURABLE_S):
                await self._durable()
        except (SpoolError, TimeoutError) as error:
            log.warning("a command's state is not on disk", extra={"reason": str(error)})

    def event(self, kind: str, **fields: str) -> None:
        """Something about commands that changed on this box, for the platform to know."""
        self._put_item(Event(kind, self._env.clock.boottime_us(), {**fields}))

    def alarm(self, kept: Kept, *, active: bool) -> None:
        """The end of a lease that a device does not take."""
        code, now_us = "HG-6538", self._env.clock.boottime_us()
        point = kept.content.point
        text = say(code, "en", device=kept.content.device, point=point, reason=kept.text)
        self._put_item(Alarm(kept.number, point, code, 800, active, now_us, None, text[:400]))

    # ------------------------------------------------------------ answers

    def answer(
        self,
        kept: Kept,
        request: bytes,
        token: bytes | None = None,
        token_ms: int = 0,
        lease_ms: int = 0,
    ) -> None:
        """Send the signed answer to the message whose body has this SM3, where it came from."""
        signer = self._signer()
        if signer is None or not kept.uplink or not request:
            return
        answer = Answer(
            self._gateway, kept.content.command, Step(kept.step), request, kept.state, kept.code,
            kept.text[:400], token, token_ms, kept.value, lease_ms, self._env.clock.boottime_us(),
        )  # fmt: skip
        self.post.send(kept.uplink, make_answer(answer, signer.key, signer.chain))


def _outcome(state: str) -> Outcome:
    if state in _REFUSED:
        return "refused"
    return "failed" if state in _FAILED else "ok"


def sentence(code: str, fields: Mapping[str, object]) -> str:
    """The catalogue's sentence in English: what an answer and an item say."""
    return say(code, "en", **fields) if code else ""
