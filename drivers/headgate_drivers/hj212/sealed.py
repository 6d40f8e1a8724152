"""CP as HJ 212-2025 encrypts it (6.4.2 and annex A.2): SM4, ECB, no padding.

Whole blocks of 16 bytes are encrypted, what is left at the end stays as it is, so CP keeps its length. The
check is that of the plain segment: it is made before. The annex prints encrypted bytes as
`{0xE4,0x3E,...}g=N`, and some software sends them so.

The key is the logger's and the bureau's, not the gateway's. How keys are agreed and renewed (1014) is not
done here: the text on it was not at hand.
"""

from __future__ import annotations

import re

#: Bytes of a key, and of a block.
KEY_SIZE = BLOCK_SIZE = 16
#: Where CP begins, printed.
PRINTED = re.compile(rb"CP=&&\{0[xX]")
_BYTES = re.compile(rb"\{((?:0[xX][0-9A-Fa-f]{2},?\s?)+)\}(.{0,15})", re.DOTALL)
_CODED = re.compile(rb"[0-9A-Za-z+/]{16,}={0,2}")


def must_be(cn: str) -> bool:
    """Whether a command's CP is to be encrypted on the internet (6.4.1, 6.4.4)."""
    return cn[:1] == "2" or cn in ("1014", "3020")


def key_of(text: str) -> bytes | None:
    """A key as a platform hands it out: 32 hex characters, or 16 characters; None for anything else."""
    text = text.strip()
    if re.fullmatch(r"[0-9A-Fa-f]{32}", text):
        return bytes.fromhex(text)
    raw = text.encode()
    return raw if len(raw) == KEY_SIZE else None


def opened(key: bytes, cp: bytes) -> bytes:
    """The plain CP. With another key it is noise: the check tells."""
    return _turned(key, cp, seal=False)


def closed(key: bytes, cp: bytes) -> bytes:
    """CP, encrypted."""
    return _turned(key, cp, seal=True)


def _turned(key: bytes, cp: bytes, *, seal: bool) -> bytes:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    # The standard chose ECB: equal blocks stay equal. It is written here for its loggers alone.
    cipher = Cipher(algorithms.SM4(key), modes.ECB())  # noqa: S305
    turn = cipher.encryptor() if seal else cipher.decryptor()
    whole = len(cp) - len(cp) % BLOCK_SIZE
    return turn.update(cp[:whole]) + turn.finalize() + cp[whole:]


def from_printed(cp: bytes) -> bytes | None:
    """The bytes that `{0xE4,...}g=N` stands for; None where it is something else."""
    found = _BYTES.fullmatch(cp)
    if found is None:
        return None
    block = bytes(int(each, 16) for each in re.findall(rb"0[xX]([0-9A-Fa-f]{2})", found[1]))
    return block + found[2]


def looks_sealed(cp: bytes) -> bool:
    """Whether whole blocks of a CP are no text."""
    whole = cp[: len(cp) - len(cp) % BLOCK_SIZE]
    if not whole:
        return False
    if any(byte < 0x20 or byte == 0x7F for byte in whole):
        return True
    for name in ("utf-8", "gb18030"):
        try:
            cp.decode(name)
        except UnicodeDecodeError:
            continue
        return False
    return True


def looks_coded(cp: bytes) -> bool:
    """Whether a CP is hex or base64 from end to end, and so names nothing: encrypted in another way."""
    return _CODED.fullmatch(cp) is not None
