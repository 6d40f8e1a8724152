"""TLS 1.3 with SM2, SM3 and SM4 (RFC 8998): both sides show SM2 certificates, and nothing else will do.

pyOpenSSL gives the handshake. It checks no names, and what was agreed is not taken on trust: after
the handshake suite, version, group, chain, role, name and dates are judged here again, the chain by our
own `headgate.crypto.verify`, and a peer that falls short never gets a byte.

The signature inside the handshake is made with the ID of RFC 8998, section 3.2.1
("TLSv1.3+GM+Cipher+Suite"), which the library sees to; certificates carry 1234567812345678.
"""

from __future__ import annotations

import socket as sockets
from itertools import pairwise
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import Encoding

from headgate.crypto import encoding
from headgate.crypto.crl import RevocationList
from headgate.crypto.extensions import Purpose
from headgate.crypto.provider import LIBCRYPTO_VARIABLE, CryptoProvider, default_provider
from headgate.crypto.revocation import Freshness, Lists
from headgate.crypto.verify import Usage, verify_chain
from headgate.crypto.x509 import Certificate, Role, load_certificates
from headgate.env import Env
from headgate.errors import CertificateRefused, SecurityError
from headgate.link import names
from headgate.link.moment import Moment, moment
from headgate.link.own import Pair, as_files, held
from headgate.link.refusal import Refused, of_verification
from headgate.link.terms import Facts, Terms, problem

try:
    from OpenSSL import SSL, crypto
except ImportError:  # an extra that is not installed: said in words by `SmContext`
    SSL = None  # type: ignore[assignment]

SUITE: Final = "TLS_SM4_GCM_SM3"
GROUP: Final = "curveSM2"
SIGNATURE: Final = "sm2sig_sm3"
# What OpenSSL has called the group; RFC 8998, section 3.1 says curveSM2.
_GROUPS: Final = frozenset({"curvesm2", "sm2"})
_SERVER: Final = Purpose.TLS_SERVER.value
_NO_CHECK_TIME: Final = 0x200000
_PARTIAL_CHAIN: Final = 0x80000


