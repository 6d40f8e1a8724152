"""Commands, approvals and answers as bytes: one way to say each, and nothing else is read."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from kit.commands import GATEWAY, Operator, content
from kit.pki import NOW, Pki
from msgspec.structs import replace

from headgate.crypto.crl import Reason, Revoked
from headgate.crypto.issue import issue_crl
from headgate.crypto.provider import default_provider
from headgate.crypto.x509 import Certificate, Role
from headgate.envelope.answer import Answer, make_answer, verify_answer
from headgate.envelope.command import (
    COMMAND,
    MAX_COMMAND,
    Command,
    Content,
    Operation,
    Step,
    encode_command,
    join_command,
    make_command,
    parse_approval,
    parse_body,
    parse_command,
    within,
)
from headgate.envelope.signers import Trust, distinct, verify_approval, verify_command
from headgate.envelope.wire import frame
from headgate.errors import CertificateRefused, EnvelopeError, SecurityError, SignatureInvalid

PROVIDER = default_provider()
PKI = Pki(PROVIDER)
WANG, ZHAO = Operator(PKI), Operator(PKI, "zhao.min")
TRUST = Trust((PKI.root.certificate,), NOW)
TOKEN = bytes(range(16))
BODY = encode_command(Command(Step.OPERATE, content(value=2.5), WANG.signer, 7, TOKEN))
FIELDS = (
    "label", "step", "signer", "counter", "token", "gateway", "device", "point", "operation",
    "value", "unit", "command", "not before", "expiry", "lease",
)  # fmt: skip
HOSTILE: tuple[Any, ...] = (
    None, True, -1, 2**63, 2**64 - 1, math.nan, math.inf, "", "x" * 65, "A/B", b"", b"x" * 33, [], [1],
    {}, {"a": 1}, msgspec.msgpack.Ext(5, b"x"), NOW,
)  # fmt: skip


def elements() -> list[Any]:
    said: list[Any] = msgspec.msgpack.decode(BODY)
    return said


def test_what_was_signed_is_what_is_read() -> None:
    message = WANG.operate(content(value=2.5), TOKEN)
    sent = parse_command(message)
    assert sent.command.content == content(value=2.5)
    assert sent.command.token == TOKEN
    assert verify_command(PROVIDER, sent, TRUST).subject_cn == "wang.li"


@pytest.mark.parametrize("index", range(len(FIELDS)), ids=FIELDS)
def test_a_body_without_a_field_or_with_it_twice_is_no_command(index: int) -> None:
    said = elements()
    for wrong in (said[:index] + said[index + 1 :], said[: index + 1] + said[index:]):
        with pytest.raises(EnvelopeError):
            parse_body(msgspec.msgpack.encode(wrong))


@pytest.mark.parametrize("index", range(len(FIELDS)), ids=FIELDS)
def test_a_field_of_another_form_is_refused_or_is_another_command(index: int) -> None:
    for hostile in HOSTILE:
        said = elements()
        if said[index] == hostile:
            continue
        said[index] = hostile
        raw = msgspec.msgpack.encode(said)
        try:
            read = parse_body(raw)
        except EnvelopeError:
            continue
        # Where it can be read, it says exactly that and nothing else: the signature decides.
        assert encode_command(read) == raw


def test_every_flipped_bit_of_a_message_is_noticed() -> None:
    message = bytearray(WANG.operate(content(value=2.5), TOKEN, [ZHAO.approve(content(value=2.5))]))
    sent = parse_command(bytes(message))
    apart = message.index(sent.approvals[0])
    # Of the certificates each seventh: their own tests flip them all.
    signed = message.index(sent.certificates[0])
    for at in (*range(signed), *range(signed, len(message), 7)):
        message[at] ^= 1 << (at % 8)
        try:
            read = parse_command(bytes(message))
            verify_command(PROVIDER, read, TRUST)
        except SecurityError:
            pass
        else:
            # Approvals prove themselves: the message around one may be whole.
            assert at >= apart - 4, f"byte {at} may be changed"
            with pytest.raises(SecurityError):
                verify_approval(PROVIDER, read.approvals[0], read.command.content, TRUST, TOKEN)
        message[at] ^= 1 << (at % 8)


def test_other_bytes_of_the_same_meaning_are_refused() -> None:
    assert BODY[0] == 0x9F
    longer = b"\xdc\x00\x0f" + BODY[1:]
    assert msgspec.msgpack.decode(longer) == elements()
    with pytest.raises(EnvelopeError, match="shortest"):
        parse_body(longer)
    with pytest.raises(EnvelopeError):
        parse_body(BODY + b"\xc0")


def test_a_message_that_is_too_large_is_not_looked_at() -> None:
    with pytest.raises(EnvelopeError, match="allowed"):
        parse_command(frame(COMMAND, bytes(MAX_COMMAND)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"operation": Operation.RELEASE},
        {"value": None},
        {"lease_s": 0},
        {"lease_s": 86_401},
        {"expiry_us": content().not_before_us},
        {"expiry_us": content().not_before_us + 86_400_000_001},
        {"command": bytes(15)},
        {"gateway": "Gauge House"},
    ],
)
def test_content_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(EnvelopeError):
        WANG.select(content(**wrong))


def test_only_select_has_no_token() -> None:
    with pytest.raises(EnvelopeError):
        WANG.command(Step.SELECT, content(), TOKEN)
    for step in (Step.OPERATE, Step.CANCEL, Step.RENEW):
        with pytest.raises(EnvelopeError):
            WANG.command(step, content())


def test_a_truth_is_not_a_one() -> None:
    assert encode_command(Command(Step.SELECT, content(value=True), WANG.signer, 1)) != (
        encode_command(Command(Step.SELECT, content(value=1), WANG.signer, 1))
    )
    assert within(1, 1.0, 2)
    assert not within(1, True, 1)
    assert not within(True, 1, True)
    assert not within("a", "b", "c")
    assert within(None, None, None)
    assert not within(1, None, 2)


@pytest.mark.parametrize("role", [r for r in Role if r not in (Role.OPERATOR, Role.CA)])
def test_nobody_but_an_operator_commands(role: Role) -> None:
    other = Operator(PKI, "wang.li", role)
    with pytest.raises(CertificateRefused):
        verify_command(PROVIDER, parse_command(other.select(content())), TRUST)


def test_who_signs_is_known_valid_and_not_revoked() -> None:
    sent = parse_command(WANG.select(content()))
    stranger = Operator(Pki(PROVIDER, "another root"))
    with pytest.raises(CertificateRefused):
        verify_command(PROVIDER, parse_command(stranger.select(content())), TRUST)
    with pytest.raises(CertificateRefused, match="revoked"):
        verify_command(
            PROVIDER, sent, replace(TRUST, revoked=lambda c: c.fingerprint == WANG.signer)
        )
    late = replace(TRUST, at=NOW + timedelta(days=9999))
    with pytest.raises(CertificateRefused):
        verify_command(PROVIDER, sent, late)
    # A clock that nobody vouches for is not asked.
    verify_command(PROVIDER, sent, replace(late, at=None))


def test_a_certificate_of_the_same_person_does_not_stand_for_the_one_named() -> None:
    again = PKI.issue("wang.li", Role.OPERATOR)
    command = Command(Step.SELECT, content(), WANG.signer, 1)
    message = make_command(command, again.key, [again.certificate])
    with pytest.raises(CertificateRefused, match="named"):
        verify_command(PROVIDER, parse_command(message), TRUST)


def test_a_signature_over_something_else_is_none() -> None:
    body = encode_command(Command(Step.SELECT, content(), WANG.signer, 1))
    message = join_command(body, WANG.party.key.sign(body + b"\0"), [WANG.party.certificate])
    with pytest.raises(SignatureInvalid):
        verify_command(PROVIDER, parse_command(message), TRUST)


# ---------------------------------------------------------------- approvals


def test_an_approval_is_of_one_content() -> None:
    wanted = content(value=40.0)
    approval = ZHAO.approve(wanted, low=30, high=45.5)
    assert verify_approval(PROVIDER, approval, wanted, TRUST, None).subject_cn == "zhao.min"
    for other in (
        {"value": 45.6}, {"value": 29.9}, {"value": True}, {"device": "pump-2"}, {"point": "stop"},
        {"unit": "Hz"}, {"command": bytes(16)}, {"gateway": "gauge-house-8"}, {"lease_s": 1801},
        {"operation": Operation.RELEASE, "value": None, "lease_s": 0},
    ):  # fmt: skip
        with pytest.raises(SignatureInvalid):
            verify_approval(PROVIDER, approval, replace(wanted, **other), TRUST, None)


def test_an_approval_gathered_before_counts_in_its_window_by_a_trusted_clock() -> None:
    approval = ZHAO.approve(content())
    for at, counts in ((NOW, True), (NOW + timedelta(minutes=9), False), (None, False)):
        trust = replace(TRUST, at=at)
        if counts:
            verify_approval(PROVIDER, approval, content(), trust, TOKEN)
        else:
            with pytest.raises(SignatureInvalid):
                verify_approval(PROVIDER, approval, content(), trust, TOKEN)


def test_an_approval_of_this_selection_needs_no_clock() -> None:
    approval = ZHAO.approve(content(), TOKEN)
    nobody_knows = replace(TRUST, at=None)
    verify_approval(PROVIDER, approval, content(), nobody_knows, TOKEN)
    for other in (None, bytes(16)):
        with pytest.raises(SignatureInvalid, match="selection"):
            verify_approval(PROVIDER, approval, content(), nobody_knows, other)


def test_two_are_two_when_name_and_key_differ() -> None:
    def people(*names: str) -> list[Certificate]:
        return [PKI.issue(name, Role.OPERATOR).certificate for name in names]

    wang, zhao = people("wang.li", "zhao.min")
    assert distinct([wang, zhao]) == 2
    assert distinct([wang, wang]) == 1
    assert distinct([wang, *people("Wang.Li ")]) == 1
    assert distinct([wang, *people("\uff37ang.li")]) == 1  # a full-width W
    # A variation selector, a joiner of graphemes, a filler: printable, and nobody sees them.
    for unseen in ("\ufe0f", "\u034f", "\u3164", "\U000e0100"):
        assert distinct([wang, *people(f"wang.li{unseen}")]) == 1
        assert distinct([wang, *people(f"wa{unseen}ng.li")]) == 1
    renamed = replace(zhao, spki=wang.spki)
    assert distinct([wang, renamed]) == 1


def test_an_approval_is_read_as_strictly_as_a_command() -> None:
    message = bytearray(ZHAO.approve(content(value=3)))
    for at in range(0, len(message), 3):
        message[at] ^= 1 << (at % 8)
        with pytest.raises(SecurityError):
            verify_approval(PROVIDER, bytes(message), content(value=3), TRUST, None)
        message[at] ^= 1 << (at % 8)
    assert parse_approval(bytes(message)).approval.low == 3


# ---------------------------------------------------------------- answers


def test_an_answer_is_the_gateways_own() -> None:
    gateway = PKI.issue(GATEWAY, Role.GATEWAY)
    answer = Answer(
        GATEWAY, bytes(16), Step.SELECT, bytes(32), "selected", "", "", TOKEN, 10_000, True, 5, 9
    )
    message = make_answer(answer, gateway.key, [gateway.certificate])
    assert verify_answer(PROVIDER, message, TRUST) == answer
    with pytest.raises(CertificateRefused):
        verify_answer(
            PROVIDER,
            make_answer(answer, WANG.party.key, [WANG.party.certificate]),
            TRUST,
        )
    other = PKI.issue("gauge-house-8", Role.GATEWAY)
    with pytest.raises(SignatureInvalid, match="under the certificate"):
        verify_answer(PROVIDER, make_answer(answer, other.key, [other.certificate]), TRUST)
    changed = bytearray(message)
    for at in range(0, len(changed), 3):
        changed[at] ^= 0x20
        with pytest.raises(SecurityError):
            verify_answer(PROVIDER, bytes(changed), TRUST)
        changed[at] ^= 0x20


def test_content_is_what_the_platform_engineer_repeats() -> None:
    select = parse_command(WANG.select(content())).command
    operate = parse_command(WANG.operate(content(), TOKEN)).command
    assert select.content == operate.content == content()
    assert isinstance(select.content, Content)
    assert select.counter < operate.counter


def test_an_operator_on_a_revocation_list_is_refused() -> None:
    gone = Revoked(NOW - timedelta(days=1), Reason.KEY_COMPROMISE)
    crl = issue_crl(
        issuer=PKI.root.certificate, issuer_key=PKI.root.key, number=1,
        this_update=NOW - timedelta(days=1), next_update=NOW + timedelta(days=6),
        revoked={WANG.party.certificate.serial: gone},
    )  # fmt: skip
    listed = replace(TRUST, crls=(crl,))
    # Also where no clock is trusted: a list does not unsay what it said.
    for trust in (listed, replace(listed, at=None)):
        with pytest.raises(CertificateRefused):
            verify_command(PROVIDER, parse_command(WANG.select(content())), trust)
        verify_command(PROVIDER, parse_command(ZHAO.select(content())), trust)
