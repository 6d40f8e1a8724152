"""The enrolled link certificate and its key, as a link wants them."""

from __future__ import annotations

from headgate.link.own import Pair
from headgate.runtime.identity import Identity


def link_pair(identity: Identity) -> Pair | None:
    """What this identity shows in SM handshakes; None before enrolment.

    Raises:
        SecurityError: the key is in a module, which signs and gives nothing out.
    """
    chain, key = identity.certified.link, identity.link_key
    if not chain or key is None:
        return None
    return Pair(b"".join(each.pem() for each in chain), key.pem())
