from __future__ import annotations

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from headgate.cli.certs import app
from headgate.crypto.certs import write_development_pki
from headgate.crypto.issue import make_request, subject_name
from headgate.crypto.provider import CryptoProvider
from headgate.crypto.verify import Usage, verify_chain
from headgate.crypto.x509 import Certificate, Names, Role
from headgate.env import system_env
from headgate.errors import CryptoUnavailable, SecurityError

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def write(folder: Path, gateways: list[str], provider: CryptoProvider) -> set[str]:
    made = write_development_pki(
        folder, gateways, now=NOW, provider=provider, files=system_env().files
    )
    return {str(file.path) for file in made}


def of_gateway(gateway: str) -> set[str]:
    return {f"gateways/{gateway}{suffix}" for suffix in ("", "-encryption", "-link")}


def run(*arguments: str | Path, lang: str = "en") -> tuple[int, str]:
    result = CliRunner().invoke(app, list(map(str, arguments)), env={"HEADGATE_LANG": lang})
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_every_pair_is_written_and_keys_are_private(
    tmp_path: Path, provider: CryptoProvider
) -> None:
    names = write(tmp_path / "pki", ["gw-1"], provider)
    platform = {"platform-encryption", "platform-receipt", "platform-link"}
    people = {"operator", "operator-2", "technician", "publisher"}
    pairs = {"ca", *platform, *people, *of_gateway("gw-1")}
    assert names == {f"{pair}.{kind}" for pair in pairs for kind in ("key", "crt")}
    for path in (tmp_path / "pki").rglob("*.*"):
        wanted = 0o600 if path.suffix == ".key" else 0o644
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path
        if path.suffix == ".crt":
            key = provider.sm2_load_private(path.with_suffix(".key").read_bytes())
            assert key.public.spki == Certificate.load(path.read_bytes()).spki


@pytest.mark.parametrize(
    ("name", "role", "usage"),
    [
        ("gateways/gw-1", Role.GATEWAY, Usage.SIGN),
        ("platform-receipt", Role.PLATFORM_RECEIPT, Usage.SIGN),
        ("gateways/gw-1-encryption", Role.GATEWAY_ENCRYPTION, Usage.ENCRYPT),
        ("gateways/gw-1-link", Role.GATEWAY_LINK, Usage.SIGN),
        ("platform-encryption", Role.PLATFORM_ENCRYPTION, Usage.ENCRYPT),
        ("platform-link", Role.PLATFORM_LINK, Usage.SIGN),
        ("operator", Role.OPERATOR, Usage.SIGN),
        ("operator-2", Role.OPERATOR, Usage.SIGN),
        ("technician", Role.TECHNICIAN, Usage.SIGN),
        ("publisher", Role.PUBLISHER, Usage.SIGN),
    ],
)
def test_each_certificate_is_good_for_its_role_and_no_other(
    tmp_path: Path, provider: CryptoProvider, name: str, role: Role, usage: Usage
) -> None:
    write(tmp_path, ["gw-1"], provider)
    root = Certificate.load((tmp_path / "ca.crt").read_bytes())
    leaf = Certificate.load((tmp_path / f"{name}.crt").read_bytes())
    verify_chain(leaf, [], [root], usage=usage, at=NOW, provider=provider, role=role)
    other = Usage.ENCRYPT if usage is Usage.SIGN else Usage.SIGN
    with pytest.raises(SecurityError, match="key usage"):
        verify_chain(leaf, [], [root], usage=other, at=NOW, provider=provider, role=role)
    assert (leaf.not_after - NOW).days == 731
    assert (root.not_after - NOW).days == 3652


def test_a_gateway_is_added_later_by_the_same_root(
    tmp_path: Path, provider: CryptoProvider
) -> None:
    write(tmp_path, ["gw-1"], provider)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    pairs = of_gateway("gw-2")
    assert write(tmp_path, ["gw-2"], provider) == {
        f"{p}.{kind}" for p in pairs for kind in ("key", "crt")
    }
    assert all(path.read_bytes() == content for path, content in before.items())
    root = Certificate.load((tmp_path / "ca.crt").read_bytes())
    leaf = Certificate.load((tmp_path / "gateways/gw-2.crt").read_bytes())
    verify_chain(leaf, [], [root], usage=Usage.SIGN, at=NOW, provider=provider)


def test_a_platform_is_called_by_this_machines_names_and_by_those_given(tmp_path: Path) -> None:
    run("dev", tmp_path / "a")
    link = Certificate.load((tmp_path / "a/platform-link.crt").read_bytes())
    assert link.names == Names(("localhost",), ("127.0.0.1", "::1"))
    run("dev", tmp_path / "b", "--host", "MQTT.city.example", "--host", "10.0.3.21")
    link = Certificate.load((tmp_path / "b/platform-link.crt").read_bytes())
    assert link.names == Names(
        ("localhost", "mqtt.city.example"), ("127.0.0.1", "::1", "10.0.3.21")
    )
    with pytest.raises(SecurityError) as caught:
        run("dev", tmp_path / "c", "--host", "mqtts://city")
    assert caught.value.code == "HG-6230"
    assert not (tmp_path / "c").exists()


