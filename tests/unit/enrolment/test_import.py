"""What comes back on a USB stick: right things are taken in whole, everything else is told, all of it."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.enrolment import PASSPHRASE, Box, City, request_of

from headgate.config import SecretRef
from headgate.crypto import enveloped
from headgate.crypto.authority import CertificateAuthority, Settings, install, prepare, unlock
from headgate.crypto.crl import Reason, RevocationList
from headgate.crypto.issue import CA_USAGE, ENCRYPT_USAGE, SIGN_USAGE, issue_certificate
from headgate.crypto.names import parse_name, write_name
from headgate.crypto.provider import default_provider
from headgate.crypto.requests import make_request
from headgate.crypto.x509 import Certificate, Role
from headgate.errors import SecurityError
from headgate.runtime.enrolment.bag import sort_out
from headgate.runtime.enrolment.qr import join, parts

#: Put together here: a private key is in no file of ours, not even a false one.
PLAIN_KEY = b"-----BEGIN %b-----\nAAAA\n-----END %b-----\n" % (2 * (b"PRIVATE " + b"KEY",))


def issuing_ca(city: City, folder: Path) -> tuple[Certificate, CertificateAuthority]:
    """A CA below the city's root, as a city runs it: its certificate, and itself."""
    request = prepare(
        city.env, folder, Settings(name="City CA 1", organization="Test city"), city.provider,
        passphrase=PASSPHRASE, iterations=10_000,
    )  # fmt: skip
    made = city.ca.issue(request, Role.CA, "City CA 1")
    install(city.env, folder, [made, city.root], city.provider)
    key = unlock(city.env.files, folder, PASSPHRASE, city.provider)
    return made, CertificateAuthority(city.env, folder, city.provider, key)


@pytest.fixture
def city(tmp_path: Path) -> City:
    return City(tmp_path / "ca")


@pytest.fixture
def box(tmp_path: Path, city: City) -> Box:
    return Box(tmp_path / "box", clock=city.clock)


async def answered(box: Box, city: City) -> dict[str, bytes]:
    return city.answer(await box.desk.request("uid:0"))


async def test_what_the_ca_gave_enrols_the_box(box: Box, city: City) -> None:
    before = box.identity.signing_key.public.spki
    verdict = await box.enrol(city)
    identity = box.identity
    assert identity.chain[0].subject_cn == "sz-gw-0001"
    # The key that sealed before anybody enrolled the box is the one that was certified.
    assert identity.chain[0].spki == before == identity.signing_key.public.spki
    assert identity.encryption_key is not None and identity.link_key is not None
    assert identity.encryption_key.public.spki == identity.certified.encryption[0].spki
    assert len({each.split(" ")[0] for each in verdict.gained}) == 4
    assert ("enrolled", "ok") in box.audit.told()
    status = box.status()
    assert [p["code"] for p in status["problems"]] == ["HG-6148", "HG-6149"]


async def test_the_names_of_files_do_not_matter(box: Box, city: City) -> None:
    files = await answered(box, city)
    swapped = dict(zip(sorted(files), reversed([files[n] for n in sorted(files)]), strict=True))
    await box.desk.bring(swapped, "uid:0", trust=city.paper)
    assert box.identity.chain and box.identity.encryption_key


async def test_one_bundle_and_der_are_as_good_as_many_pem_files(box: Box, city: City) -> None:
    files = await answered(box, city)
    bundle = b"".join(files[name] for name in ("sign.crt", "link.crt", "ca.crt"))
    encryption = Certificate.load(files["encryption.crt"]).der
    await box.desk.bring(
        {"all.pem": bundle, "e.cer": encryption, "k": files["encryption.key"]},
        "uid:0",
        trust=city.paper[:32],
    )
    assert box.identity.encryption_key is not None


