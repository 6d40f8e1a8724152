"""Revocation lists: what is read, whose list counts, and what a box does with an old one."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.issuing import NOW, PROVIDER, drop_field, issue, list_of, set_field, with_fields

from headgate.crypto import der, encoding, extensions
from headgate.crypto.crl import MAX_CRL, Reason, RevocationList, Revoked, check_signature
from headgate.crypto.issue import issue_crl
from headgate.crypto.revocation import MAX_LISTS, Freshness
from headgate.crypto.verify import Usage, verify_chain
from headgate.crypto.x509 import Certificate, KeyUsage, Role
from headgate.errors import CertificateRefused

ROOT, ROOT_KEY = issue("root", Role.CA, None, None)
CITY, CITY_KEY = issue("city", Role.CA, ROOT, ROOT_KEY, path_length=0)
GATEWAY, _ = issue("gw-1", Role.GATEWAY, CITY, CITY_KEY)
OTHER, _ = issue("gw-2", Role.GATEWAY, CITY, CITY_KEY)
CLEAN_ROOT = list_of(ROOT, ROOT_KEY)
CLEAN = list_of(CITY, CITY_KEY)
DAY = timedelta(days=1)


def verify(
    *crls: RevocationList,
    leaf: Certificate = GATEWAY,
    freshness: Freshness = Freshness.BEST_KNOWN,
    at: datetime | None = NOW,
) -> None:
    verify_chain(
        leaf, [CITY], [ROOT], usage=Usage.SIGN, at=at, provider=PROVIDER,
        role=Role.GATEWAY, crls=crls, freshness=freshness,
    )  # fmt: skip


# --- trusting ------------------------------------------------------------------------------------


def test_a_revoked_gateway_is_refused_and_its_neighbour_is_not() -> None:
    crl = list_of(CITY, CITY_KEY, GATEWAY)
    with pytest.raises(CertificateRefused, match=r"revoked it at 2026-04-11.*key compromise"):
        verify(crl)
    verify(crl, leaf=OTHER)


def test_what_a_revoked_ca_issued_is_refused() -> None:
    with pytest.raises(CertificateRefused, match=r"'city'.*revoked"):
        verify(CLEAN, list_of(ROOT, ROOT_KEY, CITY))


def test_an_old_list_still_revokes() -> None:
    crl = list_of(CITY, CITY_KEY, GATEWAY, this_update=NOW - 90 * DAY, next_update=NOW - 60 * DAY)
    for at in (NOW, None):
        with pytest.raises(CertificateRefused, match="revoked"):
            verify(crl, at=at)


def test_a_clean_list_played_back_clears_nobody() -> None:
    newer = list_of(CITY, CITY_KEY, GATEWAY, number=2)
    for crls in ((CLEAN, newer), (newer, CLEAN)):
        with pytest.raises(CertificateRefused, match="revoked"):
            verify(*crls)
    assert newer.is_newer_than(CLEAN)
    assert not CLEAN.is_newer_than(newer)


def test_where_lists_are_required_every_ca_of_the_chain_needs_one_in_force() -> None:
    verify(CLEAN, CLEAN_ROOT, freshness=Freshness.REQUIRED)
    verify()  # and where they are not, none is accepted
    with pytest.raises(CertificateRefused, match="no revocation list of its CA 'city'"):
        verify(CLEAN_ROOT, freshness=Freshness.REQUIRED)
    with pytest.raises(CertificateRefused, match="no revocation list of its CA 'root'"):
        verify(CLEAN, freshness=Freshness.REQUIRED)


def test_a_list_past_its_next_update_or_from_the_future_is_not_in_force() -> None:
    for at in (NOW + 60 * DAY, NOW - 60 * DAY):
        verify(CLEAN, CLEAN_ROOT, at=at)
        with pytest.raises(CertificateRefused, match=r"in force from .* fetch the CA's newest"):
            verify(CLEAN, CLEAN_ROOT, at=at, freshness=Freshness.REQUIRED)
    with pytest.raises(CertificateRefused, match="no time is known"):
        verify(CLEAN, CLEAN_ROOT, at=None, freshness=Freshness.REQUIRED)


def test_a_list_by_a_namesake_of_the_ca_says_nothing() -> None:
    false_city, false_key = issue("city", Role.CA, ROOT, ROOT_KEY)
    verify(list_of(false_city, false_key, GATEWAY))
    with pytest.raises(CertificateRefused, match="no revocation list"):
        verify(list_of(false_city, false_key), CLEAN_ROOT, freshness=Freshness.REQUIRED)


def test_a_ca_without_the_right_to_sign_lists_signs_none() -> None:
    usage = frozenset({KeyUsage.KEY_CERT_SIGN})
    mute, _ = issue("city", Role.CA, ROOT, ROOT_KEY, key=CITY_KEY, key_usage=usage)
    with pytest.raises(CertificateRefused, match="cRLSign"):
        check_signature(CLEAN, mute, PROVIDER)
    with pytest.raises(ValueError, match="does not allow"):
        list_of(mute, CITY_KEY)


def test_whose_list_it_is_is_proved() -> None:
    check_signature(CLEAN, CITY, PROVIDER)
    with pytest.raises(CertificateRefused, match="not of the CA 'root'"):
        check_signature(CLEAN, ROOT, PROVIDER)
    other, other_key = issue("city", Role.CA, ROOT, ROOT_KEY)
    with pytest.raises(CertificateRefused, match="another key of that CA"):
        check_signature(list_of(other, other_key), CITY, PROVIDER)
    altered = with_fields(CLEAN.der, other_key, lambda fields: None)
    with pytest.raises(CertificateRefused, match="signature does not verify"):
        check_signature(RevocationList.load(altered), CITY, PROVIDER)


def test_lists_are_counted() -> None:
    with pytest.raises(CertificateRefused, match=f"more than {MAX_LISTS}"):
        verify(*[CLEAN] * (MAX_LISTS + 1))


# --- reading -------------------------------------------------------------------------------------


def test_a_list_says_whose_it_is_what_it_takes_back_and_until_when() -> None:
    crl = list_of(CITY, CITY_KEY, GATEWAY, OTHER, number=7)
    assert (crl.issuer, crl.issuer_cn, crl.number) == (CITY.subject, "city", 7)
    assert crl.revoked == {
        each.serial: Revoked(NOW, Reason.KEY_COMPROMISE) for each in (GATEWAY, OTHER)
    }
    assert RevocationList.load(crl.pem()) == RevocationList.load(crl.der) == crl
    assert CLEAN.revoked == {}


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_survives(reason: Reason) -> None:
    crl = issue_crl(
        issuer=CITY, issuer_key=CITY_KEY, number=1, this_update=NOW, next_update=NOW,
        revoked={5: Revoked(NOW, reason)},
    )  # fmt: skip
    assert crl.revoked[5].reason is reason


@given(st.binary(max_size=200))
def test_noise_is_refused(noise: bytes) -> None:
    for data in (noise, encoding.to_pem("X509 CRL", noise)):
        with pytest.raises(CertificateRefused):
            RevocationList.load(data)


@given(st.integers(0, 8 * len(CLEAN.der) - 1))
def test_a_list_with_one_changed_bit_is_never_believed(bit: int) -> None:
    changed = bytearray(CLEAN.der)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CertificateRefused):
        check_signature(RevocationList.load(bytes(changed)), CITY, PROVIDER)


def _extensions(*items: bytes) -> Any:
    return set_field(5, der.encode(der.context(0), der.sequence(*items)))


def _entries(*items: bytes) -> Any:
    def change(fields: list[bytes]) -> None:
        fields.insert(5, der.sequence(*items))

    return change


NUMBER = extensions.write("2.5.29.20", der.integer(3))
WHEN = der.instant(NOW)
ENTRY = der.sequence(der.integer(9), WHEN)


def _reason(code: int, *, critical: bool = False, kind: str = "2.5.29.21") -> bytes:
    why = extensions.write(kind, der.encode(der.ENUMERATED, bytes((code,))), critical=critical)
    return der.sequence(der.integer(9), WHEN, der.sequence(why))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (drop_field(0), "version 2"),
        (set_field(0, der.integer(0)), "version 2"),
        (set_field(1, der.sequence(der.oid("1.2.3"))), "two different"),
        (drop_field(4), "when the next list comes"),
        (set_field(4, der.instant(NOW - 50 * DAY)), "ends before it begins"),
        (drop_field(5), "no number"),
        (_extensions(NUMBER, NUMBER), "twice"),
        (_extensions(extensions.write("2.5.29.20", der.integer(-1))), "number is negative"),
        (_extensions(extensions.write("2.5.29.20", der.integer(1 << 160))), "number is negative"),
        (_extensions(NUMBER, extensions.write("2.5.29.27", der.integer(1))), "delta"),
        (_extensions(NUMBER, extensions.write("2.5.29.28", b"\x30\x00", critical=True)), "part"),
        (_extensions(NUMBER, extensions.write("1.2.3", b"", critical=True)), "that we do not know"),
        (_entries(ENTRY, ENTRY), "twice"),
        (_entries(der.sequence(der.integer(1 << 160), WHEN)), "20 octets"),
        (_entries(_reason(8)), "reason"),
        (_entries(_reason(7)), "reason"),
        (_entries(_reason(1, critical=True, kind="2.5.29.29")), "in an entry"),
        (_entries(der.sequence(der.integer(9))), "cut short"),
    ],
)
def test_a_wrong_list_is_refused_and_says_why(change: Any, reason: str) -> None:
    with pytest.raises(CertificateRefused, match=reason):
        RevocationList.load(with_fields(CLEAN.der, CITY_KEY, change))


def test_an_extension_that_is_not_critical_is_ignored() -> None:
    change = _extensions(NUMBER, extensions.write("1.2.3", b"x"))
    assert RevocationList.load(with_fields(CLEAN.der, CITY_KEY, change)).number == 3


def test_a_long_list_is_read_and_a_longer_one_is_not() -> None:
    many = issue_crl(
        issuer=CITY, issuer_key=CITY_KEY, number=1, this_update=NOW, next_update=NOW,
        revoked={1 << 120 | n: Revoked(NOW) for n in range(5_000)},
    )  # fmt: skip
    assert len(RevocationList.load(many.pem()).revoked) == 5_000
    with pytest.raises(CertificateRefused, match="larger than 2048 KiB"):
        RevocationList.load(b"\x30" + bytes(MAX_CRL))
    with pytest.raises(CertificateRefused, match="found 2"):
        RevocationList.load(CLEAN.pem() * 2)
