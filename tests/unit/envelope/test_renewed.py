"""A gateway that was renewed vouches for what it sealed before; nobody else can."""

from __future__ import annotations

from datetime import timedelta

import pytest
from kit.pki import EPOCH, KEY_ID, NOW, SALT, SECRET, Party, Pki

from headgate.crypto.issue import SIGN_USAGE
from headgate.crypto.provider import default_provider
from headgate.crypto.x509 import Certificate, Role
from headgate.envelope.grant import GrantCore, check_grant, make_core, sign_again, sign_grant
from headgate.errors import CertificateRefused, SecurityError, SignatureInvalid

PROVIDER = default_provider()
LATER = NOW + timedelta(days=400)


@pytest.fixture
def pki() -> Pki:
    return Pki(PROVIDER)


def old(pki: Pki, name: str = "gauge-house-7") -> Party:
    """A certificate that has run out by LATER."""
    return pki.issue(name, Role.GATEWAY, SIGN_USAGE, days=700)


def core_of(party: Party, *, signed: bool = False) -> GrantCore:
    spki = party.certificate.spki
    return make_core(PROVIDER, "gauge-house-7", spki, EPOCH, KEY_ID, SALT, signed=signed)


def granted(pki: Pki, core: GrantCore, by: Party, former: Certificate | None) -> bytes:
    to = [pki.platform.certificate]
    return sign_grant(PROVIDER, core, to, SECRET, by.key, [by.certificate], former)


@pytest.mark.parametrize("signed", [False, True])
def test_a_grant_under_a_certificate_that_ran_out_is_good_again_under_the_next(
    pki: Pki, signed: bool
) -> None:
    before, now = old(pki), pki.gateway
    core = core_of(before, signed=signed)
    first = granted(pki, core, before, None)
    anchors = [pki.root.certificate]
    assert check_grant(PROVIDER, first, anchors, NOW).core == core
    with pytest.raises(CertificateRefused):
        check_grant(PROVIDER, first, anchors, LATER)
    again = sign_again(first, now.key, [now.certificate], before.certificate)
    checked = check_grant(PROVIDER, again, anchors, LATER)
    assert checked.core == core
    # Records that are signed bear the signature of then.
    assert checked.signer == (before if signed else now).certificate.spki


def test_without_its_earlier_certificate_it_is_another_signer(pki: Pki) -> None:
    before, now = old(pki), pki.gateway
    message = granted(pki, core_of(before), now, None)
    with pytest.raises(SignatureInvalid):
        check_grant(PROVIDER, message, [pki.root.certificate], LATER)


def test_another_gateways_earlier_certificate_vouches_for_nothing(pki: Pki) -> None:
    theirs = old(pki, "pump-9")
    message = granted(pki, core_of(theirs), pki.gateway, theirs.certificate)
    with pytest.raises(SignatureInvalid):
        check_grant(PROVIDER, message, [pki.root.certificate], LATER)


def test_an_earlier_certificate_of_a_strangers_ca_or_of_another_role_is_refused(pki: Pki) -> None:
    stranger = Pki(PROVIDER, "stranger")
    for former in (
        old(stranger),
        pki.issue("gauge-house-7", Role.GATEWAY_LINK, SIGN_USAGE, days=700),
    ):
        message = granted(pki, core_of(former), pki.gateway, former.certificate)
        with pytest.raises(SecurityError):
            check_grant(PROVIDER, message, [pki.root.certificate], LATER)


def test_the_thief_of_an_old_key_makes_no_grant(pki: Pki) -> None:
    """He has the old private key and both certificates, and not the new key."""
    before, now = old(pki), pki.gateway
    core = core_of(before)
    to = [pki.platform.certificate]
    for certificates in ([before.certificate], [now.certificate]):
        forged = sign_grant(
            PROVIDER, core, to, SECRET, before.key, certificates, before.certificate
        )
        with pytest.raises(SecurityError):
            check_grant(PROVIDER, forged, [pki.root.certificate], LATER)


def test_after_a_revocation_the_next_certificate_vouches_but_not_for_signatures(pki: Pki) -> None:
    before, now = old(pki), pki.gateway
    revoked = {before.certificate.fingerprint}
    anchors = [pki.root.certificate]
    plain = granted(pki, core_of(before), now, before.certificate)
    assert check_grant(PROVIDER, plain, anchors, NOW, revoked).certificate not in revoked
    signed = granted(pki, core_of(before, signed=True), now, before.certificate)
    with pytest.raises(CertificateRefused):
        check_grant(PROVIDER, signed, anchors, NOW, revoked)
