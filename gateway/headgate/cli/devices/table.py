"""A device list as rows of text, from CSV or xlsx, whatever a desk's spreadsheet made of it.

    table = read_table(data, "street.csv")     # Table, or ConfigError naming the line
    data = write_csv(headings, rows, "gb18030")

Found out by itself: UTF-8 with and without byte order mark, UTF-16 with one (Excel's "Unicode text"),
GB18030; comma, semicolon or tab. Everything is bounded before it is worked on.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import msgspec

from headgate.errors import ConfigError, Problem

#: Of one list: bytes, rows below the headings, columns, characters of a cell.
BYTES_LIMIT = 8 * 2**20
ROWS_LIMIT = 20_000
COLUMNS_LIMIT = 200
CELL_LIMIT = 2_000

Encoding = Literal["utf-8-bom", "utf-8", "gb18030"]
_PYTHON_NAME: dict[Encoding, str] = {
    "utf-8-bom": "utf-8-sig", "utf-8": "utf-8", "gb18030": "gb18030",
}  # fmt: skip

_ZIP = b"PK\x03\x04"
_OLE = b"\xd0\xcf\x11\xe0"
_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


class Cell(msgspec.Struct, frozen=True):
    """What stands in one cell. `number`: a spreadsheet's number, not text that looks like one.

    `wrong` is the code of what makes the cell unusable: a date, a formula without a value.
    """

    text: str
    number: bool = False
    wrong: str = ""


class Row(msgspec.Struct, frozen=True):
    """One row and the line it starts at, as the reader's editor or spreadsheet counts."""

    line: int
    cells: tuple[Cell, ...]


class Table(msgspec.Struct, frozen=True):
    """The first row that says anything, and those below it without the empty ones."""

    shown: str
    headings: Row
    rows: tuple[Row, ...]

    def where(self, line: int, column: int | None = None) -> str:
        """`street.csv:7: C 采集周期`: a line and a column as spreadsheets name them."""
        if column is None or column >= len(self.headings.cells):
            return f"{self.shown}:{line}"
        return f"{self.shown}:{line}: {letters(column)} {self.headings.cells[column].text}".rstrip()


def letters(column: int) -> str:
    """0 is A, 25 is Z, 26 is AA."""
    name, left = "", column + 1
    while left:
        left, digit = divmod(left - 1, 26)
        name = chr(ord("A") + digit) + name
    return name


def read_table(data: bytes, shown: str) -> Table:
    """The rows of a list; what kind of file it is, its first bytes say, not its name.

    Raises:
        ConfigError: it is no list that can be read, and where.
        HeadgateError: an xlsx list, and what reads those is not installed.
    """
    if len(data) > BYTES_LIMIT:
        raise ConfigError([Problem(shown, "HG-9201", {"what": "bytes", "limit": BYTES_LIMIT})])
    if data.startswith(_OLE):
        raise ConfigError([Problem(shown, "HG-9202")])
    if data.startswith(_ZIP):
        from headgate.cli.devices.sheet import rows_of

        rows = rows_of(data, shown)
    else:
        rows = _csv_rows(_decoded(data, shown), shown)
    return _table(rows, shown)


def write_csv(headings: Sequence[str], rows: Iterable[Sequence[str]], encoding: Encoding) -> bytes:
    """A list as bytes that `read_table` gives back, with line ends as spreadsheets want them."""
    page = io.StringIO()
    writer = csv.writer(page, lineterminator="\r\n")
    writer.writerow(headings)
    writer.writerows(rows)
    return page.getvalue().encode(_PYTHON_NAME[encoding])


def _decoded(data: bytes, shown: str) -> str:
    marked = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    first: UnicodeDecodeError | None = None
    # GB18030 reads nearly anything, so it is the last to be asked.
    for name in [marked] if marked else ["utf-8", "gb18030"]:
        try:
            text = data.decode(name)
        except UnicodeDecodeError as error:
            first = first or error
            continue
        if "\0" in text:
            break
        return text
    line = 1 if first is None else data.count(b"\n", 0, first.start) + 1
    raise ConfigError([Problem(f"{shown}:{line}", "HG-9203")])


def _csv_rows(text: str, shown: str) -> Iterator[Row]:
    lines = text.splitlines(keepends=True)
    skipped = 0
    delimiter = ""
    if lines and lines[0].lower().startswith("sep="):  # Excel's own hint
        delimiter = lines[0][4:5]
        skipped = 1
    heading = next((line for line in lines[skipped:] if line.strip()), "")
    bare = "".join(heading.split('"')[::2])
    delimiter = delimiter or max((",", ";", "\t"), key=bare.count)
    reader = csv.reader(
        io.StringIO("".join(lines[skipped:]), newline=""), delimiter=delimiter, strict=True
    )
    line = 1 + skipped
    try:
        for cells in reader:
            yield Row(line, tuple(Cell(cell.strip()) for cell in cells))
            line = reader.line_num + skipped + 1
    except csv.Error as error:
        raise ConfigError([Problem(f"{shown}:{line}", "HG-9204", {"reason": str(error)})]) from None


def _table(rows: Iterable[Row], shown: str) -> Table:
    headings: Row | None = None
    kept: list[Row] = []
    for row in rows:
        filled = [i for i, cell in enumerate(row.cells) if cell.text or cell.wrong]
        if not filled or row.cells[0].text.startswith("#"):
            continue
        bounds = (
            ("rows", len(kept) + 1, ROWS_LIMIT),
            ("columns", filled[-1] + 1, COLUMNS_LIMIT),
            ("characters in a cell", max(len(cell.text) for cell in row.cells), CELL_LIMIT),
        )
        for what, size, limit in bounds:
            if size > limit:
                where = f"{shown}:{row.line}"
                raise ConfigError([Problem(where, "HG-9201", {"what": what, "limit": limit})])
        row = msgspec.structs.replace(row, cells=row.cells[: filled[-1] + 1])
        if headings is None:
            headings = row
        else:
            kept.append(row)
    if headings is None:
        raise ConfigError([Problem(shown, "HG-9205")])
    return Table(shown, headings, tuple(kept))
