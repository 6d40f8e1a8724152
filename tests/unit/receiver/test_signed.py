"""Records that bear the gateway's signature: what is believed, what is not, and what is kept as evidence."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kit.gateway import Gateway, Gauge
from kit.pki import Pki

from headgate.crypto.issue import ENCRYPT_USAGE
from headgate.crypto.x509 import Certificate, Role
from headgate.envelope.chain import Chain, Proof, Sealed, check
from headgate.envelope.record import HEADER_SIZE, Sealer

COUNT = "SELECT count(*) FROM readings"


def verdicts(receipts: list[Any]) -> list[tuple[int, int]]:
    return [(v.n, v.code) for receipt in receipts for v in receipt.verdicts]


def codes(platform: Any) -> list[str]:
    return [code for (code,) in platform.rows("SELECT code FROM refusals ORDER BY id")]


@pytest.fixture
def signing(pki: Pki) -> Gateway:
    return Gateway(pki, signs=True)


def forge(gateway: Gateway, n: int, payload: bytes, *, sign: bool) -> bytes:
    """What another platform makes with the record key that it was granted."""
    if not sign:
        return Sealer(gateway.pki.provider).seal(gateway.key, gateway.epoch, n, payload)
    chain = Chain(gateway.pki.provider)
    chain.signed_by(gateway.pki.provider.sm2_generate())
    sealer = Sealer(gateway.pki.provider)
    return sealer.seal_signed(gateway.key, gateway.epoch, n, payload, chain)


async def test_a_signed_reading_is_stored_with_what_proves_it(
    platform: Any, signing: Gateway, gauge: Gauge
) -> None:
    (receipt,) = await platform.deliver(
        signing.grant(), signing.link(), signing.record(gauge.block(10), announce=[gauge.body])
    )
    assert receipt.floor == 2
    origins = platform.rows("SELECT origin, proved_us = received_us FROM reading_origins")
    assert origins == [("signed", 1)] * 2
    assert platform.rows("SELECT * FROM chain_gaps") == []


async def test_a_reading_that_is_only_sealed_says_so(
    platform: Any, gateway: Gateway, gauge: Gauge
) -> None:
    await platform.deliver(gateway.grant(), gateway.record(gauge.block(1), announce=[gauge.body]))
    assert platform.rows("SELECT DISTINCT origin FROM reading_origins") == [("sealed",)]


async def test_the_evidence_convinces_somebody_who_has_only_the_certificate(
    platform: Any, signing: Gateway, gauge: Gauge, pki: Pki
) -> None:
    await platform.deliver(signing.grant(), signing.record(gauge.block(10), announce=[gauge.body]))
    platform.restart()
    ((core, der, *parts),) = platform.rows(
        "SELECT g.core, c.der, s.header, s.lengths, s.frame, s.previous, s.signature, s.link"
        " FROM signed_records AS s JOIN grants AS g ON g.key_id = substr(s.header, 9, 8)"
        " JOIN certificates AS c ON c.digest = g.certificate"
    )
    header, lengths, frame, previous, signature, link = parts
    key = pki.provider.sm2_load_public(Certificate.load(der).spki)
    sealed, proof = Sealed(header, lengths, frame), Proof(previous, signature)
    assert check(pki.provider, pki.provider.sm3(core), sealed, proof, key) == link


@pytest.mark.parametrize("sign", [False, True])
async def test_another_platform_with_the_key_cannot_forge_a_record(
    platform: Any, signing: Gateway, gauge: Gauge, pki: Pki, sign: bool
) -> None:
    other = pki.issue("province", Role.PLATFORM_ENCRYPTION, ENCRYPT_USAGE)
    forged = forge(
        signing, 0, signing.payload(gauge.block(99, level=9), announce=[gauge.body]), sign=sign
    )
    answers = await platform.deliver(signing.grant(pki.platform, other), forged)
    # Not `stored`, and not `refused for good` either: both would cost the gateway its own record 0.
    assert verdicts(answers) == [(0, 4)]
    assert codes(platform) == ["HG-7025"]
    assert platform.rows(COUNT) == [(0,)]
    (receipt,) = await platform.deliver(signing.record(gauge.block(10), announce=[gauge.body]))
    assert receipt.floor == 1
    assert platform.rows("SELECT DISTINCT at_us FROM readings") == [(10,)]


async def test_a_true_record_sealed_anew_with_wrong_lengths_does_not_cost_it(
    platform: Any, signing: Gateway, gauge: Gauge, pki: Pki
) -> None:
    true = signing.record(gauge.block(10), announce=[gauge.body])
    header, nonce = true[:HEADER_SIZE], signing.key.salt + true[24:32]
    plaintext = bytearray(
        pki.provider.sm4_gcm_open(signing.key.key, nonce, true[HEADER_SIZE:], header)
    )
    plaintext[7] ^= 1
    anew = header + pki.provider.sm4_gcm_seal(signing.key.key, nonce, bytes(plaintext), header)
    assert verdicts(await platform.deliver(signing.grant(), anew)) == [(0, 4)]
    (receipt,) = await platform.deliver(true)
    assert (receipt.floor, receipt.verdicts) == (1, ())


async def test_a_grant_to_several_without_signatures_is_refused(
    platform: Any, gateway: Gateway, pki: Pki
) -> None:
    import msgspec

    other = pki.issue("province", Role.PLATFORM_ENCRYPTION, ENCRYPT_USAGE)
    wrapped = [
        [each.certificate.fingerprint, each.key.public.encrypt(gateway.secret)]
        for each in (pki.platform, other)
    ]
    listing, core = msgspec.msgpack.encode(wrapped), gateway.core.raw
    signature = gateway.identity.key.sign(len(core).to_bytes(4, "big") + core + listing)
    parts = [core, listing, signature, [gateway.identity.certificate.der]]
    await platform.deliver(b"HG\x02\x01" + msgspec.msgpack.encode(parts))
    assert platform.rows("SELECT count(*) FROM grants") == [(0,)]
    assert codes(platform) == ["HG-6005"]


async def test_a_record_that_is_missing_shows_as_a_gap_until_it_comes(
    platform: Any, signing: Gateway, gauge: Gauge
) -> None:
    first, lost, last = signing.link(), signing.record(), signing.record()
    await platform.deliver(signing.grant(), first, last)
    gaps = "SELECT after_n, before_n FROM chain_gaps"
    assert platform.rows(gaps) == [(0, 2)]
    await platform.deliver(lost)
    assert platform.rows(gaps) == []
    assert platform.rows("SELECT code FROM alarms") == []


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
async def test_records_that_one_gateway_signed_in_two_places_raise_an_alarm(
    platform: Any, signing: Gateway, order: tuple[int, ...]
) -> None:
    first = signing.link()
    # A memory image was cloned: both go on from the same record, with the same keys.
    twin = Gateway(signing.pki, signs=True)
    twin.n, twin.chain = signing.n, copy.copy(signing.chain)
    ours = signing.record(), signing.record()
    twin.seal(twin.payload(Gauge(signing.pki).block(3), announce=[Gauge(signing.pki).body]))
    theirs = twin.record()
    records = (first, ours[0], theirs)
    await platform.deliver(signing.grant(), *(records[at] for at in order))
    ((code, said),) = platform.rows("SELECT code, text FROM alarms WHERE source = 'receiver'")
    assert code == "chain-fork"
    assert "two boxes sign" in said


async def test_a_chain_goes_on_over_a_change_of_keys_and_a_restart_of_the_receiver(
    platform: Any, signing: Gateway
) -> None:
    await platform.deliver(signing.grant(), signing.link(), signing.record())
    platform.restart()
    signing.new_key(b"key-id-2", b"salz", bytes(32))
    (receipt,) = await platform.deliver(signing.grant(), signing.record(), signing.record())
    assert receipt.floor == 4
    assert platform.rows("SELECT * FROM chain_gaps") == []
    assert platform.rows("SELECT count(*) FROM alarms") == [(0,)]


# ------------------------------------------------------------ replay and splice


async def test_a_record_taken_to_another_epoch_gateway_or_key_is_nobodys(
    platform: Any, pki: Pki, gauge: Gauge
) -> None:
    other_party = pki.issue("gauge-house-8", Role.GATEWAY)
    for signs in (False, True):
        epoch = b"epoch--s" if signs else b"epoch--1"
        mine = Gateway(pki, signs=signs, epoch=epoch)
        later = Gateway(pki, signs=signs, epoch=epoch[:-1] + b"9", key_id=b"key-id-9")
        other = Gateway(pki, signs=signs, identity=other_party, epoch=epoch, key_id=b"key-id-8")
        record = mine.record(gauge.block(10), announce=[gauge.body])
        await platform.deliver(mine.grant(), later.grant())
        await platform.deliver(other.grant(), sender="gauge-house-8")
        before = platform.rows("SELECT count(*) FROM records")
        spliced = [
            record[:8] + later.key.key_id + later.epoch + record[24:],
            record[:8] + other.key.key_id + record[16:],
            record[:24] + (7).to_bytes(8, "big") + record[32:],
        ]
        for each in spliced:
            (answer,) = await platform.deliver(each)
            assert [v.code for v in answer.verdicts] == [4]
            assert not answer.floor and not answer.stored
        assert platform.rows("SELECT count(*) FROM records") == before
        (receipt,) = await platform.deliver(record)
        assert (receipt.gateway, receipt.floor) == ("gauge-house-7", 1)


async def test_a_record_under_another_gateways_topic_is_still_its_own(
    platform: Any, signing: Gateway, gauge: Gauge
) -> None:
    await platform.deliver(signing.grant(), sender="gauge-house-8")
    (receipt,) = await platform.deliver(
        signing.record(gauge.block(10), announce=[gauge.body]), sender="gauge-house-8"
    )
    assert receipt.gateway == "gauge-house-7"
    assert platform.rows("SELECT DISTINCT gateway FROM readings") == [("gauge-house-7",)]


async def test_replayed_a_week_later_everything_is_told_as_known_and_stored_once(
    platform: Any, signing: Gateway, gauge: Gauge
) -> None:
    messages = [
        signing.grant(), signing.link(), signing.record(gauge.block(10), announce=[gauge.body]),
    ]  # fmt: skip
    await platform.deliver(*messages)
    platform.restart()
    for _ in range(3):
        (receipt,) = await platform.deliver(*reversed(messages))
        assert (receipt.floor, receipt.verdicts) == (2, ())
    assert platform.rows(COUNT) == [(2,)]
    assert codes(platform) == []


async def test_a_grant_of_another_gateway_cannot_take_over_a_key_id(
    platform: Any, signing: Gateway, gauge: Gauge, pki: Pki
) -> None:
    thief = Gateway(pki, signs=True, identity=pki.issue("gauge-house-8", Role.GATEWAY))
    await platform.deliver(thief.grant())
    await platform.deliver(signing.grant())
    (receipt,) = await platform.deliver(signing.record(gauge.block(1), announce=[gauge.body]))
    assert receipt.gateway == "gauge-house-7"
    (receipt,) = await platform.deliver(thief.record(gauge.block(2)), sender="gauge-house-8")
    assert receipt.gateway == "gauge-house-8"


async def test_a_replayed_grant_with_another_core_changes_nothing(
    platform: Any, signing: Gateway, pki: Pki
) -> None:
    await platform.deliver(signing.grant())
    bare = Gateway(pki)  # the same names, but a core that asks for no signatures
    await platform.deliver(bare.grant())
    assert codes(platform) == ["HG-7020"]
    assert verdicts(await platform.deliver(bare.record())) == [(0, 4)]


async def test_a_revoked_gateway_is_believed_no_more_also_for_keys_it_had(
    platforms: Callable[[str], Any], signing: Gateway, pki: Pki, tmp_path: Path
) -> None:
    platform = platforms("city")
    await platform.deliver(signing.grant(), signing.link())
    platform.core.revoked = {pki.gateway.certificate.fingerprint}
    assert await platform.deliver(signing.record()) == []
    assert codes(platform) == ["HG-7022"]