async def test_a_second_import_of_the_same_changes_nothing(box: Box, city: City) -> None:
    files = await answered(box, city)
    await box.desk.bring(files, "uid:0", trust=city.paper)
    before, taken = box.files(), box.taken
    verdict = await box.desk.bring(files, "uid:0")
    assert (verdict.gained, box.files(), box.taken) == ((), before, taken)


async def test_a_root_is_trusted_only_by_its_fingerprint(box: Box, city: City) -> None:
    files = await answered(box, city)
    assert "HG-6160" in await box.refused(files)
    assert "HG-6170" in await box.refused(files, trust="00" * 32)
    assert "HG-6171" in await box.refused(files, trust=city.paper[:8])


async def test_a_root_named_by_the_site_file_needs_no_fingerprint(
    tmp_path: Path, city: City
) -> None:
    (tmp_path / "root.pem").write_bytes(city.root.pem())
    box = Box(tmp_path / "box", clock=city.clock, ca=str(tmp_path / "root.pem"))
    await box.desk.bring(await answered(box, city), "uid:0")
    assert box.identity.chain


async def test_the_ca_of_another_city_is_refused(box: Box, city: City, tmp_path: Path) -> None:
    other = City(tmp_path / "other", "Another city", city.clock)
    await box.enrol(city)
    asked = await box.desk.request("uid:0", anew=True)
    codes = await box.refused(other.answer(asked))
    assert "HG-6159" in codes and "HG-6158" in codes


async def test_somebody_elses_folder_is_refused(box: Box, city: City, tmp_path: Path) -> None:
    other = Box(tmp_path / "other", "sz-gw-0002", city.clock)
    codes = await box.refused(await answered(other, city), trust=city.paper)
    assert set(codes) == {"HG-6155"}


async def test_a_certificate_for_another_gateways_key_is_refused(
    box: Box, city: City, tmp_path: Path
) -> None:
    """The CA signed the request of another box that bears the same id."""
    twin = Box(tmp_path / "twin", "sz-gw-0001", city.clock)
    twin.env.random = type(twin.env.random)(99)  # other keys
    assert "HG-6156" in await box.refused(await answered(twin, city), trust=city.paper)


@pytest.mark.parametrize(
    ("missing", "code"), [("encryption.key", "HG-6164"), ("encryption.crt", "HG-6163")]
)
async def test_half_an_encryption_pair_is_refused(
    box: Box, city: City, missing: str, code: str
) -> None:
    files = await answered(box, city)
    del files[missing]
    assert await box.refused(files, trust=city.paper) == [code]


async def test_a_wrapped_key_of_another_issue_is_refused(
    box: Box, city: City, tmp_path: Path
) -> None:
    files = await answered(box, city)
    other = await answered(Box(tmp_path / "other", "sz-gw-0002", city.clock), city)
    files["encryption.key"] = other["encryption.key"]
    assert await box.refused(files, trust=city.paper) == ["HG-6166"]


async def test_a_wrapped_key_that_was_wrapped_for_somebody_else_is_refused(
    box: Box, city: City
) -> None:
    provider = default_provider()
    files = await answered(box, city)
    key, request = request_of(provider, "sz-gw-0001", Role.GATEWAY_ENCRYPTION)
    stranger = provider.sm2_generate()
    wrapped = enveloped.seal_enveloped(stranger.public, key, bytes(16))
    now = city.ca.now()
    certificate = issue_certificate(
        subject=request.subject, spki=request.spki, issuer=city.root, issuer_key=city.ca._key,  # type: ignore[arg-type]
        key_usage=ENCRYPT_USAGE, not_before=now, not_after=now + timedelta(days=9),
        provider=provider,
    )  # fmt: skip
    files["encryption.crt"], files["encryption.key"] = certificate.pem(), enveloped.to_pem(wrapped)
    before = box.files()
    with pytest.raises(SecurityError) as refused:
        await box.desk.bring(files, "uid:0", trust=city.paper)
    assert refused.value.code == "HG-6165"
    assert box.files() == before and not box.identity.chain


