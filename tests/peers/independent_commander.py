"""A platform that commands, written from docs/reference/commands.md alone: openssl's command line, msgpack.

It imports nothing of Headgate, so that what it sends and what it believes is what the pages say.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgpack
from peers.independent_decoder import SM2_ID, Platform, array, blob, need, number, run, sm3, unpack

DURING = 1_795_000_000  # unix seconds, within everything's dates


class Commander(Platform):
    """An operator with a key, and what is believed of gateways."""

    def __init__(self, folder: Path, private_key: bytes, certificate: bytes, anchor: bytes) -> None:
        super().__init__(folder, private_key, certificate, anchor)
        self._key = str(folder / "platform.der")

    def body(self, step: str, counter: int, token: bytes | None, content: list[Any]) -> bytes:
        """Section 2: the bytes to sign. `content` is gateway to lease."""
        packed: bytes = msgpack.packb(
            ["headgate-command-v1", step, sm3(self.certificate), counter, token, *content],
            use_bin_type=True,
        )
        return packed

    def message(self, body: bytes, approvals: list[bytes]) -> bytes:
        """Section 2: signed, with the certificate and the approvals."""
        signature = run(
            "dgst", "-sm3", "-sign", self._key, "-keyform", "DER", "-sigopt", SM2_ID,
            self._write("body", body),
        )  # fmt: skip
        assert signature is not None
        parts = [body, signature, [self.certificate], approvals]
        packed: bytes = msgpack.packb(parts, use_bin_type=True)
        return b"HG\x04\x01" + packed

    def is_mine(self, message: bytes) -> bytes:
        """The body of a command message whose signature holds."""
        need(message[:4] == b"HG\x04\x01", "form")
        body, signature, chain, _ = array(unpack(message[4:]), 4, most=4)
        need(self.signed(self.spki_of(chain[0]), body, signature), "signature")
        found: bytes = blob(body)
        return found

    def answer(self, message: bytes, request: bytes, gateway: str, step: str) -> dict[str, Any]:
        """Section 5: an answer to the body `request`, which was for `gateway` and of this step."""
        need(len(message) <= 8192 and message[:4] == b"HG\x05\x01", "form")
        outer = array(unpack(message[4:]), 3)
        body, signature, chain = blob(outer[0]), blob(outer[1], most=80), array(outer[2], 1, most=4)
        said = array(unpack(body), 14)
        need(said[0] == "headgate-answer-v1", "form")
        leaf = blob(chain[0])
        need(sm3(leaf) == blob(said[1], 32), "certificate", "another one than is named")
        need(self._chain(leaf, DURING), "certificate")
        need(self.signed(self.spki_of(leaf), body, signature), "signature")
        need(self._common_name(leaf) == said[2] == gateway, "gateway")
        need(blob(said[5], 32) == sm3(request) and said[4] == step, "request")
        return {
            "command": blob(said[3], 16), "state": said[6], "code": said[7], "text": said[8],
            "token": said[9], "token_ms": number(said[10]), "value": said[11],
            "lease_ms": number(said[12]),
        }  # fmt: skip
