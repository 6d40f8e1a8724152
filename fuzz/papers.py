"""Certificates, requests, revocation lists and key centres' envelopes, as they come by mail or by link."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

from fuzz.sealed import provider
from fuzz.target import Target
from headgate.crypto import encoding
from headgate.crypto.authority.keyfile import key_file_spki, seal_key_file
from headgate.crypto.crl import RevocationList, check_signature
from headgate.crypto.enveloped import enveloped_spki, open_enveloped, to_pem
from headgate.crypto.provider import Sm2PrivateKey
from headgate.crypto.requests import load_request
from headgate.crypto.verify import Usage, verify_chain
from headgate.crypto.x509 import Certificate, load_certificates
from headgate.errors import SecurityError
from headgate.testing.env import SeededRandom

VECTORS = Path(__file__).parents[1] / "tests" / "vectors" / "pki" / "seeds.json"


@cache
def seed(name: str) -> bytes:
    return bytes.fromhex(json.loads(VECTORS.read_text())[name])


def _seeds(*names: str, label: str) -> Callable[[], Iterable[bytes]]:
    def seeds() -> Iterable[bytes]:
        for name in names:
            yield seed(name)
            yield encoding.to_pem(label, seed(name))

    return seeds


def _refused(run: Callable[[bytes], object]) -> Callable[[bytes], None]:
    """What is not good is refused by an error of ours, and nothing else happens."""

    def guarded(data: bytes) -> None:
        try:
            run(data)
        except SecurityError:
            return

    return guarded


@cache
def _ca() -> Certificate:
    return Certificate.load(seed("ca"))


@cache
def _holder() -> Sm2PrivateKey:
    """The published example key of GB/T 32918.5."""
    scalar = "3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8"
    point = (
        "0409f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020"
        "ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13"
    )
    return provider().sm2_load_private(encoding.pkcs8(bytes.fromhex(scalar), bytes.fromhex(point)))


def _chain(data: bytes) -> None:
    leaf, *between = load_certificates(data)
    chain = verify_chain(leaf, between[:8], [_ca()], usage=Usage.SIGN, at=None, provider=provider())
    assert chain[-1] == _ca(), "nothing is trusted that does not end at the anchor"


def _crl(data: bytes) -> None:
    crl = RevocationList.load(data)
    check_signature(crl, _ca(), provider())
    assert crl.tbs == RevocationList.load(seed("crl")).tbs, "only what the CA signed is its list"


def _request(data: bytes) -> None:
    load_request(data, provider())


def _enveloped(data: bytes) -> None:
    spki = enveloped_spki(data)
    assert open_enveloped(provider(), _holder(), data).public.spki == spki


def _enveloped_seeds() -> Iterable[bytes]:
    yield seed("enveloped")
    yield to_pem(seed("enveloped"))


def _key_file(data: bytes) -> None:
    """As far as it goes without the passphrase: deriving a key from one takes as long as it should."""
    key_file_spki(data)


def _key_files() -> Iterable[bytes]:
    key = provider().sm2_generate()
    yield seal_key_file(provider(), key, "a passphrase", SeededRandom(), 10_000)


PAPERS: dict[str, Target] = {
    "certificate-chain": Target(_refused(_chain), _seeds("link", "ca", label="CERTIFICATE")),
    "crl": Target(_refused(_crl), _seeds("crl", label="X509 CRL")),
    "certificate-request": Target(
        _refused(_request), _seeds("request", label="CERTIFICATE REQUEST")
    ),
    "enveloped-key": Target(_refused(_enveloped), _enveloped_seeds),
    "ca-key-file": Target(_refused(_key_file), _key_files),
}