async def test_requests_mixed_up_by_the_ca_are_refused(box: Box, city: City) -> None:
    asked = await box.desk.request("uid:0")
    link = city.ca.issue(asked.sign, Role.GATEWAY_LINK, asked.gateway)
    codes = await box.refused({"link.crt": link.pem(), "ca.crt": city.root.pem()}, trust=city.paper)
    assert codes == ["HG-6174"]


async def test_an_old_certificate_played_back_after_a_renewal_is_refused(
    box: Box, city: City
) -> None:
    first = await answered(box, city)
    await box.desk.bring(first, "uid:0", trust=city.paper)
    box.later(days=690)
    asked = await box.desk.request("uid:0")
    serial = f"{box.identity.chain[0].serial:x}"
    await box.desk.bring(city.answer(asked, renew=serial), "uid:0")
    assert f"{box.identity.chain[0].serial:x}" != serial
    codes = await box.refused(first)
    assert codes and set(codes) <= {"HG-6161", "HG-6163"}


async def test_a_renewal_keeps_both_keys_and_remembers_the_old_certificate(
    box: Box, city: City
) -> None:
    await box.enrol(city)
    old = box.identity.chain[0]
    box.later(days=690)
    asked = await box.desk.request("uid:0")
    assert asked.sign.spki != old.spki, "a renewal is for a new key"
    await box.desk.bring(city.answer(asked, renew=f"{old.serial:x}"), "uid:0")
    assert box.identity.certified.retired == (old,)
    assert box.desk.custody.find(old.spki) is not None
    assert ("renewed", "ok") in box.audit.told()


@pytest.mark.parametrize("days", [-30, 800])
async def test_dates_are_judged_by_a_trusted_clock_alone(
    tmp_path: Path, city: City, days: int
) -> None:
    box = Box(tmp_path / "box")  # a clock of its own
    box.clock.advance(days * 86400.0)
    files = await answered(box, city)
    assert set(await box.refused(files, trust=city.paper)) == {"HG-6158"}
    box.clock.state = ("unsynced", None)
    await box.desk.bring(files, "uid:0", trust=city.paper)
    assert box.identity.enrolled is False and box.identity.chain


async def test_a_revoked_certificate_is_refused_with_the_list_beside_it(
    box: Box, city: City
) -> None:
    files = await answered(box, city)
    city.ca.revoke(Certificate.load(files["sign.crt"]).serial, Reason.KEY_COMPROMISE)
    files["ca.crl"] = city.ca.crl().pem()
    assert "HG-6158" in await box.refused(files, trust=city.paper)


async def test_lists_rise_and_strangers_lists_are_refused(
    box: Box, city: City, tmp_path: Path
) -> None:
    await box.enrol(city)
    older, newer = city.ca.crl(), city.ca.crl()
    await box.desk.bring({"crl": newer.pem()}, "uid:0")
    assert box.identity.certified.crls == (newer,)
    assert await box.refused({"crl": older.pem()}) == ["HG-6173"]
    other = City(tmp_path / "other", "Another city", city.clock)
    assert await box.refused({"crl": other.ca.crl().pem()}) == ["HG-6168"]


async def test_a_ca_between_the_box_and_the_root_comes_along(
    box: Box, city: City, tmp_path: Path
) -> None:
    made, issuing = issuing_ca(city, tmp_path / "below")
    asked = await box.desk.request("uid:0")
    pair = issuing.issue_pair(asked.sign, asked.gateway)
    files = {
        "s": pair.signing.pem(), "e": pair.encryption.pem(), "r": city.root.pem(),
        "k": enveloped.to_pem(pair.enveloped),
        "l": issuing.issue(asked.link, Role.GATEWAY_LINK, asked.gateway).pem(),
    }  # fmt: skip
    assert set(await box.refused(files, trust=city.paper)) == {"HG-6158"}
    await box.desk.bring({**files, "ca": made.pem()}, "uid:0", trust=city.paper)
    assert [each.subject_cn for each in box.identity.chain] == ["sz-gw-0001", "City CA 1"]
    # Its list is known by the CA that lies here already.
    await box.desk.bring({"crl": issuing.crl().pem()}, "uid:0")
    issuing.revoke(pair.signing.serial, Reason.KEY_COMPROMISE)
    await box.desk.bring({"crl": issuing.crl().pem()}, "uid:0")
    assert box.identity.certified.barred == "HG-6141"


