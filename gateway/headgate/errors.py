"""What can go wrong, as a tree: the supervisor reads `retryable`, a person reads the message.

Every class states whether trying again later can help. A message says what, where and what to
try; where a technician meets it, it is rendered from the catalogue by its code (`headgate.messages`).
Misuse by our own code stays `ValueError` or `TypeError`: those are bugs, not events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec


class HeadgateError(Exception):
    """Anything Headgate foresees.

    Args:
        text: one English sentence for the log.
        code: the catalogue code `HG-nnnn`, when a person may meet this.
        fields: what the catalogue sentence is filled with; never a secret.
    """

    retryable: ClassVar[bool] = False
    default_code: ClassVar[str] = "HG-9000"

    def __init__(self, text: str, *, code: str | None = None, **fields: object) -> None:
        super().__init__(text)
        self.code = code or self.default_code
        self.fields: Mapping[str, object] = fields


class Problem(msgspec.Struct, frozen=True):
    """One mistake in something a person wrote.

    `where` is a file with key path or line (`site.toml: device[3].baud`); `code` and `fields`
    name the sentence in the catalogue.
    """

    where: str
    code: str
    fields: dict[str, str | int | float] = {}


class ConfigError(HeadgateError):
    """Configuration that cannot be used. Carries every mistake found, not the first."""

    default_code = "HG-1000"

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(f"{p.where}: {p.code}" for p in problems))
        self.problems = tuple(problems)


class ProfileError(ConfigError):
    """A device profile that cannot be used."""

    default_code = "HG-8000"


class PluginError(HeadgateError):
    """A plugin that cannot be loaded, started or trusted."""

    default_code = "HG-2000"


class ChannelError(HeadgateError):
    """The line to devices failed; the devices themselves may be well."""

    retryable = True
    default_code = "HG-3000"


class ChannelClosed(ChannelError):
    """The line is not open, or was lost while an answer was awaited."""

    default_code = "HG-3001"


class ChannelTimeout(ChannelError):
    """No complete answer in the time given."""

    default_code = "HG-3002"


class DeviceError(HeadgateError):
    """One device failed; its neighbours on the line may be well."""

    retryable = True
    default_code = "HG-3100"


class ProtocolError(DeviceError):
    """The device spoke, and it was nonsense: wrong count, wrong unit, broken frame."""

    default_code = "HG-3101"


class DeviceRefused(DeviceError):
    """The device understood and said no (a Modbus exception, a bad OPC UA status).

    `detail` is the protocol's own code, 0-255.
    """

    default_code = "HG-3102"

    def __init__(
        self, text: str, *, detail: int = 0, code: str | None = None, **fields: object
    ) -> None:
        super().__init__(text, code=code, **fields)
        self.detail = detail


class SpoolError(HeadgateError):
    """The spool refused: nothing handed over with this error is durable."""

    retryable = True
    default_code = "HG-4000"


class SpoolFull(SpoolError):
    """No room in the quota of this lane."""

    default_code = "HG-4001"


class SpoolCorrupt(SpoolError):
    """Bytes on disk are not what was written; what is lost is counted, never guessed."""

    retryable = False
    default_code = "HG-4002"


class SpoolLocked(SpoolError):
    """Another process owns the state folder, or a newer format lives there."""

    retryable = False
    default_code = "HG-4003"


class UplinkError(HeadgateError):
    """A platform could not be reached, or did not want what we sent."""

    retryable = True
    default_code = "HG-5000"


class UplinkUnavailable(UplinkError):
    """The link is down; what is unsent stays in the spool."""

    default_code = "HG-5001"


class EnvelopeRejected(UplinkError):
    """The platform refused one record for good; it goes to the dead-letter lane."""

    retryable = False
    default_code = "HG-5002"


class SecurityError(HeadgateError):
    """Something that must be proved was not. Never falls back to something weaker."""

    default_code = "HG-6000"


class CryptoUnavailable(SecurityError):
    """No library on this machine gives the SM algorithms, or its self-test failed."""

    default_code = "HG-6001"


class SealBroken(SecurityError):
    """A sealed record did not open: altered, cut, or sealed under another key."""

    default_code = "HG-6002"


class SignatureInvalid(SecurityError):
    """A signature does not belong to these bytes and this key."""

    default_code = "HG-6003"


class CertificateRefused(SecurityError):
    """A certificate that does not prove what it is used for."""

    default_code = "HG-6004"


class EnvelopeError(SecurityError):
    """Bytes that are not an envelope of a form and size we accept."""

    default_code = "HG-6005"
