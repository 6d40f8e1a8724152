"""What a library says becomes a sentence that a technician can act on."""

from __future__ import annotations

import ssl

import pytest

from headgate.link.refusal import Refused, of_handshake, of_library, of_verification
from headgate.messages import entries


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (10, "HG-5062"), (9, "HG-5063"), (18, "HG-5060"), (19, "HG-5060"), (20, "HG-5060"),
        (7, "HG-5060"), (62, "HG-5061"), (64, "HG-5061"), (23, "HG-5066"), (3, "HG-5067"),
        (12, "HG-5067"), (26, "HG-5068"), (79, "HG-5068"),
    ],
)  # fmt: skip
def test_each_verdict_on_a_certificate_has_a_sentence(number: int, code: str) -> None:
    refused = of_verification(number, "words", name="x")
    assert (refused.code, refused.certificate) == (code, True)
    assert entries()[code].placeholders("en") <= {"broker", *refused.fields}


@pytest.mark.parametrize(
    ("said", "began", "sm", "code"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", True, False, "HG-5064"),
        ("tlsv1 alert unknown ca", True, True, "HG-5064"),
        ("ssl/tls alert bad certificate", True, True, "HG-5064"),
        ("SSLV3_ALERT_CERTIFICATE_EXPIRED", False, False, "HG-5064"),
        ("tlsv1 alert internal error", True, True, "HG-5064"),
        ("TLSV1_ALERT_PROTOCOL_VERSION", False, False, "HG-5065"),
        ("UNSUPPORTED_PROTOCOL", False, False, "HG-5065"),
        ("tlsv1 alert protocol version", False, True, "HG-5069"),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", False, False, "HG-5070"),
        ("sslv3 alert handshake failure", False, True, "HG-5069"),
        ("WRONG_VERSION_NUMBER", False, False, "HG-5071"),
        ("UNEXPECTED_EOF_WHILE_READING", False, False, "HG-5072"),
        ("Unexpected EOF", False, True, "HG-5072"),
        ("decryption failed or bad record mac", True, True, "HG-5011"),
        ("alert bad record mac", True, True, "HG-5011"),
        ("something that nobody foresaw", False, False, "HG-5011"),
    ],
)
def test_each_failure_of_a_handshake_has_a_sentence(
    said: str, began: bool, sm: bool, code: str
) -> None:
    refused = of_handshake(said, began=began, sm=sm)
    assert (refused.code, refused.certificate, str(refused)) == (code, False, said)
    assert entries()[code].placeholders("en") <= {"broker", *refused.fields}


def test_a_refusal_is_an_ssl_error_to_libraries_and_stays_itself() -> None:
    refused = Refused("HG-5061", "another name", name="x")
    assert isinstance(refused, ssl.SSLError)
    assert of_library(refused) is refused
