"""The doorway to OpenSSL's libcrypto >= 3.0: which file, which functions, which types.

Only public EVP functions, no struct layout and no macro, so nothing here depends on a header or
a compiler. The library is separate from the one inside the `cryptography` wheel: pointers never
cross. Source: OpenSSL 3.0 manual, section 3.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Iterator
from ctypes import POINTER, c_char_p, c_int, c_long, c_size_t, c_ulong, c_void_p
from pathlib import Path
from typing import Any, Final

from headgate.errors import CryptoUnavailable

_MINIMUM: Final = 0x30000000
_VERSION_TEXT: Final = 0

_BYTES = c_char_p
_SIZE_OUT = POINTER(c_size_t)
_POINTER_OUT = POINTER(c_void_p)

# name: (result, arguments). Every function Headgate calls, and no other.
_FUNCTIONS: Final[dict[str, tuple[Any, tuple[Any, ...]]]] = {
    "OpenSSL_version_num": (c_ulong, ()),
    "OpenSSL_version": (c_char_p, (c_int,)),
    "OPENSSL_cleanse": (None, (c_void_p, c_size_t)),
    "ERR_clear_error": (None, ()),
    "ERR_peek_last_error": (c_ulong, ()),
    "ERR_error_string_n": (None, (c_ulong, c_char_p, c_size_t)),
    "EVP_sm3": (c_void_p, ()),
    "EVP_PKEY_free": (None, (c_void_p,)),
    "EVP_PKEY_is_a": (c_int, (c_void_p, c_char_p)),
    "d2i_AutoPrivateKey": (c_void_p, (c_void_p, _POINTER_OUT, c_long)),
    "d2i_PUBKEY": (c_void_p, (c_void_p, _POINTER_OUT, c_long)),
    "i2d_PUBKEY": (c_int, (c_void_p, _POINTER_OUT)),
    "EVP_PKEY2PKCS8": (c_void_p, (c_void_p,)),
    "i2d_PKCS8_PRIV_KEY_INFO": (c_int, (c_void_p, _POINTER_OUT)),
    "PKCS8_PRIV_KEY_INFO_free": (None, (c_void_p,)),
    "EVP_PKEY_CTX_new_from_name": (c_void_p, (c_void_p, c_char_p, c_char_p)),
    "EVP_PKEY_CTX_new_from_pkey": (c_void_p, (c_void_p, c_void_p, c_char_p)),
    "EVP_PKEY_CTX_free": (None, (c_void_p,)),
    "EVP_PKEY_CTX_set1_id": (c_int, (c_void_p, _BYTES, c_int)),
    "EVP_PKEY_pairwise_check": (c_int, (c_void_p,)),
    "EVP_PKEY_keygen_init": (c_int, (c_void_p,)),
    "EVP_PKEY_generate": (c_int, (c_void_p, _POINTER_OUT)),
    "EVP_PKEY_encrypt_init": (c_int, (c_void_p,)),
    "EVP_PKEY_encrypt": (c_int, (c_void_p, c_void_p, _SIZE_OUT, _BYTES, c_size_t)),
    "EVP_PKEY_decrypt_init": (c_int, (c_void_p,)),
    "EVP_PKEY_decrypt": (c_int, (c_void_p, c_void_p, _SIZE_OUT, _BYTES, c_size_t)),
    "EVP_MD_CTX_new": (c_void_p, ()),
    "EVP_MD_CTX_free": (None, (c_void_p,)),
    "EVP_MD_CTX_set_pkey_ctx": (None, (c_void_p, c_void_p)),
    "EVP_DigestSignInit": (c_int, (c_void_p, c_void_p, c_void_p, c_void_p, c_void_p)),
    "EVP_DigestSign": (c_int, (c_void_p, c_void_p, _SIZE_OUT, _BYTES, c_size_t)),
    "EVP_DigestVerifyInit": (c_int, (c_void_p, c_void_p, c_void_p, c_void_p, c_void_p)),
    "EVP_DigestVerify": (c_int, (c_void_p, _BYTES, c_size_t, _BYTES, c_size_t)),
}


class Libcrypto:
    """One opened library. Its functions are attributes of `call`, fully typed for ctypes.

    Raises:
        CryptoUnavailable: not a library, older than 3.0, or built without a function we need.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            # RTLD_LOCAL (the default): two OpenSSLs live in this process and must not meet.
            self.call: Any = ctypes.CDLL(path)
        except OSError as error:
            raise CryptoUnavailable(f"{path}: cannot be loaded ({error})") from None
        for name, (result, arguments) in _FUNCTIONS.items():
            try:
                function = getattr(self.call, name)
            except AttributeError:
                raise CryptoUnavailable(
                    f"{path}: no function {name}; OpenSSL 3.0 or newer is needed"
                ) from None
            function.restype, function.argtypes = result, arguments
        self.version = self.call.OpenSSL_version(_VERSION_TEXT).decode("ascii", "replace")
        if self.call.OpenSSL_version_num() < _MINIMUM:
            raise CryptoUnavailable(f"{path}: {self.version}; OpenSSL 3.0 or newer is needed")

    def last_error(self) -> str:
        """What the library last complained of on this thread, and forget it."""
        text = ctypes.create_string_buffer(256)
        number = self.call.ERR_peek_last_error()
        self.call.ERR_clear_error()
        if not number:
            return "no reason given"
        self.call.ERR_error_string_n(number, text, len(text))
        return text.value.decode("ascii", "replace")


def candidates(configured: str | None) -> Iterator[str]:
    """Library names to try, best first: the configured one alone, or ours and then the system's.

    A copy shipped beside us serves systems whose own OpenSSL is 1.1.1 or built without SM2.
    """
    if configured is not None:
        yield configured
        return
    sonames = ("libcrypto.so.3", "libcrypto.so.4")
    private = Path(__file__).parent / "_lib"
    yield from (str(private / soname) for soname in sonames)
    yield from sonames
    # Last, because it starts ldconfig or a compiler to look around.
    if (found := ctypes.util.find_library("crypto")) and found not in sonames:
        yield found
