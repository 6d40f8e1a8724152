from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.pki import EPOCH, KEY_ID, NOW, SALT, SECRET, Party, Pki

from headgate.crypto.issue import ENCRYPT_USAGE
from headgate.crypto.provider import CryptoProvider
from headgate.crypto.x509 import Role
from headgate.envelope.grant import (
    Grant,
    check_grant,
    derive,
    make_core,
    parse_core,
    sign_grant,
    unwrap_local,
    verify_grant,
    wrap_local,
)
from headgate.errors import CertificateRefused, EnvelopeError, SealBroken, SignatureInvalid

REFUSALS = (EnvelopeError, CertificateRefused, SignatureInvalid, SealBroken)


async def accept(
    pki: Pki, message: bytes, party: Party | None = None, at: datetime = NOW, **changes: Any
) -> Grant:
    party = party or pki.platform

    async def unwrap(certificate: bytes, ciphertext: bytes) -> bytes:
        assert certificate == party.certificate.fingerprint
        return party.key.decrypt(ciphertext)

    arguments: dict[str, Any] = {
        "anchors": [pki.root.certificate],
        "recipients": [party.certificate.fingerprint],
        "unwrap": unwrap,
        "at": at,
    }
    return await verify_grant(pki.provider, message, **{**arguments, **changes})


def parts(message: bytes) -> list[Any]:
    found: list[Any] = msgspec.msgpack.decode(message[4:])
    return found


def joined(*parts: Any) -> bytes:
    return b"HG\x02\x01" + msgspec.msgpack.encode(parts)


async def test_the_platform_gets_the_key_that_the_gateway_has(pki: Pki) -> None:
    grant = await accept(pki, pki.grant())
    assert (grant.gateway, grant.epoch) == ("gauge-house-7", EPOCH)
    assert grant.key == derive(pki.provider, SECRET, pki.core())
    assert (grant.key.key_id, grant.key.salt) == (KEY_ID, SALT)
    assert grant.certificate == pki.gateway.certificate.fingerprint


async def test_each_of_several_recipients_opens_it(pki: Pki) -> None:
    second = pki.issue("regional platform", Role.PLATFORM_ENCRYPTION, ENCRYPT_USAGE)
    message = pki.grant(pki.platform, second, core=pki.core(signed=True))
    assert await accept(pki, message) == await accept(pki, message, second)


async def test_a_key_that_several_have_must_promise_signed_records(pki: Pki) -> None:
    second = pki.issue("regional platform", Role.PLATFORM_ENCRYPTION, ENCRYPT_USAGE)
    with pytest.raises(ValueError, match="not signed"):
        pki.grant(pki.platform, second)
    # Somebody else's gateway may make one all the same: then either could forge for the other.
    _, listing, _, certificates = parts(pki.grant(pki.platform, second, core=pki.core(signed=True)))
    bare = pki.core().raw
    signature = pki.gateway.key.sign(len(bare).to_bytes(4, "big") + bare + listing)
    with pytest.raises(EnvelopeError, match="not signed"):
        await accept(pki, joined(bare, listing, signature, certificates))


async def test_the_promise_is_part_of_the_key(pki: Pki) -> None:
    bare, signed = pki.core(), pki.core(signed=True)
    assert derive(pki.provider, SECRET, bare).key != derive(pki.provider, SECRET, signed).key
    assert derive(pki.provider, SECRET, bare).core is None
    assert derive(pki.provider, SECRET, signed).core == pki.provider.sm3(signed.raw)


def test_a_policy_from_the_future_is_refused(pki: Pki) -> None:
    fields = msgspec.msgpack.decode(pki.core(signed=True).raw)
    with pytest.raises(EnvelopeError, match="policy 2"):
        parse_core(msgspec.msgpack.encode([*fields[:7], 2]))


async def test_the_same_key_granted_later_to_others_is_the_same_key(pki: Pki) -> None:
    late = pki.issue("enrolled weeks later", Role.PLATFORM_ENCRYPTION, ENCRYPT_USAGE)
    first, again = await accept(pki, pki.grant()), await accept(pki, pki.grant(late), late)
    assert first == again


async def test_a_grant_for_others_is_refused(pki: Pki) -> None:
    other = pki.issue("another platform", Role.PLATFORM_ENCRYPTION, ENCRYPT_USAGE)
    with pytest.raises(EnvelopeError, match="other recipients"):
        await accept(pki, pki.grant(other))


async def test_a_swapped_wrapped_key_is_refused(pki: Pki) -> None:
    core, _, signature, certificates = parts(pki.grant())
    _, swapped, _, _ = parts(pki.grant(secret=bytes(32)))
    with pytest.raises(SignatureInvalid):
        await accept(pki, joined(core, swapped, signature, certificates))


async def test_a_grant_under_another_gateways_certificate_is_refused(pki: Pki) -> None:
    other = pki.issue("gauge-house-8", Role.GATEWAY)
    with pytest.raises(SignatureInvalid, match="another signer"):
        await accept(pki, pki.grant(signer=other))


async def test_a_gateway_cannot_speak_for_another(pki: Pki) -> None:
    core = make_core(
        pki.provider, "gauge-house-8", pki.gateway.certificate.spki, EPOCH, KEY_ID, SALT
    )
    to, chain = [pki.platform.certificate], [pki.gateway.certificate]
    message = sign_grant(pki.provider, core, to, SECRET, pki.gateway.key, chain)
    with pytest.raises(SignatureInvalid, match="gauge-house-8"):
        await accept(pki, message)


