"""`headgate certs show | verify`: what a file says, and whether it proves it. Keys are never shown."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headgate.cli.certs.common import provider_of, read, role_of
from headgate.cli.terminal import both, tell
from headgate.crypto.provider import CryptoProvider
from headgate.env import system_env
from headgate.errors import SecurityError
from headgate.messages import Language, language, say

if TYPE_CHECKING:
    from headgate.crypto.crl import RevocationList
    from headgate.crypto.x509 import Certificate

app = typer.Typer(rich_markup_mode=None)


@app.command()
def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="PEM or DER. 文件。")],
) -> None:
    """查看文件内容。 Say what a certificate, request, revocation list, envelope or key file is."""
    env = system_env()
    for line in describe(read(env, file), provider_of(env), language(env.variable)):
        typer.echo(line)


@app.command()
def verify(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help=both("The certificate, first in it.", "证书文件。")),
    ],
    ca: Annotated[
        list[Path],
        typer.Option(
            "--ca", metavar="FILE", help=both("What is trusted.", "信任的 CA 证书，可重复。")
        ),
    ],
    role: Annotated[
        str | None, typer.Option("--role", help=both("Which role it must have.", "要求的角色。"))
    ] = None,
    crl: Annotated[
        list[Path] | None,
        typer.Option("--crl", metavar="FILE", help=both("Revocation lists.", "吊销列表，可重复。")),
    ] = None,
    lists_required: Annotated[
        bool,
        typer.Option(
            "--lists-required", help=both("Every CA needs one in force.", "每级 CA 须有有效列表。")
        ),
    ] = False,
) -> None:
    """校验证书。 Judge a certificate as the gateway and the platform do, today.

    For the certificates of another CA, before they go into boxes.
    """
    from headgate.crypto.crl import RevocationList
    from headgate.crypto.policy import TERMS
    from headgate.crypto.revocation import Freshness
    from headgate.crypto.verify import Usage, verify_ca, verify_chain
    from headgate.crypto.x509 import KeyUsage, load_certificates

    env = system_env()
    provider = provider_of(env)
    leaf, *between = load_certificates(read(env, file))
    anchors = [each for path in ca for each in load_certificates(read(env, path))]
    lists = [RevocationList.load(read(env, path)) for path in crl or ()]
    freshness = Freshness.REQUIRED if lists_required else Freshness.BEST_KNOWN
    now = datetime.fromtimestamp(env.clock.wall_us() // 1_000_000, UTC)
    wanted = role_of(role) if role else None
    if leaf.is_ca and wanted is None:
        chain = verify_ca(
            leaf, between, anchors, at=now, provider=provider, crls=lists, freshness=freshness
        )
    else:
        said = TERMS[wanted].key_usage if wanted else leaf.key_usage or frozenset()
        signs = KeyUsage.DIGITAL_SIGNATURE in said
        chain = verify_chain(
            leaf, between, anchors, usage=Usage.SIGN if signs else Usage.ENCRYPT,
            at=now, provider=provider, role=wanted, crls=lists, freshness=freshness,
        )  # fmt: skip
    tell("HG-6273", chain=" < ".join(each.subject_cn or "-" for each in chain))


def describe(data: bytes, provider: CryptoProvider, lang: Language) -> list[str]:
    """What `data` is, one sentence per thing found.

    Raises:
        SecurityError: not something we know, or something that we would refuse.
    """
    from headgate.crypto.authority.keyfile import is_key_file, key_file_spki
    from headgate.crypto.crl import RevocationList
    from headgate.crypto.enveloped import PEM_LABEL, enveloped_spki
    from headgate.crypto.requests import load_request
    from headgate.crypto.x509 import describe_name, load_certificates

    if b"CERTIFICATE REQUEST-----" in data:
        request = load_request(data, provider)
        name, role = describe_name(request.subject)
        return [say("HG-6031", lang, name=name or "-", role=role or "-")]
    if b"X509 CRL-----" in data:
        return _list(RevocationList.load(data), lang)
    if PEM_LABEL.encode() in data:
        return [say("HG-6276", lang, fingerprint=provider.sm3(enveloped_spki(data)).hex())]
    if is_key_file(data):
        return [say("HG-6277", lang, fingerprint=provider.sm3(key_file_spki(data)).hex())]
    if b"PRIVATE KEY-----" in data and b"BEGIN CERTIFICATE" not in data:
        key = provider.sm2_load_private(data)
        return [say("HG-6032", lang, fingerprint=provider.sm3(key.public.spki).hex())]
    if b"-----BEGIN" not in data:
        return _bare(data, provider, lang)
    return [_certificate(certificate, lang) for certificate in load_certificates(data)]


def _bare(data: bytes, provider: CryptoProvider, lang: Language) -> list[str]:
    """DER says nothing of what it is: what can be read as something, is that."""
    from headgate.crypto.crl import RevocationList
    from headgate.crypto.enveloped import enveloped_spki
    from headgate.crypto.requests import load_request
    from headgate.crypto.x509 import describe_name, load_certificates

    with suppress(SecurityError):
        return _list(RevocationList.load(data), lang)
    with suppress(SecurityError):
        name, role = describe_name(load_request(data, provider).subject)
        return [say("HG-6031", lang, name=name or "-", role=role or "-")]
    with suppress(SecurityError):
        return [say("HG-6276", lang, fingerprint=provider.sm3(enveloped_spki(data)).hex())]
    return [_certificate(certificate, lang) for certificate in load_certificates(data)]


def _list(crl: RevocationList, lang: Language) -> list[str]:
    head = say(
        "HG-6274",
        lang,
        issuer=crl.issuer_cn or "-",
        number=crl.number,
        start=f"{crl.this_update:%Y-%m-%d %H:%M:%S}",
        end=f"{crl.next_update:%Y-%m-%d %H:%M:%S}",
        count=len(crl.revoked),
    )
    rows = [
        say(
            "HG-6275",
            lang,
            serial=f"{serial:x}",
            at=f"{revoked.at:%Y-%m-%d %H:%M:%S}",
            reason=revoked.reason.name.lower().replace("_", " "),
        )
        for serial, revoked in crl.revoked.items()
    ]
    return [head, *rows]


def _certificate(certificate: Certificate, lang: Language) -> str:
    from headgate.crypto.x509 import Purpose, describe_name

    issuer, _ = describe_name(certificate.issuer)
    usages = sorted(u.name.lower().replace("_", " ") for u in certificate.key_usage or ())
    purposes = {purpose.value: purpose.name.lower().replace("_", " ") for purpose in Purpose}
    usages += sorted(purposes.get(oid, oid) for oid in certificate.purposes or ())
    text = say(
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
    if certificate.names:
        hosts = ", ".join((*certificate.names.dns, *certificate.names.ip))
        text += "\n" + say("HG-6278", lang, hosts=hosts)
    return text
