"""A small certificate authority in a folder, for labs and districts; a licensed CA issues in a city.

    key = unlock(files, folder, passphrase, provider)          # or a key that lives in a module
    ca = CertificateAuthority(env, folder, provider, key)
    pair = ca.issue_pair(request, "gauge-house-7")             # durable before it is returned
    ca.revoke(pair.signing.serial, Reason.KEY_COMPROMISE)
    ca.crl()

`found_root` makes a root, `prepare` and `install` a CA below one that may be on another machine.
docs/operate/certificates.md tells how a city lays this out.
"""

from headgate.crypto.authority.ca import CertificateAuthority, Pair
from headgate.crypto.authority.founding import Settings, found_root, install, prepare
from headgate.crypto.authority.keyfile import (
    change_passphrase,
    is_key_file,
    open_key_file,
    seal_key_file,
    unlock,
)
from headgate.crypto.authority.register import Issued, Register, RevokedEntry, State
from headgate.crypto.authority.rules import checked_names

__all__ = [
    "CertificateAuthority",
    "Issued",
    "Pair",
    "Register",
    "RevokedEntry",
    "Settings",
    "State",
    "change_passphrase",
    "checked_names",
    "found_root",
    "install",
    "is_key_file",
    "open_key_file",
    "prepare",
    "seal_key_file",
    "unlock",
]
