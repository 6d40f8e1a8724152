from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from kit.issuing import END, NOW, PROVIDER, START, issue, set_field, with_fields

from headgate.crypto import der, encoding
from headgate.crypto.issue import (
    CA_USAGE,
    ENCRYPT_USAGE,
    SIGN_USAGE,
    load_request,
    make_request,
    subject_name,
)
from headgate.crypto.verify import MAX_INTERMEDIATES, Usage, verify_chain
from headgate.crypto.x509 import (
    Certificate,
    KeyUsage,
    Names,
    Role,
    describe_name,
    load_certificates,
)
from headgate.errors import CertificateRefused

ROOT, ROOT_KEY = issue("root", Role.CA, None, None)
CITY, CITY_KEY = issue("city", Role.CA, ROOT, ROOT_KEY, path_length=0)
GATEWAY, GATEWAY_KEY = issue("gw-1", Role.GATEWAY, ROOT, ROOT_KEY)


def verify(
    leaf: Certificate,
    intermediates: Any = (),
    anchors: Any = (ROOT,),
    *,
    usage: Usage = Usage.SIGN,
    at: datetime | None = NOW,
    role: Role | None = None,
) -> tuple[Certificate, ...]:
    return verify_chain(
        leaf, list(intermediates), list(anchors), usage=usage, at=at, provider=PROVIDER, role=role
    )


# --- reading -----------------------------------------------------------------------------------


def test_a_certificate_says_whose_key_for_what_and_until_when() -> None:
    assert GATEWAY.subject_cn == "gw-1"
    assert GATEWAY.subject_ou == "headgate-gateway"
    assert GATEWAY.role is Role.GATEWAY
    assert GATEWAY.spki == GATEWAY_KEY.public.spki
    assert GATEWAY.issuer == ROOT.subject
    assert (GATEWAY.not_before, GATEWAY.not_after) == (START, END)
    assert not GATEWAY.is_ca
    assert GATEWAY.key_usage == {KeyUsage.DIGITAL_SIGNATURE}
    assert (CITY.is_ca, CITY.path_length, CITY.key_usage) == (True, 0, CA_USAGE)
    assert GATEWAY.fingerprint == PROVIDER.sm3(GATEWAY.der)


def test_only_a_ca_speaks_of_being_one() -> None:
    """CA:FALSE is an empty sequence in DER, which not every reader takes; absent means the same."""
    speaks = bytes.fromhex("0603551d13")
    assert speaks not in GATEWAY.der
    assert speaks in CITY.der


def test_pem_and_der_are_one_certificate() -> None:
    assert Certificate.load(GATEWAY.pem()) == Certificate.load(GATEWAY.der) == GATEWAY
    assert load_certificates(ROOT.pem() + b"\n" + GATEWAY.pem()) == (ROOT, GATEWAY)
    with pytest.raises(CertificateRefused, match="found 2"):
        Certificate.load(ROOT.pem() + GATEWAY.pem())


@given(st.binary(max_size=300))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(CertificateRefused):
        Certificate.load(noise)
    with pytest.raises(CertificateRefused):
        Certificate.load(encoding.to_pem("CERTIFICATE", noise))
    with pytest.raises(CertificateRefused):
        load_request(noise, PROVIDER)


@given(st.integers(0, 8 * len(GATEWAY.der) - 1))
def test_a_certificate_with_one_changed_bit_is_never_trusted(bit: int) -> None:
    changed = bytearray(GATEWAY.der)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CertificateRefused):
        verify(Certificate.load(bytes(changed)))


@given(st.data())
def test_a_certificate_cut_short_or_followed_by_bytes_is_refused(data: st.DataObject) -> None:
    end = data.draw(st.integers(0, len(GATEWAY.der) - 1))
    with pytest.raises(CertificateRefused):
        Certificate.load(GATEWAY.der[:end])
    with pytest.raises(CertificateRefused):
        Certificate.load(GATEWAY.der + GATEWAY.der[: end + 1])


