"""A platform written from docs/reference/uplink.md alone: openssl's command line, msgpack, zstd, own GHASH.

It imports nothing of Headgate, so that what it opens is what the page says. It is slow and trusts
nothing but what it checked.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgpack
import zstandard

SM2_ID = "distid:1234567812345678"


class Refused(Exception):
    """The page says not to believe this; `verdict` is the word of tests/vectors/envelope for it."""

    def __init__(self, verdict: str, why: str = "") -> None:
        super().__init__(f"{verdict}: {why}")
        self.verdict = verdict


def need(condition: bool, verdict: str, why: str = "") -> None:
    if not condition:
        raise Refused(verdict, why)


def unpack(data: bytes, verdict: str = "form") -> Any:
    try:
        return msgpack.unpackb(data, strict_map_key=False)
    except Exception as error:  # noqa: BLE001 - the library has several, and ValueError beside them
        raise Refused(verdict, str(error)) from None


def array(value: Any, least: int, verdict: str = "form", most: int = 1 << 30) -> list[Any]:
    need(isinstance(value, list) and least <= len(value) <= most, verdict, "array")
    found: list[Any] = value
    return found


def blob(value: Any, size: int | None = None, most: int = 1 << 30) -> bytes:
    need(isinstance(value, bytes) and len(value) <= most, "form", "bin")
    need(size is None or len(value) == size, "form", "length")
    found: bytes = value
    return found


def number(value: Any) -> int:
    need(type(value) is int and 0 <= value < 1 << 63, "form", "number")
    found: int = value
    return found


def gateway_id(value: Any) -> str:
    need(isinstance(value, str) and re.fullmatch("[a-z0-9-]{1,64}", value) is not None, "form")
    found: str = value
    return found


def sm3(data: bytes) -> bytes:
    return hashlib.new("sm3", data).digest()


def hkdf(secret: bytes, info: bytes, size: int) -> bytes:
    pseudo = hmac.new(bytes(32), secret, "sm3").digest()
    return hmac.new(pseudo, info + b"\x01", "sm3").digest()[:size]


def run(*arguments: str, data: bytes = b"") -> bytes | None:
    done = subprocess.run(["openssl", *arguments], input=data, capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else None


def tlv(tag: int, body: bytes) -> bytes:
    size = len(body)
    head = (
        bytes((size,))
        if size < 128
        else bytes((0x81, size))
        if size < 256
        else b"\x82" + struct.pack(">H", size)
    )
    return bytes((tag,)) + head + body


# ---------------------------------------------------------------- SM4-GCM from SM4-CTR and GHASH


def ghash_times(x: int, y: int) -> int:
    z = 0
    for i in range(127, -1, -1):
        if y >> i & 1:
            z ^= x
        x = x >> 1 ^ (0xE1 << 120 if x & 1 else 0)
    return z


def ctr(key: bytes, counter: bytes, data: bytes) -> bytes:
    out = run("enc", "-sm4-ctr", "-K", key.hex(), "-iv", counter.hex(), "-nopad", data=data)
    assert out is not None
    return out


def gcm_open(key: bytes, nonce: bytes, sealed: bytes, aad: bytes) -> bytes:
    ciphertext, tag = sealed[:-16], sealed[-16:]
    h = int.from_bytes(ctr(key, bytes(16), bytes(16)), "big")
    y = 0
    for part in (aad, ciphertext):
        for at in range(0, len(part), 16):
            y = ghash_times(y ^ int.from_bytes(part[at : at + 16].ljust(16, b"\0"), "big"), h)
    y = ghash_times(y ^ (len(aad) * 8 << 64 | len(ciphertext) * 8), h)
    mask = ctr(key, nonce + b"\0\0\0\1", bytes(16))
    need(
        hmac.compare_digest(
            bytes(a ^ b for a, b in zip(y.to_bytes(16, "big"), mask, strict=True)), tag
        ),
        "seal",
        "tag",
    )
    return ctr(key, nonce + b"\0\0\0\2", ciphertext)


# ---------------------------------------------------------------- the platform


class Platform:
    """What a platform is given: its key, its certificate, an anchor."""

    def __init__(self, folder: Path, private_key: bytes, certificate: bytes, anchor: bytes) -> None:
        self.folder = folder
        self.certificate = certificate
        self._pems: dict[bytes, bytes | None] = {}
        self._chains: dict[tuple[bytes, int | None], bool] = {}
        self._keys: dict[bytes, bytes] = {}
        self._names: dict[bytes, str] = {}
        spki = self.spki_of(certificate)
        point = spki[-65:]
        private = tlv(0x30, tlv(2, b"\1") + tlv(4, private_key) + tlv(0xA1, tlv(3, b"\0" + point)))
        algorithm = spki[2:23]
        self._write("platform.der", tlv(0x30, tlv(2, b"\0") + algorithm + tlv(4, private)))
        self._write("anchor.pem", self._pem(anchor))

    def _write(self, name: str, data: bytes) -> str:
        path = self.folder / name
        path.write_bytes(data)
        return str(path)

    def _pem(self, certificate: bytes) -> bytes:
        if certificate not in self._pems:
            path = self._write("one.der", certificate)
            self._pems[certificate] = run("x509", "-inform", "DER", "-in", path)
        pem = self._pems[certificate]
        if pem is None:
            raise Refused("certificate", "no certificate")
        return pem

    def spki_of(self, certificate: bytes) -> bytes:
        if certificate not in self._keys:
            self._keys[certificate] = self._key_in(certificate)
        return self._keys[certificate]

    def _key_in(self, certificate: bytes) -> bytes:
        path = self._write("one.pem", self._pem(certificate))
        pem = run("x509", "-in", path, "-noout", "-pubkey")
        assert pem is not None
        der = run("pkey", "-pubin", "-outform", "DER", data=pem)
        assert der is not None
        return der

    def signed(self, spki: bytes, message: bytes, signature: bytes) -> bool:
        if not is_der(signature):  # the command reads as much of the file as a signature may have
            return False
        key = self._write("key.der", spki)
        name, sig = self._write("message", message), self._write("signature", signature)
        return (
            run(
                "dgst", "-sm3", "-verify", key, "-keyform", "DER", "-sigopt", SM2_ID,
                "-signature", sig, name,
            )
            is not None
        )  # fmt: skip

    def _chain(self, certificate: bytes, at: int | None) -> bool:
        """Section 4, step 2, for a gateway: signature, dates (None: none), key usage, role."""
        if (certificate, at) not in self._chains:
            leaf = self._write("leaf.pem", self._pem(certificate))
            anchor = str(self.folder / "anchor.pem")
            verified = run(
                "verify", "-vfyopt", SM2_ID, "-CAfile", anchor, "-purpose", "any",
                *(("-no_check_time",) if at is None else ("-attime", str(at))), leaf,
            )  # fmt: skip
            shown = run("x509", "-in", leaf, "-noout", "-text", "-nameopt", "RFC2253") or b""
            text = shown.decode(errors="replace")
            subject = re.search("Subject: (.*)", text)
            usage = re.search("X509v3 Key Usage.*\n *(.*)", text)
            self._chains[certificate, at] = (
                verified is not None
                and "CA:TRUE" not in text
                and usage is not None
                and "Digital Signature" in usage[1]
                and subject is not None
                and "OU=headgate-gateway" in subject[1].split(",")
            )
        return self._chains[certificate, at]

    def _common_name(self, certificate: bytes) -> str:
        if certificate not in self._names:
            self._names[certificate] = self._name_in(certificate)
        return self._names[certificate]

    def _name_in(self, certificate: bytes) -> str:
        leaf = self._write("leaf.pem", self._pem(certificate))
        out = run("x509", "-in", leaf, "-noout", "-subject", "-nameopt", "RFC2253") or b""
        names = out.decode().strip().removeprefix("subject=").split(",")
        return next((each[3:] for each in names if each.startswith("CN=")), "")

    def grant(
        self, message: bytes, at: int = 1_798_761_600, revoked: Sequence[bytes] = ()
    ) -> dict[str, Any]:
        """Steps 1 to 6 of section 4."""
        need(len(message) <= 16384 and message[:4] == b"HG\x02\x01", "form")
        core_raw, recipients_raw, signature, certificates, *_ = array(unpack(message[4:]), 4)
        blob(core_raw), blob(recipients_raw), blob(signature, most=80)
        for each in array(certificates, 1, most=4):
            blob(each)
        core = array(unpack(core_raw), 7)
        label, suite, gateway, signer, epoch, key_id, salt = core[:7]
        need(label == "headgate-grant-v1" and type(suite) is int and suite == 1, "form", "label")
        gateway_id(gateway)
        blob(signer, 32), blob(epoch, 8), blob(key_id, 8), blob(salt, 4)
        policy = core[7] if len(core) > 7 else 0
        need(type(policy) is int and policy in (0, 1), "form", "policy")
        recipients = {}
        for entry in array(unpack(recipients_raw), 1, most=8):
            whose, wrapped, *_ = array(entry, 2)
            need(isinstance(wrapped, bytes) and 1 <= len(wrapped) <= 512, "form")
            recipients[blob(whose, 32)] = wrapped
        several = len(unpack(recipients_raw)) > 1
        need(policy == 1 or not several, "form", "several recipients, and nothing signed")
        leaf = certificates[0]
        need(self._chain(leaf, at) and sm3(leaf) not in revoked, "certificate")
        spki = records = self.spki_of(leaf)
        if sm3(spki) != signer:
            former = next((c for c in certificates[1:] if sm3(self.spki_of(c)) == signer), b"")
            need(former != b"", "signature", "signer")
            need(self._common_name(former) == self._common_name(leaf), "signature", "signer")
            need(self._chain(former, None), "certificate", "the earlier one")
            need(policy == 0 or sm3(former) not in revoked, "certificate", "the earlier one")
            records = self.spki_of(former)
        need(self._common_name(leaf) == gateway, "signature", "another gateway's certificate")
        signed = struct.pack(">I", len(core_raw)) + core_raw + recipients_raw
        need(self.signed(spki, signed, signature), "signature")
        wrapped = recipients.get(sm3(self.certificate), b"")
        need(wrapped != b"", "recipient")
        key, file = str(self.folder / "platform.der"), self._write("wrapped", wrapped)
        secret = run("pkeyutl", "-decrypt", "-inkey", key, "-keyform", "DER", "-in", file)
        need(secret is not None and len(secret) == 32 and is_der(wrapped), "seal", "wrapped secret")
        assert secret is not None
        record_key = hkdf(secret, b"headgate-record-key-v1" + sm3(core_raw), 16)
        return {
            "gateway": gateway, "epoch": epoch, "key_id": key_id, "salt": salt, "policy": policy,
            "record_key": record_key, "core": core_raw, "secret": secret, "signer": records,
        }  # fmt: skip

    def record(self, data: bytes, grant: dict[str, Any]) -> bytes:
        """Section 5: the payload."""
        need(56 <= len(data) <= 2 << 20, "form", "size")
        need(data[:2] == b"HG" and data[2] in (1, 8), "form", "kind")
        need(data[3:8] == b"\1\1\0\0\0" and data[24] < 128, "form", "header")
        need(data[8:16] == grant["key_id"] and data[16:24] == grant["epoch"], "key")
        plaintext = gcm_open(grant["record_key"], grant["salt"] + data[24:32], data[32:], data[:32])
        signed = grant.get("policy", 0) == 1
        need((data[2] == 8) == signed, "origin", "kind")
        wrong = "origin" if signed else "content"
        (packed, size), start = struct.unpack(">II", plaintext[:8]), 8
        if signed:
            need(len(plaintext) >= 41 and 1 <= plaintext[8] <= 80, wrong, "signature")
            start = 41 + plaintext[8]
        need(start + packed <= len(plaintext), wrong, "lengths")
        need(not any(plaintext[start + packed :]), wrong, "padding")
        frame = plaintext[start : start + packed]
        if signed:
            previous, signature = plaintext[9:41], plaintext[41:start]
            stated = b"headgate-chain-v1" + sm3(grant["core"]) + data[:32] + previous
            stated += plaintext[:8] + sm3(frame)
            need(self.signed(grant["signer"], stated, signature), "origin", "signature")
            grant["previous"], grant["link"] = previous, sm3(stated)
        need(size <= 4 << 20, "content", "size")
        payload = inflate(frame, size)
        check_payload(payload)
        return payload

    def receipt(self, message: bytes, *pinned: bytes, gateway: str = "gauge-house-7") -> list[Any]:
        """Section 9, as a gateway reads it."""
        need(len(message) <= 65536 and message[:4] == b"HG\x03\x01", "form")
        body, signature, *rest = array(unpack(message[4:]), 2)
        signatures = [signature, *(array(rest[0], 0, most=3) if rest else [])]
        for each in signatures:
            blob(each, most=80)
        blob(body)
        believed = any(self.signed(key, body, each) for key in pinned for each in signatures)
        need(believed, "signature")
        found = array(unpack(body), 8)
        label, whose, epoch, serial, floor, stored, verdicts, resend = found[:8]
        need(label == "headgate-receipt-v1", "form", "label")
        gateway_id(whose), blob(epoch, 8), number(serial), number(floor)
        for each in (*array(stored, 0, most=512), *array(resend, 0, most=512)):
            need(len(array(each, 2)) == 2, "form")
            need(number(each[0]) <= number(each[1]), "form", "range")
        for each in array(verdicts, 0, most=512):
            n, code, *detail = array(each, 2)
            number(n), need(type(code) is int, "form")
            need(all(isinstance(d, (str, bytes)) and len(d) <= 120 for d in detail[:1]), "form")
        for each in array(found[8], 0, most=64) if len(found) > 8 else []:
            blob(each, 8)
        need(whose == gateway, "signature", "for another gateway")
        return found


def is_der(wrapped: bytes) -> bool:
    """Whether the outermost SEQUENCE ends where the bytes do: the command does not look behind it."""
    if wrapped[:1] != b"\x30" or len(wrapped) < 3:
        return False
    if wrapped[1] < 128:
        return len(wrapped) == 2 + wrapped[1]
    return wrapped[1] == 0x81 and len(wrapped) == 3 + wrapped[2]


def inflate(frame: bytes, size: int) -> bytes:
    """Section 5: one frame, a window of at most 8 MiB, exactly `size` bytes."""
    try:
        parameters = zstandard.get_frame_parameters(frame)
        need(parameters.window_size <= 8 << 20 and parameters.dict_id == 0, "content", "window")
        need(parameters.content_size in (size, (1 << 64) - 1), "content", "size")
        engine = zstandard.ZstdDecompressor(max_window_size=8 << 20).decompressobj()
        payload = engine.decompress(frame)
    except zstandard.ZstdError as error:
        raise Refused("content", str(error)) from None
    need(engine.eof and not engine.unused_data, "content", "one whole frame")
    need(len(payload) == size, "content", "size")
    return payload


def check_payload(payload: bytes) -> None:
    """The frame of sections 5 and 6; what is inside an item is for who reads it."""
    version, boot, tables, announced, items, *_ = array(unpack(payload, "content"), 5, "content")
    need(version == 1 and isinstance(boot, bytes) and len(boot) == 16, "content", "version, boot")
    for name in array(tables, 0, "content", most=4096):
        need(isinstance(name, bytes) and len(name) == 32, "content", "table")
    array(announced, 0, "content", most=4096)
    for item in array(items, 0, "content", most=65536):
        kind = array(item, 1, "content")[0]
        need(type(kind) is int and kind != 2, "content", "item")
        if kind == 1:
            table = array(item, 3, "content")[2]
            need(type(table) is int and 0 <= table < len(tables), "content", "table")


def readings(payload: bytes) -> list[list[Any]]:
    """Sections 6 to 8 for u16 points: device, point, at, wall, raw, value, quality, status."""
    version, _boot, names, announced, items = msgpack.unpackb(payload)
    need(version == 1, "version")
    tables = {sm3(body): msgpack.unpackb(body) for body in announced}
    fixes = [item for item in items if item[0] == 4]
    found = []
    for item in items:
        if item[0] != 1:
            continue
        _, number, table, at, _slot, columns, quality, status, *_ = [*item, *[None] * 12]
        _, device_number, device, points = tables[names[table]][:4]
        need(number == device_number, "device")
        fix = min(fixes, key=lambda f: abs(f[2] - at))
        wall = fix[3] + at - fix[2]
        raws = struct.unpack(f">{len(points)}H", columns[0]) if columns else [None] * len(points)
        q = quality[0] if quality else 0
        s = struct.unpack(">H", status)[0] if status else 0
        for (name, _type, _unit, conversion, *_), raw in zip(points, raws, strict=True):
            value = raw
            if conversion and raw is not None:
                _, m, d, o = conversion
                value = ((float(raw) * m) / d) + o
            found.append([device, name, at, wall, raw, None if q == 2 else value, q, s])
    return found
