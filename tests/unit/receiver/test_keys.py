"""The platform's keys over the years: current, next, retired; two receipt keys while they change."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kit.gateway import Gateway, Gauge
from kit.pki import Party, Pki

from headgate.crypto.issue import ENCRYPT_USAGE
from headgate.crypto.x509 import Role
from headgate.env import SystemFiles
from headgate.envelope.receipt import Receipt, encode_body, join_receipt, verify_receipt
from headgate.errors import ConfigError, SealBroken, SecurityError, SignatureInvalid
from headgate_receiver.keys import FileKeys, load_keys

Write = Callable[[str, Party], None]


@pytest.fixture
def folder(tmp_path: Path, pki: Pki) -> Path:
    (tmp_path / "ca.crt").write_bytes(pki.root.certificate.pem())
    write(tmp_path, "platform-encryption", pki.platform)
    write(tmp_path, "platform-receipt", receipts(pki))
    return tmp_path


def write(folder: Path, stem: str, party: Party) -> None:
    (folder / stem).parent.mkdir(exist_ok=True)
    (folder / f"{stem}.crt").write_bytes(party.certificate.pem())
    (folder / f"{stem}.key").write_bytes(party.key.pem())


def receipts(pki: Pki, name: str = "receipts") -> Party:
    return pki.issue(name, Role.PLATFORM_RECEIPT)


def encryption(pki: Pki) -> Party:
    return pki.issue("platform", Role.PLATFORM_ENCRYPTION, ENCRYPT_USAGE)


def load(folder: Path, pki: Pki) -> FileKeys:
    return load_keys(folder, pki.provider, SystemFiles())[0]


async def test_the_next_key_opens_beside_the_current_one(folder: Path, pki: Pki) -> None:
    following = encryption(pki)
    write(folder, "platform-encryption-next", following)
    keys = load(folder, pki)
    assert keys.recipients == (
        following.certificate.fingerprint,
        pki.platform.certificate.fingerprint,
    )
    assert not keys.retired
    for party in (pki.platform, following):
        wrapped = party.key.public.encrypt(b"secret")
        assert await keys.unwrap(party.certificate.fingerprint, wrapped) == b"secret"


async def test_retired_keys_open_what_a_backlog_of_years_holds(folder: Path, pki: Pki) -> None:
    old = {year: encryption(pki) for year in (2024, 2025)}
    for year, party in old.items():
        write(folder, f"retired/{year}", party)
    keys = load(folder, pki)
    prints = [old[year].certificate.fingerprint for year in (2025, 2024)]
    assert keys.recipients == (pki.platform.certificate.fingerprint, *prints)
    assert set(keys.retired) == set(prints)
    assert await keys.unwrap(prints[1], old[2024].key.public.encrypt(b"x")) == b"x"


def test_a_key_in_use_is_not_retired_by_a_copy_of_it(folder: Path, pki: Pki) -> None:
    write(folder, "retired/2026", pki.platform)
    assert not load(folder, pki).retired


@pytest.mark.parametrize("stem", ["retired/2025", "platform-encryption-next"])
def test_half_a_pair_is_said_and_so_is_another_role(folder: Path, pki: Pki, stem: str) -> None:
    write(folder, stem, encryption(pki))
    (folder / f"{stem}.key").unlink()
    with pytest.raises(ConfigError) as caught:
        load(folder, pki)
    assert [p.code for p in caught.value.problems] == ["HG-7001"]
    write(folder, stem, receipts(pki))
    with pytest.raises(ConfigError) as caught:
        load(folder, pki)
    assert [p.code for p in caught.value.problems] == ["HG-7003"]


def test_no_receipt_key_opens_grants(folder: Path, pki: Pki) -> None:
    party = receipts(pki)
    same = FileKeys({b"x" * 32: pki.platform.key}, [party.key])
    assert same.recipients == (b"x" * 32,)
    with pytest.raises(SecurityError) as caught:
        FileKeys(
            {b"x" * 32: pki.platform.key, b"y" * 32: party.key}, [receipts(pki).key, party.key]
        )
    assert caught.value.code == "HG-7004"


async def test_a_certificate_that_is_not_ours_does_not_open(folder: Path, pki: Pki) -> None:
    with pytest.raises(SealBroken):
        await load(folder, pki).unwrap(bytes(32), b"x")


# ------------------------------------------------------------ receipts that change hands


async def test_while_receipt_keys_change_every_gateway_finds_its_own(
    folder: Path, pki: Pki
) -> None:
    old, new = receipts(pki, "r1"), receipts(pki, "r2")
    write(folder, "platform-receipt", old)
    write(folder, "platform-receipt-next", new)
    keys = load(folder, pki)
    receipt = Receipt("gauge-house-7", b"epoch--1", 1, 3)
    body = encode_body(receipt)
    message = join_receipt(body, *await keys.sign(body))
    stranger = pki.provider.sm2_generate().public
    for pinned in ([old.key.public], [new.key.public], [old.key.public, new.key.public]):
        assert verify_receipt(message, pinned, "gauge-house-7") == receipt
        assert verify_receipt(message, [stranger, *pinned], "gauge-house-7") == receipt
    with pytest.raises(SignatureInvalid):
        verify_receipt(message, [stranger], "gauge-house-7")
    # A gateway that has pinned both takes a receipt of either alone: the change has no instant.
    for signer in (old, new):
        alone = join_receipt(body, signer.key.sign(body))
        assert verify_receipt(alone, [old.key.public, new.key.public], "gauge-house-7") == receipt


# ------------------------------------------------------------ in the receiver


async def test_a_backlog_of_a_retired_key_is_stored(
    platform: Any, gateway: Gateway, gauge: Gauge, pki: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    old = encryption(pki)
    platform.keys = FileKeys(
        {
            pki.platform.certificate.fingerprint: pki.platform.key,
            old.certificate.fingerprint: old.key,
        },
        receipts(pki).key,
        retired=[old.certificate.fingerprint],
    )
    platform.restart()
    with caplog.at_level(logging.WARNING):
        (receipt,) = await platform.deliver(
            gateway.grant(old), gateway.record(gauge.block(10), announce=[gauge.body])
        )
    assert receipt.floor == 1
    assert "HG-7027" in {getattr(record, "code", "") for record in caplog.records}


async def test_a_grant_for_a_key_that_is_destroyed_is_said_and_made_good_by_another(
    platform: Any, gateway: Gateway, gauge: Gauge, pki: Pki
) -> None:
    destroyed = encryption(pki)
    record = gateway.record(gauge.block(10), announce=[gauge.body])
    (answer,) = await platform.deliver(gateway.grant(destroyed), record)
    assert [(v.n, v.code) for v in answer.verdicts] == [(0, 2)], "it asks for the grant"
    ((code, reason),) = platform.rows("SELECT code, reason FROM refusals")
    assert code == "HG-7024"
    assert destroyed.certificate.fingerprint.hex() in reason
    # From its local wrap the gateway grants the same key to the certificate of today.
    (receipt,) = await platform.deliver(gateway.grant())
    assert receipt.floor == 1


async def test_a_certificate_may_have_its_cas_behind_it(folder: Path, pki: Pki) -> None:
    """As a CA below a root writes the file: the holder's own first."""
    path = folder / "platform-encryption.crt"
    path.write_bytes(pki.platform.certificate.pem() + pki.root.certificate.pem())
    assert load(folder, pki).recipients == (pki.platform.certificate.fingerprint,)


async def test_two_holders_in_one_file_are_told(folder: Path, pki: Pki) -> None:
    path = folder / "platform-encryption.crt"
    path.write_bytes(pki.platform.certificate.pem() + encryption(pki).certificate.pem())
    with pytest.raises(ConfigError) as refused:
        load(folder, pki)
    assert [problem.code for problem in refused.value.problems] == ["HG-7002"]
