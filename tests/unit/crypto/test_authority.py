"""The CA in a folder: what it issues and refuses, and what a power cut leaves of it."""

from __future__ import annotations

import shutil
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from headgate.crypto.authority import (
    CertificateAuthority,
    Settings,
    State,
    checked_names,
    found_root,
    install,
    open_key_file,
    prepare,
    seal_key_file,
    unlock,
)
from headgate.crypto.crl import Reason, RevocationList
from headgate.crypto.custody_module import ModuleKey
from headgate.crypto.custody_standin import StandIn
from headgate.crypto.enveloped import open_enveloped
from headgate.crypto.issue import make_request, subject_name
from headgate.crypto.policy import TERMS
from headgate.crypto.provider import Sm2PrivateKey, default_provider
from headgate.crypto.requests import Request
from headgate.crypto.verify import Usage, verify_ca, verify_chain
from headgate.crypto.x509 import Certificate, KeyUsage, Names, Purpose, Role, load_certificates
from headgate.env import SystemFiles
from headgate.errors import SecurityError
from headgate.testing.env import FakeEnv, ManualClock, fake_env

PROVIDER = default_provider()
PASSPHRASE = "three blind mice"
QUICK = 10_000
DAY = timedelta(days=1)


def asked(name: str = "anything") -> tuple[Request, Sm2PrivateKey]:
    key = PROVIDER.sm2_generate()
    return make_request(subject_name(name, Role.GATEWAY), key), key


