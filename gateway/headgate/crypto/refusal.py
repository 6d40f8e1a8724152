"""The one way in which a certificate is refused: which one, why, and the code of the full sentence."""

from __future__ import annotations

from headgate.crypto.x509 import Certificate
from headgate.errors import CertificateRefused


def refused(
    certificate: Certificate, code: str, reason: str, **fields: object
) -> CertificateRefused:
    """What to raise: `reason` is for the log, the sentence of `code` with `fields` is for a person."""
    name = certificate.subject_cn or f"serial {certificate.serial:x}"
    return CertificateRefused(
        f"certificate {name!r}: {reason}", code=code, subject=name, reason=reason, **fields
    )