class SmContext:
    """RFC 8998, mutual. Made off the network; files are read again for every connection."""

    check_hostname = True
    encrypts = True

    def __init__(self, terms: Terms, env: Env, where: str) -> None:
        if SSL is None:
            raise problem(where, "HG-5083")
        if terms.ca_pem is None:
            raise problem(where, "HG-5081")
        if terms.key is None and (terms.certificate is not None or terms.gateway is None):
            raise problem(where, "HG-5084")
        self._terms = terms
        self._env = env
        self._provider: CryptoProvider = default_provider(env.variable(LIBCRYPTO_VARIABLE))
        try:
            self._anchors = load_certificates(terms.ca_pem.encode())
            self._lists()
            if terms.certificate is not None:
                self._judge_own(self._own(None))
                self._make(moment(env.clock), _Verdict(""), None)
        except Refused as refusal:
            raise problem(where, refusal.code, reason=str(refusal)) from None
        except CertificateRefused as refusal:
            raise problem(where, "HG-5031", reason=str(refusal)) from None
        except SSL.Error as error:
            from headgate.link.smsocket import words

            raise problem(where, "HG-5086", reason=words(error)) from None

    def wrap_socket(
        self,
        sock: sockets.socket,
        *,
        server_hostname: str | None = None,
        do_handshake_on_connect: bool = False,
    ) -> Any:
        """The line on a connected socket.

        Raises:
            Refused: our own certificate is not good any more (HG-5085).
            OSError: a file has become unusable.
        """
        from headgate.link.smsocket import SmLine, words

        name = self._terms.server_name or server_hostname or ""
        verdict = _Verdict(name)
        try:
            crls = self._lists()
        except (CertificateRefused, OSError, ValueError) as error:
            raise Refused("HG-5067", str(error), name=name) from None
        try:
            pair = held(self._terms.gateway) if self._terms.certificate is None else None
            if self._terms.certificate is None and pair is None:
                raise Refused("HG-5087", "it is not enrolled", name=name)
            own = self._own(pair)
            self._judge_own(own)
            past = own.not_before, *(crl.this_update for crl in crls)
            now = moment(self._env.clock, *past)
            if own.not_after < now.now:
                raise Refused("HG-5085", f"it expired at {own.not_after.isoformat()}", name=name)
            connection = SSL.Connection(self._make(now, verdict, pair), None)
        except (SecurityError, ValueError) as error:
            raise Refused("HG-5085", str(error), name=name) from None
        except SSL.Error as error:
            raise Refused("HG-5085", words(error), name=name) from None
        if names.parse_address(name) is None and (asked := names.as_certified(name)):
            connection.set_tlsext_host_name(asked.encode("ascii"))
        connection.set_connect_state()

        def judge(done: SSL.Connection) -> Facts:
            return self._judge(done, name, now, crls)

        return SmLine(sock, connection, judge, lambda: verdict.refusal, self._env.clock)

    # ------------------------------------------------------------ what is offered

    def _own(self, pair: Pair | None) -> Certificate:
        if pair is not None:
            return load_certificates(pair.chain)[0]
        assert self._terms.certificate is not None
        return load_certificates(self._env.files.read(self._terms.certificate))[0]

    def _judge_own(self, own: Certificate) -> None:
        if own.role not in self._terms.roles:
            allowed = " or ".join(role.value for role in self._terms.roles)
            raise Refused("HG-5085", f"its OU is {own.subject_ou!r}, not {allowed}")

    def _make(self, now: Moment, verdict: _Verdict, pair: Pair | None) -> SSL.Context:
        terms = self._terms
        made = SSL.Context(SSL.TLS_CLIENT_METHOD)
        made.set_min_proto_version(SSL.TLS1_3_VERSION)
        made.set_max_proto_version(SSL.TLS1_3_VERSION)
        made.set_tls13_ciphersuites(SUITE.encode())
        _force(made)
        if pair is not None:
            with as_files(pair) as (chain, key):
                made.use_certificate_chain_file(chain)
                made.use_privatekey_file(key)
        else:
            made.use_certificate_chain_file(str(terms.certificate))
            made.use_privatekey_file(str(terms.key))
        made.check_privatekey()
        made.set_verify(SSL.VERIFY_PEER, verdict.note)
        # The store is the context's own; without a reference to that it is freed memory.
        store = made.get_cert_store()
        assert store is not None
        for anchor in self._anchors:
            store.add_cert(crypto.load_certificate(crypto.FILETYPE_ASN1, anchor.der))
        store.set_flags(_PARTIAL_CHAIN | (0 if now.trusted else _NO_CHECK_TIME))
        return made

    def _lists(self) -> tuple[RevocationList, ...]:
        """Read anew each time: they are renewed every few days."""
        if self._terms.crl is None:
            return ()
        data = self._env.files.read(self._terms.crl)
        if b"-----BEGIN" not in data:
            return (RevocationList.load(data),)
        blocks = encoding.pem_blocks(data)
        found = tuple(RevocationList.load(body) for label, body in blocks if label == "X509 CRL")
        if not found:
            raise CertificateRefused(f"{self._terms.crl} holds no revocation list")
        return found

    # ------------------------------------------------------------ what was agreed

    def _judge(
        self, done: SSL.Connection, name: str, now: Moment, crls: tuple[RevocationList, ...]
    ) -> Facts:
        """Raises Refused unless everything is as RFC 8998 and our own rules have it."""
        version = done.get_protocol_version_name()
        cipher = done.get_cipher_name() or "-"
        group = done.get_group_name() or "-"
        if (version, cipher) != ("TLSv1.3", SUITE) or group.lower() not in _GROUPS:
            raise Refused("HG-5070", f"{version}, {cipher}, {group}", name=name)
        chain = done.get_peer_cert_chain(as_cryptography=True) or ()
        ders = [each.public_bytes(Encoding.DER) for each in chain]
        try:
            if not ders:
                raise CertificateRefused("the peer showed no certificate")
            leaf, *above = (Certificate.load(each) for each in ders)
            proved = verify_chain(
                leaf,
                # A chain may end in the root itself, which we have and the length must not count twice.
                [each for each in above if each not in self._anchors],
                self._anchors,
                usage=Usage.SIGN,
                # Dates are judged below, with a word of their own.
                at=None,
                provider=self._provider,
            )
        except CertificateRefused as refusal:
            raise Refused("HG-5060", str(refusal), certificate=True, name=name) from None
        for each in proved:
            if now.now > each.not_after:
                reason = f"{each.subject_cn}: expired at {each.not_after.isoformat()}"
                raise Refused("HG-5062", reason, certificate=True, name=name)
            if now.trusted and now.now < each.not_before:
                reason = f"{each.subject_cn}: not before {each.not_before.isoformat()}"
                raise Refused("HG-5063", reason, certificate=True, name=name)
        self._check_revoked(proved, name, now, crls)
        allowed = leaf.purposes is None or {Purpose.ANY.value, _SERVER} & leaf.purposes
        if leaf.role is not Role.PLATFORM_LINK or not allowed:
            reason = f"its OU is {leaf.subject_ou!r}" if allowed else "not for TLS servers"
            raise Refused("HG-5068", reason, certificate=True, name=name)
        if not names.bears(leaf.names, name):
            reason = f"it bears {names.listed(leaf.names)}"
            raise Refused("HG-5061", reason, certificate=True, name=name)
        return Facts(version, cipher, group, leaf.subject_cn or "")

    def _check_revoked(
        self,
        proved: tuple[Certificate, ...],
        name: str,
        now: Moment,
        crls: tuple[RevocationList, ...],
    ) -> None:
        """With a file of lists, each CA of the chain must have one in force. An old list still revokes."""
        if self._terms.crl is None:
            return
        for freshness, code in (
            (Freshness.BEST_KNOWN, "HG-5066"),
            (Freshness.REQUIRED, "HG-5067"),
        ):
            lists = Lists(crls, freshness, now.now, self._provider)
            try:
                for certificate, issuer in pairwise(proved):
                    lists.check(certificate, issuer)
            except CertificateRefused as refusal:
                raise Refused(code, str(refusal), certificate=True, name=name) from None


