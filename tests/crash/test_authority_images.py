"""The power fails while a CA issues: whatever the disk then holds, nothing that was handed out is forgotten.

The disk is recorded (`recorded_files.py`); a cut is played after every operation, several images of each.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from recorded_files import RecordedFiles, env_on

from headgate.crypto.authority import CertificateAuthority, Settings, found_root
from headgate.crypto.crl import Reason
from headgate.crypto.enveloped import open_enveloped
from headgate.crypto.issue import make_request, subject_name
from headgate.crypto.provider import default_provider
from headgate.crypto.x509 import Role
from headgate.errors import SecurityError

PROVIDER = default_provider()
CA = Path("/var/ca")
IMAGES = 3
KEY = PROVIDER.sm2_generate()
SIGNING, LINK, RENEWED = (PROVIDER.sm2_generate() for _ in range(3))


class Handed(NamedTuple):
    """What somebody has in hand since an operation of the disk."""

    op: int
    serials: tuple[int, ...] = ()
    revoked: tuple[int, ...] = ()
    crl: int = 0


def wish(key: object) -> object:
    return make_request(subject_name("x", Role.GATEWAY), key)  # type: ignore[arg-type]


def a_day(ca: CertificateAuthority, hand: Callable[..., None]) -> None:
    """A pair, a link, a renewal, a revocation and a list."""
    pair = ca.issue_pair(wish(SIGNING), "gw-1")  # type: ignore[arg-type]
    hand(serials=(pair.signing.serial, pair.encryption.serial))
    link = ca.issue(wish(LINK), Role.GATEWAY_LINK, "gw-1")  # type: ignore[arg-type]
    hand(serials=(link.serial,))
    new = ca.renew_pair(pair.signing.serial, wish(RENEWED))  # type: ignore[arg-type]
    hand(serials=(new.signing.serial, new.encryption.serial))
    ca.revoke(pair.signing.serial, Reason.SUPERSEDED)
    hand(revoked=(pair.signing.serial, pair.encryption.serial))
    hand(crl=ca.crl().number)


def founded() -> RecordedFiles:
    """A disk with a root CA on it; the folder above was there before."""
    files = RecordedFiles()
    files.make_folder(CA.parent)
    files.sync_folder(CA.parent.parent)
    settings = Settings(name="Root", organization="City")
    found_root(env_on(files, 5), CA, settings, PROVIDER, key=KEY)
    return files


@pytest.fixture(scope="module")
def recorded() -> tuple[RecordedFiles, int, list[Handed]]:
    """The disk of such a day, when the CA was there, and what was handed out when."""
    files = founded()
    env = env_on(files, 6)
    begun = files.op
    handed: list[Handed] = []
    ca = CertificateAuthority(env, CA, PROVIDER, KEY)
    a_day(ca, lambda **what: handed.append(Handed(files.op, **what)))
    return files, begun, handed


def test_nothing_that_was_handed_out_is_forgotten(
    recorded: tuple[RecordedFiles, int, list[Handed]],
) -> None:
    files, begun, handed = recorded
    for at in range(begun, files.op + 1):
        for image in range(IMAGES):
            disk = files.cut(random.Random(1000 * at + image), at)
            ca = CertificateAuthority(env_on(disk, at), CA, PROVIDER, KEY)
            for each in handed:
                if each.op > at:
                    continue
                for serial in each.serials:
                    issued = ca.register.find(serial)
                    assert issued is not None, (at, image)
                    assert ca.certificate_of(issued).serial == serial
                assert set(each.revoked) <= set(ca.register.revoked()), (at, image)
                assert each.crl <= ca.register.crl_number, (at, image)


def test_the_day_can_be_gone_through_again_after_any_cut(
    recorded: tuple[RecordedFiles, int, list[Handed]],
) -> None:
    """Everybody asks again what he asked before: each gets one working answer, and no number comes twice."""
    files, begun, handed = recorded
    first = {serial for each in handed for serial in each.serials}
    for at in range(begun, files.op + 1, 3):
        disk = files.cut(random.Random(at), at)
        ca = CertificateAuthority(env_on(disk, 7 * at), CA, PROVIDER, KEY)
        known = {int(issued.serial, 16) for issued in ca.register.issued}
        over = {serial for each in handed if each.revoked for serial in each.revoked}
        if over & set(ca.register.revoked()):
            continue  # the day was over but for the list: nothing is asked again with a revoked key
        pair = ca.issue_pair(wish(SIGNING), "gw-1")  # type: ignore[arg-type]
        opened = open_enveloped(PROVIDER, SIGNING, pair.enveloped)
        assert opened.public.spki == pair.encryption.spki
        new = ca.renew_pair(pair.signing.serial, wish(RENEWED))  # type: ignore[arg-type]
        assert open_enveloped(PROVIDER, RENEWED, new.enveloped).public.spki == new.encryption.spki
        number = ca.register.crl_number
        ca.revoke(pair.signing.serial, Reason.SUPERSEDED)
        assert ca.crl().number == number + 1
        made = {int(issued.serial, 16) for issued in ca.register.issued} - known
        assert not made & first, (
            "a number that stood in nobody's register may still be in somebody's hand"
        )


def test_a_ca_that_was_half_founded_is_refused_and_never_mistaken_for_one() -> None:
    files = founded()
    for at in range(files.op):
        disk = files.cut(random.Random(at), at)
        try:
            ca = CertificateAuthority(env_on(disk, at), CA, PROVIDER, KEY)
        except SecurityError:
            continue
        # All of it happened to be on the medium already.
        assert ca.certificate.spki == KEY.public.spki
        assert ca.register.founded.name == "Root"
