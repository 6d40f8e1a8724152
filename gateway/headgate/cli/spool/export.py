"""`headgate spool export`: what waits on disk, in a file: readings, or sealed records for the platform."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from headgate.cli.terminal import FAILED, both, site_path, tell

app = typer.Typer()

COLUMNS = (
    "time", "device", "point", "value", "unit", "quality", "status", "slot", "boot", "boottime_us",
)  # fmt: skip
#: Written at once.
_CHUNK = 1 << 20


@app.command(help=both("Write the spool into a file.", "将本地缓存导出为文件。"))
def export(
    out: Annotated[Path, typer.Argument(help=both("The new file.", "输出文件。"))],
    site: Annotated[Path | None, typer.Option(help=both("Site.", "站点。"))] = None,
    form: Annotated[
        Literal["csv", "jsonl", "sealed"],
        typer.Option(
            "--format",
            help=both(
                "csv, jsonl: readings, opened by the local wrap; sealed: for the platform.",
                "csv、jsonl：用本机封装解开的读数；sealed：密封记录，供平台导入。",
            ),
        ),
    ] = "csv",
    device: Annotated[
        list[str] | None, typer.Option(help=both("Only of this device.", "仅此设备。"))
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help=both("From this time on, ISO 8601.", "起始时间。")),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help=both("Before this time.", "截止时间。"))
    ] = None,
) -> None:
    """Read only; a gateway may run meanwhile, and nothing counts as delivered by it."""
    from headgate.cli.spool.selected import Filter, Selected, instant
    from headgate.env import system_env
    from headgate.errors import HeadgateError

    env = system_env()
    wanted = Filter(tuple(device or ()), None, instant(since), instant(until))
    selected = Selected(env, site_path(site), wanted)
    counts = {"records": 0, "readings": 0, "shut": 0}
    try:
        selected.learn_times()
        parts = _sealed(selected, counts) if form == "sealed" else _rows(selected, form, counts)
        try:
            file = env.files.append(out)
        except FileExistsError:
            raise HeadgateError(f"{out} is there", code="HG-9003", path=str(out)) from None
        except OSError as error:
            reason = str(error.strerror)
            raise HeadgateError(reason, code="HG-9004", path=str(out), reason=reason) from None
        try:
            chunk = bytearray()
            for part in parts:
                chunk += part
                if len(chunk) >= _CHUNK:
                    file.write(bytes(chunk))
                    chunk.clear()
            file.write(bytes(chunk))
            file.sync()
        except OSError as error:
            reason = str(error.strerror)
            raise HeadgateError(reason, code="HG-9004", path=str(out), reason=reason) from None
        finally:
            file.close()
    finally:
        selected.close()
    tell("HG-4054", path=out, records=counts["records"], readings=counts["readings"])
    if counts["shut"]:
        tell("HG-4055", records=counts["shut"])
        raise typer.Exit(FAILED)


def _sealed(selected: Any, counts: dict[str, int]) -> Iterator[bytes]:
    from headgate.envelope.carry import beginning, frame

    yield beginning(selected.gateway)
    granted: set[bytes] = set()
    for record in selected.records():
        if record.data is None:
            counts["shut"] += 1
            continue
        if record.key_id not in granted:
            granted.add(record.key_id)
            grant = selected.state.grant(record.key_id)
            if grant is not None and grant.message is not None:
                yield frame("grant", grant.message)
        counts["records"] += 1
        counts["readings"] += 0 if record.index is None else record.index.readings
        yield frame("record", record.data)


def _rows(selected: Any, form: str, counts: dict[str, int]) -> Iterator[bytes]:
    if form == "csv":
        # The mark tells spreadsheets that this is UTF-8.
        yield b"\xef\xbb\xbf" + _csv(COLUMNS)
    for record in selected.records():
        opened = selected.unsealed.open(record)
        if opened is None:
            counts["shut"] += 1
            continue
        counts["records"] += 1
        items, boot = opened
        for reading in selected.unsealed.readings(items):
            if not selected.wants(reading.device):
                continue
            counts["readings"] += 1
            row = _row(selected, reading, boot)
            if form == "csv":
                yield _csv(tuple("" if row[name] is None else row[name] for name in COLUMNS))
            else:
                yield json.dumps(row, ensure_ascii=False).encode() + b"\n"


def _row(selected: Any, reading: Any, boot: bytes) -> dict[str, Any]:
    from headgate.cli.spool.selected import iso

    value = reading.value.hex() if isinstance(reading.value, bytes) else reading.value
    return {
        "time": iso(selected.wall_of(reading.taken_at_us, boot)), "device": reading.device,
        "point": reading.point, "value": value, "unit": reading.unit,
        "quality": reading.quality.name.lower(), "status": reading.status, "slot": reading.slot,
        "boot": boot.hex(), "boottime_us": reading.taken_at_us,
    }  # fmt: skip


def _csv(row: tuple[Any, ...]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(row)
    return text.getvalue().encode()
