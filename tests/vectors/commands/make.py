"""Makes `vectors.json` anew, and the worked example of docs/operate/platform-commands.md from it.

    python tests/vectors/commands/make.py tests/vectors/commands/vectors.json \\
        docs/operate/platform-commands.md

The operator's key is the published example key of GB/T 32918.5; all other private keys are drawn, used and
forgotten, so a new run gives other bytes. Both files are checked by tests that share no code with this.
"""

from __future__ import annotations

import base64
import json
import sys
import textwrap
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from headgate.crypto import encoding
from headgate.crypto.issue import CA_USAGE, SIGN_USAGE, issue_certificate, subject_name
from headgate.crypto.provider import Sm2PrivateKey, default_provider
from headgate.crypto.x509 import Certificate, Role
from headgate.envelope.answer import Answer, make_answer
from headgate.envelope.command import (
    Command,
    Content,
    Operation,
    Step,
    approval_of,
    make_approval,
    make_command,
)

OPERATOR_KEY = "3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8"
OPERATOR_POINT = (
    "0409f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020"
    "ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13"
)
#: PKCS #8 around a key and its point, all but the 32 and the 65 bytes themselves.
PKCS8 = "308187020100301306072a8648ce3d020106082a811ccf5501822d046d306b0201010420{}a144034200{}"
FROM, UNTIL = datetime(2026, 1, 1, tzinfo=UTC), datetime(2046, 1, 1, tzinfo=UTC)
COMMAND = bytes.fromhex("00112233445566778899aabbccddeeff")
TOKEN = bytes.fromhex("a0a1a2a3a4a5a6a7a8a9aaabacadaeaf")
NOW_US = 1_795_000_000_000_000
MARK = "## Worked example"
provider = default_provider()


def pem() -> bytes:
    """The operator's key as a file."""
    body = base64.b64encode(bytes.fromhex(PKCS8.format(OPERATOR_KEY, OPERATOR_POINT))).decode()
    kind = "PRIVATE KEY"
    return f"-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n".encode()


def certificate(
    name: str, role: Role, spki: bytes, usage: Any, issuer: Certificate | None, key: Sm2PrivateKey
) -> Certificate:
    """Valid from 2026 to 2046."""
    return issue_certificate(
        subject=subject_name(name, role), spki=spki, issuer=issuer, issuer_key=key,
        key_usage=usage, not_before=FROM, not_after=UNTIL, provider=provider,
    )  # fmt: skip


