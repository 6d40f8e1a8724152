"""A gateway of a few lines at the other end of a road, for tests of whoever commands. It moves nothing.

It proves what comes as a gateway does, gives tokens, accepts an id once, and answers as it is told to; and it
can lose what it is sent or what it says. What a real one checks is tested where it lives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from kit.pki import Party, Pki

from headgate.envelope.answer import Answer, make_answer
from headgate.envelope.command import Sent, Step, parse_command
from headgate.envelope.signers import Trust, verify_command
from headgate_receiver.commands.errors import NobodyThere
from headgate_receiver.commands.road import Delivery, Heard


class Answerer:
    """The gateway's end, and the broker between. Attributes switch what goes wrong.

    Attributes:
        gone: nobody listens there; the broker says so.
        offline: there is no connection to the broker.
        drop_commands, drop_answers: steps whose message, or whose answers, get lost.
        refuse: step to the code of the refusal.
        ends: states that an OPERATE goes through, with what was read back.
    """

    def __init__(self, pki: Pki, identity: Party | None = None) -> None:
        self.pki = pki
        self.identity = identity or pki.gateway
        self.id = self.identity.certificate.subject_cn or ""
        self.gone = self.offline = False
        self.drop_commands: set[str] = set()
        self.drop_answers: set[str] = set()
        self.refuse: dict[str, str] = {}
        self.ends: list[tuple[str, Any]] = [("accepted", None), ("confirmed", True)]
        self.got: list[Sent] = []
        self.said: list[bytes] = []
        self.accepted: dict[bytes, str] = {}
        self.expiries: list[int] = []
        self.at_us = 1_000
        self.heard: Heard | None = None
        self._tokens: dict[bytes, bytes] = {}
        self._highest = -1

    # ------------------------------------------------------------ as a road

    async def run(self, heard: Heard) -> None:
        self.heard = heard
        await asyncio.Event().wait()

    async def publish(self, gateway: str, message: bytes, expiry_s: int) -> Delivery:
        await asyncio.sleep(0)
        if self.offline:
            raise NobodyThere("no broker", code="HG-7115", broker="nowhere", reason="gone")
        self.expiries.append(expiry_s)
        sent = parse_command(message)
        step = sent.command.step.value
        if gateway != self.id or self.gone:
            return Delivery.NOBODY
        if step in self.drop_commands:
            return Delivery.UNKNOWN
        self.take(sent)
        return Delivery.TAKEN

    # ------------------------------------------------------------ as a gateway

    def take(self, sent: Sent) -> None:
        """Judge one message and answer."""
        verify_command(self.pki.provider, sent, Trust((self.pki.root.certificate,), None))
        command = sent.command
        content, step = command.content, command.step
        self.got.append(sent)
        known = self.accepted.get(content.command)
        if known is not None and step is not Step.CANCEL:
            self.answer(sent, known)
            return
        assert command.counter > self._highest
        self._highest = command.counter
        if step.value in self.refuse:
            self.answer(sent, "refused", code=self.refuse[step.value], text="it says no")
            return
        if step is Step.SELECT:
            token = self._tokens[content.command] = bytes([len(self.got)]) * 16
            self.answer(sent, "selected", token=token, token_ms=10_000)
        elif self._tokens.pop(content.command, None) != command.token:
            self.answer(sent, "refused", code="HG-6504", text="not this token")
        elif step is Step.CANCEL:
            self.answer(sent, "cancelled")
        elif step is Step.RENEW:
            self.accepted[content.command] = "renewed"
            self.answer(sent, "renewed", lease_ms=content.lease_s * 1000)
        else:
            self._operate(sent)

    def _operate(self, sent: Sent) -> None:
        for state, value in self.ends:
            self.accepted[sent.command.content.command] = state
            lease_ms = sent.command.content.lease_s * 1000 if state == "confirmed" else 0
            self.answer(sent, state, value=value, lease_ms=lease_ms)

    def answer(self, sent: Sent, state: str, **more: Any) -> None:
        """Say a state of the command that this message was about."""
        self.at_us += 1_000
        command = sent.command
        answer = Answer(
            self.id, command.content.command, command.step, self.pki.provider.sm3(sent.body), state,
            at_us=self.at_us, **more,
        )  # fmt: skip
        message = make_answer(answer, self.identity.key, [self.identity.certificate])
        self.said.append(message)
        if command.step.value not in self.drop_answers and self.heard is not None:
            self.heard(self.id, message)

    def say_again(self, choose: Callable[[list[bytes]], bytes]) -> None:
        """Send something that was said before once more."""
        assert self.heard is not None
        self.heard(self.id, choose(self.said))