def test_size_and_count_are_capped() -> None:
    with pytest.raises(CertificateRefused, match="16 KiB"):
        Certificate.load(b"\x30" + bytes(20_000))
    with pytest.raises(CertificateRefused, match="256 KiB"):
        load_certificates(b"-----BEGIN " + bytes(300_000))
    with pytest.raises(CertificateRefused, match="1 to 32"):
        load_certificates(ROOT.pem() * 33)


def _with_field(replace: Callable[[list[bytes]], None]) -> bytes:
    """The gateway certificate with its TBS fields changed and signed again by the root."""
    return with_fields(GATEWAY.der, ROOT_KEY, replace)


def _extension(oid: str, value: bytes, *, critical: bool) -> bytes:
    flag = der.encode(der.BOOLEAN, b"\xff") if critical else b""
    return der.sequence(der.oid(oid), flag, der.octets(value))


_USAGE = _extension("2.5.29.15", der.bits(b"\x80", 7), critical=True)


def _extensions(*items: bytes) -> Callable[[list[bytes]], None]:
    def replace(fields: list[bytes]) -> None:
        fields[7] = der.encode(der.context(3), der.sequence(*items))

    return replace


def _name(*pairs: tuple[str, str]) -> bytes:
    return der.sequence(
        *(
            der.encode(
                der.SET, der.sequence(der.oid(oid), der.encode(der.UTF8_STRING, text.encode()))
            )
            for oid, text in pairs
        )
    )


P256_SPKI = bytes.fromhex(
    "3059301306072a8648ce3d020106082a8648ce3d03010703420004"
    "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (set_field(0, der.encode(der.context(0), der.integer(1))), "version 3"),
        (set_field(1, der.integer(0)), "serial"),
        (set_field(1, der.integer(1 << 161)), "serial"),
        (set_field(2, der.sequence(der.oid("1.2.840.10045.4.3.2"))), "two different"),
        (set_field(6, P256_SPKI), "not an SM2 key"),
        (set_field(5, _name(("2.5.4.3", "gw\x1b[2J"))), "do not print"),
        (set_field(3, _name(("2.5.4.3", "root\x07"))), "do not print"),
        (_extensions(_USAGE, _USAGE), "twice"),
        (_extensions(_USAGE, _extension("2.5.29.30", b"\x30\x00", critical=True)), "constraints"),
        (_extensions(_USAGE, _extension("2.5.29.30", b"\x30\x00", critical=False)), "constraints"),
        (_extensions(_USAGE, _extension("2.5.29.32", b"\x30\x00", critical=True)), "critical"),
        (
            _extensions(_USAGE, _extension("2.5.29.37", b"\x30\x00", critical=False)),
            "lists nothing",
        ),
        (_extensions(_extension("2.5.29.15", b"\x03\x01\x00", critical=True)), "key usage"),
        (_extensions(_extension("2.5.29.15", b"\x03\x02\x07\x81", critical=True)), "key usage"),
        (
            _extensions(_extension("2.5.29.19", der.sequence(der.integer(3)), critical=True)),
            "path length",
        ),
        (
            set_field(
                4, der.sequence(der.encode(0x17, b"2601010000Z"), der.encode(0x17, b"x" * 13))
            ),
            "time",
        ),
        (
            set_field(4, der.sequence(*[der.encode(0x17, b"260230000000Z")] * 2)),
            "calendar",
        ),
        (lambda fields: fields.insert(7, der.encode(0x81, b"\x00")), "bytes after the end"),
    ],
)
def test_a_wrong_certificate_is_refused_and_says_why(change: Any, reason: str) -> None:
    with pytest.raises(CertificateRefused, match=reason):
        Certificate.load(_with_field(change))


def test_an_unknown_extension_that_is_not_critical_is_ignored() -> None:
    extra = _extension("2.5.29.32", b"\x30\x00", critical=False)
    verify(Certificate.load(_with_field(_extensions(_USAGE, extra))))


def test_two_units_are_no_role() -> None:
    name = _name(("2.5.4.11", "headgate-gateway"), ("2.5.4.11", "headgate-ca"), ("2.5.4.3", "x"))
    certificate = Certificate.load(_with_field(set_field(5, name)))
    assert certificate.subject_ou is None
    assert certificate.role is None
    with pytest.raises(CertificateRefused, match="OU"):
        verify(certificate, role=Role.GATEWAY)


