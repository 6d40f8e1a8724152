"""People who command: operators with certificates, and the messages that they sign."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kit.pki import NOW, Party, Pki
from msgspec.structs import replace

from headgate.crypto.x509 import Role
from headgate.envelope.command import (
    Command,
    CommandValue,
    Content,
    Operation,
    Step,
    approval_of,
    make_approval,
    make_command,
)

GATEWAY = "gauge-house-7"
NOW_US = int(NOW.timestamp() * 1_000_000)
MINUTE_US = 60_000_000


def content(number: int = 1, value: CommandValue | None = True, **other: Any) -> Content:
    """What is wanted: pump-1 runs, for half an hour, within ten minutes of `NOW`."""
    made = Content(
        GATEWAY, "pump-1", "run", Operation.SET, value, "1", number.to_bytes(16, "big"),
        NOW_US - MINUTE_US, NOW_US + 9 * MINUTE_US, 1800,
    )  # fmt: skip
    return replace(made, **other)


class Operator:
    """One person with a key, whose counter rises by itself."""

    def __init__(self, pki: Pki, name: str = "wang.li", role: Role = Role.OPERATOR) -> None:
        self.party: Party = pki.issue(name, role)
        self.counter = 0

    @property
    def signer(self) -> bytes:
        return self.party.certificate.fingerprint

    def command(
        self,
        step: Step,
        what: Content,
        token: bytes | None = None,
        approvals: Sequence[bytes] = (),
        counter: int | None = None,
    ) -> bytes:
        if counter is None:
            self.counter += 1
            counter = self.counter
        command = Command(step, what, self.signer, counter, token)
        return make_command(command, self.party.key, [self.party.certificate], approvals)

    def select(self, what: Content) -> bytes:
        return self.command(Step.SELECT, what)

    def operate(self, what: Content, token: bytes | None, approvals: Sequence[bytes] = ()) -> bytes:
        return self.command(Step.OPERATE, what, token, approvals)

    def approve(self, what: Content, token: bytes | None = None, **other: Any) -> bytes:
        approval = replace(approval_of(what, self.signer, token), **other)
        return make_approval(approval, self.party.key, [self.party.certificate])
