"""Makes what a receiver must refuse, and as what: grants, records, signed records, receipts, sequences.

    python tests/vectors/envelope/make_refusals.py tests/vectors/envelope

Verdicts are written here by hand, by the rule that a case breaks; no code under test says them. Private keys
but the published one of GB/T 32918.5 are drawn, used and forgotten, so a new run gives other bytes.
"""

# ruff: noqa: E501 - tables of cases, one a line

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import zstandard

from headgate.crypto import encoding
from headgate.crypto.issue import (
    CA_USAGE,
    ENCRYPT_USAGE,
    SIGN_USAGE,
    issue_certificate,
    subject_name,
)
from headgate.crypto.provider import Sm2PrivateKey, default_provider
from headgate.crypto.x509 import Certificate, Role
from headgate.envelope.chain import BEGINNING, Chain, Sealed, link, statement
from headgate.envelope.grant import derive, make_core, sign_grant
from headgate.envelope.record import Sealer, padded_size

PLATFORM_KEY = "3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8"
PLATFORM_POINT = (
    "0409f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020"
    "ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13"
)
FROM, UNTIL = datetime(2026, 1, 1, tzinfo=UTC), datetime(2046, 1, 1, tzinfo=UTC)
AT = "2027-01-01T00:00:00Z"
EPOCH, KEY_ID, SALT = b"\xe0" * 8, b"\x1d" * 8, bytes.fromhex("5a175a17")
BOOT, SECRET = bytes(range(0xB0, 0xC0)), bytes(range(32))
GATEWAY = "gauge-house-7"
P = default_provider()
pack = msgspec.msgpack.encode
unpack = msgspec.msgpack.decode
Case = dict[str, Any]


def certificate(
    name: str,
    role: Role,
    spki: bytes,
    key: Sm2PrivateKey,
    issuer: Certificate | None,
    usage: Any = SIGN_USAGE,
    span: tuple[datetime, datetime] = (FROM, UNTIL),
) -> Certificate:
    return issue_certificate(
        subject=subject_name(name, role), spki=spki, issuer=issuer, issuer_key=key, key_usage=usage,
        not_before=span[0], not_after=span[1], provider=P,
    )  # fmt: skip


class World:
    """One root, two gateways, three platforms; and a root of somebody else."""

    def __init__(self) -> None:
        new = P.sm2_generate
        self.root_key, self.gateway_key, self.receipt_key, self.next_receipt_key = (
            new() for _ in range(4)
        )
        self.other_key, self.stranger_key = new(), new()
        self.root = certificate(
            "example root", Role.CA, self.root_key.public.spki, self.root_key, None, CA_USAGE
        )
        self.foreign_root = certificate(
            "example root", Role.CA, self.other_key.public.spki, self.other_key, None, CA_USAGE
        )
        self.gateway = self.issue(GATEWAY, Role.GATEWAY, self.gateway_key)
        self.neighbour = self.issue("gauge-house-8", Role.GATEWAY, self.other_key)
        self.platform = certificate(
            "platform", Role.PLATFORM_ENCRYPTION,
            encoding.spki(bytes.fromhex(PLATFORM_POINT)), self.root_key, self.root, ENCRYPT_USAGE,
        )  # fmt: skip
        self.province = self.issue("province", Role.PLATFORM_ENCRYPTION, new(), ENCRYPT_USAGE)

    def issue(
        self, name: str, role: Role, key: Sm2PrivateKey, usage: Any = SIGN_USAGE, **more: Any
    ) -> Certificate:
        return certificate(name, role, key.public.spki, self.root_key, self.root, usage, **more)

    def core(self, *, signed: bool = False, **changes: Any) -> Any:
        fields = {
            "gateway": GATEWAY, "signer_spki": self.gateway.spki, "epoch": EPOCH, "key_id": KEY_ID,
            "salt": SALT, **changes,
        }  # fmt: skip
        return make_core(P, signed=signed, **fields)

    def empty_id(self) -> bytes:
        """The gateway's certificate, signed as the bare `openssl` command does: with an empty SM2 ID."""
        with tempfile.TemporaryDirectory() as folder:
            at = Path(folder)
            (at / "ca.key").write_bytes(self.root_key.pem())
            (at / "ca.crt").write_bytes(self.root.pem())
            (at / "gw.key").write_bytes(self.gateway_key.pem())
            (at / "ext").write_text(
                "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
            )
            run = ["openssl", "req", "-new", "-key", "gw.key", "-sm3", "-out", "gw.csr"]
            subject = ["-subj", f"/OU=headgate-gateway/CN={GATEWAY}"]
            subprocess.run([*run, *subject], cwd=at, check=True, capture_output=True)
            sign = ["openssl", "x509", "-req", "-in", "gw.csr", "-CA", "ca.crt", "-CAkey", "ca.key"]
            how = ["-sm3", "-days", "7000", "-extfile", "ext", "-outform", "DER", "-out", "gw.der"]
            subprocess.run(
                [*sign, *how, "-set_serial", "77"], cwd=at, check=True, capture_output=True
            )
            return (at / "gw.der").read_bytes()


def flip(data: bytes, at: int = -1) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def case(name: str, message: bytes, verdict: str, **context: Any) -> Case:
    if len(message) > 60_000:
        # Giants: the zeros at their end are counted, not written.
        short = message.rstrip(b"\0")
        context["zeros_behind"] = len(message) - len(short)
        message = short
    return {"name": name, "message": message.hex(), "verdict": verdict, **context}


