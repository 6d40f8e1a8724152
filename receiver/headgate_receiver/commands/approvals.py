"""The second person: a command as a file to be read and agreed to, and the agreement as a file back.

Both are text between two marks, so that they survive a mail. A request says nothing that is believed: the
approver's program shows it, and what it shows is what gets signed.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

import msgspec

from headgate.envelope.command import (
    Approval,
    CommandValue,
    Content,
    approval_of,
    encode_approval,
    join_approval,
    parse_approval,
)
from headgate.errors import EnvelopeError
from headgate_receiver.commands.errors import CommandError
from headgate_receiver.commands.keys import OperatorKeys

REQUEST, APPROVAL = "HEADGATE COMMAND REQUEST", "HEADGATE COMMAND APPROVAL"
_LONGEST: Final = 64 * 1024
_WIDTH: Final = 64


class Request(msgspec.Struct, frozen=True):
    """What is asked of an approver: the content, and the token where the command is selected already."""

    content: Content
    token: bytes | None = None


async def approve(
    keys: OperatorKeys,
    content: Content,
    *,
    low: CommandValue | None = None,
    high: CommandValue | None = None,
    lease_s: int | None = None,
    token: bytes | None = None,
) -> bytes:
    """An approval message. Without bounds it is for exactly this value.

    Raises:
        EnvelopeError: bounds that no gateway would read.
    """
    own = keys.certificates[0]
    agreed: Approval = approval_of(content, own.fingerprint, token)
    agreed = msgspec.structs.replace(
        agreed,
        low=content.value if low is None else low,
        high=content.value if high is None else high,
        lease_s=content.lease_s if lease_s is None else lease_s,
    )
    body = encode_approval(agreed)
    return join_approval(body, await keys.sign(body), keys.certificates)


def write_request(content: Content, token: bytes | None = None) -> str:
    """A request as text."""
    return _armoured(REQUEST, msgspec.msgpack.encode(Request(content, token)))


def read_request(text: str) -> Request:
    """What a text asks an approver for.

    Raises:
        CommandError: there is no request in it (HG-7105).
    """
    try:
        return msgspec.msgpack.decode(_plain(REQUEST, text), type=Request)
    except msgspec.MsgspecError as error:
        raise CommandError(f"no request: {error}", code="HG-7105", reason=str(error)) from None


def write_approval(message: bytes) -> str:
    """An approval as text."""
    return _armoured(APPROVAL, message)


def read_approval(text: str) -> bytes:
    """The approval message in a text. Who signed it, the gateway finds out.

    Raises:
        CommandError: there is none in it (HG-7105).
    """
    message = _plain(APPROVAL, text)
    try:
        parse_approval(message)
    except EnvelopeError as error:
        raise CommandError(f"no approval: {error}", code="HG-7105", reason=str(error)) from None
    return message


def _armoured(what: str, data: bytes) -> str:
    written = base64.b64encode(data).decode()
    lines = [written[at : at + _WIDTH] for at in range(0, len(written), _WIDTH)]
    return "\n".join((f"-----BEGIN {what}-----", *lines, f"-----END {what}-----", ""))


def _plain(what: str, text: str) -> bytes:
    # A mail may quote it, and put spaces where there were none.
    found = re.search(
        f"-----BEGIN {what}-----([A-Za-z0-9+/=\\s>]*)-----END {what}-----", text[:_LONGEST]
    )
    if found is None:
        raise CommandError(f"no {what}", code="HG-7105", reason=f"no {what}")
    try:
        return base64.b64decode(re.sub(r"[\s>]", "", found[1]), validate=True)
    except binascii.Error as error:
        raise CommandError(f"damaged {what}", code="HG-7105", reason=str(error)) from None
