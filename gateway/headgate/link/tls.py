"""TLS by the standard library: 1.3 unless an old broker needs 1.2, and the named root alone is trusted."""

from __future__ import annotations

import socket as sockets
import ssl
from datetime import UTC, datetime
from typing import Any, Final

from headgate.env import Env
from headgate.link.moment import Moment, moment
from headgate.link.refusal import Refused, of_library
from headgate.link.terms import Facts, Terms

# X509_V_FLAG_NO_CHECK_TIME: the module has no name for it.
_NO_CHECK_TIME: Final = 0x200000
_VERSIONS: Final = {"1.3": ssl.TLSVersion.TLSv1_3, "1.2": ssl.TLSVersion.TLSv1_2}


class TlsContext:
    """TLS 1.3 (or 1.2), the peer always checked: chain, name, dates, and revocation where a list is given."""

    check_hostname = True
    encrypts = True

    def __init__(self, terms: Terms, env: Env) -> None:
        self._terms = terms
        self._env = env
        self._make(moment(env.clock))

    def wrap_socket(
        self,
        sock: sockets.socket,
        *,
        server_hostname: str | None = None,
        do_handshake_on_connect: bool = False,
    ) -> TlsLine:
        """The line on a connected socket. Raises OSError when a file has become unusable."""
        now = moment(self._env.clock)
        context = self._make(now)
        name = self._terms.server_name or server_hostname
        line = context.wrap_socket(
            sock, server_hostname=name, do_handshake_on_connect=do_handshake_on_connect
        )
        assert isinstance(line, TlsLine)
        line.expect(now, name or "")
        return line

    def _make(self, now: Moment) -> ssl.SSLContext:
        terms = self._terms
        made = _client_context(terms.minimum)
        made.sslsocket_class = TlsLine
        if terms.ca_pem is not None:
            made.load_verify_locations(cadata=terms.ca_pem)
        if terms.trust == "system":
            made.load_default_certs()
        if terms.certificate is not None:
            made.load_cert_chain(terms.certificate, terms.key, password=_no_password)
        if terms.crl is not None:
            made.load_verify_locations(cafile=terms.crl)
            made.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_CHAIN
        if not now.trusted:
            made.verify_flags |= ssl.VerifyFlags(_NO_CHECK_TIME)
        return made


def _client_context(minimum: str) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = _VERSIONS[minimum]
    # A pinned root may be the CA that issues, below a root that nobody here has.
    made.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    made.hostname_checks_common_name = False
    made.options |= ssl.OP_NO_RENEGOTIATION
    return made


def field_context(
    ca: str | None, certificate: str | None, key: str | None, minimum: str = "1.2"
) -> ssl.SSLContext:
    """For lines to devices: files, and the system's roots when none is named.

    Devices of MODBUS/TCP Security must offer TLS 1.2, and many offer nothing newer.

    Raises:
        OSError: a file is not there or not usable (ssl.SSLError among them).
    """
    made = _client_context(minimum)
    if ca is None:
        made.load_default_certs()
    else:
        made.load_verify_locations(cafile=ca)
    if certificate is not None:
        made.load_cert_chain(certificate, key, password=_no_password)
    return made


def _no_password() -> str:
    # Without this an encrypted key makes the library ask on the terminal, and wait.
    raise ValueError("the private key is encrypted; it must be a plain PEM file")


class TlsLine(ssl.SSLSocket):
    """A TLS socket that remembers why it ended."""

    refused: Refused | None = None
    _moment: Moment | None = None
    _name = ""

    def expect(self, now: Moment, name: str) -> None:
        """By which time its peer is judged, and what it is called in a complaint."""
        self._moment, self._name = now, name

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
            self._judge_dates()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            self.refused = of_library(error)
            self.refused.fields.setdefault("name", self._name)
            raise self.refused from None
        except ConnectionResetError as error:
            self.refused = Refused("HG-5072", str(error.strerror), name=self._name)
            raise self.refused from None
        # Records go out as they are sealed; waiting for each other's ACKs costs 40 ms.
        if self.family != sockets.AF_UNIX:
            self.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)

    def facts(self) -> Facts:
        """After the handshake."""
        cipher = self.cipher()
        return Facts(self.version() or "", cipher[0] if cipher else "", peer=self._name)

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        try:
            return super().recv(buflen, flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            # In TLS 1.3 the peer refuses our certificate here, after a handshake that went well.
            self.refused = of_library(error, began=True)
            raise self.refused from None

    def _judge_dates(self) -> None:
        """With a clock that nobody sets, the dates of the whole chain against what is known to be past."""
        now = self._moment
        if now is None or now.trusted:
            return
        for certificate in _chain(self):
            ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)
            if ends < now.now:
                reason = f"expired at {ends.isoformat()}"
                raise Refused("HG-5062", reason, certificate=True)


def _chain(line: TlsLine) -> list[dict[str, Any]]:
    """The verified chain; where the library does not tell it, the peer's own certificate."""
    tell = getattr(getattr(line, "_sslobj", None), "get_verified_chain", None)
    if tell is not None:
        return [each.get_info() for each in tell()]
    return [line.getpeercert() or {}]
