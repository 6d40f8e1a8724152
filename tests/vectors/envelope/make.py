"""Makes `vectors.json` anew, and the worked example of docs/reference/uplink.md from it.

    python tests/vectors/envelope/make.py tests/vectors/envelope/vectors.json docs/reference/uplink.md

The platform's encryption key is the published example key of GB/T 32918.5; all other private keys are
drawn, used and forgotten, so a new run gives other bytes. Both files are checked by tests that share no
code with this.
"""

from __future__ import annotations

import json
import sys
import textwrap
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

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
from headgate.envelope.grant import derive, make_core, sign_grant
from headgate.envelope.payload import PayloadBuilder, encode_table
from headgate.envelope.receipt import Receipt, Verdict, make_receipt
from headgate.envelope.record import Sealer
from headgate.model import Block, ClockFix, EpochLink, Linear, Point, PointTable

PLATFORM_KEY = "3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8"
PLATFORM_POINT = (
    "0409f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020"
    "ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13"
)
FROM, UNTIL = datetime(2026, 1, 1, tzinfo=UTC), datetime(2046, 1, 1, tzinfo=UTC)
MARK = "## 11. Worked example"
provider = default_provider()


def certificate(
    name: str, role: Role, spki: bytes, usage: Any, issuer: Certificate | None, key: Sm2PrivateKey
) -> Certificate:
    return issue_certificate(
        subject=subject_name(name, role),
        spki=spki,
        issuer=issuer,
        issuer_key=key,
        key_usage=usage,
        not_before=FROM,
        not_after=UNTIL,
        provider=provider,
    )


def make() -> dict[str, Any]:
    """Everything of one gateway's first minute, and what must not be believed."""
    root_key, gateway_key, receipt_key = (provider.sm2_generate() for _ in range(3))
    root = certificate("example root", Role.CA, root_key.public.spki, CA_USAGE, None, root_key)
    gateway = certificate(
        "gauge-house-7", Role.GATEWAY, gateway_key.public.spki, SIGN_USAGE, root, root_key
    )
    other = certificate(
        "gauge-house-8", Role.GATEWAY, gateway_key.public.spki, SIGN_USAGE, root, root_key
    )
    platform_spki = encoding.spki(bytes.fromhex(PLATFORM_POINT))
    platform = certificate(
        "platform", Role.PLATFORM_ENCRYPTION, platform_spki, ENCRYPT_USAGE, root, root_key
    )
    stranger = certificate(
        "elsewhere",
        Role.PLATFORM_ENCRYPTION,
        provider.sm2_generate().public.spki,
        ENCRYPT_USAGE,
        root,
        root_key,
    )
    epoch, key_id, salt = (bytes.fromhex(h) for h in ("e0" * 8, "1d" * 8, "5a175a17"))
    secret, boot = bytes(range(32)), bytes(range(0xB0, 0xC0))
    core = make_core(provider, "gauge-house-7", gateway.spki, epoch, key_id, salt)
    grant = sign_grant(provider, core, [platform], secret, gateway_key, [gateway])
    key = derive(provider, secret, core)

    table = encode_table(
        PointTable(
            1,
            "weir-north",
            (Point("level", "u16", "m", Linear(1.0, 1000.0, 3.5)), Point("battery", "u16", "V")),
            name="北堰水位",
            interval_us=1_000_000,
        )
    )
    builder = PayloadBuilder(boot)
    builder.announce(table)
    builder.add(EpochLink(None, None, boot, 1_000_000))
    builder.add(ClockFix(boot, 1_500_000, 1_780_000_000_000_000, 20_000, "synced"))
    name = provider.sm3(table)
    builder.add(Block(1, name, 2_000_000, 0, (bytes.fromhex("04d2000c"),)))
    builder.add(Block(1, name, 3_000_000, 1, None, b"\x02", b"\x01\x00"))
    payload = builder.close()
    record = Sealer(provider).seal(key, epoch, 0, payload)
    receipt = Receipt("gauge-house-7", epoch, 1, 1, (), (Verdict(7, 3, name),), ())
    sent = msgspec.msgpack.decode(grant[4:])

    def join(*parts: Any) -> bytes:
        return b"HG\x02\x01" + msgspec.msgpack.encode(parts)

    def flip(data: bytes, at: int) -> str:
        return (data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]).hex()

    foreign = make_core(provider, "gauge-house-8", gateway.spki, epoch, key_id, salt)
    other_secret = sign_grant(provider, core, [platform], bytes(32), gateway_key, [gateway])
    bad_grants = {
        "altered core": join(sent[0][:-1] + b"\0", *sent[1:]),
        "altered recipients": join(sent[0], sent[1][:-1] + bytes((sent[1][-1] ^ 1,)), *sent[2:]),
        "recipients of another grant": join(
            sent[0], msgspec.msgpack.decode(other_secret[4:])[1], *sent[2:]
        ),
        "another gateway in the core": sign_grant(
            provider, foreign, [platform], secret, gateway_key, [gateway]
        ),
        "another gateway's certificate": join(*sent[:3], [other.der]),
        "another recipient": sign_grant(provider, core, [stranger], secret, gateway_key, [gateway]),
        "signed by another key": sign_grant(
            provider, core, [platform], secret, root_key, [gateway]
        ),
        "cut": grant[:-1],
        "more after the end": grant + b"\0",
    }
    moved = record[:24] + (1).to_bytes(8, "big") + record[32:]
    bad_records = {
        "kind": flip(record, 2),
        "version": flip(record, 3),
        "suite": flip(record, 4),
        "reserved": flip(record, 7),
        "key id": flip(record, 8),
        "epoch": flip(record, 16),
        "n": moved.hex(),
        "ciphertext": flip(record, 32),
        "tag": flip(record, len(record) - 1),
        "cut": record[:-1].hex(),
        "more after the end": (record + b"\0").hex(),
    }
    message = make_receipt(receipt, receipt_key)
    wrong = make_receipt(receipt, gateway_key)
    return {
        "about": "docs/reference/uplink.md; hex; valid from 2026 to 2046",
        "platform_private_key": PLATFORM_KEY,
        "root_certificate": root.der.hex(),
        "gateway_certificate": gateway.der.hex(),
        "platform_certificate": platform.der.hex(),
        "grant": grant.hex(),
        "core": core.raw.hex(),
        "secret": secret.hex(),
        "record_key": key.key.hex(),
        "salt": salt.hex(),
        "record": record.hex(),
        "payload": payload.hex(),
        "table": table.hex(),
        "table_name": name.hex(),
        "receipt_public_key": receipt_key.public.spki.hex(),
        "receipt": message.hex(),
        "bad_grants": {why: data.hex() for why, data in bad_grants.items()},
        "bad_records": bad_records,
        "bad_receipts": {
            "another key": wrong.hex(),
            "altered": flip(message, 40),
            "cut": message[:-1].hex(),
        },
        "readings": [
            ["weir-north", "level", 2_000_000, 1_780_000_000_500_000, 1234, 4.734, 0, 0],
            ["weir-north", "battery", 2_000_000, 1_780_000_000_500_000, 12, 12, 0, 0],
            ["weir-north", "level", 3_000_000, 1_780_000_001_500_000, None, None, 2, 256],
            ["weir-north", "battery", 3_000_000, 1_780_000_001_500_000, None, None, 2, 256],
        ],
    }