def shapes(value: Any, other: Any) -> Iterator[tuple[str, Any, bool]]:
    """What can be done to a field: how, the changed value, and whether its form is still right."""
    if isinstance(value, bytes):
        yield "altered", flip(value), True
        yield "swapped", other, True
        yield "truncated", value[:-1], False
        yield "extended", value + b"\0", False
        yield "empty", b"", False
        yield "as text", "x" * len(value), False
        yield "nil", None, False
    elif isinstance(value, str):
        yield "altered", value[:-1] + "x", True
        yield "swapped", other, True
        yield "as bytes", value.encode(), False
        yield "nil", None, False
    else:
        yield "negative", -1, False
        yield "as text", "1", False
        yield "nil", None, False


# ---------------------------------------------------------------- grants


def grants(w: World) -> dict[str, Any]:
    core = w.core()
    good = sign_grant(P, core, [w.platform], SECRET, w.gateway_key, [w.gateway])
    core_raw, listing, signature, chain = unpack(good[4:])
    fields = unpack(core_raw)
    names = ["label", "suite", "gateway", "signer", "epoch", "key id", "salt"]
    others: list[Any] = [
        "headgate-receipt-v1", 1, "gauge-house-8", P.sm3(w.other_key.public.spki), b"\xee" * 8, b"\x2d" * 8,
        bytes(4),
    ]  # fmt: skip

    def join(*parts: Any, head: bytes = b"HG\x02\x01") -> bytes:
        return head + pack(parts)

    def signed(core_bytes: bytes, listing_bytes: bytes, *certs: bytes, key: Any = None) -> bytes:
        body = len(core_bytes).to_bytes(4, "big") + core_bytes + listing_bytes
        made = (key or w.gateway_key).sign(body)
        return join(core_bytes, listing_bytes, made, list(certs or (w.gateway.der,)))

    cases = [
        case("good", good, "accepted"),
        case("good, with an intermediate that nobody needs", signed(core_raw, listing, w.gateway.der, w.root.der), "accepted"),
        case("a core that asks for signed records", signed(w.core(signed=True).raw, listing), "accepted"),
        case(
            "several platforms and signed records",
            sign_grant(P, w.core(signed=True), [w.province, w.platform], SECRET, w.gateway_key, [w.gateway]),
            "accepted",
        ),
    ]  # fmt: skip
    for at, name in enumerate(names):
        for how, changed, formed in shapes(fields[at], others[at]):
            if how == "swapped" and changed == fields[at]:
                continue
            raw = pack([*fields[:at], changed, *fields[at + 1 :]])
            broken = not formed or name in ("label", "suite")
            cases.append(
                case(
                    f"{name} {how}, on the way",
                    join(raw, listing, signature, chain),
                    "form" if broken else "signature",
                )
            )
            if broken:
                cases.append(case(f"{name} {how}, signed so", signed(raw, listing), "form"))
            elif name in ("gateway", "signer"):
                cases.append(case(f"{name} {how}, signed so", signed(raw, listing), "signature"))
    cases.append(
        case("suite 2, signed so", signed(pack([fields[0], 2, *fields[2:]]), listing), "form")
    )
    for gateway in ("", "Gate", "g/+", "g\n", "x" * 65):
        raw = pack([*fields[:2], gateway, *fields[3:]])
        cases.append(case(f"gateway {gateway!r}, signed so", signed(raw, listing), "form"))
    for policy, verdict in (
        (0, "accepted"),
        (1, "accepted"),
        (2, "form"),
        (-1, "form"),
        ("1", "form"),
    ):
        raw = pack([*fields, policy])
        cases.append(case(f"policy {policy!r}, signed so", signed(raw, listing), verdict))
    cases += [
        case("policy added on the way", join(pack([*fields, 1]), listing, signature, chain), "signature"),
        case("core with an element more, signed so", signed(pack([*fields, 0, "later"]), listing), "accepted"),
        case("core too short, signed so", signed(pack(fields[:6]), listing), "form"),
        case("core is a map, signed so", signed(pack(dict(zip(names, fields, strict=True))), listing), "form"),
        case("core with bytes behind it, signed so", signed(core_raw + b"\0", listing), "form"),
        case("core with a longer length form, signed so", signed(_long_array(core_raw, 7), listing), "accepted"),
    ]  # fmt: skip

    ((print_, wrapped),) = unpack(listing)
    mine = [print_, wrapped]
    province = [w.province.fingerprint, P.sm2_load_public(w.province.spki).encrypt(SECRET)]
    to_other = P.sm2_load_public(w.province.spki).encrypt(SECRET)
    for name, entries, verdict in (
        ("altered", [[print_, flip(wrapped)]], "signature"),
        ("of another grant", [[print_, P.sm2_load_public(w.platform.spki).encrypt(bytes(32))]], "signature"),
        ("none", [], "form"),
        ("nine", [mine] * 9, "form"),
    ):  # fmt: skip
        cases.append(
            case(
                f"recipients {name}, on the way",
                join(core_raw, pack(entries), signature, chain),
                verdict,
            )
        )
    for name, entries, verdict in (
        ("another platform", [province], "recipient"),
        ("its certificate altered", [[flip(print_), wrapped]], "recipient"),
        ("its certificate truncated", [[print_[:-1], wrapped]], "form"),
        ("its certificate extended", [[print_ + b"\0", wrapped]], "form"),
        ("wrapped secret altered in C1", [[print_, flip(wrapped, 8)]], "seal"),
        ("wrapped secret altered in C3", [[print_, flip(wrapped, -40)]], "seal"),
        ("wrapped secret altered in C2", [[print_, flip(wrapped)]], "seal"),
        ("wrapped secret truncated", [[print_, wrapped[:-1]]], "seal"),
        ("wrapped secret extended", [[print_, wrapped + b"\0"]], "seal"),
        ("wrapped secret empty", [[print_, b""]], "form"),
        ("wrapped secret too long", [[print_, bytes(513)]], "form"),
        ("wrapped secret raw, not DER", [[print_, _raw_c1c3c2(wrapped)]], "seal"),
        ("wrapped for another key", [[print_, to_other]], "seal"),
        ("a secret of 31 bytes", [[print_, P.sm2_load_public(w.platform.spki).encrypt(bytes(31))]], "seal"),
        ("a secret of 33 bytes", [[print_, P.sm2_load_public(w.platform.spki).encrypt(bytes(33))]], "seal"),
        ("none", [], "form"),
        ("nine", [mine] * 9, "form"),
        ("two without signed records", [mine, province], "form"),
        ("no array", 7, "form"),
        ("an entry of one", [[print_]], "form"),
        ("an entry of three", [[print_, wrapped, 0]], "accepted"),
    ):  # fmt: skip
        cases.append(
            case(f"recipients: {name}, signed so", signed(core_raw, pack(entries)), verdict)
        )

    for name, changed in (
        ("altered", flip(signature)), ("truncated", signature[:-1]), ("extended", signature + b"\0"),
        ("empty", b""), ("raw r and s", _raw_signature(signature)),
        ("by another gateway", w.other_key.sign(core_raw)),
        ("of another grant", unpack(signed(w.core(epoch=b"\xee" * 8).raw, listing)[4:])[2]),
    ):  # fmt: skip
        cases.append(
            case(f"signature {name}", join(core_raw, listing, changed, chain), "signature")
        )
    cases.append(case("signature of 81 bytes", join(core_raw, listing, bytes(81), chain), "form"))
    cases.append(case("signature as text", join(core_raw, listing, "x", chain), "form"))

    cases += _certificates(w, signed, core_raw, listing, good)
    cases += _renewed(w, core_raw, listing)
    cases += [
        case("cut", good[:-1], "form"),
        case("more after the end", good + b"\0", "form"),
        case("empty", b"", "form"),
        case("four bytes", good[:4], "form"),
        case("magic", b"XG" + good[2:], "form"),
        case("kind of a record", good[:2] + b"\x01" + good[3:], "form"),
        case("kind of a receipt", good[:2] + b"\x03" + good[3:], "form"),
        case("version 2", good[:3] + b"\x02" + good[4:], "form"),
        case("too large", good + bytes(16 * 1024), "form"),
        case("no msgpack", good[:4] + b"\xc1" * 40, "form"),
        case("deeper than anybody counts", good[:4] + b"\x91" * 10_000, "form"),
        case("three parts", join(core_raw, listing, signature), "form"),
        case("five parts", join(core_raw, listing, signature, chain, 0), "accepted"),
        case("array with a longer length form", good[:4] + _long_array(good[4:], 4), "accepted"),
    ]
    return {
        "about": "grants: docs/reference/uplink.md, section 4",
        "at": AT,
        "platform_private_key": PLATFORM_KEY,
        "platform_certificate": w.platform.der.hex(),
        "anchors": [w.root.der.hex()],
        "record_key": derive(P, SECRET, core).key.hex(),
        "cases": cases,
    }


