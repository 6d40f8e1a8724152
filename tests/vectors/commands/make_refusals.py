"""Makes `refusals.json` anew: commands that a gateway must take, and many that it must refuse, as data.

    PYTHONPATH=tests python tests/vectors/commands/make_refusals.py

The keys are drawn for this and thrown away; only certificates and messages are kept. A message is
`"HG" 04 01` and the msgpack of [body, signature, certificates, approvals] where it is not given whole.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from kit.commands import NOW_US, Operator, content
from kit.pki import Pki

from headgate.crypto.provider import default_provider
from headgate.crypto.x509 import Role
from headgate.envelope.command import Command, Step, encode_command

TOKEN = bytes(range(16))
FIELDS = (
    "label", "step", "signer", "counter", "token", "gateway", "device", "point", "operation", "value",
    "unit", "command", "not before", "expiry", "lease",
)  # fmt: skip
#: What stands in a field instead: another type, out of its bounds, longer than allowed.
WRONG: dict[str, tuple[Any, ...]] = {
    "label": ("headgate-command-v2", "", 1),
    "step": ("start", "", 0),
    "signer": (b"\0" * 31, b"\0" * 33, "x" * 32),
    "counter": (-1, 2**63, 1.0, "1"),
    "token": (b"\0" * 15, b"\0" * 17, "0123456789abcdef"),
    "gateway": ("", "A" * 5, "x" * 65, b"gauge-house-7"),
    "device": ("", "x" * 65, 1),
    "point": ("", "x" * 65, 1),
    "operation": ("toggle", "", None),
    "value": (None, math.nan, math.inf, [True], {}, b"\1", "x" * 65, 2**63),
    "unit": ("x" * 33, None, 1),
    "command": (b"\0" * 15, b"\0" * 17, None),
    "not before": (-1, 2**63, NOW_US + 86_400_000_000, 1.5),
    "expiry": (0, 2**63, NOW_US + 90_000_000_000, None),
    "lease": (-1, 0, 86_401, 1.5, None),
}
#: Said by nobody who signs: right by itself, and not what was signed.
CHANGED: dict[str, Any] = {
    "counter": 8, "gateway": "gauge-house-8", "device": "pump-2", "point": "stop", "value": False,
    "unit": "V", "command": b"\1" * 16, "not before": NOW_US - 1, "expiry": NOW_US + 1, "lease": 1801,
}  # fmt: skip


def main() -> None:
    provider = default_provider()
    pki = Pki(provider)
    wang, other = Operator(pki), Operator(Pki(provider, "another root"), "wang.li")
    technician = Operator(pki, "wang.li", Role.TECHNICIAN)
    cases = [*_fields(wang), *_people(wang, other, technician), *_whole(wang)]
    said = {
        "about": "docs/reference/commands.md, sections 2 and 4; hex",
        "gateway": "gauge-house-7",
        "now_us": NOW_US,
        "root_certificate": pki.root.certificate.der.hex(),
        "operator_certificate": wang.party.certificate.der.hex(),
        "cases": cases,
    }
    path = Path(__file__).with_name("refusals.json")
    path.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    print(f"{len(cases)} cases")


def _fields(wang: Operator) -> Iterator[dict[str, str]]:
    for step in (Step.SELECT, Step.OPERATE):
        token = None if step is Step.SELECT else TOKEN
        good = encode_command(Command(step, content(), wang.signer, 7, token))
        yield _case(f"{step}: as it should be", "taken", good, wang)
        elements = msgspec.msgpack.decode(good)
        for index, name in enumerate(FIELDS):
            without = elements[:index] + elements[index + 1 :]
            yield _case(f"{step}: without {name}", "HG-6500", _pack(without), wang)
            twice = elements[: index + 1] + elements[index:]
            yield _case(f"{step}: {name} twice", "HG-6500", _pack(twice), wang)
            for wrong in WRONG[name]:
                said = [*elements[:index], wrong, *elements[index + 1 :]]
                yield _case(f"{step}: {name} = {wrong!r:.30}", "HG-6500", _pack(said), wang)
            if name in CHANGED:
                said = [*elements[:index], CHANGED[name], *elements[index + 1 :]]
                case = _case(f"{step}: {name} changed after signing", "HG-6502", good, wang)
                yield {**case, "body": _pack(said).hex()}
        swapped = [*elements[:4], TOKEN if token is None else None, *elements[5:]]
        yield _case(f"{step}: token where none belongs, or none", "HG-6500", _pack(swapped), wang)
        yield _case(f"{step}: longer than it need be", "HG-6500", b"\xdc\0\x0f" + good[1:], wang)
        yield _case(f"{step}: a byte too many", "HG-6500", good + b"\xc0", wang)
        yield _case(f"{step}: a byte too few", "HG-6500", good[:-1], wang)


def _people(*people: Operator) -> Iterator[dict[str, str]]:
    wang, other, technician = people
    body = encode_command(Command(Step.SELECT, content(), wang.signer, 7))
    yield _case("signed by another key", "HG-6502", body, wang, key=technician)
    yield _case("under another certificate than it names", "HG-6501", body, wang, shown=technician)
    for name, who in (("of another root", other), ("of a technician", technician)):
        said = encode_command(Command(Step.SELECT, content(), who.signer, 7))
        yield _case(f"the certificate {name}", "HG-6501", said, who, shown=who)
    far = encode_command(Command(Step.SELECT, content(gateway="gauge-house-8"), wang.signer, 7))
    yield _case("for another gateway", "HG-6503", far, wang)


def _whole(wang: Operator) -> Iterator[dict[str, str]]:
    message = wang.select(content())
    for name, wrong in {
        "nothing": b"", "no magic": b"XX" + message[2:], "of another kind": message[:2] + b"\3" + message[3:],
        "of another version": message[:3] + b"\2" + message[4:], "cut in half": message[: len(message) // 2],
        "with bytes behind it": message + b"\0", "too large": message + bytes(17_000),
        "no certificate": message[:4] + _pack([b"", b"x" * 70, [], []]),
        "deep": b"HG\4\1" + b"\x91" * 4000,
    }.items():  # fmt: skip
        yield {"name": f"message: {name}", "expect": "HG-6500", "message": wrong.hex()}


def _case(
    name: str,
    expect: str,
    body: bytes,
    who: Operator,
    *,
    key: Operator | None = None,
    shown: Operator | None = None,
) -> dict[str, str]:
    signature = (key or who).party.key.sign(body)
    case = {"name": name, "expect": expect, "body": body.hex(), "signature": signature.hex()}
    if shown is not None:
        case["certificate"] = shown.party.certificate.der.hex()
    return case


def _pack(said: Any) -> bytes:
    return msgspec.msgpack.encode(said)


if __name__ == "__main__":
    main()