def test_dates_past_2049_survive() -> None:
    far = datetime(2061, 5, 6, 7, 8, 9, tzinfo=UTC)
    certificate, _ = issue("old", Role.GATEWAY, ROOT, ROOT_KEY, not_after=far)
    assert certificate.not_after == far


@pytest.mark.parametrize(
    ("tag", "text", "year"),
    [
        (0x17, b"500101000000Z", 1950),
        (0x17, b"491231235959Z", 2049),
        (0x18, b"20260401000000Z", 2026),  # UTCTime is what RFC 5280 wants; the instant is the same
        (0x18, b"20500101000000Z", 2050),
        (0x18, b"99991231235959Z", 9999),
    ],
)
def test_the_bounds_of_both_times_are_read(tag: int, text: bytes, year: int) -> None:
    start, end = der.encode(0x18, b"00010101000000Z"), der.encode(tag, text)
    assert (
        Certificate.load(_with_field(set_field(4, der.sequence(start, end)))).not_after.year == year
    )


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        (0x17, b"2601010000Z"),  # without seconds
        (0x17, b"260101000000+0800"),
        (0x17, b"260101000060Z"),  # a leap second
        (0x17, b"20260101000000Z"),
        (0x18, b"20260101000000.5Z"),
        (0x18, b"20260101000000"),
        (0x18, b"260101000000Z"),
        (0x18, b"00000101000000Z"),
        (0x18, "2026010100000０Z".encode()),
        (0x13, b"260101000000Z"),
    ],
)
def test_a_time_in_another_form_is_refused(tag: int, text: bytes) -> None:
    validity = der.sequence(der.encode(tag, text), der.encode(0x18, b"99991231235959Z"))
    with pytest.raises(CertificateRefused):
        Certificate.load(_with_field(set_field(4, validity)))


def test_names_of_hosts_and_addresses_are_read_as_they_are_meant() -> None:
    def named(*parts: bytes) -> Certificate:
        value = der.sequence(*parts)
        return Certificate.load(
            _with_field(_extensions(_USAGE, _extension("2.5.29.17", value, critical=True)))
        )

    mail, dns, ip = (der.context(n, constructed=False) for n in (1, 2, 7))
    read = named(
        der.encode(mail, b"x@y"),
        der.encode(dns, b"MQTT.City.example"),
        der.encode(ip, bytes((10, 0, 3, 21))),
        der.encode(ip, bytes(15) + b"\x01"),
    )
    assert read.names == Names(("mqtt.city.example",), ("10.0.3.21", "::1"))
    for wrong in (
        der.encode(dns, b"city.example\0.evil.example"),
        der.encode(dns, b"a b"),
        der.encode(dns, b""),
        der.encode(dns, "城市".encode()),
        der.encode(ip, b"\x0a\0\x03"),
        der.encode(ip, bytes(8)),
    ):
        with pytest.raises(CertificateRefused):
            named(wrong)
    assert not named(*[der.encode(mail, b"x")] * 64).names
    with pytest.raises(CertificateRefused, match="more than 64"):
        named(*[der.encode(mail, b"x")] * 65)


# --- trusting ----------------------------------------------------------------------------------


def test_a_chain_to_the_anchor_is_proved() -> None:
    assert verify(GATEWAY, role=Role.GATEWAY) == (GATEWAY, ROOT)


def test_a_chain_over_an_intermediate_is_proved() -> None:
    leaf, _ = issue("gw-2", Role.GATEWAY, CITY, CITY_KEY)
    assert verify(leaf, [CITY]) == (leaf, CITY, ROOT)
    assert verify(leaf, [CITY], [CITY]) == (leaf, CITY)
    with pytest.raises(CertificateRefused, match="issuer is not among"):
        verify(leaf)


def test_a_stranger_with_the_roots_name_is_refused() -> None:
    other, other_key = issue("root", Role.CA, None, None)
    leaf, _ = issue("gw-1", Role.GATEWAY, other, other_key)
    with pytest.raises(CertificateRefused, match="another key than its issuer"):
        verify(leaf)
    with pytest.raises(CertificateRefused, match="another key than its issuer"):
        verify(leaf, [other])


