"""Signed records: each names the one before it and bears the gateway's signature.

A record key is symmetric: whoever it was granted to could seal a record that passes for the gateway's. Where
several platforms have the key, or somebody must be shown later what a gateway said, every record of the key
is signed, and the signature travels inside the record. So a record proves itself when it comes, whatever
came before it, and a copy that another holder of the key has made proves nothing.

The statements of an epoch are chained: each holds the SM3 of the one before, so that nothing can be taken
out, put in or changed later without being noticed. Source: docs/reference/uplink.md, section 5.
"""

from __future__ import annotations

from typing import Final

import msgspec

from headgate.crypto.provider import CryptoProvider, Sm2PrivateKey, Sm2PublicKey
from headgate.errors import SignatureInvalid

CHAIN_LABEL: Final = b"headgate-chain-v1"
LINK_SIZE: Final = 32
MAX_SIGNATURE: Final = 80
#: What the first record of a chain names as the one before it.
BEGINNING: Final = bytes(LINK_SIZE)


class Proof(msgspec.Struct, frozen=True):
    """What stands in a record beside its payload: the link of the record before, and a signature."""

    previous: bytes
    signature: bytes


class Sealed(msgspec.Struct, frozen=True):
    """What of a record is signed: its header, the two lengths of its plaintext, its compressed frame.

    The lengths too: who has the key could seal a true frame anew with a wrong size, and so have the
    gateway's own record refused for good.
    """

    header: bytes
    lengths: bytes
    frame: bytes


def statement(provider: CryptoProvider, core: bytes, sealed: Sealed, previous: bytes) -> bytes:
    """The bytes that are signed; `core` is the SM3 of the grant's core, which names gateway and signer.

    label (17) || core (32) || header (32) || previous (32) || lengths (8) || SM3 of the frame (32)
    """
    digest = provider.sm3(sealed.frame)
    return b"".join((CHAIN_LABEL, core, sealed.header, previous, sealed.lengths, digest))


def link(provider: CryptoProvider, stated: bytes) -> bytes:
    """What the next record calls this one by."""
    return provider.sm3(stated)


def check(
    provider: CryptoProvider,
    core: bytes,
    sealed: Sealed,
    proof: Proof,
    signer: Sm2PublicKey,
) -> bytes:
    """The link of a record whose signature holds.

    Raises:
        SignatureInvalid: it is not the gateway's.
    """
    stated = statement(provider, core, sealed, proof.previous)
    if not signer.verify(proof.signature, stated):
        raise SignatureInvalid("the record's signature is not its gateway's")
    return link(provider, stated)


class Chain:
    """The gateway's side: one chain an epoch, over all its keys. One owner at a time."""

    def __init__(self, provider: CryptoProvider) -> None:
        self._provider = provider
        self._previous = BEGINNING
        self._key: Sm2PrivateKey | None = None

    def signed_by(self, key: Sm2PrivateKey) -> None:
        """Sign with this key from now on: the one that the current grant names as its signer."""
        self._key = key

    def sign(self, core: bytes, sealed: Sealed) -> Proof:
        """The proof of the next record."""
        if self._key is None:
            raise ValueError("a chain without a signing key")
        stated = statement(self._provider, core, sealed, self._previous)
        proof = Proof(self._previous, self._key.sign(stated))
        self._previous = link(self._provider, stated)
        return proof
