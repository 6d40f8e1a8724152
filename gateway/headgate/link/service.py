"""TLS 1.3 of the enrolment service, both ends: ordinary certificates, and roots that were proved first."""

from __future__ import annotations

import ssl
from pathlib import Path

from headgate.env import Clock
from headgate.link.moment import moment

# X509_V_FLAG_NO_CHECK_TIME: the module has no name for it.
_NO_CHECK_TIME = 0x200000


def first_look_context() -> ssl.SSLContext:
    """For fetching what a fingerprint on paper proves afterwards. Nothing secret goes over it.

    Source: RFC 7030, section 4.1.1 (bootstrap distribution of CA certificates).
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


def proved_context(roots_pem: str, clock: Clock) -> ssl.SSLContext:
    """For everything else: these roots and no other, the name, and dates by a clock that knows them.

    Raises:
        ssl.SSLError: no certificate in `roots_pem`.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.hostname_checks_common_name = False
    made.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    made.load_verify_locations(cadata=roots_pem)
    if not moment(clock).trusted:
        made.verify_flags |= ssl.VerifyFlags(_NO_CHECK_TIME)
    return made


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """The service's end. Raises OSError when a file is not usable."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.load_cert_chain(certificate, key)
    return made
