"""`headgate certs init | sub-ca | install | passphrase`: how a CA comes to be, and who opens it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from headgate.cli.certs.common import CaFolder, Passphrase, passphrase_of, provider_of, read
from headgate.cli.terminal import both, tell
from headgate.env import system_env

app = typer.Typer(rich_markup_mode=None)

Name = Annotated[str, typer.Option("--name", help=both("The CA's name.", "CA 名称。"))]
Organization = Annotated[
    str,
    typer.Option("--organization", help=both("O in every name it issues.", "证书中的组织名称。")),
]
Country = Annotated[
    str, typer.Option("--country", help=both("C in every name it issues.", "证书中的国家代码。"))
]
CrlUrl = Annotated[
    str | None,
    typer.Option(
        "--crl-url",
        metavar="URL",
        help=both("Where its revocation list can be had.", "吊销列表的下载地址。"),
    ),
]


@app.command()
def init(
    folder: CaFolder,
    name: Name,
    organization: Organization,
    country: Country = "CN",
    crl_url: CrlUrl = None,
    depth: Annotated[
        int,
        typer.Option(min=0, max=3, help=both("CAs that may follow below it.", "下级 CA 层数。")),
    ] = 1,
    days: Annotated[
        int, typer.Option("--days", min=1, max=36600, help=both("Its life.", "有效天数。"))
    ] = 7305,
    passphrase: Passphrase = None,
) -> None:
    """建立根 CA。 Make a root, with its key sealed under a passphrase. For a machine that stays off line."""
    from headgate.crypto.authority import Settings, found_root

    env = system_env()
    settings = Settings(name=name, organization=organization, country=country, crl_url=crl_url)
    root = found_root(
        env,
        folder,
        settings,
        provider_of(env),
        passphrase=passphrase_of(env, passphrase, twice=True),
        path_length=depth,
        life=timedelta(days=days),
    )
    tell(
        "HG-6263",
        name=name,
        path=str(folder),
        end=f"{root.not_after:%Y-%m-%d}",
        fingerprint=root.fingerprint.hex(),
    )


@app.command("sub-ca")
def sub_ca(
    folder: CaFolder,
    name: Name,
    organization: Organization,
    country: Country = "CN",
    crl_url: CrlUrl = None,
    passphrase: Passphrase = None,
) -> None:
    """准备下级 CA。 Make a key and a request for a CA below another one; `install` completes it."""
    from headgate.crypto.authority import Settings, prepare

    env = system_env()
    settings = Settings(name=name, organization=organization, country=country, crl_url=crl_url)
    prepare(
        env,
        folder,
        settings,
        provider_of(env),
        passphrase=passphrase_of(env, passphrase, twice=True),
    )
    tell("HG-6264", name=name, path=str(folder / "ca.csr"))


@app.command()
def install(
    folder: CaFolder,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help=both("Its certificate, and those above it.", "本 CA 证书及其全部上级证书。"),
        ),
    ],
) -> None:
    """安装 CA 证书。 Put the CA's certificate where `sub-ca` was; also a renewed one, later."""
    from headgate.crypto.authority import install as install_in
    from headgate.crypto.x509 import load_certificates

    env = system_env()
    found = [each for file in files for each in load_certificates(read(env, file))]
    unlike = list({each.der: each for each in found}.values())
    ca = install_in(env, folder, unlike, provider_of(env))
    # The root that the chain ends at: another one may have been named beside it.
    root = load_certificates(read(env, folder / "chain.crt"))[-1]
    tell(
        "HG-6265",
        name=ca.subject_cn or "-",
        end=f"{ca.not_after:%Y-%m-%d}",
        root=root.subject_cn or "-",
        fingerprint=root.fingerprint.hex(),
    )


@app.command()
def passphrase(
    folder: CaFolder,
    old: Passphrase = None,
    new: Annotated[
        str | None,
        typer.Option(
            "--new",
            metavar="REF",
            help=both("Where the new one is. Asked for otherwise.", "新口令的来源。"),
        ),
    ] = None,
) -> None:
    """更换 CA 口令。 Seal the CA's key under another passphrase: when somebody leaves."""
    from headgate.crypto.authority import change_passphrase

    env = system_env()
    before = passphrase_of(env, old, twice=False)
    after = passphrase_of(env, new, twice=True)
    change_passphrase(env.files, folder, before, after, provider_of(env), env.random)
    tell("HG-6279", path=str(folder / "ca.key"))
