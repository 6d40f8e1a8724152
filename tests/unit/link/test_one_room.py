"""TLS contexts are made in one room, and what a site file says of a link reaches it."""

from __future__ import annotations

import ast
from pathlib import Path

from kit.sm_links import NOW, LinkPki

from headgate import config
from headgate.crypto.x509 import Role
from headgate.env import system_env
from headgate.errors import SecurityError
from headgate.runtime.enrolment.certified import Certified
from headgate.runtime.identity import Identity
from headgate.runtime.linkpair import link_pair
from headgate.runtime.outlets import context_of
from headgate.testing.env import fake_env

ROOT = Path(__file__).parents[3]
MAKERS = {"SSLContext", "create_default_context", "_create_unverified_context", "wrap_socket"}
WEAKENERS = {"CERT_NONE", "CERT_OPTIONAL"}
OURS = (
    "gateway/headgate",
    "plugins/headgate_plugins",
    "receiver/headgate_receiver",
    "drivers/headgate_drivers",
)


def test_no_other_room_makes_a_tls_context() -> None:
    found = set()
    for folder in OURS:
        for file in (ROOT / folder).rglob("*.py"):
            name = file.relative_to(ROOT).as_posix()
            if name.startswith("gateway/headgate/link/"):
                continue
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                # Naming the type is no making of one.
                part = node.func if isinstance(node, ast.Call) else node
                named = MAKERS if isinstance(node, ast.Call) else WEAKENERS
                if (
                    isinstance(part, ast.Attribute)
                    and part.attr in named
                    and isinstance(part.value, ast.Name)
                    and part.value.id == "ssl"
                ):
                    found.add(f"{name}:{part.lineno} ssl.{part.attr}")
    assert found == set()


SITE = """
schema = 1
[gateway]
id = "gate-7"
[[uplink]]
id = "city"
type = "mqtt"
url = "mqtts://platform.example"
link = "rfc8998"
trust = "pinned"
tls_minimum = "1.2"
ca = "root.crt"
crl = "lists.crl"
server_name = "broker.example"
sidecar_user = "tlcp"
client_certificate = "link.crt"
client_key = "{key}"
"""


def options(folder: Path, key: str, **variables: str) -> dict[str, object]:
    (folder / "root.crt").write_text("a root")
    (folder / "site.toml").write_text(SITE.format(key=key))
    site = config.load(system_env(), folder)
    (uplink,) = site.uplink
    return dict(context_of(fake_env(variables=variables), site, uplink, bytes(8)).options)


def test_every_key_of_a_link_reaches_the_uplink(tmp_path: Path) -> None:
    given = options(tmp_path, "file:link.key")
    wanted = {
        "link": "rfc8998",
        "trust": "pinned",
        "tls_minimum": "1.2",
        "ca_pem": "a root",
        "crl": str(tmp_path / "lists.crl"),
        "server_name": "broker.example",
        "sidecar_user": "tlcp",
        "client_certificate": str(tmp_path / "link.crt"),
        "client_key": str(tmp_path / "link.key"),
    }
    assert wanted == {key: given[key] for key in wanted}


def test_a_key_may_be_a_systemd_credential(tmp_path: Path) -> None:
    given = options(tmp_path, "systemd:link-key", CREDENTIALS_DIRECTORY="/run/credentials/headgate")
    assert given["client_key"] == "/run/credentials/headgate/link-key"


def test_what_is_older_or_wider_than_we_would_choose_is_seen_in_a_check(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(
        SITE.format(key="file:link.key").replace("pinned", "system")
    )
    codes = [each.code for each in config.examine(system_env(), tmp_path).problems]
    assert {"HG-1224", "HG-1225"} <= set(codes)


class Kept:
    """A custody that has one key, or a module that gives none out."""

    def __init__(self, key: object) -> None:
        self._key = key

    def find(self, spki: bytes) -> object:
        return self._key


def test_the_pair_of_an_identity_is_its_link_certificate_and_no_other(tmp_path: Path) -> None:
    pki = LinkPki(tmp_path)
    link = pki.gateway()
    signing = pki.issue("gate-7", Role.GATEWAY)
    assert link.certificate.not_after > NOW

    def identity(*chain: object, key: object) -> Identity:
        return Identity(
            "gate-7", signing.key, (signing.certificate,), (), (), None,
            custody=Kept(key), certified=Certified(link=chain),  # type: ignore[arg-type]
        )  # fmt: skip

    pair = link_pair(identity(link.certificate, pki.root.certificate, key=link.key))
    assert pair is not None
    assert pair.chain == link.certificate.pem() + pki.root.certificate.pem()
    assert pair.key == link.key.pem()
    assert link_pair(identity(key=link.key)) is None
    assert link_pair(identity(link.certificate, key=None)) is None


def test_a_module_that_gives_no_key_out_is_a_sentence(tmp_path: Path) -> None:
    class Closed:
        def pem(self) -> bytes:
            raise SecurityError("the module gives no key out")

    link = LinkPki(tmp_path).gateway()
    made = Identity(
        "gate-7", link.key, (), (), (), None,
        custody=Kept(Closed()), certified=Certified(link=(link.certificate,)),  # type: ignore[arg-type]
    )  # fmt: skip
    try:
        link_pair(made)
    except SecurityError:
        return
    raise AssertionError("a key came out of a module")
