"""Bytes as a person reads them, wherever the command line shows some."""

from __future__ import annotations

from typing import Any

import pytest

from headgate.cli import stations, trace
from headgate.cli.on_wire import shown
from headgate.cli.read import page as read_page

PACKET = b"##0036ST=91;CN=9014;PW=123456;CP=&&&&ABCD\r\n"
HEXED, TEXT = PACKET.hex(" "), f'"{PACKET[:-2].decode()}\\r\\n"'


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (PACKET, TEXT),
        (b":010300\n:010300", None),  # an end of line amid it would break the page
        (b"\x1b[2J moved the cursor", None),
        (b"##0036 " + "站".encode("gb18030"), None),
        (b"AB12", None),
        (b"\r\n\r\n\r\n\r\n", None),
        (bytes.fromhex("7e7e0100600000011234"), None),
    ],
)
def test_what_is_all_printable_is_shown_as_text_and_nothing_else(
    data: bytes, said: str | None
) -> None:
    assert shown(data.hex(" ")) == (said or data.hex(" "))


def test_a_trace_shows_text_and_saves_hex() -> None:
    head: dict[str, Any] = {
        "channel": "c", "url": "hj212+listen://[::]:7212", "now_us": 0, "wall_us": 0,
    }  # fmt: skip
    frame = {"way": "received", "hex": HEXED, "at_us": 1000, "who": "10.0.0.1:4"}
    assert trace._line(frame, head).endswith(f"10.0.0.1:4 < {TEXT}")
    assert any(HEXED in line for line in trace.saved(head, [frame]))


def test_an_answer_of_a_station_and_a_look_show_text() -> None:
    said = {"frames": [["sent", HEXED], ["received", "7e 7e"]], "told": []}
    assert stations.answer(said) == [f"  > {TEXT}", "  < 7e 7e"]
    look = {
        "device": "d", "profile": "p", "took_ms": 1.0, "frames": [["received", HEXED]],
        "readings": [], "error": "",
    }  # fmt: skip
    assert f"  < {TEXT}" in read_page(look).splitlines()
