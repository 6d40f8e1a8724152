"""Every parser has a bound, and the page that lists them tells the truth."""

from __future__ import annotations

import importlib
import io
import re
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

from headgate import config
from headgate.cli.devices.table import BYTES_LIMIT, read_table
from headgate.config.files import DEPTH_LIMIT, FILE_LIMIT
from headgate.crypto.provider import default_provider
from headgate.crypto.x509 import MAX_CERTIFICATE, load_certificates
from headgate.env import system_env
from headgate.envelope.command import MAX_COMMAND, parse_command
from headgate.envelope.receipt import verify_receipt
from headgate.envelope.wire import MAX_RECEIPT
from headgate.errors import ConfigError, SecurityError

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT))

from fuzz.targets import TARGETS  # noqa: E402


class Row(NamedTuple):
    what: str
    constant: str
    value: int | None
    targets: tuple[str, ...]


def rows() -> list[Row]:
    found = []
    for line in (ROOT / "docs" / "reference" / "bounds.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) != 5 or cells[0] in ("what", "---"):
            continue
        constant = re.match(r"`([\w.]+:\w+)`(?: = (\d+))?", cells[3])
        targets = tuple(re.findall(r"`([\w-]+)`", cells[4]))
        value = int(constant[2]) if constant and constant[2] else None
        found.append(Row(cells[0], constant[1] if constant else "", value, targets))
    return found


@pytest.mark.parametrize("row", [row for row in rows() if row.constant], ids=lambda row: row.what)
def test_a_bound_on_the_page_is_the_bound_of_the_code(row: Row) -> None:
    module, _, name = row.constant.partition(":")
    value = getattr(importlib.import_module(module), name)
    assert isinstance(value, int) and value > 0
    assert row.value is None or value == row.value


def test_every_target_of_fuzzing_is_on_the_page_and_the_other_way_round() -> None:
    listed = {target for row in rows() for target in row.targets}
    assert listed == set(TARGETS), "docs/reference/bounds.md has a row for each parser: add yours"


def test_every_row_has_a_bound_or_is_fuzzed() -> None:
    assert len(rows()) > 30
    assert all(row.constant or row.targets for row in rows())


def code(run: object, *arguments: object) -> str:
    with pytest.raises((ConfigError, SecurityError)) as refused:
        run(*arguments)  # type: ignore[operator]
    error = refused.value
    return error.problems[0].code if isinstance(error, ConfigError) else error.code


def test_what_is_larger_than_its_bound_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    big = b"\x00" * (MAX_COMMAND + 1)
    assert code(parse_command, big) == "HG-6005"
    key = default_provider().sm2_generate().public
    assert code(verify_receipt, b"\x00" * (MAX_RECEIPT + 1), (key,), "g") == "HG-6005"
    assert code(load_certificates, b"\x30" * (MAX_CERTIFICATE + 1)).startswith("HG-6")
    assert code(read_table, b"x" * (BYTES_LIMIT + 1), "list") == "HG-9201"


def site(folder: Path, text: str) -> str:
    (folder / "site.toml").write_text(text)
    return code(config.load, system_env(), folder)


def test_a_bomb_in_a_site_file_is_a_sentence(tmp_path: Path) -> None:
    head = 'schema = 1\n[gateway]\nid = "g"\n'
    assert site(tmp_path, head + "#" * FILE_LIMIT).startswith("HG-10")
    assert site(tmp_path, head + "x = " + "[" * 5000 + "]" * 5000).startswith("HG-1")
    assert site(tmp_path, head + "a." * (DEPTH_LIMIT + 300) + "b = 1").startswith("HG-1")


def test_a_spreadsheet_that_unpacks_to_far_more_is_refused_unopened() -> None:
    into = io.BytesIO()
    with (
        zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as bomb,
        bomb.open("xl/a.xml", "w", force_zip64=True) as part,
    ):
        for _ in range(64):
            part.write(bytes(1 << 20))
    assert len(into.getvalue()) < 1 << 20
    assert code(read_table, into.getvalue(), "list") == "HG-9201"
    many = io.BytesIO()
    with zipfile.ZipFile(many, "w") as archive:
        for number in range(600):
            archive.writestr(f"{number}.xml", b"")
    assert code(read_table, many.getvalue(), "list") in ("HG-9201", "HG-9206")


def test_a_local_request_without_an_end_hangs_up(tmp_path: Path) -> None:
    import asyncio

    from headgate.audit import Entry
    from headgate.runtime.api import _LONGEST_LINE, LocalApi

    async def main() -> None:
        told: list[Entry] = []
        api = LocalApi(system_env(), tmp_path / "s", {}, told.append)
        await api.open()
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
        writer.write(b"x" * (_LONGEST_LINE + 4096))
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        # One connection more than there may be is refused, and both are written down.
        open_ones = [await asyncio.open_unix_connection(str(tmp_path / "s")) for _ in range(33)]
        assert await open_ones[-1][0].read() == b""
        for _, each in open_ones:
            each.close()
            await each.wait_closed()
        await api.close()
        assert [(entry.kind, entry.result) for entry in told] == [("local-refused", "refused")] * 2

    asyncio.run(main())
