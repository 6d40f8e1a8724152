"""What lies in a folder that somebody brought, sorted by content. Pure.

A file's name is only for telling people which one is meant.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from headgate.crypto import der, encoding
from headgate.crypto.crl import RevocationList
from headgate.crypto.enveloped import PEM_LABEL, enveloped_spki
from headgate.crypto.x509 import Certificate
from headgate.errors import Problem, SecurityError

MAX_FILES: Final = 64
MAX_FILE: Final = 4 * 1024 * 1024
_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----")
_END = re.compile(rb"-----END ([A-Z0-9 ]{1,40})-----")


class Found(msgspec.Struct, frozen=True):
    """A certificate and the file it came in."""

    file: str
    certificate: Certificate


class Bag(msgspec.Struct):
    """Everything known of a folder. `notes` tell of files that were passed over."""

    leaves: list[Found] = []
    cas: list[Found] = []
    crls: list[tuple[str, RevocationList]] = []
    enveloped: list[tuple[str, bytes]] = []
    mistakes: list[Problem] = []
    notes: list[Problem] = []


def sort_out(files: Mapping[str, bytes]) -> Bag:
    """Every certificate, revocation list and wrapped key in these files, each once."""
    bag = Bag()
    if len(files) > MAX_FILES:
        _mistake(bag, "HG-6176", "-", most=MAX_FILES)
        return bag
    for name in sorted(files):
        data = files[name]
        if len(data) > MAX_FILE:
            _mistake(bag, "HG-6151", name, reason=f"larger than {MAX_FILE // 1024} KiB")
        elif b"-----BEGIN" in data:
            _pem(bag, name, data)
        else:
            _bare(bag, name, data)
    return bag


def _pem(bag: Bag, name: str, data: bytes) -> None:
    begun = _BEGIN.findall(data)
    if sorted(begun) != sorted(_END.findall(data)) or not begun:
        _mistake(bag, "HG-6151", name, reason="a block begins and does not end")
        return
    try:
        blocks = encoding.pem_blocks(data, 2 * MAX_FILE)
    except der.DerError as error:
        _mistake(bag, "HG-6151", name, reason=str(error))
        return
    if len(blocks) != len(begun):
        _mistake(bag, "HG-6151", name, reason="a block is damaged")
        return
    for label, content in blocks:
        _block(bag, name, label, content)


def _block(bag: Bag, name: str, label: str, content: bytes) -> None:
    if label.endswith("CERTIFICATE REQUEST"):
        bag.notes.append(Problem(name, "HG-6177", {"file": name}))
    elif label.endswith("PRIVATE KEY"):
        _mistake(bag, "HG-6153", name)
    elif label in ("CERTIFICATE", "X509 CRL", PEM_LABEL):
        try:
            {"CERTIFICATE": _certificate, "X509 CRL": _crl, PEM_LABEL: _enveloped}[label](
                bag, name, content
            )
        except SecurityError as error:
            _mistake(bag, "HG-6154", name, reason=str(error))
    else:
        _mistake(bag, "HG-6152", name, label=label)


def _bare(bag: Bag, name: str, data: bytes) -> None:
    """DER has no label: the first reader that understands it is right, for their forms do not meet."""
    reason = ""
    if data[:1] == b"\x30":
        for take in (_certificate, _crl, _enveloped):
            try:
                take(bag, name, data)
                return
            except SecurityError as error:
                reason = reason or str(error)
        _mistake(bag, "HG-6151", name, reason=reason)
    else:
        # What every USB stick carries besides: told, and no mistake.
        bag.notes.append(Problem(name, "HG-6178", {"file": name}))


def _certificate(bag: Bag, name: str, content: bytes) -> None:
    certificate = Certificate.load(content)
    known = bag.cas if certificate.is_ca else bag.leaves
    if all(each.certificate.der != certificate.der for each in known):
        known.append(Found(name, certificate))


def _crl(bag: Bag, name: str, content: bytes) -> None:
    bag.crls.append((name, RevocationList.load(content)))


def _enveloped(bag: Bag, name: str, content: bytes) -> None:
    enveloped_spki(content)
    bag.enveloped.append((name, content))


def _mistake(bag: Bag, code: str, name: str, **fields: str | int) -> None:
    bag.mistakes.append(Problem(name, code, {"file": name, **fields}))
