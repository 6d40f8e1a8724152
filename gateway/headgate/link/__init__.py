"""Our end of a secured line: whom it trusts, what it shows of itself, and why a peer was refused.

terms       what a person wrote of it, checked as far as it can be without a network
moment      what the time is for a certificate, on a box whose clock may be wrong
refusal     why there is no link, as a sentence of the catalogue (pure)
names       which names a certificate bears, and whether one of them is meant (pure)
tls         TLS 1.3 by the standard library
sm          TLS 1.3 with SM2, SM3 and SM4 (RFC 8998) by pyOpenSSL; smsocket is its socket
own         the certificate that enrolment brought, from memory to memory
sidecar     plain bytes to a program on this machine that speaks TLCP (GB/T 38636) onwards

    context = open_context(terms, where="uplink city")
    line = context.wrap_socket(connected, server_hostname="platform.example")
    line.do_handshake()          # raises Refused, with a code

No other room makes a TLS context. Whatever the link is, what travels on it is sealed already
(`headgate.envelope`): a link adds who may connect and hides who speaks when; it is never the only wall.
"""

from headgate.link.refusal import Refused
from headgate.link.sidecar import stays_here
from headgate.link.terms import Context, Facts, Kind, Line, Minimum, Terms, Trust, open_context
from headgate.link.tls import field_context

__all__ = [
    "Context",
    "Facts",
    "Kind",
    "Line",
    "Minimum",
    "Refused",
    "Terms",
    "Trust",
    "field_context",
    "open_context",
    "stays_here",
]
