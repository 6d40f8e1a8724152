"""`headgate certs show`: what a certificate, request, key, list or envelope says; keys are never shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headgate.cli.certs.common import provider_of, read
from headgate.crypto.provider import CryptoProvider
from headgate.env import system_env
from headgate.messages import Language, language, say

if TYPE_CHECKING:
    from headgate.crypto.x509 import Certificate

app = typer.Typer(rich_markup_mode=None)


@app.command()
def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="PEM or DER. 文件。")],
) -> None:
    """查看证书内容。 Say what a certificate, request or key file is; keys are never shown."""
    env = system_env()
    for line in describe(read(env, file), provider_of(env), language(env.variable)):
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
