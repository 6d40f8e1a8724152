"""A key centre and a relying party in Java (BouncyCastle): certificates, lists and SM2EnvelopedKey."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from kit.issuing import scalar_of

from headgate.crypto import encoding
from headgate.crypto.authority import CertificateAuthority, Settings, found_root, unlock
from headgate.crypto.crl import Reason
from headgate.crypto.enveloped import open_enveloped
from headgate.crypto.issue import make_request, subject_name
from headgate.crypto.provider import default_provider
from headgate.crypto.x509 import Role
from headgate.env import system_env

SOURCE = Path(__file__).parent / "KeyCentre.java"
PROVIDER = default_provider()


def _jar() -> Path | None:
    """BouncyCastle: named in HEADGATE_JAVA_JARS, from Maven's cache, or from Debian."""
    found = [Path(name) for name in os.environ.get("HEADGATE_JAVA_JARS", "").split(":") if name]
    maven = Path.home() / ".m2" / "repository"
    found += sorted(maven.glob("org/bouncycastle/bcprov-jdk18on/*/*.jar"))[-1:]
    found.append(Path("/usr/share/java/bcprov.jar"))
    return next((jar for jar in found if "bcprov" in jar.name and jar.is_file()), None)


JAR = _jar()
pytestmark = [
    pytest.mark.skipif(
        shutil.which("javac") is None or JAR is None,
        reason="the Java key centre needs javac and bcprov (Debian: libbcprov-java); "
        "name the jar in HEADGATE_JAVA_JARS",
    ),
    pytest.mark.timeout(120),
]


class Java:
    """The program, compiled."""

    def __init__(self, folder: Path) -> None:
        self._path = f"{folder}:{JAR}"
        subprocess.run(["javac", "-d", folder, "-cp", str(JAR), SOURCE], check=True)

    def __call__(self, *arguments: str | Path, fails: bool = False) -> str:
        done = subprocess.run(
            ["java", "-cp", self._path, "KeyCentre", *map(str, arguments)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode != 0) is fails, done.stderr
        return (done.stderr if fails else done.stdout).strip()


@pytest.fixture(scope="module")
def java(tmp_path_factory: pytest.TempPathFactory) -> Java:
    return Java(tmp_path_factory.mktemp("classes"))


@pytest.fixture
def ca(tmp_path: Path) -> CertificateAuthority:
    env, folder = system_env(), tmp_path / "ca"
    settings = Settings(name="城市根 CA", organization="City")
    found_root(env, folder, settings, PROVIDER, passphrase="three blind mice", iterations=10_000)
    key = unlock(env.files, folder, "three blind mice", PROVIDER)
    return CertificateAuthority(env, folder, PROVIDER, key)


def test_java_verifies_our_certificate_and_list_and_opens_our_envelope(
    java: Java, ca: CertificateAuthority, tmp_path: Path
) -> None:
    key = PROVIDER.sm2_generate()
    pair = ca.issue_pair(make_request(subject_name("x", Role.GATEWAY), key), "gw-1")
    ca.revoke(pair.signing.serial, Reason.KEY_COMPROMISE)
    ca.crl()
    leaf = tmp_path / "leaf.crt"
    leaf.write_bytes(pair.signing.pem())
    said = java("check", tmp_path / "ca/ca.crt", leaf, tmp_path / "ca/ca.crl").splitlines()
    assert said.pop() == "revoked true"
    assert set(said) == {
        f"{each.serial:x} KEY_COMPROMISE" for each in (pair.signing, pair.encryption)
    }
    ((_, content),) = encoding.pem_blocks(key.pem())
    (tmp_path / "signing.p8").write_bytes(content)
    (tmp_path / "enveloped").write_bytes(pair.enveloped)
    opened = java("open", tmp_path / "signing.p8", tmp_path / "enveloped")
    assert opened == scalar_of(open_enveloped(PROVIDER, key, pair.enveloped)).hex()


def test_we_open_what_a_key_centre_in_java_sealed(
    java: Java, ca: CertificateAuthority, tmp_path: Path
) -> None:
    key = PROVIDER.sm2_generate()
    made = ca.issue(make_request(subject_name("x", Role.GATEWAY), key), Role.GATEWAY, "gw-1")
    leaf, out = tmp_path / "leaf.crt", tmp_path / "out"
    leaf.write_bytes(made.pem())
    scalar = java("seal", leaf, out, os.urandom(32).hex())
    assert scalar_of(open_enveloped(PROVIDER, key, out.read_bytes())).hex() == scalar
