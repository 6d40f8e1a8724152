"""`headgate certs` as a district runs it: an offline root, an issuing CA, a box that is lost."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from headgate.cli.certs import app
from headgate.crypto import encoding
from headgate.crypto.enveloped import open_enveloped
from headgate.crypto.provider import default_provider
from headgate.crypto.x509 import Role, load_certificates
from headgate.errors import SecurityError

PROVIDER = default_provider()
PASSPHRASE = "three blind mice"


def run(*arguments: str | Path, lang: str = "en", typed: str | None = None) -> str:
    """The output of a command that must work."""
    variables = {"HEADGATE_LANG": lang, "CA_PASS": PASSPHRASE}
    result = CliRunner().invoke(app, list(map(str, arguments)), env=variables, input=typed)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def refused(code: str, *arguments: str | Path, **named: Any) -> None:
    with pytest.raises(SecurityError) as caught:
        run(*arguments, **named)
    assert caught.value.code == code, caught.value


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A passphrase's derivation that costs nothing."""
    from headgate.crypto.authority import change_passphrase, found_root, prepare

    for made in (found_root, prepare, change_passphrase):
        monkeypatch.setitem(made.__kwdefaults__, "iterations", 10_000)


@pytest.fixture
def ca(quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An issuing CA below an offline root, made as the pages say."""
    monkeypatch.chdir(tmp_path)
    named = ("--organization", "City water", "--passphrase", "env:CA_PASS")
    run("init", "root", "--name", "City root", *named)
    run("sub-ca", "ca", "--name", "City CA", *named)
    issued = (
        "ca/ca.csr",
        "--role",
        "ca",
        "--out",
        "carried/city-ca",
        "--passphrase",
        "env:CA_PASS",
    )
    run("issue", "root", *issued)
    run("init", "other", "--name", "Another root", *named)
    said = run("install", "ca", "carried/city-ca.crt", "other/ca.crt", "root/chain.crt")
    assert "Its root: City root" in said
    return tmp_path / "ca"


def issue(ca: Path, name: str, role: str, *more: str) -> str:
    """A request of somebody's, and its certificate; the serial number."""
    run("request", f"own/{name}", "--role", role, "--name", name)
    said = run("issue", ca, f"own/{name}.csr", "--role", role, "--passphrase", "env:CA_PASS", *more)
    return re.findall(r"serial ([0-9a-f]+)", said)[-1]


def test_a_gateway_gets_its_pair_and_everything_in_it_fits(ca: Path, tmp_path: Path) -> None:
    issue(ca, "gw-1", "gateway", "--pair")
    key = PROVIDER.sm2_load_private((tmp_path / "own/gw-1.key").read_bytes())
    assert stat.S_IMODE((tmp_path / "own/gw-1.key").stat().st_mode) == 0o600
    signing, between = load_certificates((tmp_path / "own/gw-1.crt").read_bytes())
    encryption, _ = load_certificates((tmp_path / "own/gw-1-encryption.crt").read_bytes())
    assert (signing.role, encryption.role) == (Role.GATEWAY, Role.GATEWAY_ENCRYPTION)
    assert (signing.spki, between.subject_cn) == (key.public.spki, "City CA")
    enveloped = (tmp_path / "own/gw-1-encryption.enveloped").read_bytes()
    assert open_enveloped(PROVIDER, key, enveloped).public.spki == encryption.spki
    trusted = ("--ca", "root/ca.crt")
    assert "gw-1 < City CA < City root" in run("verify", "own/gw-1.crt", *trusted)
    run("verify", "own/gw-1-encryption.crt", *trusted, "--role", "gateway-encryption")
    refused("HG-6302", "verify", "own/gw-1.crt", *trusted, "--role", "operator")


def test_a_lost_box_is_taken_back_whole(ca: Path, tmp_path: Path) -> None:
    for name, role in (("gw-1", "gateway"), ("gw-2", "gateway")):
        issue(ca, name, role, "--pair")
    run("request", "own/gw-1-link", "--role", "gateway-link", "--name", "gw-1")
    issued = ("own/gw-1-link.csr", "--role", "gateway-link", "--passphrase", "env:CA_PASS")
    run("issue", ca, *issued)
    said = run("revoke", ca, "gw-1", "--reason", "lost")
    assert len(re.findall(r"Revoked: ", said)) == 3
    assert "carry it out" in said
    assert "with 3 certificates" in run("crl", ca, "--passphrase", "env:CA_PASS")
    checked = ("--ca", "root/ca.crt", "--crl", "ca/ca.crl")
    for file in ("gw-1", "gw-1-encryption", "gw-1-link"):
        with pytest.raises(SecurityError, match="key compromise"):
            run("verify", f"own/{file}.crt", *checked)
    run("verify", "own/gw-2.crt", *checked)
    with pytest.raises(SecurityError, match="'City root' is at hand"):
        run("verify", "own/gw-2.crt", *checked, "--lists-required")
    shown = run("show", "ca/ca.crl")
    assert "Revocation list 1 of City CA" in shown
    assert shown.count("key compromise") == 3
    assert "gw-1" not in run("list", ca)
    assert run("list", ca, "--all").count("revoked") == 3


def test_a_platform_link_says_where_it_is_met(ca: Path) -> None:
    issue(ca, "mqtt.city.example", "platform-link", "--host", "mqtt.city.example", "--days", "90")
    shown = run("show", "own/mqtt.city.example.crt")
    assert "names      mqtt.city.example" in shown
    assert "tls server" in shown
    assert "mqtt.city.example" in run("list", ca, "--expiring", "91")
    assert run("list", ca, "--expiring", "89") == ""


def test_a_renewal_names_what_it_follows(ca: Path, tmp_path: Path) -> None:
    single, pair = issue(ca, "王丽", "operator"), issue(ca, "gw-1", "gateway", "--pair")
    for name, serial in (("wang-2", single), ("gw-1-2", pair)):
        role = "operator" if serial == single else "gateway"
        run("request", f"own/{name}", "--role", role, "--name", "x")
        run("renew", ca, serial, f"own/{name}.csr", "--passphrase", "env:CA_PASS")
    again = ("own/gw-1.csr", "--passphrase", "env:CA_PASS", "--out", "own/again")
    refused("HG-6234", "renew", ca, pair, *again)
    (renewed, _) = load_certificates((tmp_path / "own/wang-2.crt").read_bytes())
    assert renewed.subject_cn == "王丽"
    assert (tmp_path / "own/gw-1-2-encryption.enveloped").exists()
    assert len(run("list", ca).splitlines()) == 6


def test_a_root_lives_as_long_as_it_is_told(quick: None, tmp_path: Path) -> None:
    named = ("--name", "Root", "--organization", "City", "--passphrase", "env:CA_PASS")
    run("init", tmp_path / "root", *named, "--days", "3652", "--depth", "0")
    (root,) = load_certificates((tmp_path / "root/ca.crt").read_bytes())
    assert (root.not_after - root.not_before).days == 3653
    assert root.path_length == 0


def test_a_ca_is_renewed_for_its_own_key(ca: Path, tmp_path: Path) -> None:
    (serial,) = [line.split()[0] for line in run("list", "root").splitlines()]
    renewed = ("--days", "4000", "--out", "carried/again", "--passphrase", "env:CA_PASS")
    run("renew", "root", serial, "ca/ca.csr", *renewed)
    run("install", "ca", "carried/again.crt", "root/chain.crt")
    (first, _) = load_certificates((tmp_path / "ca/chain.crt").read_bytes())
    assert f"{first.serial:x}" != serial
    issue(ca, "gw-1", "gateway")
    run("verify", "own/gw-1.crt", "--ca", "root/ca.crt")


def test_the_passphrase_is_asked_for_and_is_never_an_argument(
    quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    named = ("--name", "Root", "--organization", "City")
    said = run("init", "root", *named, typed=f"{PASSPHRASE}\n{PASSPHRASE}\n")
    assert PASSPHRASE not in said
    run("crl", "root", typed=f"{PASSPHRASE}\n")
    refused("HG-6211", "crl", "root", typed="another one altogether\n")
    refused("HG-6261", "crl", "root", "--passphrase", PASSPHRASE)
    refused("HG-1300", "crl", "root", "--passphrase", "env:NOT_THERE")
    (tmp_path / "pass").write_text(PASSPHRASE + "\n")
    run("crl", "root", "--passphrase", "file:pass")
    refused("HG-6210", "init", "short", *named, typed="short\nshort\n")
    assert not (tmp_path / "short").exists()


def test_the_passphrase_is_changed_when_somebody_leaves(ca: Path) -> None:
    changed = ("passphrase", ca, "--passphrase", "env:CA_PASS")
    said = run(*changed, typed="four and twenty blackbirds\n" * 2)
    assert "still open with the old one" in said
    refused("HG-6211", "crl", ca, "--passphrase", "env:CA_PASS")
    run("crl", ca, typed="four and twenty blackbirds\n")
    before = (ca / "ca.key").read_bytes()
    refused("HG-6211", *changed, typed="another one altogether\n" * 2)
    assert (ca / "ca.key").read_bytes() == before


def test_nothing_is_issued_that_could_not_be_written(ca: Path, tmp_path: Path) -> None:
    run("request", "own/gw-1", "--role", "gateway", "--name", "gw-1")
    (tmp_path / "own/gw-1.crt").write_text("mine")
    issued = ("own/gw-1.csr", "--role", "gateway", "--passphrase", "env:CA_PASS")
    refused("HG-6010", "issue", ca, *issued)
    assert run("list", ca) == ""
    assert (tmp_path / "own/gw-1.crt").read_text() == "mine"


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        ("HG-6262", ("issue", "ca", "own/o.csr", "--role", "king")),
        ("HG-6267", ("issue", "ca", "own/o.csr", "--role", "operator", "--pair")),
        ("HG-6230", ("issue", "ca", "own/o.csr", "--role", "platform-link", "--host", "a b")),
        ("HG-6220", ("request", "own/p", "--role", "gateway", "--name", "GW 1")),
        ("HG-6010", ("request", "own/o", "--role", "operator", "--name", "o")),
        ("HG-6270", ("revoke", "ca", "o", "--reason", "because")),
        ("HG-6227", ("revoke", "ca", "nobody", "--reason", "lost")),
        ("HG-6227", ("revoke", "ca", "12:34", "--reason", "lost")),
        ("HG-6014", ("list", "nowhere")),
        ("HG-6014", ("crl", "nowhere", "--passphrase", "env:CA_PASS")),
    ],
)
def test_a_mistake_is_told_by_its_own_sentence(
    ca: Path, code: str, arguments: tuple[str, ...]
) -> None:
    run("request", "own/o", "--role", "operator", "--name", "o")
    extra = ("--passphrase", "env:CA_PASS") if arguments[0] == "issue" else ()
    refused(code, *arguments, *extra)


def test_a_key_that_is_sealed_is_told_from_one_that_is_not(ca: Path) -> None:
    issue(ca, "gw-1", "gateway", "--pair")
    sealed = run("show", "ca/ca.key")
    assert "under a passphrase" in sealed
    assert "PRIVATE" not in sealed
    encryption = run("show", "own/gw-1-encryption.enveloped", lang="zh")
    assert "密钥中心" in encryption


def test_what_is_in_a_file_without_a_label_is_found_out(ca: Path, tmp_path: Path) -> None:
    issue(ca, "gw-1", "gateway", "--pair")
    run("crl", ca, "--passphrase", "env:CA_PASS")
    for file, said in (
        ("ca/ca.crl", "Revocation list 1"),
        ("ca/ca.crt", "Certificate of City CA"),
        ("own/gw-1.csr", "Certificate request of gw-1"),
        ("own/gw-1-encryption.enveloped", "from a key centre"),
    ):
        ((_, content),) = encoding.pem_blocks((tmp_path / file).read_bytes())
        (tmp_path / "bare").write_bytes(content)
        assert said in run("show", "bare")
