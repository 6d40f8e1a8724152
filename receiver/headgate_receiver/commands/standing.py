"""Where a command stands, by what this side sent and by what the gateway said of it. Pure.

Two columns, never mixed: `stage` is what we know ourselves, `state` the gateway's own word. Only the
gateway's word, read back from the device, makes a command done.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import msgspec

from headgate.envelope.command import CommandValue, Content


class Stage(StrEnum):
    """How far it came on this side."""

    DRAFTED = "drafted"  # written down here; nothing was sent
    SELECTING = "selecting"  # SELECT is on its way, or was lost
    SELECTED = "selected"  # we hold a token
    OPERATING = "operating"  # OPERATE (or RENEW) is on its way: from here on only the gateway knows
    ANSWERED = "answered"  # the gateway has told how it ended
    WITHDRAWN = "withdrawn"  # given back before anything moved


#: States after which a command id is spent.
ACCEPTED: Final = frozenset({
    "accepted", "executing", "confirmed", "failed", "unknown", "renewed", "ended",
})  # fmt: skip
#: States after which nothing comes but the end of a lease.
FINAL: Final = frozenset({
    "confirmed", "failed", "unknown", "refused", "cancelled", "expired", "superseded", "renewed",
    "ended",
})  # fmt: skip
#: Nothing was written, for certain.
UNMOVED: Final = frozenset({"refused", "cancelled", "expired", "superseded"})
#: Steps that may move something.
MOVING: Final = frozenset({"operate", "renew"})
#: A refusal from before a gateway looks whether it knows the command id (commands.md, section 4).
BEFORE_THE_ID: Final = "HG-6503"
#: It knows the last 4,096 accepted ids, and takes no more than two messages a second of an uplink: for so
#: long it cannot have forgotten one, however many were sent to it over two of them.
REMEMBERED_US: Final = 30 * 60 * 1_000_000
#: What a gateway says of accepted commands that a restart found unmoved.
AFTER_RESTART: Final = "HG-6531"
_RANK: Final = {
    "received": 0, "selected": 1, "accepted": 2, "executing": 3, "refused": 4, "cancelled": 4,
    "expired": 4, "superseded": 4, "unknown": 4, "failed": 4, "confirmed": 4, "renewed": 5, "ended": 6,
}  # fmt: skip


class Told(msgspec.Struct, frozen=True):
    """One word of a gateway about a command.

    `source` is `answer` (signed, quick, sent once) or `record` (from the store, durable). `at_us` is the
    gateway's boottime, `received_us` our wall clock. `request` is the SM3 of the message it answers.
    """

    command: bytes
    state: str
    source: str
    at_us: int
    received_us: int
    step: str = ""
    code: str = ""
    text: str = ""
    value: CommandValue | None = None
    lease_ms: int = 0
    who: str = ""
    request: bytes = b""
    token: bytes | None = None
    token_ms: int = 0


class SentStep(msgspec.Struct, frozen=True):
    """One message of ours. `delivery`: `unsent` (for certain), or the broker's word: `broker`, `nobody`."""

    command: bytes
    step: str
    request: bytes
    at_us: int
    delivery: str | None = None
    token: bytes | None = None


class Standing(msgspec.Struct, frozen=True):
    """Both sides of one command. `last` is the gateway's newest word, None while there is none."""

    content: Content
    issuer: str
    stage: Stage
    last: Told | None = None
    history: tuple[Told, ...] = ()
    sent: tuple[SentStep, ...] = ()

    @property
    def state(self) -> str:
        """The gateway's word; empty while there is none."""
        return self.last.state if self.last else ""

    @property
    def token(self) -> bytes | None:
        """What the newest selection gave us, good or not any more; None when there was none."""
        given = (told.token for told in reversed(self.history) if told.state == "selected")
        return next((token for token in given if token is not None), None)

    @property
    def done(self) -> bool:
        """Whether the device was read back and shows it. Nothing less is done."""
        return self.state in ("confirmed", "renewed") or (
            self.state == "ended" and any(told.state == "confirmed" for told in self.history)
        )

    @property
    def settled(self) -> bool:
        """Whether how it ended is known; `unknown` is an answer, too."""
        return self.stage in (Stage.ANSWERED, Stage.WITHDRAWN)

    @property
    def in_doubt(self) -> bool:
        """Whether something may have moved and nobody here knows: OPERATE sent, no word of how it ended."""
        return self.stage is Stage.OPERATING

    @property
    def moved(self) -> bool | None:
        """Whether something was written: True, False, or None where nobody can tell."""
        if self.done:
            return True
        doubtful = self.in_doubt or self.state in ("unknown", "failed")
        return None if doubtful else False