def _certificates(
    w: World, signed: Callable[..., bytes], core_raw: bytes, listing: bytes, good: bytes
) -> Iterator[Case]:
    at = {
        "early": (datetime(2030, 1, 1, tzinfo=UTC), UNTIL),
        "late": (FROM, datetime(2026, 6, 1, tzinfo=UTC)),
    }

    def with_leaf(name: str, leaf: bytes, verdict: str = "certificate", **more: Any) -> Case:
        return case(f"certificate {name}", signed(core_raw, listing, leaf), verdict, **more)

    issue, key = w.issue, w.gateway_key
    yield with_leaf("expired", issue(GATEWAY, Role.GATEWAY, key, span=at["late"]).der)
    yield with_leaf("not yet valid", issue(GATEWAY, Role.GATEWAY, key, span=at["early"]).der)
    yield case("certificate expired since", good, "certificate", at="2047-01-01T00:00:00Z")
    yield case(
        "certificate not valid yet, by this clock", good, "certificate", at="2025-01-01T00:00:00Z"
    )
    yield case("certificate revoked", good, "certificate", revoked=[w.gateway.fingerprint.hex()])
    yield case(
        "another certificate revoked", good, "accepted", revoked=[w.neighbour.fingerprint.hex()]
    )
    yield with_leaf("for encryption", issue(GATEWAY, Role.GATEWAY, key, ENCRYPT_USAGE).der)
    for role in (Role.PLATFORM_RECEIPT, Role.OPERATOR, Role.GATEWAY_LINK, Role.GATEWAY_ENCRYPTION):
        yield with_leaf(f"of role {role.value}", issue(GATEWAY, role, key).der)
    yield with_leaf("of a CA", w.root.der)
    foreign = certificate(GATEWAY, Role.GATEWAY, w.gateway.spki, w.other_key, w.foreign_root)
    yield with_leaf("of another root with the same name", foreign.der)
    yield with_leaf(
        "signed by a gateway",
        certificate(GATEWAY, Role.GATEWAY, w.gateway.spki, w.other_key, w.neighbour).der,
    )
    yield with_leaf("signed with an empty SM2 ID", w.empty_id())
    yield with_leaf("with its signature altered", flip(w.gateway.der))
    yield with_leaf(
        "of another gateway with the same key",
        issue("gauge-house-8", Role.GATEWAY, key).der,
        "signature",
    )
    yield with_leaf("of another gateway with its own key", w.neighbour.der, "signature")
    yield case("signed by another gateway", signed(core_raw, listing, key=w.other_key), "signature")
    parts = unpack(good[4:])
    yield case("no certificate", b"HG\x02\x01" + pack([*parts[:3], []]), "form")
    yield case("five certificates", b"HG\x02\x01" + pack([*parts[:3], [w.gateway.der] * 5]), "form")
    yield case(
        "certificate cut", b"HG\x02\x01" + pack([*parts[:3], [w.gateway.der[:-1]]]), "certificate"
    )
    yield case("certificate as text", b"HG\x02\x01" + pack([*parts[:3], ["x"]]), "form")


