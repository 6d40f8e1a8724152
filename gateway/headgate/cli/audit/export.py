"""`headgate audit export`: entries for an auditor, with what proves them.

JSON lines carry the exact text of each entry, so that anybody can hash them again; a table (CSV) is for
reading, and its proof stands beside it.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from headgate.audit.head import from_fields
from headgate.audit.line import Found
from headgate.audit.sentence import iso, result_word
from headgate.audit.sentence import sentence as in_words
from headgate.cli.audit.selected import wanted
from headgate.cli.audit.show import Kind, Since, Until, Who
from headgate.cli.audit.verify import Certificates, Folder, Heads, as_json
from headgate.cli.terminal import FAILED, both, reader, tell

app = typer.Typer()

_COLUMNS = (
    "seq", "time_utc", "clock", "kind", "who", "what", "result", "code", "sentence", "fields",
    "boot", "boottime_us", "sm3", "previous",
)  # fmt: skip


@app.command(help=both("Write entries and their proof into a file.", "导出审计记录及其证明。"))
def export(
    output: Annotated[Path, typer.Argument(metavar="FILE", help=both("Into.", "输出文件。"))],
    site: Annotated[Path | None, typer.Option(help=both("Site.", "站点。"))] = None,
    folder: Folder = None,
    form: Annotated[
        Literal["json", "csv"],
        typer.Option("--format", help=both("Lines of JSON, or a table.", "JSON 行或 CSV 表。")),
    ] = "json",
    since: Since = None,
    until: Until = None,
    kind: Kind = None,
    who: Who = None,
    certificate: Certificates = None,
    heads: Heads = None,
) -> None:
    """The whole log is checked first; what is wrong with it stands in the proof, and the exit status is 1."""
    from headgate.cli.audit.source import heads_of, source

    log, own = source(site, folder)
    keys = log.keys([*(certificate or ()), *own])
    report = log.check(keys, ())
    if heads is not None:
        report = log.check(keys, heads_of(log.env, heads, report.gateway))
    asked = wanted(since, until, kind, who)
    chosen: list[Found] = []
    behind: list[Found] = []
    for _, item in log.lines():
        if asked.has(item.line):
            chosen.append(item)
            behind.clear()
        elif chosen and not (behind and behind[-1].line.kind == "log-head"):
            behind.append(item)
    language = reader()
    sm3 = log.provider.sm3
    proof = _proof(chosen, behind, report.gateway)
    proof["check"] = as_json(report)
    proof["whole"] = asked.whole
    rows = [
        {
            "seq": item.line.seq, "time_utc": iso(item.line.wall), "clock": item.line.clock,
            "kind": item.line.kind, "who": item.line.who, "what": item.line.what,
            "result": result_word(item.line, language), "code": item.line.code,
            "sentence": in_words(item.line, language), "fields": item.line.fields,
            "boot": item.line.boot, "boottime_us": item.line.at, "sm3": sm3(item.text).hex(),
            "previous": item.line.previous, "text": item.text.decode(),
        }
        for item in chosen
    ]  # fmt: skip
    files = log.env.files
    if form == "json":
        lines = [*rows, {"proof": proof}]
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        files.replace(output, text.encode(), 0o640)
    else:
        files.replace(output, _table(rows), 0o640)
        beside = output.with_name(f"{output.name}.proof.json")
        files.replace(
            beside, json.dumps(proof, ensure_ascii=False, indent=2).encode() + b"\n", 0o640
        )
    tell("HG-9327", entries=len(rows), file=str(output), findings=len(report.findings))
    if not report.sound:
        raise typer.Exit(FAILED)


def _table(rows: list[dict[str, Any]]) -> bytes:
    into = io.StringIO(newline="")
    writer = csv.DictWriter(into, _COLUMNS, extrasaction="ignore")
    writer.writeheader()
    for row in rows:
        fields = json.dumps(row["fields"], ensure_ascii=False)
        writer.writerow({name: _safe(value) for name, value in {**row, "fields": fields}.items()})
    # A mark for spreadsheets, which would otherwise take Chinese for something else.
    return b"\xef\xbb\xbf" + into.getvalue().encode()


def _safe(value: object) -> object:
    """A cell that no spreadsheet runs: texts of strangers may begin like a formula."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") and value != "-":
        return f"'{value}"
    return value


def _proof(chosen: list[Found], behind: list[Found], gateway: str) -> dict[str, Any]:
    """What ties the chosen entries to a signed head: the entries up to it, and itself."""
    last = behind[-1] if behind else chosen[-1] if chosen else None
    head = from_fields(gateway, last.line.fields) if last and last.line.kind == "log-head" else None
    return {
        "gateway": gateway,
        "from_seq": chosen[0].line.seq if chosen else None,
        "to_seq": chosen[-1].line.seq if chosen else None,
        "up_to_head": [item.text.decode() for item in behind] if head else [],
        "head": None if head is None else head.fields(),
        "signed": None if head is None else head.message().decode(),
    }