def standing(
    content: Content, issuer: str, sent: Sequence[SentStep], told: Sequence[Told]
) -> Standing:
    """Where a command stands, by all that was sent and said of it, in order of arrival."""
    steps = [each for each in sent if each.delivery != "unsent"]
    valid = _valid(steps, told)
    last = max(valid, key=lambda each: (_RANK.get(each.state, 0), each.at_us), default=None)
    stage = _stage(steps, valid, last)
    return Standing(content, issuer, stage, last, tuple(told), tuple(sent))


def _valid(steps: Sequence[SentStep], told: Sequence[Told]) -> list[Told]:
    """Of what was said, what counts for the command as it stands now."""
    # That a withdrawal came too late is no end of the command.
    words = [each for each in told if (each.step, each.state) != ("cancel", "refused")]
    accepted = [each.at_us for each in words if each.state in ACCEPTED]
    if accepted:
        begun = min(accepted)
        return [each for each in words if each.state in ACCEPTED or _ends(each, begun)]
    selects = [each.request for each in steps if each.step == "select"]
    if not selects:
        return words
    if _asks(steps):
        # Asked after an OPERATE: what proves that it was not taken counts, nothing else.
        proof = [e.at_us for e in words if e.request == selects[-1] and _proves(e, steps)]
        if proof:
            return [each for each in words if each.at_us >= min(proof)]
        return [each for each in words if each.step != "select" or each.state == "selected"]
    begun = min((each.at_us for each in words if each.request == selects[-1]), default=-1)
    if begun < 0 < len(selects) - 1:
        return []
    return [each for each in words if each.at_us >= begun]


def _ends(said: Told, accepted_us: int) -> bool:
    """Whether `cancelled` and its like came to what had been accepted, rather than to an earlier try."""
    if said.state not in UNMOVED:
        return False
    return said.code == AFTER_RESTART or (said.step != "select" and said.at_us >= accepted_us)


def _proves(said: Told, steps: Sequence[SentStep]) -> bool:
    """Whether the answer to a SELECT shows that the OPERATE before it was never accepted, and never will be.

    The gateway looks for the command id before it judges anything else; and it has now seen a counter
    above the OPERATE's. Asked so late that it may have forgotten the id, its refusal proves nothing. A
    token does: the command is in its dates still.
    """
    asked = next(each.at_us for each in steps if each.request == said.request)
    operated = max(each.at_us for each in steps if each.step in MOVING)
    if said.state == "selected":
        return True
    remembered = abs(asked - operated) < REMEMBERED_US
    return said.state == "refused" and said.code != BEFORE_THE_ID and remembered


def _asks(steps: Sequence[SentStep]) -> bool:
    """Whether the newest SELECT was sent after an OPERATE or RENEW."""
    moving = [i for i, each in enumerate(steps) if each.step in MOVING]
    selects = [i for i, each in enumerate(steps) if each.step == "select"]
    return bool(moving and selects and moving[-1] < selects[-1])


def _stage(steps: Sequence[SentStep], valid: Sequence[Told], last: Told | None) -> Stage:
    operated = any(each.step in MOVING for each in steps)
    state = last.state if last else ""
    if state in FINAL:
        return Stage.WITHDRAWN if state == "cancelled" and not operated else Stage.ANSWERED
    if operated and not (_asks(steps) and state == "selected" and _newest(steps, last)):
        return Stage.OPERATING
    if state == "selected":
        return Stage.SELECTED
    return Stage.SELECTING if steps else Stage.DRAFTED


def _newest(steps: Sequence[SentStep], last: Told | None) -> bool:
    """Whether the last word answers the newest SELECT."""
    selects = [each.request for each in steps if each.step == "select"]
    return last is not None and bool(selects) and last.request == selects[-1]