def test_one_gateways_link_is_never_another_gateway(
    tmp_path: Path, provider: CryptoProvider
) -> None:
    with pytest.raises(SecurityError) as caught:
        write(tmp_path, ["gw", "gw-link"], provider)
    assert caught.value.code == "HG-6012"
    write(tmp_path, ["gw"], provider)
    with pytest.raises(SecurityError) as caught:
        write(tmp_path, ["gw-link"], provider)
    assert caught.value.code == "HG-6010"


@pytest.mark.parametrize("gateways", [[], ["gw-1"], ["gw-2", "gw-1"]])
def test_nothing_is_overwritten(
    tmp_path: Path, provider: CryptoProvider, gateways: list[str]
) -> None:
    write(tmp_path, ["gw-1"], provider)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    with pytest.raises(SecurityError) as caught:
        write(tmp_path, gateways, provider)
    assert caught.value.code == "HG-6010"
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before


@pytest.mark.parametrize("missing", ["ca.key", "ca.crt"])
def test_half_an_authority_is_not_completed(
    tmp_path: Path, provider: CryptoProvider, missing: str
) -> None:
    write(tmp_path, [], provider)
    (tmp_path / missing).unlink()
    with pytest.raises(SecurityError) as caught:
        write(tmp_path, ["gw-1"], provider)
    assert caught.value.code == "HG-6011"
    assert missing in str(caught.value)


def test_a_strangers_root_key_is_noticed(tmp_path: Path, provider: CryptoProvider) -> None:
    write(tmp_path, [], provider)
    (tmp_path / "ca.key").write_bytes(provider.sm2_generate().pem())
    with pytest.raises(SecurityError) as caught:
        write(tmp_path, ["gw-1"], provider)
    assert caught.value.code == "HG-6013"


@pytest.mark.parametrize(
    "name", ["", "../ca", "a/b", ".hidden", "x" * 65, "a b", "GW-1", "井1", "gw\n"]
)
def test_a_gateway_id_cannot_leave_its_folder(
    tmp_path: Path, provider: CryptoProvider, name: str
) -> None:
    with pytest.raises(SecurityError) as caught:
        write(tmp_path, [name], provider)
    assert caught.value.code == "HG-6012"
    assert not list(tmp_path.iterdir())


def test_the_command_says_what_each_file_is_for_in_both_languages(tmp_path: Path) -> None:
    status, english = run("dev", tmp_path / "en", "--gateway", "gw-1", "--gateway", "gw-2")
    assert status == 0
    assert "gw-2.key: this gateway's private signing key" in english
    assert "for development" in english
    status, chinese = run("dev", tmp_path / "zh", lang="zh")
    assert status == 0
    assert "ca.crt：根证书" in chinese


def test_show_says_what_a_file_is_and_never_shows_a_key(
    tmp_path: Path, provider: CryptoProvider
) -> None:
    run("dev", tmp_path, "--gateway", "gw-1")
    _, shown = run("show", tmp_path / "gateways/gw-1.crt")
    certificate = Certificate.load((tmp_path / "gateways/gw-1.crt").read_bytes())
    for part in ("gw-1", "headgate-gateway", "digital signature", certificate.fingerprint.hex()):
        assert part in shown
    key_file = tmp_path / "gateways/gw-1.key"
    _, shown = run("show", key_file, lang="zh")
    assert "私钥" in shown
    assert not any(line in shown for line in key_file.read_text().splitlines()[1:-1])
    key = provider.sm2_load_private(key_file.read_bytes())
    request = tmp_path / "gw.csr"
    request.write_bytes(make_request(subject_name("gw-7", Role.GATEWAY), key).pem())
    assert "gw-7" in run("show", request)[1]


def test_the_library_named_in_the_environment_is_the_one_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADGATE_LIBCRYPTO", "/no/such/libcrypto.so")
    with pytest.raises(CryptoUnavailable, match="/no/such/libcrypto"):
        run("dev", tmp_path / "pki")
    assert not list(tmp_path.iterdir())


def test_show_refuses_what_is_not_there_or_not_a_certificate(tmp_path: Path) -> None:
    with pytest.raises(SecurityError) as caught:
        run("show", tmp_path / "none.crt")
    assert caught.value.code == "HG-6014"
    (tmp_path / "noise").write_bytes(b"noise")
    with pytest.raises(SecurityError, match="not a certificate"):
        run("show", tmp_path / "noise")
