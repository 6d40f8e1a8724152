"""The first sheet of an xlsx file, read and written through openpyxl (the extra `xlsx`).

An xlsx file is a zip of XML: what it unpacks to is counted and entities are refused before any
of it reaches a parser, so a crafted list costs an error message and not the box's memory.
"""

from __future__ import annotations

import io
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

from headgate.cli.devices.table import COLUMNS_LIMIT, ROWS_LIMIT, Cell, Row
from headgate.errors import ConfigError, HeadgateError, Problem

#: What all parts may unpack to, and how many there may be. A list of 20,000 devices has 10 MiB.
UNPACKED_LIMIT = 32 * 2**20
PARTS_LIMIT = 500


def rows_of(data: bytes, shown: str) -> Iterator[Row]:
    """The rows of the first sheet.

    Raises:
        ConfigError: damaged, too large, or not what spreadsheets write.
        HeadgateError: openpyxl is not installed.
    """
    openpyxl = _openpyxl()
    _harmless(data, shown)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # of styles and drop-downs it does not know; we want neither
        try:
            book = openpyxl.load_workbook(
                io.BytesIO(data), read_only=True, data_only=True, keep_links=False
            )
            sheet = book.worksheets[0]
            # One more than the limit, so that it is met.
            lowest = sheet.max_row or 0
            found = list(sheet.iter_rows(max_row=ROWS_LIMIT + 2, max_col=COLUMNS_LIMIT + 1))
        except Exception as error:  # noqa: BLE001 - its parser raises whatever the damage leads to
            reason = f"{type(error).__name__}: {error}"
            raise ConfigError([Problem(shown, "HG-9206", {"reason": reason})]) from None
    if lowest > ROWS_LIMIT + 2:  # a stray cell far below: refused, not passed over in silence
        bound: dict[str, str | int | float] = {"what": "rows", "limit": ROWS_LIMIT}
        raise ConfigError([Problem(f"{shown}:{lowest}", "HG-9201", bound)])
    for number, cells in enumerate(found, start=1):
        yield Row(number, tuple(_cell(cell) for cell in cells))
    book.close()


def write_sheet(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """A list as an xlsx file. Every cell is text: 1.10 stays 1.10, and = begins no formula.

    Raises:
        HeadgateError: openpyxl is not installed.
    """
    openpyxl = _openpyxl()
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "devices"
    for number, row in enumerate((headings, *rows), start=1):
        for column, text in enumerate(row, start=1):
            cell = sheet.cell(number, column)
            cell.number_format = "@"
            if text:
                cell.value = text
                cell.data_type = "s"
    sheet.freeze_panes = "B2"
    page = io.BytesIO()
    book.save(page)
    return page.getvalue()


def _openpyxl() -> Any:
    try:
        import openpyxl
    except ModuleNotFoundError as error:
        fields = {"command": "devices (xlsx)", "module": str(error.name), "extra": "xlsx"}
        raise HeadgateError("xlsx needs openpyxl", code="HG-9001", **fields) from None
    return openpyxl


def _harmless(data: bytes, shown: str) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as parts:
            infos = parts.infolist()
            # A part never unpacks to more than it declares: zipfile stops there.
            if len(infos) > PARTS_LIMIT or sum(i.file_size for i in infos) > UNPACKED_LIMIT:
                fields: dict[str, str | int | float] = {
                    "what": "bytes unpacked",
                    "limit": UNPACKED_LIMIT,
                }
                raise ConfigError([Problem(shown, "HG-9201", fields)])
            for info in infos:
                # Without the zeros, UTF-16 reads like ASCII.
                if b"<!DOCTYPE" in parts.read(info).replace(b"\0", b""):
                    reason = f"{info.filename} declares entities"
                    raise ConfigError([Problem(shown, "HG-9206", {"reason": reason})])
    except (
        zipfile.BadZipFile,
        zlib.error,
        RuntimeError,
        NotImplementedError,
        EOFError,
        OSError,
        ValueError,
    ) as error:
        raise ConfigError([Problem(shown, "HG-9206", {"reason": str(error)})]) from None


def _cell(cell: Any) -> Cell:
    value = cell.value
    if value is None:
        return Cell("")
    if isinstance(value, bool):
        return Cell("true" if value else "false")
    if isinstance(value, (int, float)):
        whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
        return Cell(str(int(value)) if whole else repr(value), number=True)
    if isinstance(value, (datetime, date, time, timedelta)):
        return Cell(str(value), wrong="HG-9211")
    text = str(value).strip()
    if getattr(cell, "data_type", "") == "e":
        return Cell(text, wrong="HG-9212")
    return Cell(text)