def request() -> Request:
    return asked()[0]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def env(clock: ManualClock) -> FakeEnv:
    return fake_env(clock)


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root and an issuing CA below it, as they are on the first day. Not to be written to."""
    env, folder = fake_env(ManualClock()), tmp_path_factory.mktemp("founded")
    given: dict[str, Any] = {"passphrase": PASSPHRASE, "iterations": QUICK}
    settings = Settings(name="City root", organization="City water")
    found_root(env, folder / "root", settings, PROVIDER, **given)
    settings = Settings(
        name="City issuing CA", organization="City water", crl_url="http://pki.city.example/ca.crl"
    )
    wish = prepare(env, folder / "ca", settings, PROVIDER, **given)
    root = opened(env, folder / "root")
    made = root.issue(wish, Role.CA, "City issuing CA")
    install(env, folder / "ca", [made, *root.chain], PROVIDER)
    return folder


@pytest.fixture
def root(env: FakeEnv, founded: Path, tmp_path: Path) -> CertificateAuthority:
    shutil.copytree(founded / "root", tmp_path / "root")
    return opened(env, tmp_path / "root")


@pytest.fixture
def ca(env: FakeEnv, founded: Path, tmp_path: Path) -> CertificateAuthority:
    """The issuing CA below the root."""
    shutil.copytree(founded / "ca", tmp_path / "ca")
    return opened(env, tmp_path / "ca")


def opened(env: FakeEnv, folder: Path) -> CertificateAuthority:
    key = unlock(env.files, folder, PASSPHRASE, PROVIDER)
    return CertificateAuthority(env, folder, PROVIDER, key)


def verify(ca: CertificateAuthority, leaf: Certificate, usage: Usage, **more: Any) -> None:
    verify_chain(
        leaf, ca.chain[:-1], ca.chain[-1:], usage=usage, at=ca.now(), provider=PROVIDER, **more
    )


def refused(code: str, call: Any, *given: Any, **named: Any) -> SecurityError:
    with pytest.raises(SecurityError) as caught:
        call(*given, **named)
    assert caught.value.code == code, caught.value
    return caught.value


# --- what is issued ------------------------------------------------------------------------------


def test_a_root_and_the_ca_below_it_are_chained(
    root: CertificateAuthority, ca: CertificateAuthority
) -> None:
    assert [each.subject_cn for each in ca.chain] == ["City issuing CA", "City root"]
    assert [each.path_length for each in ca.chain] == [0, 1]
    verify_ca(ca.certificate, [], root.chain, at=ca.now(), provider=PROVIDER)
    assert (root.certificate.not_after - root.now()).days == 7305
    assert [issued.name for issued in root.register.issued] == ["City issuing CA"]


@pytest.mark.parametrize(
    ("role", "name"),
    [
        (Role.GATEWAY, "gw-1"),
        (Role.GATEWAY_LINK, "gw-1"),
        (Role.PLATFORM_ENCRYPTION, "City platform"),
        (Role.PLATFORM_RECEIPT, "City platform"),
        (Role.PLATFORM_LINK, "mqtt.city.example"),
        (Role.OPERATOR, "王丽 wang.li"),
        (Role.TECHNICIAN, "Chen Jun"),
        (Role.PUBLISHER, "Gauge Works Ltd"),
    ],
)
def test_every_role_gets_what_its_terms_say_and_is_good_for_that(
    ca: CertificateAuthority, role: Role, name: str
) -> None:
    names = Names(("mqtt.city.example",), ("10.0.3.21",)) if role is Role.PLATFORM_LINK else None
    made = ca.issue(request(), role, name, names=names)
    terms = TERMS[role]
    assert (made.subject_cn, made.role, made.key_usage) == (name, role, terms.key_usage)
    assert made.purposes == (frozenset(p.value for p in terms.purposes) or None)
    assert made.names == (names or Names())
    assert made.not_after - ca.now() == terms.life
    assert made.not_before == ca.certificate.not_before  # a day ago, and not before its CA
    encrypts = role is Role.PLATFORM_ENCRYPTION
    verify(ca, made, Usage.ENCRYPT if encrypts else Usage.SIGN, role=role)
    with pytest.raises(SecurityError, match="key usage"):
        verify(ca, made, Usage.SIGN if encrypts else Usage.ENCRYPT, role=role)


def test_no_role_both_signs_and_encrypts() -> None:
    sign = {KeyUsage.DIGITAL_SIGNATURE, KeyUsage.CONTENT_COMMITMENT, KeyUsage.KEY_CERT_SIGN}
    encrypt = {KeyUsage.KEY_ENCIPHERMENT, KeyUsage.DATA_ENCIPHERMENT, KeyUsage.KEY_AGREEMENT}
    assert set(TERMS) == set(Role)
    for terms in TERMS.values():
        assert bool(terms.key_usage & sign) is not bool(terms.key_usage & encrypt)
        assert Purpose.ANY not in terms.purposes


def test_a_gateway_gets_a_pair_and_only_it_can_open_the_encryption_key(
    ca: CertificateAuthority,
) -> None:
    wish, key = asked()
    pair = ca.issue_pair(wish, "gw-1")
    assert pair.signing.spki == key.public.spki
    encryption = open_enveloped(PROVIDER, key, pair.enveloped)
    assert encryption.public.spki == pair.encryption.spki != pair.signing.spki
    verify(ca, pair.signing, Usage.SIGN, role=Role.GATEWAY)
    verify(ca, pair.encryption, Usage.ENCRYPT, role=Role.GATEWAY_ENCRYPTION)
    first, second = ca.register.issued
    assert (first.pair, second.pair) == (second.serial, first.serial)


def test_nothing_of_the_request_but_its_key_is_heeded(ca: CertificateAuthority) -> None:
    key = PROVIDER.sm2_generate()
    cunning = make_request(subject_name("City issuing CA", Role.CA), key)
    made = ca.issue(cunning, Role.GATEWAY_LINK, "gw-1")
    assert (made.subject_cn, made.role, made.is_ca) == ("gw-1", Role.GATEWAY_LINK, False)


def test_names_are_as_the_standard_writes_them(ca: CertificateAuthority) -> None:
    made = ca.issue(request(), Role.OPERATOR, "王丽")
    country = bytes.fromhex("310b3009060355040613024351").replace(b"CQ", b"CN")  # PrintableString
    assert made.subject[2:].startswith(country)
    assert b"\x0c\x06" + "王丽".encode() in made.subject  # UTF8String
    assert b"http://pki.city.example/ca.crl" in made.tbs


def test_serial_numbers_are_long_unlike_and_never_the_clocks(ca: CertificateAuthority) -> None:
    serials = [ca.issue(request(), Role.GATEWAY, f"gw-{n}").serial for n in range(8)]
    assert {serial.bit_length() for serial in serials} == {127}
    assert len({serial >> 64 for serial in serials}) == 8
    assert serials != sorted(serials)


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "name"),
    [
        (Role.GATEWAY, "GW 1"),
        (Role.GATEWAY, "../ca"),
        (Role.GATEWAY, "gw\n"),
        (Role.GATEWAY_LINK, ""),
        (Role.GATEWAY, "x" * 65),
        (Role.OPERATOR, ""),
        (Role.OPERATOR, " wang"),
        (Role.OPERATOR, "wang\x1b[2J"),
        (Role.OPERATOR, "王" * 65),
    ],
)
def test_a_name_that_a_role_cannot_bear(ca: CertificateAuthority, role: Role, name: str) -> None:
    refused("HG-6220", ca.issue, request(), role, name)
    assert ca.register.issued == ()


def test_host_names_are_for_platform_links_alone(ca: CertificateAuthority) -> None:
    refused("HG-6221", ca.issue, request(), Role.PLATFORM_LINK, "mqtt")
    here = Names(("a.example",), ())
    refused("HG-6221", ca.issue, request(), Role.GATEWAY_LINK, "gw-1", names=here)
    for wrong in ("mqtts://city", "a b", "-a", "a..b", "a/", "x" * 64, "1.2.3.4/8", "*", "井"):
        refused("HG-6230", checked_names, [wrong])
    told = checked_names(["A.example", "a.EXAMPLE", "*.b.example", "::0001", "::1", "10.1.2.3"])
    assert told == Names(("a.example", "*.b.example"), ("::1", "10.1.2.3"))


def test_one_name_has_one_holder_until_he_renews_or_is_revoked(ca: CertificateAuthority) -> None:
    first = ca.issue(request(), Role.GATEWAY, "gw-1")
    error = refused("HG-6223", ca.issue, request(), Role.GATEWAY, "gw-1")
    assert error.fields["serial"] == f"{first.serial:x}"
    refused("HG-6223", ca.issue_pair, request(), "gw-1")
    ca.issue(request(), Role.GATEWAY_LINK, "gw-1")  # another role is another certificate
    ca.revoke(first.serial, Reason.SUPERSEDED)
    ca.issue(request(), Role.GATEWAY, "gw-1")


def test_no_key_serves_two_purposes_or_two_holders(ca: CertificateAuthority) -> None:
    wish = request()
    ca.issue(wish, Role.GATEWAY, "gw-1")
    refused("HG-6224", ca.issue, wish, Role.GATEWAY, "gw-2")
    refused("HG-6224", ca.issue, wish, Role.GATEWAY_LINK, "gw-1")
    refused("HG-6224", ca.issue_pair, wish, "gw-2")


def test_the_cas_own_key_gets_no_certificate_from_it(
    env: FakeEnv, ca: CertificateAuthority, tmp_path: Path
) -> None:
    own = unlock(env.files, tmp_path / "ca", PASSPHRASE, PROVIDER)
    wish = make_request(subject_name("x", Role.CA), own)
    refused("HG-6224", ca.issue, wish, Role.GATEWAY, "gw-1")


def test_a_revoked_key_never_comes_back(ca: CertificateAuthority) -> None:
    wish = request()
    made = ca.issue(wish, Role.GATEWAY, "gw-1")
    ca.revoke(made.serial, Reason.KEY_COMPROMISE)
    refused("HG-6225", ca.issue, wish, Role.GATEWAY, "gw-1")


def test_encryption_certificates_come_in_pairs_only(ca: CertificateAuthority) -> None:
    refused("HG-6231", ca.issue, request(), Role.GATEWAY_ENCRYPTION, "gw-1")


def test_a_ca_at_the_end_of_the_path_makes_no_ca(
    root: CertificateAuthority, ca: CertificateAuthority
) -> None:
    refused("HG-6222", ca.issue, request(), Role.CA, "too deep")
    refused("HG-6222", root.issue, request(), Role.CA, "too deep", path_length=1)


def test_nothing_lives_longer_than_its_ca(
    env: FakeEnv, clock: ManualClock, ca: CertificateAuthority
) -> None:
    end = ca.certificate.not_after
    refused("HG-6219", ca.issue, request(), Role.GATEWAY, "gw-1", life=3653 * DAY)
    refused("HG-6219", ca.issue, request(), Role.GATEWAY, "gw-1", life=timedelta.max)
    refused("HG-6219", ca.issue, request(), Role.GATEWAY, "gw-1", life=-DAY)
    clock.advance((end - ca.now() - 30 * DAY).total_seconds())
    assert ca.issue(request(), Role.GATEWAY, "gw-1").not_after == end
    clock.advance(31 * DAY.total_seconds())
    refused("HG-6218", ca.issue, request(), Role.GATEWAY, "gw-2")
    clock.advance(-20 * 366 * DAY.total_seconds())
    refused("HG-6218", ca.issue, request(), Role.GATEWAY, "gw-2")


# --- asked again, renewed, revoked ---------------------------------------------------------------


def test_a_request_that_comes_twice_is_answered_twice_the_same(ca: CertificateAuthority) -> None:
    wish, link = request(), request()
    assert ca.issue_pair(wish, "gw-1") == ca.issue_pair(wish, "gw-1")
    made = ca.issue(link, Role.GATEWAY_LINK, "gw-1")
    assert ca.issue(link, Role.GATEWAY_LINK, "gw-1") == made
    assert len(ca.register.issued) == 3


def test_a_renewal_overlaps_and_keeps_role_and_names(
    clock: ManualClock, ca: CertificateAuthority
) -> None:
    names = Names(("mqtt.city.example",))
    old = ca.issue(request(), Role.PLATFORM_LINK, "mqtt", names=names)
    clock.advance(300 * DAY.total_seconds())
    wish = request()
    new = ca.renew(old.serial, wish)
    assert (new.subject, new.names) == (old.subject, names)
    assert new.not_after == old.not_after + 300 * DAY
    for each in (old, new):
        verify(ca, each, Usage.SIGN)
    assert ca.renew(old.serial, wish) == new
    assert [i.serial for i in ca.valid("mqtt")] == [f"{c.serial:x}" for c in (old, new)]
    assert ca.register.issued[-1].replaces == f"{old.serial:x}"


def test_a_pair_is_renewed_as_a_pair(ca: CertificateAuthority) -> None:
    old = ca.issue_pair(request(), "gw-1")
    wish, key = asked()
    new = ca.renew_pair(old.signing.serial, wish)
    assert ca.renew_pair(old.signing.serial, wish) == new
    assert open_enveloped(PROVIDER, key, new.enveloped).public.spki == new.encryption.spki
    assert new.encryption.spki != old.encryption.spki
    assert ca.renew_pair(new.signing.serial, wish) == new  # asked once more, by the new number
    assert len(ca.register.issued) == 4
    refused("HG-6226", ca.renew, old.encryption.serial, request())
    link = ca.issue(request(), Role.GATEWAY_LINK, "gw-1")
    refused("HG-6215", ca.renew_pair, link.serial, request())
    alone = request()
    ca.issue(alone, Role.GATEWAY, "gw-2")
    refused("HG-6229", ca.issue_pair, alone, "gw-2")


def test_only_what_is_valid_is_renewed(clock: ManualClock, ca: CertificateAuthority) -> None:
    refused("HG-6227", ca.renew, 12345, request())
    gone = ca.issue(request(), Role.GATEWAY, "gw-1")
    ca.revoke(gone.serial, Reason.KEY_COMPROMISE)
    refused("HG-6226", ca.renew, gone.serial, request())
    late = ca.issue(request(), Role.GATEWAY, "gw-2")
    clock.advance(800 * DAY.total_seconds())
    refused("HG-6226", ca.renew, late.serial, request())
    ca.issue(request(), Role.GATEWAY, "gw-2")  # an expired name is free


def test_revoking_takes_the_whole_pair_and_the_next_list_says_so(ca: CertificateAuthority) -> None:
    pair = ca.issue_pair(request(), "gw-1")
    other = ca.issue_pair(request(), "gw-2")
    assert ca.crl().revoked == {}
    taken = ca.revoke(pair.encryption.serial, Reason.KEY_COMPROMISE)
    assert {each.role for each in taken} == {Role.GATEWAY, Role.GATEWAY_ENCRYPTION}
    crl = ca.crl()
    assert set(crl.revoked) == {pair.signing.serial, pair.encryption.serial}
    assert (crl.number, crl.next_update - crl.this_update) == (2, 30 * DAY)
    with pytest.raises(SecurityError, match="revoked"):
        verify(ca, pair.signing, Usage.SIGN, crls=[crl])
    verify(ca, other.signing, Usage.SIGN, crls=[crl])
    refused("HG-6216", ca.revoke, pair.signing.serial, Reason.SUPERSEDED)
    refused("HG-6227", ca.revoke, 1, Reason.SUPERSEDED)
    with pytest.raises(ValueError, match="HOLD"):
        ca.revoke(other.signing.serial, Reason.CERTIFICATE_HOLD)


def test_the_newest_list_lies_in_the_folder_and_expired_ones_stay_on_it(
    clock: ManualClock, ca: CertificateAuthority, tmp_path: Path
) -> None:
    made = ca.issue(request(), Role.GATEWAY, "gw-1")
    ca.revoke(made.serial, Reason.KEY_COMPROMISE)
    clock.advance(1000 * DAY.total_seconds())
    crl = ca.crl()
    assert made.serial in crl.revoked
    assert RevocationList.load((tmp_path / "ca/ca.crl").read_bytes()) == crl


# --- on disk -------------------------------------------------------------------------------------


def test_another_process_goes_on_where_this_one_stopped(
    env: FakeEnv, ca: CertificateAuthority, tmp_path: Path
) -> None:
    wish = request()
    pair = ca.issue_pair(wish, "gw-1")
    ca.revoke(pair.signing.serial, Reason.SUPERSEDED)
    ca.crl()
    again = opened(env, tmp_path / "ca")
    assert again.register.issued == ca.register.issued
    assert again.register.revoked() == ca.register.revoked()
    assert again.crl().number == 2
    made = again.issue(request(), Role.GATEWAY, "gw-2")
    refused("HG-6223", ca.issue, request(), Role.GATEWAY, "gw-2")  # `ca` had not looked since
    assert ca.register.find(made.serial) is not None


def test_only_one_program_writes(env: FakeEnv, ca: CertificateAuthority, tmp_path: Path) -> None:
    held = env.files.lock(tmp_path / "ca/lock")
    assert held is not None
    try:
        refused("HG-6217", ca.issue, request(), Role.GATEWAY, "gw-1")
    finally:
        env.files.unlock(held)
    ca.issue(request(), Role.GATEWAY, "gw-1")


def test_a_ca_without_its_key_tells_and_revokes_and_makes_nothing(
    env: FakeEnv, ca: CertificateAuthority, tmp_path: Path
) -> None:
    made = ca.issue(request(), Role.GATEWAY, "gw-1")
    keyless = CertificateAuthority(env, tmp_path / "ca", PROVIDER)
    assert keyless.certificate_of(keyless.register.issued[0]) == made
    refused("HG-6228", keyless.issue, request(), Role.GATEWAY, "gw-2")
    refused("HG-6228", keyless.crl)
    assert keyless.register.crl_number == 0
    keyless.revoke(made.serial, Reason.SUPERSEDED)
    stranger = PROVIDER.sm2_generate()
    refused("HG-6214", CertificateAuthority, env, tmp_path / "ca", PROVIDER, stranger)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data[:-40] + b"\n",
        lambda data: data.replace(b'"role":"headgate-gateway"', b'"role":"king"'),
        lambda data: data + b"{}\n",
        lambda data: (
            data + b'{"event":"revoked","at":"2026-01-01T00:00:00Z","serial":"1","reason":"?"}\n'
        ),
        lambda data: b"\xff" + data,
        lambda data: b"",
        lambda data: data.split(b"\n", 1)[1],
    ],
)
def test_a_damaged_register_issues_nothing(
    env: FakeEnv, ca: CertificateAuthority, tmp_path: Path, damage: Any
) -> None:
    ca.issue(request(), Role.GATEWAY, "gw-1")
    path = tmp_path / "ca/register.jsonl"
    path.write_bytes(damage(path.read_bytes()))
    refused("HG-6213", CertificateAuthority, env, tmp_path / "ca", PROVIDER)
    refused("HG-6213", ca.issue, request(), Role.GATEWAY, "gw-2")


class FailingFiles(SystemFiles):
    """Real files; the write that `left` counts down to fails, before it did anything or after."""

    left = -1
    after = False

    def replace(self, path: Path, data: bytes, mode: int = 0o644) -> None:
        self.left -= 1
        if self.left == -1 and not self.after:
            raise OSError(28, "No space left on device")
        super().replace(path, data, mode)
        if self.left == -1:
            raise OSError(5, "Input/output error")


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("write", range(5))
def test_whatever_write_fails_nobody_has_what_the_register_lacks_and_asking_again_ends_well(
    clock: ManualClock, ca: CertificateAuthority, tmp_path: Path, write: int, after: bool
) -> None:
    files = FailingFiles()
    failing = opened(fake_env(clock, files=files, seed=8), tmp_path / "ca")
    wish, key = asked()
    files.left, files.after = write, after
    given = None
    if write < 4:
        refused("HG-6014", failing.issue_pair, wish, "gw-1")
    else:
        given = failing.issue_pair(wish, "gw-1")
    files.left = -1
    for seed in (None, 9):
        again = fake_env(clock, seed=seed or 0)
        authority = opened(again, tmp_path / "ca") if seed else failing
        known = {issued.serial for issued in authority.register.issued}
        there = {path.stem for path in (tmp_path / "ca/issued").glob("*.crt")}
        assert there <= known
        pair = authority.issue_pair(wish, "gw-1")
        assert given is None or pair == given
        given = pair
        assert open_enveloped(PROVIDER, key, pair.enveloped).public.spki == pair.encryption.spki
        assert authority.register.find(pair.signing.serial) is not None
        assert authority.register.find(pair.encryption.serial) is not None


# --- keys and founding ---------------------------------------------------------------------------


def test_a_cas_key_is_sealed_and_private_on_disk(founded: Path) -> None:
    for name in ("root", "ca"):
        path = founded / name / "ca.key"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert b"PRIVATE KEY" not in path.read_bytes()


def test_a_key_file_opens_with_its_passphrase_and_no_other(env: FakeEnv) -> None:
    key = PROVIDER.sm2_generate()
    data = seal_key_file(PROVIDER, key, "pass phrase \u00e9", env.random, QUICK)
    assert (
        open_key_file(PROVIDER, data, "pass phrase e\u0301").pem() == key.pem()
    )  # typed otherwise
    refused("HG-6211", open_key_file, PROVIDER, data, "pass phrase e")
    refused("HG-6210", seal_key_file, PROVIDER, key, "too short", env.random, QUICK)
    assert data != seal_key_file(PROVIDER, key, "pass phrase \u00e9", env.random, QUICK)


def test_an_altered_key_file_is_refused_without_long_thought(env: FakeEnv) -> None:
    from headgate.crypto import der, encoding

    data = seal_key_file(PROVIDER, PROVIDER.sm2_generate(), PASSPHRASE, env.random, QUICK)
    ((_, content),) = encoding.pem_blocks(data)
    for bit in range(0, 8 * len(content), 131):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SecurityError):
            open_key_file(PROVIDER, encoding.to_pem("HEADGATE CA KEY", bytes(changed)), PASSPHRASE)
    reader = der.whole(content)
    reader.integer(), reader.integer()
    rest = reader.element().raw + reader.element().raw
    for iterations in (1, 9_999, 20_000_001, 1 << 80, -1):
        slow = der.sequence(der.integer(1), der.integer(iterations), rest)
        refused(
            "HG-6212",
            open_key_file,
            PROVIDER,
            encoding.to_pem("HEADGATE CA KEY", slow),
            PASSPHRASE,
        )
    for noise in (b"", b"noise", data + data, data.replace(b"CA KEY", b"CB KEY"), bytes(9000)):
        refused("HG-6212", open_key_file, PROVIDER, noise, PASSPHRASE)


def test_nothing_is_founded_where_a_ca_is_or_under_a_name_that_cannot_be(
    env: FakeEnv, root: CertificateAuthority, tmp_path: Path
) -> None:
    def found(folder: str, **named: Any) -> None:
        settings = Settings(**({"name": "Root", "organization": "City"} | named))
        found_root(
            env, tmp_path / folder, settings, PROVIDER, passphrase=PASSPHRASE, iterations=QUICK
        )

    before = (tmp_path / "root/ca.key").read_bytes()
    refused("HG-6010", found, "root")
    assert (tmp_path / "root/ca.key").read_bytes() == before
    for named in (
        {"name": ""},
        {"organization": ""},
        {"organization": "x" * 65},
        {"country": "cn"},
    ):
        refused("HG-6233", found, "other", **named)
    assert not (tmp_path / "other").exists()


def test_a_certificate_of_another_key_or_without_its_root_is_not_installed(
    env: FakeEnv, root: CertificateAuthority, tmp_path: Path
) -> None:
    wish = prepare(
        env, tmp_path / "b", Settings(name="B", organization="City"), PROVIDER,
        passphrase=PASSPHRASE, iterations=QUICK,
    )  # fmt: skip
    other = root.issue(request(), Role.CA, "other")
    refused("HG-6232", install, env, tmp_path / "b", [other, *root.chain], PROVIDER)
    made = root.issue(wish, Role.CA, "B")
    refused("HG-6232", install, env, tmp_path / "b", [made], PROVIDER)
    refused("HG-6014", CertificateAuthority, env, tmp_path / "b", PROVIDER)
    leaf = root.issue(make_request(subject_name("x", Role.GATEWAY), asked()[1]), Role.GATEWAY, "x")
    assert not leaf.is_ca
    install(env, tmp_path / "b", [*root.chain, made], PROVIDER)
    chain = load_certificates((tmp_path / "b/chain.crt").read_bytes())
    assert chain == (made, *root.chain)


def test_a_ca_is_not_installed_below_a_root_that_did_not_sign_it(
    env: FakeEnv, root: CertificateAuthority, tmp_path: Path
) -> None:
    given: dict[str, Any] = {"passphrase": PASSPHRASE, "iterations": QUICK}
    settings = Settings(name="City root", organization="City water")
    namesake = found_root(env, tmp_path / "false", settings, PROVIDER, **given)
    wish = prepare(env, tmp_path / "b", Settings(name="B", organization="City"), PROVIDER, **given)
    made = root.issue(wish, Role.CA, "B")
    refused("HG-6313", install, env, tmp_path / "b", [made, namesake], PROVIDER)
    assert not (tmp_path / "b/register.jsonl").exists()
    install(env, tmp_path / "b", [made, namesake, *root.chain], PROVIDER)
    assert load_certificates((tmp_path / "b/chain.crt").read_bytes()) == (made, *root.chain)


def test_a_ca_is_renewed_and_what_it_issued_before_stays_good(
    env: FakeEnv,
    clock: ManualClock,
    root: CertificateAuthority,
    ca: CertificateAuthority,
    tmp_path: Path,
) -> None:
    early = ca.issue(request(), Role.GATEWAY, "gw-1", life=3600 * DAY)
    clock.advance(3000 * DAY.total_seconds())
    key = unlock(env.files, tmp_path / "ca", PASSPHRASE, PROVIDER)
    wish = make_request(ca.certificate.subject, key)
    new = root.renew(ca.certificate.serial, wish)
    install(env, tmp_path / "ca", [new, *root.chain], PROVIDER)
    again = opened(env, tmp_path / "ca")
    assert again.certificate == new
    assert again.register.issued == ca.register.issued
    verify(again, early, Usage.SIGN)
    verify(again, again.issue(request(), Role.GATEWAY, "gw-2"), Usage.SIGN)


def test_a_cas_key_may_live_in_a_module_and_then_lies_in_no_folder(
    env: FakeEnv, tmp_path: Path
) -> None:
    module = StandIn(PROVIDER, env.files, tmp_path / "module", env.random.token)
    root_key, key = (ModuleKey(module, module.generate(), PROVIDER) for _ in range(2))
    settings = Settings(name="Root", organization="City")
    found_root(env, tmp_path / "root", settings, PROVIDER, key=root_key)
    root = CertificateAuthority(env, tmp_path / "root", PROVIDER, root_key)
    below = Settings(name="CA", organization="City")
    wish = prepare(env, tmp_path / "ca", below, PROVIDER, key=key)
    refused("HG-6010", prepare, env, tmp_path / "ca", below, PROVIDER, key=key)
    install(env, tmp_path / "ca", [root.issue(wish, Role.CA, "CA"), *root.chain], PROVIDER)
    ca = CertificateAuthority(env, tmp_path / "ca", PROVIDER, key)
    verify(ca, ca.issue(request(), Role.GATEWAY, "gw-1"), Usage.SIGN, crls=[ca.crl(), root.crl()])
    for name in ("root", "ca"):
        assert not (tmp_path / name / "ca.key").exists()
    with pytest.raises(ValueError, match="passphrase"):
        found_root(env, tmp_path / "other", settings, PROVIDER)
    assert not (tmp_path / "other").exists()


def test_states_are_told(clock: ManualClock, ca: CertificateAuthority) -> None:
    ca.issue(request(), Role.GATEWAY, "gw-1")
    gone = ca.issue(request(), Role.GATEWAY, "gw-2")
    ca.revoke(gone.serial, Reason.SUPERSEDED)
    states = [ca.register.state(each, ca.now()) for each in ca.register.issued]
    assert states == [State.VALID, State.REVOKED]
    clock.advance(800 * DAY.total_seconds())
    states = [ca.register.state(each, ca.now()) for each in ca.register.issued]
    assert states == [State.EXPIRED, State.REVOKED]
