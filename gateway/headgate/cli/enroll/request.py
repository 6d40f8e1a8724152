"""`headgate enroll request`: requests as files, and as codes on the screen for a phone."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from headgate.cli.enroll.desk import ask
from headgate.cli.terminal import both, tell
from headgate.errors import SecurityError

app = typer.Typer(rich_markup_mode=None)

#: Longest text of one code, tried from the fewest codes to the smallest.
_LONGEST = (460, 340, 250, 180, 120)
_BORDER = 2


@app.command("request", help=both("Make the requests for the CA.", "生成交给 CA 的证书申请。"))
def request(
    site: Annotated[Path | None, typer.Argument(help=both("Site.", "站点。"))] = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help=both("Where to write.", "写入的目录。"))
    ] = Path(),
    codes: Annotated[
        bool | None,
        typer.Option(
            "--qr/--no-qr", help=both("Codes on the screen.", "显示二维码。"), show_default=False
        ),
    ] = None,
    new: Annotated[
        bool,
        typer.Option("--new", help=both("For fresh keys.", "使用新密钥（原密钥丢失或被吊销时）。")),
    ] = False,
    organization: Annotated[
        str | None,
        typer.Option(metavar="NAME", help=both("Organization in the name.", "单位名称（O）。")),
    ] = None,
) -> None:
    """Write one file a request; the private keys stay where they are."""
    said = ask(site, "enroll-request", new=new, organization=organization)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for one in said["requests"]:
            path = out / f"{said['gateway']}-{one['kind']}.csr"
            path.write_text(one["pem"], encoding="ascii")
            tell("HG-6180", path=path, role=one["role"], fingerprint=one["key"])
    except OSError as error:
        reason = error.strerror or str(error)
        raise SecurityError(
            f"{out}: {reason}", code="HG-6014", path=str(out), reason=reason
        ) from None
    if codes or (codes is None and sys.stdout.isatty()):
        _show(said, asked=codes is True)
    tell("HG-6181", gateway=said["gateway"])


def _show(said: dict[str, Any], *, asked: bool) -> None:
    try:
        import segno  # noqa: F401 - an extra
    except ImportError:
        if asked:
            raise SecurityError("segno is not installed", code="HG-6187") from None
        tell("HG-6187")
        return
    size = shutil.get_terminal_size()
    for one in said["requests"]:
        for text in split(said["gateway"], one["kind"], one["pem"], size.columns, size.lines):
            _, gateway, kind, number, total, _ = text.split("/")
            typer.echo(f"\n{gateway} {kind} {number}/{total}")
            _code(text).terminal(border=_BORDER, compact=True)


def split(gateway: str, kind: str, pem: str, columns: int, lines: int) -> list[str]:
    """The texts of the fewest codes that fit the screen; the smallest where none fits."""
    from headgate.crypto import encoding
    from headgate.runtime.enrolment.qr import parts

    ((_, content),) = encoding.pem_blocks(pem.encode())
    texts: list[str] = []
    for longest in _LONGEST:
        texts = list(parts(gateway, kind, content, longest))
        width = max(_code(text).symbol_size(border=_BORDER)[0] for text in texts)
        if width <= columns and (width + 1) // 2 <= lines - 2:
            break
    return texts


def _code(text: str) -> Any:
    import segno

    return segno.make(text, error="l", boost_error=False, micro=False)