def _renewed(w: World, core_raw: bytes, listing: bytes) -> Iterator[Case]:
    """The gateway has another key now, and vouches for what its earlier one has granted."""
    new = P.sm2_generate()
    now = w.issue(GATEWAY, Role.GATEWAY, new)
    ended = (FROM, datetime(2026, 6, 1, tzinfo=UTC))
    before = w.issue(GATEWAY, Role.GATEWAY, w.gateway_key, span=ended)
    other = w.issue("gauge-house-8", Role.GATEWAY, w.gateway_key, span=ended)
    foreign = certificate(GATEWAY, Role.GATEWAY, w.gateway.spki, w.other_key, w.foreign_root)
    receipts = w.issue(GATEWAY, Role.PLATFORM_RECEIPT, w.gateway_key)
    signing = w.core(signed=True).raw

    def made(name: str, core: bytes, *certs: Certificate, verdict: str, **more: Any) -> Case:
        signature = new.sign(len(core).to_bytes(4, "big") + core + listing)
        parts = [core, listing, signature, [each.der for each in certs]]
        return case(f"renewed: {name}", b"HG\x02\x01" + pack(parts), verdict, **more)

    yield made("the earlier certificate has run out", core_raw, now, before, verdict="accepted")
    yield made("of a key whose records are signed", signing, now, before, verdict="accepted")
    yield made("without the earlier certificate", core_raw, now, verdict="signature")
    yield made("with one of another gateway", core_raw, now, other, verdict="signature")
    yield made("with one of another root", core_raw, now, foreign, verdict="certificate")
    yield made("with one of another role", core_raw, now, receipts, verdict="certificate")
    yield made(
        "the new one is revoked",
        core_raw,
        now,
        before,
        verdict="certificate",
        revoked=[now.fingerprint.hex()],
    )
    gone = [before.fingerprint.hex()]
    yield made(
        "the earlier one is revoked, records are signed",
        signing,
        now,
        before,
        verdict="certificate",
        revoked=gone,
    )
    yield made(
        "the earlier one is revoked, no record is signed",
        core_raw,
        now,
        before,
        verdict="accepted",
        revoked=gone,
    )


def _long_array(data: bytes, count: int) -> bytes:
    """An array of up to 15 elements in the form for up to 65,535."""
    assert data[0] == 0x90 | count
    return b"\xdc" + count.to_bytes(2, "big") + data[1:]


def _numbers(der: bytes, count: int) -> list[bytes]:
    at, found = 2, []
    for _ in range(count):
        size = der[at + 1]
        found.append(der[at + 2 : at + 2 + size][-32:].rjust(32, b"\0"))
        at += 2 + size
    return [*found, der[at:]]


def _raw_signature(der: bytes) -> bytes:
    r, s, _ = _numbers(der, 2)
    return r + s


def _raw_c1c3c2(der: bytes) -> bytes:
    x, y, rest = _numbers(der, 2)
    return b"\x04" + x + y + rest[2:34] + rest[36:]


# ---------------------------------------------------------------- records


def payload_of(*items: Any) -> bytes:
    """A payload in which a decoder that reads no item has nothing to doubt."""
    return pack([1, BOOT, [], [], [[6, "started", 1, {}], *items]])


