"""Controls that two technicians stand behind, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest
from kit.pki import NOW, Party, Pki
from msgspec.structs import replace

from headgate import config
from headgate.config import Site, controls_digest
from headgate.crypto.provider import default_provider
from headgate.crypto.x509 import Role
from headgate.env import system_env
from headgate.envelope.signers import Trust
from headgate.errors import SecurityError
from headgate.runtime.commands.signed import check_signed, sign, write_signatures

PROVIDER = default_provider()
PKI = Pki(PROVIDER)
TRUST = Trust((PKI.root.certificate,), NOW)
FILES = system_env().files
MA, LIU = PKI.issue("ma.jun", Role.TECHNICIAN), PKI.issue("liu.fang", Role.TECHNICIAN)

SITE = """
schema = 1
[gateway]
id = "gauge-house-7"
[controls]
signed = true
[[channel]]
id = "plc"
url = "modbus+tcp://10.0.0.1:502"
[[device]]
id = "pump-1"
channel = "plc"
address = 1
profile = "generic/pump-station-modbus"
[[control]]
device = "pump-1"
point = "pump1_run"
on_lease_end = "auto"
auto_point = "pump1_auto"
[[uplink]]
id = "city"
type = "mqtt"
url = "mqtt://127.0.0.1:1883"
"""


def load(folder: Path, text: str = SITE) -> Site:
    (folder / "site.toml").write_text(text, encoding="utf-8")
    found = config.examine(system_env(), folder).partial
    assert found is not None
    return found


def signed_by(folder: Path, site: Site, *people: Party) -> None:
    signatures = [sign(PROVIDER, site, each.key, [each.certificate]) for each in people]
    (folder / "controls.sig").write_bytes(write_signatures(signatures))


def counts(site: Site, trust: Trust = TRUST) -> bool:
    try:
        check_signed(PROVIDER, FILES, site, trust)
    except SecurityError as error:
        return error.code != "HG-6561"
    return True


def test_two_technicians_stand_behind_the_controls(tmp_path: Path) -> None:
    site = load(tmp_path)
    assert not counts(site)
    signed_by(tmp_path, site, MA)
    assert not counts(site)
    signed_by(tmp_path, site, MA, MA)
    assert not counts(site)
    signed_by(tmp_path, site, MA, PKI.issue("Ma.Jun", Role.TECHNICIAN))
    assert not counts(site)
    signed_by(tmp_path, site, MA, LIU)
    assert counts(site)


def test_an_operator_a_stranger_or_somebody_revoked_does_not(tmp_path: Path) -> None:
    site = load(tmp_path)
    for other in (
        PKI.issue("liu.fang", Role.OPERATOR),
        Pki(PROVIDER, "another root").issue("liu.fang", Role.TECHNICIAN),
    ):
        signed_by(tmp_path, site, MA, other)
        assert not counts(site)
    signed_by(tmp_path, site, MA, LIU)
    gone = replace(TRUST, revoked=lambda c: c.subject_cn == "liu.fang")
    assert not counts(site, gone)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('on_lease_end = "auto"', 'on_lease_end = "hold"'),
        ("address = 1", "address = 2"),
        ("10.0.0.1", "10.0.0.2"),
        ("pump1_run", "pump2_run"),
        ("gauge-house-7", "gauge-house-8"),
        ("signed = true", 'signed = true\ntoken = "60s"'),
        ('profile = "generic/pump-station-modbus"', 'profile = "generic/pump-controller"'),
        ('auto_point = "pump1_auto"', 'auto_point = "pump1_auto"\nlease = "24h"'),
    ],
)
def test_what_was_changed_is_signed_anew(tmp_path: Path, old: str, new: str) -> None:
    site = load(tmp_path)
    signed_by(tmp_path, site, MA, LIU)
    assert not counts(load(tmp_path, SITE.replace(old, new)))


def test_what_does_not_matter_needs_no_signature(tmp_path: Path) -> None:
    site = load(tmp_path)
    signed_by(tmp_path, site, MA, LIU)
    other = SITE.replace("[[uplink]]", "# moved\n[[uplink]]").replace("1883", "1884")
    other += '[[channel]]\nid = "far"\nurl = "modbus+tcp://10.0.0.9:502"\n'
    assert counts(load(tmp_path, other.replace('lease = "30min"', "")))
    assert controls_digest(site, PROVIDER.sm3) == controls_digest(
        load(tmp_path, SITE.replace("[controls]", '[controls]\ntoken = "10s"')), PROVIDER.sm3
    )


def test_a_file_that_is_none_of_ours_is_a_sentence(tmp_path: Path) -> None:
    site = load(tmp_path)
    for text in (
        "[[[",
        "[[signature]]\nwho = 1",
        '[[signature]]\nwho="a"\ncertificate="b"\nsignature="c"',
    ):
        (tmp_path / "controls.sig").write_text(text)
        assert not counts(site)