async def test_a_platform_certified_by_an_issuing_ca_counts_and_can_be_revoked(
    box: Box, city: City, tmp_path: Path
) -> None:
    """A platform's certificate comes alone; the CA above it came with something else, or before."""
    made, issuing = issuing_ca(city, tmp_path / "below")

    def certified(role: Role) -> Certificate:
        request = make_request(write_name("platform", role.value), city.provider.sm2_generate())
        return issuing.issue(request, role, "platform")

    encryption, receipt = certified(Role.PLATFORM_ENCRYPTION), certified(Role.PLATFORM_RECEIPT)
    asked = await box.desk.request("uid:0")
    await box.desk.bring(
        {**city.answer(asked), "ca": made.pem(), "e": encryption.pem()}, "uid:0", trust=city.paper
    )
    assert box.identity.recipients == (encryption,)
    await box.desk.bring({"r": receipt.pem()}, "uid:0")
    # The next start finds all of it in the papers.
    assert box.load().certified.receipts == (receipt,)
    issuing.revoke(encryption.serial, Reason.KEY_COMPROMISE)
    await box.desk.bring({"crl": issuing.crl().pem()}, "uid:0")
    assert box.identity.recipients == ()
    assert box.identity.certified.receipts == (receipt,)


async def test_a_site_file_names_a_platforms_certificate_with_its_chain(
    box: Box, city: City, tmp_path: Path
) -> None:
    made, issuing = issuing_ca(city, tmp_path / "below")
    name = write_name("platform", Role.PLATFORM_ENCRYPTION.value)
    request = make_request(name, city.provider.sm2_generate())
    platform = issuing.issue(request, Role.PLATFORM_ENCRYPTION, "platform")
    (tmp_path / "platform.crt").write_bytes(platform.pem() + made.pem())
    (tmp_path / "root.crt").write_bytes(city.root.pem())
    named = Box(
        tmp_path / "named", clock=city.clock, ca=str(tmp_path / "root.crt"),
        platform_encryption=str(tmp_path / "platform.crt"),
    )  # fmt: skip
    assert named.identity.recipients == (platform,)


async def test_a_strangers_ca_with_our_cas_name_replaces_no_list(
    box: Box, city: City, tmp_path: Path
) -> None:
    """Else a clean list of his would take a revocation back."""
    await box.enrol(city)
    city.ca.revoke(box.identity.chain[0].serial, Reason.KEY_COMPROMISE)
    await box.desk.bring({"crl": city.ca.crl().pem()}, "uid:0")
    assert box.identity.certified.barred == "HG-6141"
    his = City(tmp_path / "his", "Test city root", city.clock)
    assert his.root.subject == city.root.subject
    for _ in range(5):
        clean = his.ca.crl()
    below = his.provider.sm2_generate()
    namesake = issue_certificate(
        subject=city.root.subject, spki=below.public.spki, issuer=his.root,
        issuer_key=his.ca._key, key_usage=CA_USAGE, not_before=city.ca.now(),  # type: ignore[arg-type]
        not_after=city.ca.now() + timedelta(days=9), provider=city.provider, path_length=0,
    )  # fmt: skip
    for files in (
        {"crl": clean.pem()},
        {"crl": clean.pem(), "ca": his.root.pem()},
        {"crl": clean.pem(), "ca": namesake.pem()},
    ):
        assert set(await box.refused(files)) & {"HG-6168", "HG-6159"}
    assert box.load().certified.barred == "HG-6141"