def _inside(
    enclose: Callable[[bytes], bytes], plain: Callable[..., bytes], good: bytes
) -> Iterator[Case]:
    """Behind the tag: the gateway's own word, and wrong."""
    compress = zstandard.ZstdCompressor(level=1, write_content_size=True).compress
    bare = zstandard.ZstdCompressor(level=1, write_content_size=False).compress
    frame = compress(good)

    def inside(name: str, plaintext: bytes, verdict: str = "content") -> Case:
        return case(name, enclose(plaintext), verdict)

    yield inside("frame without its size", plain(bare(good), len(good)), "accepted")
    yield inside("padding to another step", plain(frame, len(good), step=8192), "accepted")
    yield inside("no padding at all", plain(frame, len(good), step=1), "accepted")
    yield inside("D one less", plain(frame, len(good) - 1))
    yield inside("D one more", plain(frame, len(good) + 1))
    yield inside("D zero", plain(frame, 0))
    yield inside("D one less, frame without its size", plain(bare(good), len(good) - 1))
    yield inside("D one more, frame without its size", plain(bare(good), len(good) + 1))
    yield inside("D above 4 MiB", plain(frame, (4 << 20) + 1))
    yield inside("D above 2 GiB", plain(frame, 0xFFFFFFFF))
    yield inside("a frame of 5 MiB that says so", plain(compress(bytes(5 << 20)), len(good)))
    yield inside("a frame of 5 MiB that says nothing", plain(bare(bytes(5 << 20)), len(good)))
    yield inside("frame cut", plain(frame[:-1], len(good)))
    yield inside("frame empty", plain(b"", len(good)))
    yield inside("frame with bytes behind it", plain(frame + b"\0", len(good)))
    yield inside("two frames", plain(frame + compress(b""), len(good)))
    yield inside("no frame", plain(b"\0" * len(frame), len(good)))
    params = zstandard.ZstdCompressionParameters(window_log=27, write_content_size=False)
    wide = zstandard.ZstdCompressor(compression_params=params).compressobj()
    yield inside("a window of 128 MiB", plain(wide.compress(good) + wide.flush(), len(good)))
    for name, payload, verdict in (
        ("payload version 2", pack([2, BOOT, [], [], []]), "content"),
        ("payload boot of 15 bytes", pack([1, BOOT[1:], [], [], []]), "content"),
        ("payload boot as text", pack([1, "x" * 16, [], [], []]), "content"),
        ("payload of four parts", pack([1, BOOT, [], []]), "content"),
        ("payload of six parts", pack([1, BOOT, [], [], [], 0]), "accepted"),
        ("payload is a map", pack({"version": 1}), "content"),
        ("payload with bytes behind it", payload_of() + b"\0", "content"),
        ("payload no msgpack", b"\xc1", "content"),
        ("payload empty", b"", "content"),
        ("payload cut", payload_of()[:-1], "content"),
        ("payload with a longer length form", _long_array(payload_of(), 5), "accepted"),
        ("a table's name of 31 bytes", pack([1, BOOT, [bytes(31)], [], []]), "content"),
        ("a table's name as text", pack([1, BOOT, ["x" * 32], [], []]), "content"),
        ("more than 4096 tables", pack([1, BOOT, [bytes(32)] * 4097, [], []]), "content"),
        ("an item that is no array", pack([1, BOOT, [], [], [7]]), "content"),
        ("an item without a type", pack([1, BOOT, [], [], [[]]]), "content"),
        ("an item whose type is text", pack([1, BOOT, [], [], [["x"]]]), "content"),
        ("a point table among the items", pack([1, BOOT, [], [], [[2, 1, "d", []]]]), "content"),
        ("an item of a type from the future", pack([1, BOOT, [], [], [[99, {"a": 1}]]]), "accepted"),
        ("a block of a table that is not listed", pack([1, BOOT, [], [], [[1, 1, 0, 5, None, None]]]), "content"),
        ("a block of a table below zero", pack([1, BOOT, [bytes(32)], [], [[1, 1, -1, 5, None, None]]]), "content"),
        ("a key twice in a map: the last counts", pack([1, BOOT, [], [], []])[:-1] + b"\x91\x94\x06\xa1k\x01\x82\xa1a\x01\xa1a\x02", "accepted"),
    ):  # fmt: skip
        yield inside(name, plain(compress(payload), len(payload)), verdict)


