"""`headgate certs dev`: a PKI for a desk, with a root that anybody can make."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from headgate.cli.certs.common import provider_of, unusable
from headgate.env import system_env
from headgate.messages import language, say

app = typer.Typer(rich_markup_mode=None)

# What each file is for: role and kind to the code of its sentence.
_PURPOSE = {
    ("headgate-ca", "key"): "HG-6020",
    ("headgate-ca", "crt"): "HG-6021",
    ("headgate-platform-encryption", "key"): "HG-6022",
    ("headgate-platform-encryption", "crt"): "HG-6023",
    ("headgate-platform-receipt", "key"): "HG-6024",
    ("headgate-platform-receipt", "crt"): "HG-6025",
    ("headgate-platform-link", "key"): "HG-6240",
    ("headgate-platform-link", "crt"): "HG-6241",
    ("headgate-gateway", "key"): "HG-6026",
    ("headgate-gateway", "crt"): "HG-6027",
    ("headgate-gateway-encryption", "key"): "HG-6242",
    ("headgate-gateway-encryption", "crt"): "HG-6243",
    ("headgate-gateway-link", "key"): "HG-6244",
    ("headgate-gateway-link", "crt"): "HG-6245",
    ("headgate-operator", "key"): "HG-6246",
    ("headgate-operator", "crt"): "HG-6247",
    ("headgate-technician", "key"): "HG-6248",
    ("headgate-technician", "crt"): "HG-6249",
    ("headgate-publisher", "key"): "HG-6250",
    ("headgate-publisher", "crt"): "HG-6251",
}


@app.command()
def dev(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write. 写入的目录。")],
    gateway: Annotated[
        list[str] | None,
        typer.Option(
            "--gateway",
            metavar="ID",
            help="Also for this gateway; may be repeated, and added later. 网关编号，可重复。",
        ),
    ] = None,
    host: Annotated[
        list[str] | None,
        typer.Option(
            "--host",
            metavar="NAME|IP",
            help="Where gateways meet the platform, beside this machine. 平台链路的主机名或地址，可重复。",
        ),
    ] = None,
) -> None:
    """生成开发用证书。 Make a development root with certificates for platform, people and gateways (SM2).

    Run it again with another --gateway to add that gateway; nothing is ever overwritten.
    """
    from headgate.crypto.authority import checked_names
    from headgate.crypto.certs import HERE, write_development_pki

    env = system_env()
    lang = language(env.variable)
    now = datetime.fromtimestamp(env.clock.wall_us() // 1_000_000, UTC)
    try:
        made = write_development_pki(
            folder,
            gateway or [],
            now=now,
            provider=provider_of(env),
            files=env.files,
            names=checked_names((*HERE.dns, *HERE.ip, *(host or ()))),
        )
    except OSError as error:
        raise unusable(folder, error) from None
    for file in made:
        code = _PURPOSE[file.role.value, file.kind.value]
        typer.echo(say(code, lang, path=folder / file.path))
    typer.echo(say("HG-6015", lang), err=True)