def example(vectors: dict[str, Any]) -> str:
    """The worked example as a section of the page."""

    def block(name: str) -> str:
        wrapped = "\n".join(textwrap.wrap(vectors[name], 96))
        return f"```{{code-block}} text\n:name: {name.replace('_', '-')}\n\n{wrapped}\n```\n"

    return f"""{MARK}

All bytes in hex. The platform's private key is the published example of GB/T 32918.5 (never use it); the
certificates are valid from 2026 to 2046. The same bytes, and many that a receiver must refuse, are in
`tests/vectors/envelope/vectors.json`.

The platform's private key:

{block("platform_private_key")}
The trust anchor for gateways, and the platform's encryption certificate:

{block("root_certificate")}
{block("platform_certificate")}
The grant as it came, and the core inside it:

{block("grant")}
{block("core")}
The secret that the platform's key unwraps, and the record key that follows from it and the core:

{block("secret")}
{block("record_key")}
The record with n = 0. Its salt is the last element of the core, so its nonce is `5a175a17 0000000000000000`:

{block("record")}
Its payload, decompressed:

{block("payload")}
which announces one table, whose SM3 is its name, and holds an epoch link, a clock fix and two looks at one
gauge. The first brought two values, the second no answer:

| device | point | at | wall time | raw | value | quality | status |
|---|---|---|---|---|---|---|---|
| weir-north | level | 2000000 | 1780000000500000 | 1234 | 4.734 m | 0 | 0 |
| weir-north | battery | 2000000 | 1780000000500000 | 12 | 12 V | 0 | 0 |
| weir-north | level | 3000000 | 1780000001500000 | | | 2 | 256 |
| weir-north | battery | 3000000 | 1780000001500000 | | | 2 | 256 |

The platform's answer (everything below 1 is stored; n = 7 needs this table), and the receipt key that
the gateway has pinned:

{block("receipt")}
{block("receipt_public_key")}"""


if __name__ == "__main__":
    made = make()
    Path(sys.argv[1]).write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n")
    page = Path(sys.argv[2])
    text = page.read_text()
    page.write_text(text.split(MARK)[0].rstrip() + "\n\n" + example(made))
