from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from kit.gateway import Gateway
from kit.pki import NOW, Party, Pki

from headgate.cli.certs.show import describe
from headgate.crypto.crl import Revoked as Revocation
from headgate.crypto.issue import issue_crl
from headgate.crypto.x509 import Role
from headgate.env import SystemFiles, system_env
from headgate.envelope.grant import sign_again
from headgate.errors import ConfigError
from headgate_receiver.cli import _read_again
from headgate_receiver.revoked import read_revoked


def test_what_certs_show_prints_is_what_the_list_takes(tmp_path: Path, pki: Pki) -> None:
    certificate = pki.gateway.certificate
    (shown,) = describe(certificate.pem(), pki.provider, "en")
    fingerprint = next(line.split()[-1] for line in shown.splitlines() if "SM3" in line)
    path = tmp_path / "revoked"
    path.write_text(f"# stolen\n\n{fingerprint}  # gauge-house-7\n{'AB' * 32}\n", encoding="utf-8")
    assert read_revoked(path, SystemFiles()) == {certificate.fingerprint, b"\xab" * 32}


def test_every_line_that_is_no_fingerprint_is_named(tmp_path: Path) -> None:
    path = tmp_path / "revoked"
    path.write_text(f"{'ab' * 32}\nab:cd\n{'ab' * 31}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_revoked(path, SystemFiles())
    assert [(each.where, each.code) for each in caught.value.problems] == [
        (f"{path}:2", "HG-7007"),
        (f"{path}:3", "HG-7007"),
    ]


def test_without_its_list_the_receiver_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_revoked(tmp_path / "none", SystemFiles())
    assert [each.code for each in caught.value.problems] == ["HG-7006"]


def test_a_list_read_again_replaces_the_old_one_unless_it_is_wrong(
    tmp_path: Path, platform: Any, caplog: pytest.LogCaptureFixture
) -> None:
    path, core = tmp_path / "revoked", platform.core
    path.write_text("ab" * 32, encoding="utf-8")
    _read_again(core, path, system_env())
    assert core.revoked == {b"\xab" * 32}
    path.write_text("ab" * 31, encoding="utf-8")
    with caplog.at_level(logging.ERROR):
        _read_again(core, path, system_env())
    assert core.revoked == {b"\xab" * 32}
    assert "stay as they were" in caplog.text


# ------------------------------------------------------------ a CA's own lists


def listed(pki: Pki, *parties: Party, by: Party | None = None) -> str:
    authority = by or pki.root
    revoked = {party.certificate.serial: Revocation(NOW) for party in parties}
    crl = issue_crl(
        issuer=authority.certificate, issuer_key=authority.key, revoked=revoked, number=1,
        this_update=NOW, next_update=NOW + timedelta(days=1),
    )  # fmt: skip
    return crl.pem().decode()


async def test_what_a_list_of_the_root_revokes_is_believed_no_more(
    tmp_path: Path, platform: Any, pki: Pki
) -> None:
    lost, good = (pki.issue(name, Role.GATEWAY) for name in ("gauge-9", "gauge-10"))
    gateways = [
        Gateway(pki, identity=party, epoch=f"epoch-{n}--"[:8].encode(), key_id=f"key-{n}---".encode()[:8])
        for n, party in enumerate((lost, good))
    ]  # fmt: skip
    await platform.deliver(*(each.grant() for each in gateways))
    path = tmp_path / "revoked"
    path.write_text(f"# of this week\n{listed(pki, lost)}\n{'ab' * 32}\n", encoding="utf-8")
    anchors = [pki.root.certificate]
    platform.core.revoked = read_revoked(path, SystemFiles(), anchors, pki.provider)
    assert await platform.deliver(gateways[0].link(), sender="gauge-9") == []
    (receipt,) = await platform.deliver(gateways[1].link(), sender="gauge-10")
    assert receipt.floor == 1
    gateways[0].new_key(b"key-new-", b"salz", bytes(32))
    await platform.deliver(gateways[0].grant())
    codes = [code for (code,) in platform.rows("SELECT code FROM refusals ORDER BY id")]
    assert codes == ["HG-7022", "HG-6004"]


@pytest.mark.parametrize("revoked", ["the old one", "the new one"])
async def test_neither_a_revoked_gateway_nor_its_successor_vouches_for_signed_records(
    tmp_path: Path, platform: Any, pki: Pki, revoked: str
) -> None:
    before, now = (pki.issue("gauge-11", Role.GATEWAY) for _ in range(2))
    box = Gateway(pki, identity=before, epoch=b"epoch-11", key_id=b"key-id11", signs=True)
    again = sign_again(box.grant(), now.key, [now.certificate], before.certificate)
    lost = before if revoked == "the old one" else now
    for lists in (listed(pki, lost), lost.certificate.fingerprint.hex()):
        path = tmp_path / "revoked"
        path.write_text(lists, encoding="utf-8")
        anchors = [pki.root.certificate]
        platform.core.revoked = read_revoked(path, SystemFiles(), anchors, pki.provider)
        await platform.deliver(again)
    assert platform.rows("SELECT count(*) FROM grants") == [(0,)]
    platform.core.revoked = ()
    (receipt,) = await platform.deliver(again, box.link(), sender="gauge-11")
    assert receipt.floor == 1, "unless it is revoked, the next certificate vouches for the last"


async def test_what_a_listed_certificate_granted_counts_again_when_its_successor_vouches(
    tmp_path: Path, platform: Any, pki: Pki
) -> None:
    before, now = (pki.issue("gauge-12", Role.GATEWAY) for _ in range(2))
    box = Gateway(pki, identity=before, epoch=b"epoch-12", key_id=b"key-id12")
    await platform.deliver(box.grant(), sender="gauge-12")
    path = tmp_path / "revoked"
    path.write_text(listed(pki, before), encoding="utf-8")
    anchors = [pki.root.certificate]
    platform.core.revoked = read_revoked(path, SystemFiles(), anchors, pki.provider)
    waiting = box.link()
    assert await platform.deliver(waiting, sender="gauge-12") == []
    again = sign_again(box.grant(), now.key, [now.certificate], before.certificate)
    (receipt,) = await platform.deliver(again, waiting, sender="gauge-12")
    assert receipt.floor == 1
    platform.restart()
    platform.core.revoked = read_revoked(path, SystemFiles(), anchors, pki.provider)
    (receipt,) = await platform.deliver(box.record(), sender="gauge-12")
    assert receipt.floor == 2


def test_a_list_of_somebody_else_or_altered_stops_the_start(tmp_path: Path, pki: Pki) -> None:
    stranger = Pki(pki.provider)
    path, anchors = tmp_path / "revoked", [pki.root.certificate]
    good = listed(pki, pki.gateway)
    for text in (
        listed(stranger, pki.gateway),
        good.replace(good.splitlines()[3][:8], "AAAAAAAA"),
        "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n",
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError) as caught:
            read_revoked(path, SystemFiles(), anchors, pki.provider)
        assert [each.code for each in caught.value.problems] == ["HG-7032"]
    path.write_text(good, encoding="utf-8")
    assert len(read_revoked(path, SystemFiles(), anchors, pki.provider)) == 1


def test_an_enormous_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "revoked"
    with path.open("wb") as file:
        file.truncate(9 << 20)
    with pytest.raises(ConfigError) as caught:
        read_revoked(path, SystemFiles())
    assert [each.code for each in caught.value.problems] == ["HG-7006"]
