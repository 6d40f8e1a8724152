"""Whether a message is somebody's command, for this box: everything before anything is decided."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from headgate.crypto.provider import CryptoProvider
from headgate.crypto.x509 import Certificate
from headgate.envelope.command import Command, Content, Sent, parse_command
from headgate.envelope.signers import Trust, distinct, verify_approval, verify_command
from headgate.errors import CertificateRefused, EnvelopeError, SecurityError, SignatureInvalid
from headgate.runtime.commands.allowed import Allowed, Refusal


class Heard(msgspec.Struct, frozen=True):
    """A message that was proved to be its issuer's.

    `request` is the SM3 of its body; `key` that of the issuer's public key, which counters are kept by.
    """

    uplink: str
    sent: Sent
    request: bytes
    issuer: Certificate
    key: bytes

    @property
    def command(self) -> Command:
        """What was signed."""
        return self.sent.command

    @property
    def content(self) -> Content:
        """What is wanted."""
        return self.sent.command.content

    @property
    def who(self) -> str:
        """The issuer, as the audit log says it."""
        return f"operator:{self.issuer.subject_cn}"


class Proof:
    """Proves messages. `trust` gives what signers are judged by, now."""

    def __init__(self, provider: CryptoProvider, trust: Callable[[], Trust]) -> None:
        self._provider = provider
        self._trust = trust

    def hear(self, uplink: str, message: bytes) -> Heard:
        """Size, form, certificate, signature, in this order.

        Raises:
            Refusal: HG-6500 to HG-6502. It proves nobody, so nobody is answered.
        """
        try:
            sent = parse_command(message)
            issuer = verify_command(self._provider, sent, self._trust())
        except EnvelopeError as error:
            raise Refusal(str(error), code="HG-6500", reason=str(error)) from None
        except SignatureInvalid as error:
            raise Refusal(str(error), code="HG-6502", reason=str(error)) from None
        except (CertificateRefused, SecurityError) as error:
            raise Refusal(str(error), code="HG-6501", reason=str(error)) from None
        digest = self._provider.sm3
        return Heard(uplink, sent, digest(sent.body), issuer, digest(issuer.spki))

    def people(self, heard: Heard, allowed: Allowed) -> tuple[str, ...]:
        """Who stands behind a command, the issuer first; as many as its control wants.

        Raises:
            Refusal: fewer (HG-6519), or an approval that does not count (HG-6520).
        """
        wanted = allowed.control.people
        counted: list[Certificate] = [heard.issuer]
        doubt = ""
        if wanted > 1:
            for message in heard.sent.approvals:
                try:
                    approver = self._approval(message, heard)
                    allowed.operator(str(approver.subject_cn))
                except (SecurityError, Refusal) as error:
                    doubt = str(error)
                else:
                    counted.append(approver)
        if distinct(counted) >= wanted:
            return tuple(str(each.subject_cn) for each in counted)
        if doubt:
            raise Refusal("an approval does not count", code="HG-6520", reason=doubt)
        raise Refusal("one person", code="HG-6519", people=wanted, have=_names(counted))

    def _approval(self, message: bytes, heard: Heard) -> Certificate:
        return verify_approval(
            self._provider, message, heard.content, self._trust(), heard.command.token
        )


def _names(people: Sequence[Certificate]) -> str:
    return ", ".join(str(each.subject_cn) for each in people)
