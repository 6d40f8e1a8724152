"""A platform written from docs/reference/uplink.md alone: openssl's command line, msgpack, zstd, own GHASH.

It imports nothing of Headgate, so that what it opens is what the page says. It is slow and trusts
nothing but what it checked.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
import subprocess
from pathlib import Path
from typing import Any

import msgpack
import zstandard

SM2_ID = "distid:1234567812345678"


class Refused(Exception):
    """The page says not to believe this."""


def need(condition: bool, why: str) -> None:
    if not condition:
        raise Refused(why)


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
        "tag",
    )
    return ctr(key, nonce + b"\0\0\0\2", ciphertext)


# ---------------------------------------------------------------- the platform


class Platform:
    """What a platform is given: its key, its certificate, an anchor, the pinned receipt key."""

    def __init__(self, folder: Path, private_key: bytes, certificate: bytes, anchor: bytes) -> None:
        self.folder = folder
        self.certificate = certificate
        spki = self._spki_of(certificate)
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
        path = self._write("one.der", certificate)
        pem = run("x509", "-inform", "DER", "-in", path)
        need(pem is not None, "certificate")
        assert pem is not None
        return pem

    def _spki_of(self, certificate: bytes) -> bytes:
        path = self._write("one.pem", self._pem(certificate))
        pem = run("x509", "-in", path, "-noout", "-pubkey")
        assert pem is not None
        der = run("pkey", "-pubin", "-outform", "DER", data=pem)
        assert der is not None
        return der

    def _signed(self, spki: bytes, message: bytes, signature: bytes) -> bool:
        key = self._write("key.der", spki)
        pem = run("pkey", "-pubin", "-inform", "DER", "-in", key)
        assert pem is not None
        key = self._write("key.pem", pem)
        name, sig = self._write("message", message), self._write("signature", signature)
        return (
            run("dgst", "-sm3", "-verify", key, "-sigopt", SM2_ID, "-signature", sig, name)
            is not None
        )

    def grant(self, message: bytes) -> dict[str, Any]:
        """Steps 1 to 6 of section 4."""
        need(len(message) <= 16384 and message[:4] == b"HG\x02\x01", "form")
        try:
            core_raw, recipients_raw, signature, certificates = msgpack.unpackb(message[4:])
            label, suite, gateway, signer, epoch, key_id, salt = msgpack.unpackb(core_raw)
            recipients = dict(msgpack.unpackb(recipients_raw))
        except (ValueError, TypeError, msgpack.UnpackException) as error:
            raise Refused(f"form: {error}") from None
        need(label == "headgate-grant-v1" and suite == 1, "label, suite")
        need([len(x) for x in (signer, epoch, key_id, salt)] == [32, 8, 8, 4], "lengths")
        leaf = self._write("leaf.pem", self._pem(certificates[0]))
        anchor = str(self.folder / "anchor.pem")
        need(
            run("verify", "-vfyopt", SM2_ID, "-CAfile", anchor, "-purpose", "any", leaf)
            is not None,
            "chain",
        )
        subject = (
            run("x509", "-in", leaf, "-noout", "-subject", "-nameopt", "RFC2253") or b""
        ).decode()
        names = set(subject.strip().removeprefix("subject=").split(","))
        need({f"CN={gateway}", "OU=headgate-gateway"} <= names, "name or role")
        spki = self._spki_of(certificates[0])
        need(sm3(spki) == signer, "signer")
        signed = struct.pack(">I", len(core_raw)) + core_raw + recipients_raw
        need(self._signed(spki, signed, signature), "signature")
        wrapped = recipients.get(sm3(self.certificate))
        need(wrapped is not None, "not for us")
        key, file = str(self.folder / "platform.der"), self._write("wrapped", wrapped)
        secret = run("pkeyutl", "-decrypt", "-inkey", key, "-keyform", "DER", "-in", file)
        need(secret is not None and len(secret) == 32, "wrapped secret")
        assert secret is not None
        record_key = hkdf(secret, b"headgate-record-key-v1" + sm3(core_raw), 16)
        return {
            "gateway": gateway, "epoch": epoch, "key_id": key_id, "salt": salt,
            "record_key": record_key, "core": core_raw, "secret": secret,
        }  # fmt: skip

    def record(self, data: bytes, grant: dict[str, Any]) -> bytes:
        """Section 5: the payload."""
        need(len(data) <= 2 << 20 and len(data) >= 56, "size")
        need(data[:8] == b"HG\x01\x01\x01\0\0\0", "header")
        need(data[8:16] == grant["key_id"] and data[16:24] == grant["epoch"], "another key")
        plaintext = gcm_open(grant["record_key"], grant["salt"] + data[24:32], data[32:], data[:32])
        packed, size = struct.unpack(">II", plaintext[:8])
        need(packed + 8 <= len(plaintext) and size <= 4 << 20, "lengths")
        need(not any(plaintext[8 + packed :]), "padding")
        payload = zstandard.ZstdDecompressor().decompress(
            plaintext[8 : 8 + packed], max_output_size=size
        )
        need(len(payload) == size, "size")
        return payload

    def receipt(self, message: bytes, spki: bytes) -> list[Any]:
        """Section 9, as a gateway reads it."""
        need(message[:4] == b"HG\x03\x01", "form")
        try:
            body, signature = msgpack.unpackb(message[4:])
        except (ValueError, TypeError, msgpack.UnpackException) as error:
            raise Refused(f"form: {error}") from None
        need(self._signed(spki, body, signature), "signature")
        found: list[Any] = msgpack.unpackb(body)
        return found


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