def records(w: World) -> dict[str, Any]:
    core = w.core()
    key = derive(P, SECRET, core)
    sealer = Sealer(P)
    payload = payload_of()
    good, second = (sealer.seal(key, EPOCH, n, payload) for n in (0, 1))

    def enclose(plaintext: bytes, n: int = 5) -> bytes:
        header = good[:24] + n.to_bytes(8, "big")
        return header + P.sm4_gcm_seal(key.key, key.salt + header[24:], plaintext, header)

    def plain(
        frame: bytes, size: int, packed: int | None = None, step: int = 0, pad: bytes = b"\0"
    ) -> bytes:
        made = (
            (len(frame) if packed is None else packed).to_bytes(4, "big")
            + size.to_bytes(4, "big")
            + frame
        )
        target = padded_size(len(made)) if step == 0 else -(-len(made) // step) * step
        return made + pad * (target - len(made))

    frame = zstandard.ZstdCompressor(level=1).compress(payload)
    other_secret = derive(P, bytes(32), core)
    cases = [
        case("good", good, "accepted"),
        case("good, n far on", sealer.seal(key, EPOCH, 2**63 - 1, payload), "accepted"),
        case("n above 63 bits", sealer.seal(key, EPOCH, 2**63, payload), "form"),
        *_headers(good, second),
        case("sealed under another secret", sealer.seal(other_secret, EPOCH, 0, payload), "seal"),
        case("sealed under another salt", sealer.seal(msgspec.structs.replace(key, salt=bytes(4)), EPOCH, 0, payload), "seal"),
        case("a signed record, under a key that asks for none", _signed_record(w, key, EPOCH, 0, payload), "origin"),
        case("L longer than the record", enclose(plain(frame, len(payload), packed=10_000)), "content"),
        case("L above 2 GiB", enclose(plain(frame, len(payload), packed=0xFFFFFFFF)), "content"),
        case("L one less", enclose(plain(frame, len(payload), packed=len(frame) - 1)), "content"),
        case("L one more", enclose(plain(frame, len(payload), packed=len(frame) + 1)), "content"),
        case("padding not zeros", enclose(plain(frame, len(payload), pad=b"\x01")), "content"),
        case("the last byte of the padding not zero", enclose(plain(frame, len(payload))[:-1] + b"\x01"), "content"),
        *_inside(enclose, plain, payload),
    ]  # fmt: skip
    return {
        "about": "records: docs/reference/uplink.md, section 5; the grant is good",
        **_key(core, key),
        "cases": cases,
    }


def _signed_record(w: World, key: Any, epoch: bytes, n: int, payload: bytes) -> bytes:
    chain = Chain(P)
    chain.signed_by(w.gateway_key)
    return Sealer(P).seal_signed(key, epoch, n, payload, chain)


def _key(core: Any, key: Any) -> dict[str, Any]:
    return {
        "gateway": GATEWAY, "core": core.raw.hex(), "epoch": core.epoch.hex(),
        "key_id": core.key_id.hex(), "salt": core.salt.hex(), "record_key": key.key.hex(),
    }  # fmt: skip


def _headers(good: bytes, second: bytes) -> Iterator[Case]:
    for name, at in (
        ("magic", 0),
        ("version", 3),
        ("suite", 4),
        ("reserved 1", 5),
        ("reserved 2", 6),
        ("reserved 3", 7),
    ):
        yield case(f"{name} altered", flip(good, at), "form")
    for kind in (0, 2, 3, 9, 255):
        yield case(f"kind {kind}", good[:2] + bytes((kind,)) + good[3:], "form")
    other = 8 if good[2] == 1 else 1
    yield case("kind of the other sort of record", good[:2] + bytes((other,)) + good[3:], "seal")
    yield case("key id altered", flip(good, 8), "key")
    yield case("epoch altered", flip(good, 16), "key")
    yield case("n altered", flip(good, 31), "seal")
    yield case("n of another record", good[:24] + second[24:32] + good[32:], "seal")
    yield case("body of another record", good[:32] + second[32:], "seal")
    yield case("first byte of the body altered", flip(good, 32), "seal")
    yield case("last byte of the body altered", flip(good, -17), "seal")
    yield case("tag altered", flip(good), "seal")
    yield case("tag of another record", good[:-16] + second[-16:], "seal")
    yield case("cut by one", good[:-1], "seal")
    yield case("cut by a block", good[:-16], "seal")
    yield case("one byte more", good + b"\0", "seal")
    yield case("header alone", good[:32], "form")
    yield case("55 bytes", good[:55], "form")
    yield case("empty", b"", "form")
    yield case("too large", good + bytes(2 << 20), "form")


def signed_records(w: World) -> dict[str, Any]:
    core = w.core(signed=True)
    key = derive(P, SECRET, core)
    payload = payload_of()
    sealer, chain = Sealer(P), Chain(P)
    chain.signed_by(w.gateway_key)
    good, second = (sealer.seal_signed(key, EPOCH, n, payload, chain) for n in (0, 1))
    compress = zstandard.ZstdCompressor(level=1, write_content_size=True).compress
    frame = compress(payload)

    def enclose(plaintext: bytes, n: int = 5, kind: int = 8) -> bytes:
        header = good[:2] + bytes((kind,)) + good[3:24] + n.to_bytes(8, "big")
        return header + P.sm4_gcm_seal(key.key, key.salt + header[24:], plaintext, header)

    def plain(
        frame: bytes, size: int, *, n: int = 5, signer: Any = w.gateway_key, previous: bytes = BEGINNING,
        about: bytes | None = None, over: bytes = key.core or b"", step: int = 0, pad: bytes = b"\0",
        signature: bytes | None = None, header: bytes | None = None, lengths: bytes | None = None,
        claimed: bytes | None = None, declared: int | None = None,
    ) -> bytes:  # fmt: skip
        sizes = len(frame).to_bytes(4, "big") + size.to_bytes(4, "big")
        head = header or good[:24] + n.to_bytes(8, "big")
        said = statement(
            P, over, Sealed(head, lengths or sizes, frame if about is None else about), previous
        )
        made = signer.sign(said) if signature is None else signature
        out = (
            sizes
            + bytes((len(made) if declared is None else declared,))
            + (claimed or previous)
            + made
            + frame
        )
        target = padded_size(len(out)) if step == 0 else -(-len(out) // step) * step
        return out + pad * (target - len(out))

    size = len(payload)
    first = P.sm4_gcm_open(key.key, key.salt + good[24:32], good[32:], good[:32])
    old_signature = first[41 : 41 + first[8]]
    bare_core = derive(P, SECRET, w.core()).core
    assert bare_core is None
    forged = compress(payload_of([6, "forged", 2, {}]))
    origin = [
        ("bare, as if the key asked for no signatures", Sealer(P).seal(msgspec.structs.replace(key, core=None), EPOCH, 5, payload)),
        ("signed by another gateway", enclose(plain(frame, size, signer=w.other_key))),
        ("another payload under a true signature", enclose(plain(forged, len(payload_of([6, "forged", 2, {}])), signature=old_signature))),
        ("the signature of another record", enclose(plain(frame, size, signature=old_signature))),
        ("a signature over another frame", enclose(plain(frame, size, about=forged))),
        ("a signature over another header", enclose(plain(frame, size, header=good[:32]))),
        ("a signature over another core", enclose(plain(frame, size, over=P.sm3(w.core().raw)))),
        ("a signature over other lengths", enclose(plain(frame, size, lengths=bytes(8)))),
        ("another link than was signed", enclose(plain(frame, size, claimed=b"\x01" * 32))),
        ("signature altered", enclose(flip(plain(frame, size), 60))),
        ("signature empty", enclose(plain(frame, size, signature=b""))),
        ("signature of 81 bytes", enclose(plain(frame, size, signature=bytes(81)))),
        ("signature raw, not DER", enclose(plain(frame, size, signature=_raw_signature(old_signature)))),
        ("signature longer than the record", enclose(plain(frame, size, declared=255))),
        ("a true record moved to another n", enclose(first, n=9)),
        ("a true record with D altered", enclose(flip(first, 7), n=0)),
        ("a true record with L altered", enclose(flip(first, 3), n=0)),
        ("a true record with its link altered", enclose(flip(first, 20), n=0)),
        ("a true record with its frame altered", enclose(flip(first, 9 + 32 + first[8] + 6), n=0)),
        ("a true record with padding that is not zeros", enclose(first[:-1] + b"\x01", n=0)),
        ("too short for a signature", enclose(bytes(40))),
        ("zeros", enclose(bytes(256))),
    ]  # fmt: skip
    cases = [
        case("good, the first", good, "accepted"),
        case("good, the second", second, "accepted"),
        *_headers(good, second),
        *(case(name, message, "origin") for name, message in origin),
        *_inside(enclose, plain, payload),
    ]
    first_link = link(
        P, statement(P, key.core or b"", Sealed(good[:32], first[:8], frame), BEGINNING)
    )
    return {
        "about": "signed records: docs/reference/uplink.md, section 5; the grant is good, its policy is 1",
        **_key(core, key),
        "signer": w.gateway.spki.hex(),
        "first": good.hex(),
        "first_link": first_link.hex(),
        "second": second.hex(),
        "cases": cases,
    }


# ---------------------------------------------------------------- receipts


def receipts(w: World) -> dict[str, Any]:
    fields: list[Any] = [
        "headgate-receipt-v1",
        GATEWAY,
        EPOCH,
        7,
        2,
        [[3, 5]],
        [[9, 2, KEY_ID]],
        [[0, 1]],
    ]
    names = ["label", "gateway", "epoch", "serial", "floor", "stored", "verdicts", "resend"]
    others: list[Any] = ["headgate-grant-v1", "gauge-house-8", b"\xee" * 8, 8, 9, [], [], []]

    def signed(body: bytes, *keys: Sm2PrivateKey, more: Any = ()) -> bytes:
        signatures = [key.sign(body) for key in keys or (w.receipt_key,)]
        others = [signatures[1:]] if len(signatures) > 1 else []
        return b"HG\x03\x01" + pack([body, signatures[0], *others, *more])

    def made(*changed: Any) -> bytes:
        return signed(pack([*fields, *changed]))

    def put(at: int, value: Any) -> bytes:
        return signed(pack([*fields[:at], value, *fields[at + 1 :]]))

    body = pack(fields)
    good = signed(body)
    signature = unpack(good[4:])[1]
    cases = [case("good", good, "accepted")]
    for at, name in enumerate(names):
        for how, changed, formed in shapes(fields[at], others[at]):
            raw = pack([*fields[:at], changed, *fields[at + 1 :]])
            way = b"HG\x03\x01" + pack([raw, signature])
            cases.append(case(f"{name} {how}, on the way", way, "signature"))
            so = (
                "form"
                if not formed or name == "label"
                else "signature"
                if name == "gateway"
                else "accepted"
            )
            cases.append(case(f"{name} {how}, signed so", signed(raw), so))
    many = [[3 * n, 3 * n + 1] for n in range(513)]
    for name, message, verdict in (
        ("n above 63 bits", put(4, 2**63), "form"),
        ("a range that ends before it starts", put(5, [[5, 3]]), "form"),
        ("a range of one number", put(5, [[3]]), "form"),
        ("a range of three", put(5, [[3, 5, 6]]), "form"),
        ("a range below zero", put(5, [[-1, 5]]), "form"),
        ("512 ranges", put(5, many[:512]), "accepted"),
        ("513 ranges", put(5, many), "form"),
        ("resend that ends before it starts", put(7, [[5, 3]]), "form"),
        ("513 to resend", put(7, many), "form"),
        ("a verdict whose detail is a number", put(6, [[9, 1, 7]]), "form"),
        ("a verdict whose detail is too long", put(6, [[9, 1, "x" * 121]]), "form"),
        ("a verdict without detail", put(6, [[9, 1]]), "accepted"),
        ("a verdict of a code from the future", put(6, [[9, 99, "later"]]), "accepted"),
        ("513 verdicts", put(6, [[n, 1, ""] for n in range(513)]), "form"),
        ("retire one key", made([KEY_ID]), "accepted"),
        ("retire a key id of 7 bytes", made([KEY_ID[1:]]), "form"),
        ("retire a key id as text", made(["x" * 8]), "form"),
        ("retire 64 keys", made([KEY_ID] * 64), "accepted"),
        ("retire 65 keys", made([KEY_ID] * 65), "form"),
        ("an element more than anybody knows", made([KEY_ID], "later"), "accepted"),
        ("an element too few", signed(pack(fields[:7])), "form"),
        ("a body that is a map", signed(pack(dict(zip(names, fields, strict=True)))), "form"),
        ("a body with bytes behind it", signed(body + b"\0"), "form"),
        ("a body with a longer length form", signed(_long_array(body, 8)), "accepted"),
        ("a body that is no msgpack", signed(b"\xc1"), "form"),
        ("signed by the gateway itself", signed(body, w.gateway_key), "signature"),
        ("signed by a stranger", signed(body, w.stranger_key), "signature"),
        ("signed by the next receipt key, which is pinned too", signed(body, w.next_receipt_key), "accepted"),
        ("two signatures, the second by a pinned key", signed(body, w.stranger_key, w.receipt_key), "accepted"),
        ("two signatures, both by strangers", signed(body, w.stranger_key, w.gateway_key), "signature"),
        ("four signatures", signed(body, w.stranger_key, w.stranger_key, w.stranger_key, w.receipt_key), "accepted"),
        ("five signatures", signed(body, w.stranger_key, w.stranger_key, w.stranger_key, w.stranger_key, w.receipt_key), "form"),
        ("signature altered", b"HG\x03\x01" + pack([body, flip(signature)]), "signature"),
        ("signature truncated", b"HG\x03\x01" + pack([body, signature[:-1]]), "signature"),
        ("signature extended", b"HG\x03\x01" + pack([body, signature + b"\0"]), "signature"),
        ("signature empty", b"HG\x03\x01" + pack([body, b""]), "signature"),
        ("signature raw, not DER", b"HG\x03\x01" + pack([body, _raw_signature(signature)]), "signature"),
        ("signature of another receipt", b"HG\x03\x01" + pack([body, unpack(put(3, 8)[4:])[1]]), "signature"),
        ("signature of 81 bytes", b"HG\x03\x01" + pack([body, bytes(81)]), "form"),
        ("one part", b"HG\x03\x01" + pack([body]), "form"),
        ("cut", good[:-1], "form"),
        ("more after the end", good + b"\0", "form"),
        ("empty", b"", "form"),
        ("magic", b"XG" + good[2:], "form"),
        ("kind of a grant", good[:2] + b"\x02" + good[3:], "form"),
        ("version 2", good[:3] + b"\x02" + good[4:], "form"),
        ("too large", good + bytes(64 << 10), "form"),
    ):  # fmt: skip
        cases.append(case(name, message, verdict))
    return {
        "about": "receipts, as a gateway reads them: docs/reference/uplink.md, section 9",
        "gateway": GATEWAY,
        "pinned": [w.receipt_key.public.spki.hex(), w.next_receipt_key.public.spki.hex()],
        "cases": cases,
    }


# ---------------------------------------------------------------- sequences


def sequences(w: World) -> dict[str, Any]:
    """Several messages to one receiver that keeps what it is told."""

    def gateway(
        name: str, key: Sm2PrivateKey, leaf: Certificate, epoch: bytes, key_id: bytes, *, signed: bool = False
    ) -> tuple[bytes, Any]:  # fmt: skip
        core = make_core(P, name, leaf.spki, epoch, key_id, SALT, signed=signed)
        return sign_grant(P, core, [w.platform], SECRET, key, [leaf]), derive(P, SECRET, core)

    mine = gateway(GATEWAY, w.gateway_key, w.gateway, EPOCH, KEY_ID)
    later = gateway(GATEWAY, w.gateway_key, w.gateway, b"\xe1" * 8, b"\x2d" * 8)
    other = gateway("gauge-house-8", w.other_key, w.neighbour, EPOCH, b"\x3d" * 8)
    thief = gateway("gauge-house-8", w.other_key, w.neighbour, EPOCH, KEY_ID)
    seals = gateway(GATEWAY, w.gateway_key, w.gateway, b"\xe2" * 8, b"\x4d" * 8, signed=True)
    recored = gateway(GATEWAY, w.gateway_key, w.gateway, EPOCH, KEY_ID, signed=True)
    payload = payload_of()
    record = Sealer(P).seal(mine[1], EPOCH, 0, payload)
    next_one = Sealer(P).seal(mine[1], EPOCH, 1, payload)
    true = _signed_record(w, seals[1], b"\xe2" * 8, 0, payload)
    forged = Sealer(P).seal(msgspec.structs.replace(seals[1], core=None), b"\xe2" * 8, 0, payload)
    malformed = Sealer(P).seal(mine[1], EPOCH, 2, b"\xc1")
    made = {
        "in order": [(mine[0], "kept"), (record, "stored"), (next_one, "stored")],
        "replayed": [(mine[0], "kept"), (record, "stored"), (record, "known"), (mine[0], "known"), (record, "known")],
        "the record before its grant": [(record, "held"), (record, "held"), (mine[0], "kept"), (record, "known")],
        "moved to another epoch": [
            (mine[0], "kept"), (later[0], "kept"), (record[:8] + b"\x2d" * 8 + b"\xe1" * 8 + record[24:], "seal"),
            (record, "stored"),
        ],
        "moved to another gateway": [
            (mine[0], "kept"), (other[0], "kept"), (record[:8] + b"\x3d" * 8 + record[16:], "seal"), (record, "stored"),
        ],
        "moved to another n": [(mine[0], "kept"), (record[:31] + b"\x01" + record[32:], "seal"), (next_one, "stored")],
        "another gateway with the same key id": [
            (thief[0], "kept"), (mine[0], "kept"), (record, "stored"), (record, "known"),
        ],
        "another core under a key id that is taken": [
            (mine[0], "kept"), (recored[0], "core"), (record, "stored"),
        ],
        "forged by another holder of the key, then the true one": [
            (seals[0], "kept"), (forged, "origin"), (forged, "origin"), (true, "stored"), (forged, "known"),
        ],
        "malformed, and asked for again": [
            (mine[0], "kept"), (malformed, "content"), (malformed, "content"), (record, "stored"),
        ],
    }  # fmt: skip
    return {
        "about": "several messages to one receiver, in order, and what becomes of each",
        "at": AT,
        "platform_private_key": PLATFORM_KEY,
        "platform_certificate": w.platform.der.hex(),
        "anchors": [w.root.der.hex()],
        "sequences": [
            {"name": name, "steps": [{"message": m.hex(), "outcome": o} for m, o in steps]}
            for name, steps in made.items()
        ],
    }


def write(path: Path, made: dict[str, Any]) -> None:
    names = [each["name"] for each in made.get("cases", made.get("sequences"))]
    assert len(names) == len(set(names)), [n for n in names if names.count(n) > 1]
    path.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n")
    print(path.name, len(names))


if __name__ == "__main__":
    world, folder = World(), Path(sys.argv[1])
    write(folder / "grants.json", grants(world))
    write(folder / "records.json", records(world))
    write(folder / "signed_records.json", signed_records(world))
    write(folder / "receipts.json", receipts(world))
    write(folder / "sequences.json", sequences(world))
