"""A box with several platforms: what its site file must say, and whose receipt frees what."""

from __future__ import annotations

from pathlib import Path

import pytest
from kit.pki import Party, Pki

from headgate import config
from headgate.crypto.issue import ENCRYPT_USAGE
from headgate.crypto.provider import default_provider
from headgate.crypto.x509 import Role
from headgate.env import system_env
from headgate.envelope.receipt import Receipt, make_receipt
from headgate.errors import SecurityError, SignatureInvalid
from headgate.runtime.identity import Identity, load_identity
from headgate.runtime.outlets import Outlets
from headgate.spool import Spool, State
from headgate.testing.env import fake_env


@pytest.fixture(scope="module")
def pki() -> Pki:
    return Pki(default_provider())


class Town:
    """Two platforms, their certificates in files, and a site file that names them."""

    def __init__(self, folder: Path, pki: Pki) -> None:
        self.folder, self.pki = folder, pki
        self.receipts = {
            name: pki.issue(name, Role.PLATFORM_RECEIPT) for name in ("city", "province")
        }
        province = pki.issue("province", Role.PLATFORM_ENCRYPTION, ENCRYPT_USAGE)
        self.bundle("encryption.crt", pki.platform, province)
        self.bundle("receipts.crt", *self.receipts.values())
        self.bundle("ca.crt", pki.root)
        self.bundle("gateway.crt", pki.gateway)
        (folder / "gateway.key").write_bytes(pki.gateway.key.pem())

    def bundle(self, name: str, *parties: Party) -> None:
        pems = b"".join(party.certificate.pem() for party in parties)
        (self.folder / name).write_bytes(pems)

    def load(self, identity: str = "", city: str = "", province: str = "") -> Identity:
        (self.folder / "site.toml").write_text(
            'schema = 1\n[gateway]\nid = "gauge-house-7"\n[state]\nfolder = "state"\n[identity]\n'
            'certificate = "gateway.crt"\nkey = "file:gateway.key"\nca = "ca.crt"\n'
            f'platform_encryption = "encryption.crt"\nplatform_receipt = "receipts.crt"\n{identity}\n'
            f'[[uplink]]\nid = "a"\ntype = "mqtt"\nurl = "mqtt://127.0.0.1"\n{city}\n'
            f'[[uplink]]\nid = "b"\ntype = "mqtt"\nurl = "mqtt://127.0.0.1"\n{province}\n'
        )
        self.site = config.load(system_env(), self.folder)
        return load_identity(system_env(), self.site, self.pki.provider)


CITY, PROVINCE = 'receipts_from = "city"', 'receipts_from = "province"'


@pytest.fixture
def town(tmp_path: Path, pki: Pki) -> Town:
    return Town(tmp_path, pki)


def test_several_platforms_mean_signed_records(town: Town) -> None:
    identity = town.load(city=CITY, province=PROVINCE)
    assert [each.subject_cn for each in identity.recipients] == ["platform", "province"]
    assert identity.signs_records
    assert len(identity.receipt_keys) == 2


def test_to_have_them_without_signatures_is_refused(town: Town) -> None:
    with pytest.raises(SecurityError) as caught:
        town.load("sign_records = false", CITY, PROVINCE)
    assert caught.value.code == "HG-6112"
    assert caught.value.fields["platforms"] == "platform, province"


def test_an_uplink_must_say_whose_receipts_count(town: Town) -> None:
    with pytest.raises(SecurityError) as caught:
        town.load(city=CITY)
    assert (caught.value.code, caught.value.fields["uplink"]) == ("HG-6115", "b")
    town.load(city=CITY, province='ack = "broker"')


@pytest.mark.parametrize("signed", [None, True, False])
def test_with_one_platform_it_is_as_one_says(town: Town, pki: Pki, signed: bool | None) -> None:
    town.bundle("encryption.crt", pki.platform)
    identity = town.load("" if signed is None else f"sign_records = {str(signed).lower()}")
    assert identity.signs_records is bool(signed)


def test_no_platform_frees_what_is_kept_for_another(town: Town, tmp_path: Path) -> None:
    identity = town.load(city=CITY, province=PROVINCE)
    env = fake_env()
    spool, state = Spool(env, tmp_path / "spool", ballast_bytes=4096), State(env, tmp_path / "s.db")
    spool.open()
    state.open()
    try:
        outlets = Outlets(
            env, spool, state, b"epoch--1", identity, None,  # type: ignore[arg-type]
            lambda item: None, lambda name: None, lambda key_ids: None,
        )  # fmt: skip
        boxes = {entry.id: outlets.open(entry, town.site) for entry in town.site.uplink}
        receipt = Receipt("gauge-house-7", b"epoch--1", 1, 0)
        by = {name: make_receipt(receipt, party.key) for name, party in town.receipts.items()}
        assert boxes["a"].receipt(by["city"]).settled == 0
        assert boxes["b"].receipt(by["province"]).settled == 0
        for box, message in (("a", by["province"]), ("b", by["city"])):
            with pytest.raises(SignatureInvalid):
                boxes[box].receipt(message)
    finally:
        state.close()
        spool.close()