def test_validity_is_checked_at_the_given_time_and_skipped_without_one() -> None:
    with pytest.raises(CertificateRefused, match="not valid before"):
        verify(GATEWAY, at=START - timedelta(seconds=1))
    with pytest.raises(CertificateRefused, match="expired"):
        verify(GATEWAY, at=END + timedelta(seconds=1))
    for at in (START, END, None):
        verify(GATEWAY, at=at)
    with pytest.raises(ValueError, match="time zone"):
        verify(GATEWAY, at=datetime(2026, 3, 1))  # noqa: DTZ001


def test_an_expired_issuer_is_refused() -> None:
    root, key = issue("r", Role.CA, None, None, not_after=START + timedelta(days=1))
    leaf, _ = issue("gw", Role.GATEWAY, root, key)
    with pytest.raises(CertificateRefused, match="'r': it expired"):
        verify(leaf, anchors=[root])


def test_a_renewed_root_beside_its_expired_self_is_found() -> None:
    old, key = issue("r", Role.CA, None, None, not_after=START + timedelta(days=1))
    new, _ = issue("r", Role.CA, None, None, key=key)
    leaf, _ = issue("gw", Role.GATEWAY, new, key)
    assert verify(leaf, anchors=[old, new]) == (leaf, new)


@pytest.mark.parametrize(
    ("held", "usage", "fits"),
    [
        (SIGN_USAGE, Usage.SIGN, True),
        (SIGN_USAGE, Usage.ENCRYPT, False),
        (ENCRYPT_USAGE, Usage.ENCRYPT, True),
        (ENCRYPT_USAGE, Usage.SIGN, False),
        (frozenset({KeyUsage.KEY_ENCIPHERMENT}), Usage.ENCRYPT, True),
        (frozenset({KeyUsage.CRL_SIGN}), Usage.SIGN, False),
    ],
)
def test_a_key_does_only_what_its_usage_allows(
    held: frozenset[KeyUsage], usage: Usage, fits: bool
) -> None:
    leaf, _ = issue("p", Role.PLATFORM_RECEIPT, ROOT, ROOT_KEY, key_usage=held)
    if fits:
        verify(leaf, usage=usage)
    else:
        with pytest.raises(CertificateRefused, match="key usage does not allow"):
            verify(leaf, usage=usage)


def test_a_certificate_without_key_usage_is_refused() -> None:
    bare = Certificate.load(_with_field(_extensions()))
    assert bare.key_usage is None
    with pytest.raises(CertificateRefused, match="key usage"):
        verify(bare)


def test_a_leaf_that_issued_is_refused() -> None:
    leaf, _ = issue("gw-3", Role.GATEWAY, GATEWAY, GATEWAY_KEY)
    with pytest.raises(CertificateRefused, match="is no CA"):
        verify(leaf, [GATEWAY])
    with pytest.raises(CertificateRefused, match="is no CA"):
        verify(leaf, anchors=[GATEWAY])


def test_a_ca_certificate_is_no_leaf() -> None:
    with pytest.raises(CertificateRefused, match="CA certificate"):
        verify(CITY)


def test_path_length_is_kept() -> None:
    below, below_key = issue("district", Role.CA, CITY, CITY_KEY)
    leaf, _ = issue("gw", Role.GATEWAY, below, below_key)
    with pytest.raises(CertificateRefused, match="path length is 0"):
        verify(leaf, [below, CITY])


def test_the_chain_is_capped() -> None:
    issuer, key = ROOT, ROOT_KEY
    between = []
    for number in range(4):
        issuer, key = issue(f"ca-{number}", Role.CA, issuer, key)
        between.append(issuer)
        leaf, _ = issue("gw", Role.GATEWAY, issuer, key)
        if number < 3:
            assert len(verify(leaf, between)) == number + 3
    with pytest.raises(CertificateRefused, match="longer than 5"):
        verify(leaf, between)


