"""AES-CCM as radio sensors seal their frames with it. The only cryptography a driver of ours does itself.

The key is the sensor's, not the gateway's: it guards one thermometer, and its maker chose the cipher.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

#: Bytes of a bind key, and of the tag behind a sealed frame.
KEY_SIZE = 16
TAG_SIZE = 4


def opened(key: bytes, nonce: bytes, sealed: bytes, aad: bytes = b"") -> bytes | None:
    """The plaintext of `ciphertext || tag`; None when key, nonce or bytes do not belong together.

    Source: RFC 3610 with M = 4.
    """
    if len(key) != KEY_SIZE or len(sealed) < TAG_SIZE:
        return None
    try:
        return AESCCM(key, tag_length=TAG_SIZE).decrypt(nonce, sealed, aad)
    except InvalidTag:
        return None