async def test_a_certificate_of_another_root_is_refused(pki: Pki, provider: CryptoProvider) -> None:
    stranger = Pki(provider)
    with pytest.raises(CertificateRefused):
        await accept(pki, stranger.grant(pki.platform))


async def test_a_certificate_of_another_role_is_refused(pki: Pki) -> None:
    receipt = pki.issue("gauge-house-7", Role.PLATFORM_RECEIPT)
    with pytest.raises(CertificateRefused, match="OU"):
        await accept(pki, pki.grant(signer=receipt))


async def test_an_expired_certificate_is_refused(pki: Pki) -> None:
    with pytest.raises(CertificateRefused, match="expired"):
        await accept(pki, pki.grant(), at=NOW + timedelta(days=10_000))


async def test_a_revoked_certificate_is_refused(pki: Pki) -> None:
    with pytest.raises(CertificateRefused, match="revoked"):
        await accept(pki, pki.grant(), revoked={pki.gateway.certificate.fingerprint})


async def test_a_secret_of_another_size_is_refused(pki: Pki) -> None:
    async def short(certificate: bytes, ciphertext: bytes) -> bytes:
        return bytes(16)

    with pytest.raises(SealBroken, match="16 bytes"):
        await accept(pki, pki.grant(), unwrap=short)


@pytest.mark.parametrize("part", range(4))
async def test_every_altered_byte_of_a_grant_is_noticed(pki: Pki, part: int) -> None:
    whole = parts(pki.grant())
    target = whole[part][0] if part == 3 else whole[part]
    for at in range(0, len(target), 1 if part < 2 else 7):
        altered = bytearray(target)
        altered[at] ^= 1
        changed = [bytes(altered)] if part == 3 else bytes(altered)
        with pytest.raises(REFUSALS):
            await accept(pki, joined(*whole[:part], changed, *whole[part + 1 :]))


@pytest.mark.parametrize(
    "core",
    [
        ["headgate-grant-v2", 1, "g", bytes(32), bytes(8), bytes(8), bytes(4)],
        ["headgate-grant-v1", 2, "g", bytes(32), bytes(8), bytes(8), bytes(4)],
        ["headgate-grant-v1", 1, "Gate/+", bytes(32), bytes(8), bytes(8), bytes(4)],
        ["headgate-grant-v1", 1, "g\n", bytes(32), bytes(8), bytes(8), bytes(4)],
        ["headgate-grant-v1", 1, "", bytes(32), bytes(8), bytes(8), bytes(4)],
        ["headgate-grant-v1", 1, "g", bytes(31), bytes(8), bytes(8), bytes(4)],
        ["headgate-grant-v1", 1, "g", bytes(32), bytes(7), bytes(8), bytes(4)],
        ["headgate-grant-v1", 1, "g", bytes(32), bytes(8), bytes(8), bytes(5)],
        ["headgate-grant-v1", 1, "g"],
    ],
)
def test_a_core_of_another_form_is_refused(core: Any) -> None:
    with pytest.raises(EnvelopeError):
        parse_core(msgspec.msgpack.encode(core))


def test_no_more_recipients_or_certificates_than_allowed(pki: Pki) -> None:
    whole = parts(pki.grant())
    many = msgspec.msgpack.encode([[bytes(32), b"x"]] * 9)
    for message in (
        joined(whole[0], many, *whole[2:]),
        joined(whole[0], msgspec.msgpack.encode([]), *whole[2:]),
        joined(*whole[:3], whole[3] * 9),
        joined(*whole[:3], []),
        b"HG\x02\x01" + bytes(20_000),
    ):
        with pytest.raises(EnvelopeError):
            check_grant(pki.provider, message, [pki.root.certificate], NOW)


@pytest.fixture(scope="module")
def granted(pki: Pki) -> bytes:
    return pki.grant()


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_hostile_grants_are_refused(pki: Pki, granted: bytes, data: st.DataObject) -> None:
    message = bytearray(granted)
    for _ in range(data.draw(st.integers(1, 3))):
        message[data.draw(st.integers(0, len(message) - 1))] ^= data.draw(st.integers(1, 255))
    noise = data.draw(st.binary(max_size=100))
    for hostile in (bytes(message), noise, b"HG\x02\x01" + noise):
        try:
            checked = check_grant(pki.provider, hostile, [pki.root.certificate], NOW)
        except REFUSALS:
            continue
        # Two alterations may undo each other, and a non-minimal length is no other grant.
        assert checked.core == pki.core()


def test_a_secret_kept_at_home_comes_back_only_at_home(pki: Pki) -> None:
    core, kek, nonce = pki.core(), b"k" * 16, b"n" * 12
    wrapped = wrap_local(pki.provider, kek, SECRET, core, nonce)
    assert unwrap_local(pki.provider, kek, wrapped, core) == SECRET
    with pytest.raises(SealBroken):
        unwrap_local(pki.provider, b"K" * 16, wrapped, core)
    with pytest.raises(SealBroken):
        unwrap_local(pki.provider, kek, wrapped, pki.core("gauge-house-8"))
    for size in range(len(wrapped)):
        with pytest.raises(SealBroken):
            unwrap_local(pki.provider, kek, wrapped[:size], core)