def test_woven_intermediates_cost_a_bounded_number_of_checks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = PROVIDER.sm2_generate()
    woven = [
        issue("loop", Role.CA, None, None, key=key, not_after=END + timedelta(days=n))[0]
        for n in range(MAX_INTERMEDIATES)
    ]
    leaf, _ = issue("gw", Role.GATEWAY, woven[0], key)
    checked = []
    verify_once = type(key.public).verify

    def counting(self: Any, signature: bytes, message: bytes) -> bool:
        checked.append(1)
        return verify_once(self, signature, message)

    monkeypatch.setattr(type(key.public), "verify", counting)
    with pytest.raises(CertificateRefused):
        verify(leaf, woven)
    assert 1 < len(checked) <= 32
    with pytest.raises(CertificateRefused, match="more than 8"):
        verify(leaf, [*woven, CITY])


def test_the_role_is_the_ou() -> None:
    with pytest.raises(CertificateRefused, match="not 'headgate-platform-receipt'"):
        verify(GATEWAY, role=Role.PLATFORM_RECEIPT)


def test_a_key_off_the_curve_is_refused() -> None:
    spki = bytearray(GATEWAY.spki)
    spki[-1] ^= 1
    with pytest.raises(CertificateRefused, match="not on the SM2 curve"):
        verify(Certificate.load(_with_field(set_field(6, bytes(spki)))))


# --- requests and issuing ----------------------------------------------------------------------


def test_a_request_carries_name_and_key_and_proves_possession() -> None:
    request = make_request(subject_name("gw-9", Role.GATEWAY, "City"), GATEWAY_KEY)
    for data in (request.der, request.pem()):
        assert load_request(data, PROVIDER) == request
    assert describe_name(request.subject) == ("gw-9", "headgate-gateway")
    certificate, _ = issue(
        "-", Role.GATEWAY, ROOT, ROOT_KEY, subject=request.subject, spki=request.spki
    )
    assert verify(certificate, role=Role.GATEWAY)[0].subject_cn == "gw-9"


def test_a_request_for_somebody_elses_key_is_refused() -> None:
    request = make_request(subject_name("gw-9", Role.GATEWAY), GATEWAY_KEY)
    stolen = request.der.replace(GATEWAY_KEY.public.spki, ROOT_KEY.public.spki)
    with pytest.raises(CertificateRefused, match="does not verify"):
        load_request(stolen, PROVIDER)


def test_issuing_with_a_strangers_key_is_our_own_mistake() -> None:
    with pytest.raises(ValueError, match="does not belong"):
        issue("gw", Role.GATEWAY, ROOT, GATEWAY_KEY)
    for wrong in ("", "x" * 65, "tab\there"):
        with pytest.raises(ValueError, match="printable"):
            subject_name(wrong, Role.GATEWAY)


# --- DER ---------------------------------------------------------------------------------------


@given(st.integers(-(1 << 80), 1 << 80))
@example(-128)
def test_integers_go_out_and_come_back(value: int) -> None:
    assert der.Reader(der.integer(value)).integer() == value


@given(st.lists(st.integers(0, 1 << 40), max_size=6), st.integers(0, 2), st.integers(0, 39))
def test_object_identifiers_go_out_and_come_back(rest: list[int], a: int, b: int) -> None:
    text = ".".join(map(str, [a, b, *rest]))
    assert der.Reader(der.oid(text)).oid() == text


@given(st.datetimes(datetime(1950, 1, 1), datetime(9999, 12, 31)))  # noqa: DTZ001
def test_instants_go_out_and_come_back(at: datetime) -> None:
    at = at.replace(microsecond=0, tzinfo=UTC)
    assert der.Reader(der.instant(at)).instant() == at


@given(st.binary(max_size=70_000))
def test_long_content_goes_out_and_comes_back(content: bytes) -> None:
    assert der.Reader(der.octets(content)).element(der.OCTET_STRING).content == content


@pytest.mark.parametrize(
    "wrong",
    [b"\x02\x81\x01\x05", b"\x02\x02\x00\x05", b"\x02\x80\x05\x00\x00", b"\x02\x00", b"\x1f\x01"],
)
def test_ber_that_is_not_der_is_refused(wrong: bytes) -> None:
    with pytest.raises(der.DerError):
        der.Reader(wrong).integer()