class _Verdict:
    """What the library thought of the peer's chain: the first complaint, which it would not keep."""

    def __init__(self, name: str) -> None:
        self.refusal: Refused | None = None
        self._name = name

    def note(self, _: Any, certificate: Any, number: int, depth: int, good: int) -> bool:
        if not good and self.refusal is None:
            reason = f"{crypto_words(number)} (certificate {depth} of its chain)"
            self.refusal = of_verification(number, reason, name=self._name)
        return bool(good)


_WORDS: Final = {
    2: "its issuer is not known here",
    3: "there is no revocation list of its issuer",
    7: "its signature does not verify",
    9: "it is not valid yet",
    10: "it has expired",
    11: "the revocation list is not valid yet",
    12: "the revocation list is out of date",
    18: "it is self-signed",
    19: "its root is not among the trusted ones",
    20: "its issuer is not among the trusted ones",
    21: "its issuer is not among the trusted ones",
    23: "it has been revoked",
    24: "its issuer is no CA",
    26: "its key is not for this use",
}


def crypto_words(number: int) -> str:
    """OpenSSL's X509_V_ERR in words."""
    return _WORDS.get(number, f"refused, OpenSSL's reason {number}")


def _force(context: SSL.Context) -> None:
    """Offer SM2 alone, in the first flight: without it the group is agreed by one more round trip.

    The calls are private to the library; where they are missing, what was agreed is judged all the
    same, and a peer that chose another group is refused.
    """
    from OpenSSL.SSL import _lib  # type: ignore[attr-defined]

    for call, wanted in (
        ("SSL_CTX_set1_curves_list", GROUP),
        ("SSL_CTX_set1_sigalgs_list", SIGNATURE),
    ):
        force = getattr(_lib, call, None)
        if force is not None and force(context._context, wanted.encode()) != 1:
            raise SSL.Error([("", "", f"this OpenSSL has no {wanted}")])