def make() -> dict[str, Any]:
    """One command from SELECT to its read-back, one approval, and answers not to be believed."""
    root_key, gateway_key, second_key = (provider.sm2_generate() for _ in range(3))
    operator_key = provider.sm2_load_private(pem())
    root = certificate("example root", Role.CA, root_key.public.spki, CA_USAGE, None, root_key)

    def issue(name: str, role: Role, spki: bytes) -> Certificate:
        return certificate(name, role, spki, SIGN_USAGE, root, root_key)

    gateway = issue("gauge-house-7", Role.GATEWAY, gateway_key.public.spki)
    neighbour = issue("gauge-house-8", Role.GATEWAY, gateway_key.public.spki)
    receipts = issue("gauge-house-7", Role.PLATFORM_RECEIPT, gateway_key.public.spki)
    operator = issue("wang.li", Role.OPERATOR, encoding.spki(bytes.fromhex(OPERATOR_POINT)))
    second = issue("zhao.min", Role.OPERATOR, second_key.public.spki)
    content = Content(
        "gauge-house-7", "ps-001", "pump1_run", Operation.SET, True, "1", COMMAND,
        NOW_US - 60_000_000, NOW_US + 600_000_000, 900,
    )  # fmt: skip

    def message(
        step: Step, counter: int, token: bytes | None, approvals: tuple[bytes, ...] = ()
    ) -> bytes:
        command = Command(step, content, operator.fingerprint, counter, token)
        return make_command(command, operator_key, [operator], approvals)

    select = message(Step.SELECT, NOW_US, None)
    agreed = make_approval(approval_of(content, second.fingerprint, TOKEN), second_key, [second])
    operate = message(Step.OPERATE, NOW_US + 1, TOKEN, (agreed,))

    def body(sent: bytes) -> bytes:
        found: bytes = msgspec.msgpack.decode(sent[4:])[0]
        return found

    def answer(
        to: bytes, step: Step, state: str, *, key: Sm2PrivateKey = gateway_key,
        by: Certificate = gateway, gateway_id: str = "gauge-house-7", **more: Any,
    ) -> bytes:  # fmt: skip
        said = Answer(
            gateway_id, COMMAND, step, provider.sm3(body(to)), state, at_us=86_400_000_000, **more
        )
        return make_answer(said, key, [by])

    selected = answer(select, Step.SELECT, "selected", token=TOKEN, token_ms=10_000)
    confirmed = answer(operate, Step.OPERATE, "confirmed", value=True, lease_ms=899_500)
    refused = answer(
        operate, Step.OPERATE, "refused", code="HG-6518",
        text="The switch at the panel is not on remote.",
    )  # fmt: skip
    stranger = provider.sm2_generate()
    alone = certificate(
        "gauge-house-7", Role.GATEWAY, stranger.public.spki, SIGN_USAGE, None, stranger
    )

    def flip(data: bytes, at: int) -> bytes:
        return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]

    bad = {
        "a bit of the body": flip(confirmed, 90),
        "a bit of the signature": flip(confirmed, confirmed.index(b"\x30\x82") - 12),
        "signed by another key": answer(operate, Step.OPERATE, "confirmed", key=stranger),
        "a certificate that nobody vouches for": answer(
            operate, Step.OPERATE, "confirmed", key=stranger, by=alone
        ),
        "another gateway's certificate": answer(operate, Step.OPERATE, "confirmed", by=neighbour),
        "a certificate of another role": answer(operate, Step.OPERATE, "confirmed", by=receipts),
        "an answer to another message": answer(select, Step.OPERATE, "confirmed"),
        "an answer of another gateway": answer(
            operate, Step.OPERATE, "confirmed", by=neighbour, gateway_id="gauge-house-8"
        ),
        "another kind": confirmed[:2] + b"\x06" + confirmed[3:],
        "another version": confirmed[:3] + b"\x02" + confirmed[4:],
        "cut": confirmed[:-1],
        "more after the end": confirmed + b"\0",
    }
    return {
        "operator_private_key": OPERATOR_KEY,
        "root_certificate": root.der.hex(),
        "operator_certificate": operator.der.hex(),
        "select_body": body(select).hex(),
        "select": select.hex(),
        "selected": selected.hex(),
        "approval": agreed.hex(),
        "operate_body": body(operate).hex(),
        "operate": operate.hex(),
        "confirmed": confirmed.hex(),
        "refused": refused.hex(),
        "bad_answers": {name: data.hex() for name, data in bad.items()},
    }


def example(made: dict[str, Any]) -> str:
    """The worked example as Markdown."""

    def block(name: str) -> str:
        lines = "\n".join(textwrap.wrap(made[name], 96))
        return f"```{{code-block}} text\n:name: command-{name.replace('_', '-')}\n\n{lines}\n```\n"

    return f"""{MARK}

All bytes in hex. The operator's private key is the published example of GB/T 32918.5 (never use it), the
certificates are valid from 2026 to 2046. `tests/vectors/commands/vectors.json` has the same bytes, and some
answers that must not be believed.

{block("operator_private_key")}
The root that vouches for everybody here, and the certificate of operator `wang.li`:

{block("root_certificate")}
{block("operator_certificate")}
Pump 1 shall run for 15 minutes at most: `ps-001`, `pump1_run`, `set`, `true`, unit `1`, lease 900, command id
`00112233445566778899aabbccddeeff`, good from {NOW_US - 60_000_000} to {NOW_US + 600_000_000}.
The body of its SELECT, with counter {NOW_US}:

{block("select_body")}
signed, and the message around it as it is published on `headgate/v1/gauge-house-7/down/command`:

{block("select")}
The answer, on `headgate/v1/gauge-house-7/up/answer`. It holds the token `a0a1…af`, good for 10,000 ms, and
SM3 of the body above:

{block("selected")}
Somebody else, `zhao.min`, agrees, with the token in the approval:

{block("approval")}
OPERATE: the same content, the next counter, the token. Body, and message with the approval in it:

{block("operate_body")}
{block("operate")}
And the answer that makes it done: `confirmed`, read back `true`, 899.5 s of lease left.

{block("confirmed")}
Had somebody stood at the panel, it would have been `refused` with HG-6518:

{block("refused")}"""


if __name__ == "__main__":
    made = make()
    Path(sys.argv[1]).write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n")
    page = Path(sys.argv[2])
    text = page.read_text(encoding="utf-8")
    page.write_text(text.split(MARK)[0].rstrip() + "\n\n" + example(made), encoding="utf-8")
