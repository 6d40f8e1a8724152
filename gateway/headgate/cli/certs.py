"""`headgate certs`: make development certificates, and say what is in a file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headgate.crypto.provider import LIBCRYPTO_VARIABLE, CryptoProvider, default_provider
from headgate.env import Env, system_env
from headgate.errors import SecurityError
from headgate.messages import Language, language, say

if TYPE_CHECKING:
    from headgate.crypto.x509 import Certificate

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    help="Make development certificates; show what a certificate says. 生成开发证书，查看证书。",
)

# A key file is a few hundred bytes, a bundle some tens of kilobytes.
_MAX_FILE = 256 * 1024

# What each file is for: role and kind to the code of its sentence.
_PURPOSE = {
    ("headgate-ca", "key"): "HG-6020",
    ("headgate-ca", "crt"): "HG-6021",
    ("headgate-platform-encryption", "key"): "HG-6022",
    ("headgate-platform-encryption", "crt"): "HG-6023",
    ("headgate-platform-receipt", "key"): "HG-6024",
    ("headgate-platform-receipt", "crt"): "HG-6025",
    ("headgate-gateway", "key"): "HG-6026",
    ("headgate-gateway", "crt"): "HG-6027",
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
) -> None:
    """生成开发用证书。 Make a development root, platform and gateway certificates (SM2).

    Run it again with another --gateway to add that gateway; nothing is ever overwritten.
    """
    from headgate.crypto.certs import write_development_pki

    env = system_env()
    lang = language(env.variable)
    now = datetime.fromtimestamp(env.clock.wall_us() // 1_000_000, UTC)
    try:
        made = write_development_pki(
            folder, gateway or [], now=now, provider=_provider(env), files=env.files
        )
    except OSError as error:
        raise _unusable(folder, error) from None
    for file in made:
        code = _PURPOSE[file.role.value, file.kind.value]
        typer.echo(say(code, lang, path=folder / file.path))
    typer.echo(say("HG-6015", lang), err=True)


@app.command()
def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="PEM or DER. 文件。")],
) -> None:
    """查看证书内容。 Say what a certificate, request or key file is; keys are never shown."""
    env = system_env()
    for line in describe(_read(env, file), _provider(env), language(env.variable)):
        typer.echo(line)


def describe(data: bytes, provider: CryptoProvider, lang: Language) -> list[str]:
    """What `data` is, one sentence per thing found.

    Raises:
        SecurityError: not something we know, or something that we would refuse.
    """
    from headgate.crypto.issue import load_request
    from headgate.crypto.x509 import describe_name, load_certificates

    if b"CERTIFICATE REQUEST-----" in data:
        request = load_request(data, provider)
        name, role = describe_name(request.subject)
        return [say("HG-6031", lang, name=name or "-", role=role or "-")]
    if b"PRIVATE KEY-----" in data and b"BEGIN CERTIFICATE" not in data:
        key = provider.sm2_load_private(data)
        fingerprint = provider.sm3(key.public.spki).hex()
        return [say("HG-6032", lang, fingerprint=fingerprint)]
    return [_certificate(certificate, lang) for certificate in load_certificates(data)]


def _certificate(certificate: Certificate, lang: Language) -> str:
    from headgate.crypto.x509 import describe_name

    issuer, _ = describe_name(certificate.issuer)
    usages = sorted(u.name.lower().replace("_", " ") for u in certificate.key_usage or ())
    return say(
        "HG-6030",
        lang,
        name=certificate.subject_cn or "-",
        role=certificate.subject_ou or "-",
        start=f"{certificate.not_before:%Y-%m-%d %H:%M:%S}",
        end=f"{certificate.not_after:%Y-%m-%d %H:%M:%S}",
        issuer=issuer or "-",
        usage=", ".join(usages) or "-",
        ca="+" if certificate.is_ca else "-",
        serial=f"{certificate.serial:x}",
        fingerprint=certificate.fingerprint.hex(),
    )


def _provider(env: Env) -> CryptoProvider:
    return default_provider(env.variable(LIBCRYPTO_VARIABLE))


def _read(env: Env, path: Path) -> bytes:
    try:
        return env.files.read(path, 0, _MAX_FILE)
    except OSError as error:
        raise _unusable(path, error) from None


def _unusable(path: Path, error: OSError) -> SecurityError:
    reason = error.strerror or str(error)
    return SecurityError(f"{path}: {reason}", code="HG-6014", path=str(path), reason=reason)