async def test_platform_certificates_come_by_the_same_way(box: Box, city: City) -> None:
    _, encryption = city.platform(Role.PLATFORM_ENCRYPTION)
    _, receipt = city.platform(Role.PLATFORM_RECEIPT)
    await box.enrol(city, pe=encryption.pem(), pr=receipt.pem())
    assert box.identity.enrolled
    assert box.identity.recipients == (encryption,)
    assert box.status()["problems"] == []
    assert [e["role"] for e in box.status()["certificates"]][:3] == [
        "headgate-gateway", "headgate-gateway-encryption", "headgate-gateway-link",
    ]  # fmt: skip


async def test_one_key_for_two_of_the_platforms_purposes_is_refused(box: Box, city: City) -> None:
    provider = default_provider()
    _, request = request_of(provider, "platform", Role.PLATFORM_ENCRYPTION)
    encryption = city.ca.issue(request, Role.PLATFORM_ENCRYPTION, "platform")
    now = city.ca.now()
    receipt = issue_certificate(
        subject=write_name("platform", Role.PLATFORM_RECEIPT.value), spki=request.spki,
        issuer=city.root, issuer_key=city.ca._key, key_usage=SIGN_USAGE, not_before=now,  # type: ignore[arg-type]
        not_after=now + timedelta(days=9), provider=provider,
    )  # fmt: skip
    files = await answered(box, city)
    codes = await box.refused(
        {**files, "a": encryption.pem(), "b": receipt.pem()}, trust=city.paper
    )
    assert codes == ["HG-6167"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"-----BEGIN CERTIFICATE-----\nMIIB", "HG-6151"),
        (b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n", "HG-6151"),
        (PLAIN_KEY, "HG-6153"),
        (b"-----BEGIN PKCS7-----\nAAAA\n-----END PKCS7-----\n", "HG-6152"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "HG-6154"),
        (b"\x30\x82\x01", "HG-6151"),
    ],
)
async def test_a_file_that_is_wrong_or_cut_off_is_named(
    box: Box, city: City, content: bytes, code: str
) -> None:
    files = await answered(box, city)
    assert code in await box.refused({**files, "bad": content}, trust=city.paper)


