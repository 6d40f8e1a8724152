"""BabaSSL (Tongsuo 8.3) as a program: a terminator of RFC 8998 or TLCP, or a TLCP sidecar. Lab only.

Run as a process of its own, for two OpenSSLs in one are one too many:

    python babassl.py rfc8998-server LIBRARY CA LISTEN UPSTREAM CERTIFICATE KEY
    python babassl.py rfc8998-rekey  ... the same, and new keys for both directions before every write
    python babassl.py tlcp-server    LIBRARY CA LISTEN UPSTREAM CERTIFICATE KEY ENC_CERTIFICATE ENC_KEY
    python babassl.py tlcp-client    LIBRARY CA LISTEN UPSTREAM CERTIFICATE KEY ENC_CERTIFICATE ENC_KEY

LISTEN and UPSTREAM are ports of loopback (0: any) or paths of unix sockets. Both sides must show a
certificate of CA. Says on standard output "ready LISTEN", then for each connection "up VERSION
CIPHER" or "refused WHY". Ends when standard input does. Imports nothing of ours.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import socket
import sys
import threading
from typing import Any, ClassVar

VERIFY_PEER, FAIL_IF_NONE, PEM = 1, 2, 1
WANT_READ, WANT_WRITE, ZERO_RETURN = 2, 3, 6
SET_MIN, SET_MAX, SET_GROUPS_LIST, MODE = 123, 124, 92, 33
TLS13, MOVING_PARTIAL, UPDATE_REQUESTED = 0x0304, 3, 1


class Library:
    """The few calls of libssl that are used, with their types."""

    CALLS = (
        ("SSL_CTX_new", "p", "p"), ("SSL_new", "p", "p"), ("SSL_free", None, "p"),
        ("SSL_CTX_ctrl", "l", "pilp"), ("SSL_CTX_set_verify", None, "pip"),
        ("SSL_CTX_load_verify_locations", "i", "pss"), ("SSL_CTX_set_ciphersuites", "i", "ps"),
        ("SSL_CTX_set_cipher_list", "i", "ps"), ("SSL_CTX_enable_ntls", None, "p"),
        ("SSL_CTX_enable_sm_tls13_strict", None, "p"),
        ("SSL_CTX_use_certificate_chain_file", "i", "ps"), ("SSL_CTX_use_PrivateKey_file", "i", "psi"),
        ("SSL_CTX_use_sign_certificate_file", "i", "psi"), ("SSL_CTX_use_sign_PrivateKey_file", "i", "psi"),
        ("SSL_CTX_use_enc_certificate_file", "i", "psi"), ("SSL_CTX_use_enc_PrivateKey_file", "i", "psi"),
        ("SSL_set_fd", "i", "pi"), ("SSL_accept", "i", "p"), ("SSL_connect", "i", "p"),
        ("SSL_read", "i", "psi"), ("SSL_write", "i", "psi"), ("SSL_get_error", "i", "pi"),
        ("SSL_pending", "i", "p"), ("SSL_key_update", "i", "pi"),
        ("SSL_shutdown", "i", "p"), ("SSL_get_version", "s", "p"),
        ("SSL_get_current_cipher", "p", "p"), ("SSL_CIPHER_get_name", "s", "p"),
        ("SSL_get_verify_result", "l", "p"), ("ERR_get_error", "l", ""),
        ("ERR_error_string_n", None, "lsi"), ("TLS_server_method", "p", ""),
        ("NTLS_server_method", "p", ""), ("NTLS_client_method", "p", ""),
    )  # fmt: skip
    TYPES: ClassVar[dict[str | None, Any]] = {
        None: None,
        "p": ctypes.c_void_p,
        "s": ctypes.c_char_p,
        "i": ctypes.c_int,
        "l": ctypes.c_long,
    }

    def __init__(self, path: str) -> None:
        # Resolves the interpreter's own symbols first; local, so that nobody else resolves its.
        library = ctypes.CDLL(path, mode=os.RTLD_LOCAL | os.RTLD_LAZY)
        for name, gives, takes in self.CALLS:
            call = getattr(library, name)
            call.restype = self.TYPES[gives]
            call.argtypes = [self.TYPES[each] for each in takes]
            setattr(self, name, call)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    def why(self) -> str:
        text = ctypes.create_string_buffer(300)
        self.ERR_error_string_n(self.ERR_get_error(), text, 300)
        return text.value.decode(errors="replace")


def context(lib: Library, mode: str, ca: str, files: list[str]) -> Any:
    method = {
        "rfc8998-server": lib.TLS_server_method,
        "rfc8998-rekey": lib.TLS_server_method,
        "tlcp-server": lib.NTLS_server_method,
        "tlcp-client": lib.NTLS_client_method,
    }[mode]
    made = lib.SSL_CTX_new(method())
    names = [each.encode() for each in files]
    lib.SSL_CTX_ctrl(made, MODE, MOVING_PARTIAL, None)
    if mode.startswith("rfc8998"):
        lib.SSL_CTX_ctrl(made, SET_MIN, TLS13, None)
        lib.SSL_CTX_enable_sm_tls13_strict(made)
        good = lib.SSL_CTX_set_ciphersuites(made, b"TLS_SM4_GCM_SM3") == 1
        good &= lib.SSL_CTX_use_certificate_chain_file(made, names[0]) == 1
        good &= lib.SSL_CTX_use_PrivateKey_file(made, names[1], PEM) == 1
    else:
        lib.SSL_CTX_enable_ntls(made)
        good = lib.SSL_CTX_set_cipher_list(made, b"ECC-SM2-SM4-CBC-SM3") == 1
        good &= lib.SSL_CTX_use_sign_certificate_file(made, names[0], PEM) == 1
        good &= lib.SSL_CTX_use_sign_PrivateKey_file(made, names[1], PEM) == 1
        good &= lib.SSL_CTX_use_enc_certificate_file(made, names[2], PEM) == 1
        good &= lib.SSL_CTX_use_enc_PrivateKey_file(made, names[3], PEM) == 1
    good &= lib.SSL_CTX_load_verify_locations(made, ca.encode(), None) == 1
    assert good, lib.why()
    lib.SSL_CTX_set_verify(made, VERIFY_PEER | FAIL_IF_NONE, None)
    return made


def listen(place: str) -> tuple[socket.socket, str]:
    if place.startswith("/"):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(place)
        listener.listen()
        return listener, place
    listener = socket.create_server(("127.0.0.1", int(place)))
    return listener, str(listener.getsockname()[1])


def dial(place: str) -> socket.socket:
    if place.startswith("/"):
        made = socket.socket(socket.AF_UNIX)
        made.connect(place)
        return made
    return socket.create_connection(("127.0.0.1", int(place)))


def say(*words: object) -> None:
    print(*words, flush=True)


def serve(lib: Library, made: Any, mode: str, taken: socket.socket, upstream: str) -> None:
    with contextlib.suppress(OSError), taken, dial(upstream) as up:
        inside = mode == "tlcp-client"
        secured, plain = (up, taken) if inside else (taken, up)
        secured.settimeout(None)
        for each in (secured, plain):
            if each.family != socket.AF_UNIX:
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ssl = lib.SSL_new(made)
        try:
            lib.SSL_set_fd(ssl, secured.fileno())
            if (lib.SSL_connect if inside else lib.SSL_accept)(ssl) != 1:
                say("refused", lib.why())
                return
            cipher = lib.SSL_CIPHER_get_name(lib.SSL_get_current_cipher(ssl))
            say("up", lib.SSL_get_version(ssl).decode(), cipher.decode())
            carry(lib, ssl, secured, plain, rekey=mode == "rfc8998-rekey")
            lib.SSL_shutdown(ssl)
        finally:
            lib.SSL_free(ssl)


def carry(
    lib: Library, ssl: Any, secured: socket.socket, plain: socket.socket, *, rekey: bool
) -> None:
    """Both ways until one side ends."""
    secured.setblocking(False)
    buffer = ctypes.create_string_buffer(16384)
    while True:
        if not lib.SSL_pending(ssl):
            ready, _, _ = select.select([secured, plain], [], [])
            if plain in ready:
                if not (data := plain.recv(16384)):
                    return
                if rekey:
                    assert lib.SSL_key_update(ssl, UPDATE_REQUESTED) == 1, lib.why()
                while data:
                    count = lib.SSL_write(ssl, data, len(data))
                    if count > 0:
                        data = data[count:]
                    elif lib.SSL_get_error(ssl, count) == WANT_WRITE:
                        select.select([], [secured], [])
                    else:
                        return
            if secured not in ready:
                continue
        count = lib.SSL_read(ssl, buffer, 16384)
        if count > 0:
            plain.sendall(buffer.raw[:count])
        elif lib.SSL_get_error(ssl, count) not in (WANT_READ, WANT_WRITE):
            return


def main(mode: str, library: str, ca: str, place: str, upstream: str, *files: str) -> None:
    lib = Library(library)
    made = context(lib, mode, ca, list(files))
    listener, where = listen(place)
    say("ready", where)
    while True:
        ready, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in ready:
            break
        taken, _ = listener.accept()
        threading.Thread(target=serve, args=(lib, made, mode, taken, upstream), daemon=True).start()
    # Threads of connections end with the process: nobody waits for a peer that stays.
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
