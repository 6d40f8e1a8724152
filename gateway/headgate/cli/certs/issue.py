"""`headgate certs request | issue | renew`: keys are made where they are used, certificates here."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headgate.cli.certs.common import (
    CaFolder,
    Days,
    Out,
    Passphrase,
    check_new,
    open_ca,
    provider_of,
    read,
    role_of,
    serial_of,
    write_new,
)
from headgate.cli.terminal import both, tell
from headgate.env import Env, system_env
from headgate.errors import SecurityError

if TYPE_CHECKING:
    from headgate.crypto.authority import CertificateAuthority, Pair
    from headgate.crypto.x509 import Certificate

app = typer.Typer(rich_markup_mode=None)

RequestFile = Annotated[
    Path, typer.Argument(metavar="REQUEST", help=both("PKCS #10, PEM or DER.", "证书请求文件。"))
]
RoleName = Annotated[
    str,
    typer.Option(
        "--role", metavar="ROLE", help=both("gateway, operator, platform-link ...", "证书角色。")
    ),
]


@app.command()
def request(
    out: Annotated[
        Path,
        typer.Argument(metavar="PATH", help=both("PATH.key and PATH.csr.", "写入的文件名前缀。")),
    ],
    role: RoleName,
    name: Annotated[
        str, typer.Option("--name", help=both("Person, platform or id.", "姓名、平台名或编号。"))
    ],
    organization: Annotated[
        str | None, typer.Option("--organization", help=both("Its organization.", "组织名称。"))
    ] = None,
) -> None:
    """生成密钥和证书请求。 Make a key (0600, unencrypted) and a request for it; the key stays here."""
    from headgate.crypto.issue import make_request, subject_name
    from headgate.crypto.policy import may_bear

    env = system_env()
    wanted = role_of(role)
    try:
        if not may_bear(wanted, name):
            raise ValueError(name)
        subject = subject_name(name, wanted, organization, "CN")
    except ValueError:
        raise SecurityError(
            f"{name!r} cannot be the name of a {wanted.value}",
            code="HG-6220", name=name, role=wanted.value,
        ) from None  # fmt: skip
    key = provider_of(env).sm2_generate()
    write_new(env, _with(out, ".key"), key.pem(), 0o600)
    write_new(env, _with(out, ".csr"), make_request(subject, key).pem())
    tell("HG-6266", name=name, key=str(_with(out, ".key")), request=str(_with(out, ".csr")))


@app.command()
def issue(
    folder: CaFolder,
    request_file: RequestFile,
    role: RoleName,
    name: Annotated[
        str | None,
        typer.Option("--name", help=both("Instead of the request's CN.", "替代请求中的 CN。")),
    ] = None,
    host: Annotated[
        list[str] | None,
        typer.Option(
            "--host",
            metavar="NAME|IP",
            help=both("For platform-link: where it is met.", "平台链路的主机名或地址，可重复。"),
        ),
    ] = None,
    pair: Annotated[
        bool,
        typer.Option("--pair", help=both("With an encryption certificate.", "同时签发加密证书。")),
    ] = False,
    depth: Annotated[
        int,
        typer.Option(
            min=0, max=3, help=both("For ca: CAs that may follow.", "下级 CA 可再有的层数。")
        ),
    ] = 0,
    days: Days = None,
    out: Out = None,
    passphrase: Passphrase = None,
) -> None:
    """签发证书。 Issue a certificate for a request, or with --pair the two of a gateway.

    Whoever issues must know that the request came from whom it names: nothing in it proves that.
    """
    from headgate.crypto.authority import checked_names
    from headgate.crypto.requests import load_request
    from headgate.crypto.x509 import Role, describe_name

    env = system_env()
    wanted = role_of(role)
    wish = load_request(read(env, request_file), provider_of(env))
    called = name or describe_name(wish.subject)[0] or ""
    life = None if days is None else timedelta(days=days)
    if pair and wanted is not Role.GATEWAY:
        raise SecurityError("pairs are for gateways", code="HG-6267", role=wanted.value)
    base = out or request_file.with_suffix("")
    check_new(env, _with(base, ".crt"))
    ca = open_ca(env, folder, passphrase)
    if pair:
        _write_pair(env, ca, ca.issue_pair(wish, called, life=life), base)
        return
    names = checked_names(host or ())
    made = ca.issue(wish, wanted, called, names=names, life=life, path_length=depth)
    _write(env, ca, made, base)


@app.command()
def renew(
    folder: CaFolder,
    serial: Annotated[
        str, typer.Argument(metavar="SERIAL", help=both("What is renewed.", "被更新证书的序列号。"))
    ],
    request_file: RequestFile,
    days: Days = None,
    out: Out = None,
    passphrase: Passphrase = None,
) -> None:
    """更新证书。 Issue a successor for a fresh key; the old one stays valid until it ends.

    A pair is renewed as a pair.
    """
    from headgate.crypto.requests import load_request
    from headgate.crypto.x509 import Role

    env = system_env()
    number = serial_of(serial)
    wish = load_request(read(env, request_file), provider_of(env))
    life = None if days is None else timedelta(days=days)
    base = out or request_file.with_suffix("")
    check_new(env, _with(base, ".crt"))
    ca = open_ca(env, folder, passphrase)
    old = ca.register.find(number)
    own = old is not None and old.key == provider_of(env).sm3(wish.spki).hex()
    # A CA keeps its key, or all that it issued would go with it.
    if old is not None and own and old.role is not Role.CA:
        raise SecurityError("a renewal is for a fresh key", code="HG-6234", serial=old.serial)
    if old is not None and old.pair is not None:
        _write_pair(env, ca, ca.renew_pair(number, wish, life=life), base)
    else:
        _write(env, ca, ca.renew(number, wish, life=life), base)


def _write_pair(env: Env, ca: CertificateAuthority, pair: Pair, base: Path) -> None:
    from headgate.crypto.enveloped import to_pem

    encryption = base.with_name(f"{base.name}-encryption")
    write_new(env, _with(encryption, ".enveloped"), to_pem(pair.enveloped))
    _write(env, ca, pair.encryption, encryption)
    _write(env, ca, pair.signing, base)
    tell("HG-6269", path=str(_with(encryption, ".enveloped")))


def _write(env: Env, ca: CertificateAuthority, made: Certificate, base: Path) -> None:
    """The certificate, and behind it the CAs between it and the root, as TLS and grants carry them."""
    path = _with(base, ".crt")
    between = [each for each in ca.chain if not each.self_issued]
    write_new(env, path, b"".join(each.pem() for each in (made, *between)))
    tell(
        "HG-6268",
        name=made.subject_cn or "-",
        role=made.subject_ou or "-",
        end=f"{made.not_after:%Y-%m-%d}",
        serial=f"{made.serial:x}",
        path=str(path),
    )


def _with(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
