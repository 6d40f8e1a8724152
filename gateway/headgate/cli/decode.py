"""`headgate decode PROTOCOL BYTES`: what bytes say, field by field, and why others are no frame."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import typer

from headgate.cli.fields import fields_of, plain, word
from headgate.cli.terminal import FAILED, both, reader
from headgate.errors import HeadgateError
from headgate.messages import entries, fix, say
from headgate.sdk import Driver, StreamCodec

app = typer.Typer(rich_markup_mode=None)

#: More than anybody pastes or traces in an afternoon.
_MOST = 64 * 1024 * 1024
#: How a line of a trace begins.
_SAID = re.compile(r"\s*([<>])\s*(.*)")
_NOT_HEX = re.compile(r"[^0-9A-Fa-f]")
#: What people put between bytes: blanks, commas, colons, dashes, 0x, H, line numbers do not count.
_BETWEEN = re.compile(r"0[xX]|[\s,;:\-]|(?<=[0-9A-Fa-f]{2})[hH](?![0-9A-Za-z])")


class _Piece(NamedTuple):
    """Bytes of one direction: what a station says and what is said to it are two streams."""

    way: str
    data: bytes


@app.command(help=both("What bytes of a line say.", "解读报文。"))
def decode(
    protocol: Annotated[
        str, typer.Argument(help=both("A driver's name: sl651, dlt645 ...", "驱动名，如 sl651。"))
    ],
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[BYTES]...", help=both("Hex, or text of HJ 212.", "十六进制，或 HJ 212 文本。")
        ),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|-",
            help=both("A saved trace, hex, or raw bytes.", "保存的报文、十六进制或原始字节。"),
            show_default=False,
        ),
    ] = None,
    development: Annotated[
        bool, typer.Option(help=both("Load other makers' plugins too.", "同时载入第三方插件。"))
    ] = False,
    form: Annotated[
        Literal["text", "json"], typer.Option("--format", help=both("Output form.", "输出格式。"))
    ] = "text",
) -> None:
    """Every frame with its fields; every fault with what to try. Exit status 1: not all of it was frames."""
    driver = driver_of(protocol, development=development)
    codecs = {"<": codec_of(driver), ">": codec_of(driver)}
    good, found = True, []
    for way, event in _events(codecs, _pieces(words or [], file)):
        good = good and not hasattr(event, "consumed")
        if form == "json":
            found.append({"way": way, **_as_data(event)})
        else:
            typer.echo("\n".join(as_text(driver, event, way if file else "")))
    if form == "json":
        typer.echo(json.dumps(found, ensure_ascii=False, indent=1))
    if not good:
        raise typer.Exit(FAILED)


def driver_of(protocol: str, *, site: Path | None = None, development: bool = False) -> Driver:
    """A driver by its name, that has a codec for bytes alone; of another maker where the site allows it.

    Raises:
        HeadgateError: there is no such driver, or its frames cannot be told from bytes alone.
    """
    from headgate.cli.plugins import registry_of

    registry = registry_of(site, development=development)
    registry.complete()
    drivers = {name: kind() for name, kind in registry.drivers.items()}
    able = {name: driver for name, driver in drivers.items() if driver.codec() is not None}
    if protocol not in able:
        names = ", ".join(sorted(able))
        raise HeadgateError(f"{protocol}?", code="HG-9170", name=protocol, names=names)
    return able[protocol]


def codec_of(driver: Driver) -> StreamCodec[Any]:
    """A new codec of such a driver."""
    codec = driver.codec()
    assert codec is not None
    return codec


# ---------------------------------------------------------------- where the bytes come from


def _pieces(words: Sequence[str], file: str | None) -> list[_Piece]:
    if (file is None) == (not words):
        raise HeadgateError("bytes or a file", code="HG-9171")
    if file is None:
        return [_Piece("<", _from_text(" ".join(words)))]
    try:
        data = sys.stdin.buffer.read(_MOST) if file == "-" else Path(file).read_bytes()[:_MOST]
    except OSError as error:
        reason = error.strerror or str(error)
        raise HeadgateError("not read", code="HG-9173", path=file, reason=reason) from error
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError:
        return [_Piece("<", data)]
    said = [found for line in text.splitlines() if (found := _SAID.fullmatch(line))]
    if said:
        return [_Piece(one[1], _from_text(one[2].partition("#")[0])) for one in said]
    if _NOT_HEX.search(_BETWEEN.sub("", text)) and not text.lstrip().startswith("##"):
        return [_Piece("<", data)]  # a protocol of text
    return [_Piece("<", _from_text(text))]


def _from_text(text: str) -> bytes:
    """Bytes as people write them; what begins like a packet of HJ 212 is its own text."""
    if text.lstrip().startswith("##"):
        # A pasted packet has lost its end of line more often than not.
        return text.strip().encode("gb18030") + b"\r\n"
    hexed = _BETWEEN.sub("", text)
    if wrong := _NOT_HEX.search(hexed):
        raise HeadgateError("no hex", code="HG-9172", found=hexed[wrong.start() :][:12])
    if len(hexed) % 2:
        raise HeadgateError("half a byte", code="HG-9174", digits=len(hexed))
    return bytes.fromhex(hexed)


def _events(
    codecs: dict[str, StreamCodec[Any]], pieces: Sequence[_Piece]
) -> Iterator[tuple[str, Any]]:
    for way, data in pieces:
        for event in codecs[way].feed(data):
            yield way, event
    for way, codec in codecs.items():
        left = codec.end()
        if left is not None:
            yield way, left


# ---------------------------------------------------------------- how it is shown


def as_text(driver: Driver, event: Any, way: str) -> Iterator[str]:
    """A frame with its fields, or a fault with what to try, in lines."""
    mark = f"{way} " if way else ""
    if not hasattr(event, "consumed"):
        yield mark + type(event).__name__.lower()
        yield from fields_of(event)
        yield from _said(driver, event)
        return
    lang, known = reader(), _MESSAGES.get(event.code, "")
    count = event.consumed
    if known in entries():
        yield mark + say(
            known, lang, bytes=count, detail=f" ({event.detail})" if event.detail else ""
        )
        yield f"    {fix(known, lang)}"
    else:
        yield f"{mark}{event.code}: {count} {event.detail}"
    inside = getattr(event, "frame", None) or getattr(event, "packet", None)
    if inside is not None:
        yield from fields_of(inside)
        yield from _said(driver, inside)


def _said(driver: Driver, frame: Any) -> Iterator[str]:
    said = list(driver.says(frame))
    if said:
        yield "  " + say("HG-9188", reader())
    for each in said:
        value = "-" if each.value is None else word(each.value)
        yield f"    {each.name}  {value} {each.unit}".rstrip() + (f"  {each.at}" if each.at else "")


def _as_data(event: Any) -> dict[str, Any]:
    if hasattr(event, "consumed"):
        return {"fault": plain(event)}
    return {"frame": plain(event)}


#: Sentences of the faults that our codecs name; a vendor's codec may name others.
_MESSAGES = {
    "bad_start": "HG-9180",
    "bad_length": "HG-9181",
    "bad_end": "HG-9182",
    "bad_checksum": "HG-9183",
    "bad_field": "HG-9184",
    "truncated": "HG-9185",
    "device_error": "HG-9186",
    "not_supported": "HG-9187",
}
