"""Bytes of a line as a person reads them: hex, and the text itself where a protocol is made of text."""

from __future__ import annotations

from typing import Final

_PRINTABLE: Final = frozenset(range(0x20, 0x7F))
#: Less may be a number that happens to look like letters.
_LEAST: Final = 8


def shown(hexed: str) -> str:
    """The hex as it is, or in quotes the text that it spells: printable ASCII, and the end of a line.

    For a screen only: files and JSON keep the hex.
    """
    data = bytes.fromhex(hexed)
    text = data.rstrip(b"\r\n")
    end = data[len(text) :]
    if len(data) < _LEAST or not text or not _PRINTABLE.issuperset(text):
        return hexed
    ended = end.decode("ascii").replace("\r", "\\r").replace("\n", "\\n")
    return f'"{text.decode("ascii")}{ended}"'