async def test_every_file_cut_anywhere_is_refused_or_left_out(box: Box, city: City) -> None:
    files = await answered(box, city)
    for name in files:
        cut = {**files, name: files[name][: len(files[name]) // 2]}
        assert "HG-6151" in await box.refused(cut, trust=city.paper)


async def test_what_a_stick_carries_besides_is_passed_over(box: Box, city: City) -> None:
    files = await answered(box, city)
    asked = await box.desk.request("uid:0")
    extra = {"autorun.inf": b"[autorun]", "own.csr": asked.sign.pem(), "empty": b""}
    verdict = await box.desk.bring({**files, **extra}, "uid:0", trust=city.paper)
    assert sorted(note.code for note in verdict.notes) == ["HG-6177", "HG-6178", "HG-6178"]


async def test_an_empty_folder_says_so(box: Box) -> None:
    assert await box.refused({"readme.txt": b"hello"}) == ["HG-6169"]


async def test_all_mistakes_are_told_at_once(box: Box, city: City, tmp_path: Path) -> None:
    other = Box(tmp_path / "other", "sz-gw-0002", city.clock)
    files = {**await answered(box, city), "their.crt": (await answered(other, city))["sign.crt"]}
    del files["encryption.key"]
    files["cut"] = b"-----BEGIN CERTIFICATE-----\n"
    codes = await box.refused(files, trust=city.paper)
    assert {"HG-6151", "HG-6155", "HG-6164"} <= set(codes)


async def test_a_disk_that_refuses_leaves_the_old_identity(box: Box, city: City) -> None:
    files = await answered(box, city)
    real = box.env.files.replace

    def refuse(path: Path, data: bytes, mode: int = 0o644) -> None:
        if path.name.startswith("identity.papers"):
            raise OSError(28, "No space left on device")
        real(path, data, mode)

    box.env.files.replace = refuse  # type: ignore[method-assign]
    with pytest.raises(SecurityError) as full:
        await box.desk.bring(files, "uid:0", trust=city.paper)
    assert full.value.code == "HG-4006"
    box.env.files.replace = real  # type: ignore[method-assign]
    assert not box.load().chain
    await box.desk.bring(files, "uid:0", trust=city.paper)
    assert box.identity.chain


@pytest.mark.parametrize("cut", range(6))
async def test_a_power_cut_at_any_write_leaves_the_old_or_the_new_identity(
    tmp_path: Path, city: City, cut: int
) -> None:
    box = Box(tmp_path / "box", clock=city.clock)
    files = await answered(box, city)
    real, left = box.env.files.replace, [cut]

    class Cut(BaseException):
        pass

    def cutting(path: Path, data: bytes, mode: int = 0o644) -> None:
        if left[0] == 0:
            raise Cut
        left[0] -= 1
        real(path, data, mode)

    box.env.files.replace = cutting  # type: ignore[method-assign]
    with contextlib.suppress(Cut):
        await box.desk.bring(files, "uid:0", trust=city.paper)
    box.env.files.replace = real  # type: ignore[method-assign]
    found = Box(tmp_path / "box", clock=city.clock)
    if found.identity.chain:
        assert found.identity.encryption_key is not None
        assert found.identity.link_key is not None
    else:
        await found.desk.bring(files, "uid:0", trust=city.paper)
        assert found.identity.encryption_key is not None


async def test_a_site_file_that_keeps_its_own_certificate_is_not_overruled(
    tmp_path: Path, city: City
) -> None:
    box = Box(tmp_path / "box", clock=city.clock)
    await box.enrol(city)
    key = box.identity.signing_key.pem()
    (tmp_path / "own.crt").write_bytes(box.identity.chain[0].pem())
    (tmp_path / "own.key").write_bytes(key)
    kept = Box(
        tmp_path / "kept", clock=city.clock, certificate=str(tmp_path / "own.crt"),
        key=SecretRef("file", str(tmp_path / "own.key")),
    )  # fmt: skip
    with pytest.raises(SecurityError) as refused:
        await kept.desk.request("uid:0")
    assert refused.value.code == "HG-6179"


async def test_papers_of_another_gateway_stop_the_start(tmp_path: Path, city: City) -> None:
    box = Box(tmp_path / "box", clock=city.clock)
    await box.enrol(city)
    with pytest.raises(SecurityError) as copied:
        Box(tmp_path / "box", "sz-gw-0002", city.clock)
    assert copied.value.code == "HG-6101"


@pytest.mark.parametrize("fate", ["flip", "cut", "gone"])
async def test_papers_are_kept_twice(tmp_path: Path, city: City, fate: str) -> None:
    box = Box(tmp_path / "box", clock=city.clock)
    await box.enrol(city)
    path = box.state / "identity.papers"
    data = path.read_bytes()
    if fate == "gone":
        path.unlink()
    else:
        path.write_bytes(data[:50] if fate == "cut" else data[:80] + b"X" + data[81:])
    assert Box(tmp_path / "box", clock=city.clock).identity.chain == box.identity.chain
    assert path.read_bytes() == data
    path.write_bytes(b"rotten")
    (box.state / "identity.papers.twin").write_bytes(b"rotten")
    with pytest.raises(SecurityError) as damaged:
        Box(tmp_path / "box", clock=city.clock)
    assert damaged.value.code == "HG-6130"


async def test_the_same_request_again_until_it_is_answered(box: Box, city: City) -> None:
    first, second = await box.desk.request("uid:0"), await box.desk.request("uid:0")
    assert (first.sign.spki, first.link.spki) == (second.sign.spki, second.link.spki)
    fresh = await box.desk.request("uid:0", anew=True)
    assert fresh.sign.spki != first.sign.spki
    # What answers the first request is still for a key of this box.
    await box.desk.bring(city.answer(first), "uid:0", trust=city.paper)
    assert box.identity.chain[0].spki == first.sign.spki


async def test_certificates_may_come_on_two_sticks(box: Box, city: City) -> None:
    files = await answered(box, city)
    link = files.pop("link.crt")
    await box.desk.bring(files, "uid:0", trust=city.paper)
    again = await box.desk.request("uid:0")
    assert again.link.spki == Certificate.load(link).spki, "the same request is still open"
    await box.desk.bring({"link.crt": link}, "uid:0")
    assert box.identity.link_key is not None
    assert box.desk.papers().asked is None


async def test_keys_that_nothing_names_are_destroyed_by_the_next_renewal(
    box: Box, city: City
) -> None:
    for _ in range(3):
        await box.desk.request("uid:0", anew=True)
    await box.enrol(city)
    box.later(days=690)
    asked = await box.desk.request("uid:0")
    serial = f"{box.identity.chain[0].serial:x}"
    await box.desk.bring(city.answer(asked, renew=serial), "uid:0")
    identity = box.identity
    wanted = {
        each.public.spki
        for each in (identity.signing_key, identity.encryption_key, identity.link_key)
        if each
    }
    kept = set(box.desk.custody.held())
    assert wanted | {identity.certified.retired[0].spki} <= kept
    # Beside them only the box's very first key, which is a file of its own.
    assert len(kept) == 5 and len(list((box.state / "keys").glob("*.key"))) == 4


async def test_a_request_bears_the_names_of_the_standard(box: Box) -> None:
    asked = await box.desk.request("uid:0", organization="示范市水务局")
    assert parse_name(asked.sign.subject) == (
        ("2.5.4.6", "CN"), ("2.5.4.10", "示范市水务局"), ("2.5.4.11", "headgate-gateway"),
        ("2.5.4.3", "sz-gw-0001"),
    )  # fmt: skip


# ---------------------------------------------------------------- codes on a screen


@given(st.binary(min_size=1, max_size=600), st.integers(100, 460))
def test_a_request_survives_the_way_over_a_phone(content: bytes, longest: int) -> None:
    texts = [*parts("gw-1", "sign", content, longest), *parts("gw-1", "link", content, longest)]
    assert all(len(text) <= longest for text in texts)
    assert join(reversed([text.lower() + "\n" for text in texts])) == {
        "sign": content, "link": content,
    }  # fmt: skip


@pytest.mark.parametrize(
    "texts",
    [
        [],
        ["HGCSR1/GW-1/SIGN/1/2/AAAA"],
        ["HGCSR1/GW-1/SIGN/1/1/AAAA", "HGCSR1/GW-2/LINK/1/1/AAAA"],
        ["HGCSR1/GW-1/SIGN/3/2/AAAA"],
        ["HGCSR1/GW-1/SIGN/1/2/AAAA", "HGCSR1/GW-1/SIGN/2/3/AAAA"],
        ["hello"],
    ],
)
def test_what_is_not_a_whole_request_is_refused(texts: list[str]) -> None:
    with pytest.raises(SecurityError) as refused:
        join(texts)
    assert refused.value.code == "HG-6188"


@settings(max_examples=60)
@given(st.dictionaries(st.text(min_size=1, max_size=8), st.binary(max_size=300), max_size=5))
def test_no_bytes_of_a_stick_raise(files: dict[str, Any]) -> None:
    marked = {name: b"\x30" + data for name, data in files.items()}
    pem = {f"{name}.pem": b"-----BEGIN CERTIFICATE-----" + data for name, data in files.items()}
    bag = sort_out({**marked, **pem})
    assert not bag.leaves and not bag.cas


def test_a_list_of_another_form_is_not_taken_for_one() -> None:
    with pytest.raises(SecurityError):
        RevocationList.load(b"\x30\x00")
