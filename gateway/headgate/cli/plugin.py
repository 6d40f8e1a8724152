"""`headgate plugin`: sign a plugin or profile, look at a signed one, keep the city's list."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from headgate.cli.terminal import both, tell
from headgate.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headgate.crypto.provider import CryptoProvider, Sm2PrivateKey
    from headgate.crypto.x509 import Certificate
    from headgate.env import Env
    from headgate.packages import Manifest, Verified

_MAX_FILE = 4 * 1024 * 1024

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help=both("Signed plugins and profiles.", "插件与 profile 的签名。"),
)

_Folder = Annotated[
    Path, typer.Argument(metavar="DIR", help=both("The package's folder.", "包所在目录。"))
]
_Key = Annotated[Path, typer.Option(help=both("The signer's private key (PEM).", "签名私钥。"))]
_Certificate = Annotated[
    Path, typer.Option(help=both("The signer's certificate, then its CAs.", "签名者证书链。"))
]
_Publishers = Annotated[
    Path, typer.Option(help=both("Roots of those who may sign (PEM).", "受信任的根证书。"))
]


@app.command(help=both("Sign a plugin's package, or a profile.", "为插件或 profile 签名。"))
def sign(
    folder: _Folder,
    key: _Key,
    certificate: _Certificate,
    version: Annotated[
        str | None,
        typer.Option(help=both("Its version; the manifest's when absent.", "版本号。")),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help=both("Distribution, or vendor/model.", "发行包名，或 厂商/型号。")),
    ] = None,
) -> None:
    """Write the digests into the manifest, and the signature beside it. The last step before building.

    The folder is the import package of a plugin, or the `vendor/model` folder of a profile.
    """
    from headgate.packages.content import digests, gather
    from headgate.packages.manifest import MANIFEST, SIGNATURE, dump, version_key
    from headgate.packages.signature import PACKAGE_LABEL
    from headgate.packages.signature import sign as signature_of

    env, provider = _here()
    folder = folder.resolve()
    manifest = _manifest(env, folder)
    manifest = msgspec.structs.replace(
        manifest,
        name=name or manifest.name or _usual_name(folder, manifest.kind),
        version=version or manifest.version,
    )
    version_key(manifest.version)
    files = gather(env.files, folder)
    manifest = msgspec.structs.replace(manifest, sm3=digests(files, provider))
    signing, chain = _signer(env, provider, key, certificate)
    text = dump(manifest)
    proof = signature_of(PACKAGE_LABEL, text, signing, chain)
    # The manifest first: an old signature over a new one is refused, and never the other way round.
    env.files.replace(folder / MANIFEST, text)
    env.files.replace(folder / SIGNATURE, proof)
    tell(
        "HG-2045", name=manifest.name, version=manifest.version, files=len(files),
        signer=chain[0].subject_cn or "-", digest=provider.sm3(text).hex(),
    )  # fmt: skip


@app.command(help=both("Check a signed package.", "校验已签名的包。"))
def verify(
    folder: _Folder,
    publishers: _Publishers,
    revocations: Annotated[
        list[Path] | None, typer.Option(help=both("Revocation lists.", "吊销列表。"))
    ] = None,
) -> None:
    """Say who signed a package, and whether every file is as it was signed. Asks no box."""
    package = _verified(*_here(), folder.resolve(), publishers, revocations or [])
    tell(
        "HG-2046", name=package.manifest.name, version=package.manifest.version,
        signer=package.signer, files=len(package.files),
    )  # fmt: skip


@app.command(help=both("Allow packages: make or extend the list.", "生成或扩充允许清单。"))
def catalogue(
    file: Annotated[Path, typer.Argument(metavar="FILE", help=both("The list.", "清单文件。"))],
    key: _Key,
    certificate: _Certificate,
    publishers: _Publishers,
    add: Annotated[
        list[Path] | None, typer.Option(help=both("A package's folder.", "加入的包目录。"))
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option(help=both("A package by name.", "按名称移除。"))
    ] = None,
    days: Annotated[
        int, typer.Option(min=1, max=3650, help=both("How long it holds.", "有效天数。"))
    ] = 365,
) -> None:
    """Write the next list: what it had, less what is removed, and each package that is added.

    An older version of a package that is added leaves the list.
    """
    from headgate.packages.catalogue import Allowed, Catalogue, dump, parse
    from headgate.packages.signature import CATALOGUE_LABEL
    from headgate.packages.signature import sign as signature_of

    env, provider = _here()
    old = parse(_read(env, file)) if env.files.size(file) is not None else None
    now = datetime.fromtimestamp(env.clock.wall_us() // 1_000_000, UTC)
    allowed = {each.name: each for each in (old.package if old is not None else ())}
    for gone in remove or ():
        if allowed.pop(gone, None) is None:
            raise PluginError(f"{gone} is not on the list", code="HG-2048", plugin=gone)
    for folder in add or ():
        package = _verified(env, provider, folder.resolve(), publishers, [])
        manifest = package.manifest
        allowed[manifest.name] = Allowed(manifest.name, manifest.version, package.digest)
    made = Catalogue(
        (old.serial if old is not None else 0) + 1, now, now + timedelta(days=days),
        tuple(allowed.values()),
    )  # fmt: skip
    text = dump(made)
    signing, chain = _signer(env, provider, key, certificate)
    proof = signature_of(CATALOGUE_LABEL, text, signing, chain)
    env.files.replace(file, text)
    env.files.replace(file.with_name(file.name + ".sig"), proof)
    tell(
        "HG-2047", serial=made.serial, packages=len(made.package), path=str(file),
        expires=f"{made.expires:%Y-%m-%d}",
    )  # fmt: skip


def _here() -> tuple[Env, CryptoProvider]:
    from headgate.crypto.provider import LIBCRYPTO_VARIABLE, default_provider
    from headgate.env import system_env

    env = system_env()
    return env, default_provider(env.variable(LIBCRYPTO_VARIABLE))


def _manifest(env: Env, folder: Path) -> Manifest:
    """The manifest of a folder to be signed; of a profile, which has none yet, a new one."""
    from headgate.packages.manifest import MANIFEST, Manifest, parse
    from headgate.sdk import API_VERSION

    if env.files.size(folder / MANIFEST) is not None:
        return parse(_read(env, folder / MANIFEST))
    if env.files.size(folder / "profile.toml") is not None:
        return Manifest(API_VERSION, "profile")
    raise PluginError(f"no manifest in {folder}", code="HG-2049", folder=str(folder))


def _usual_name(folder: Path, kind: str) -> str:
    if kind == "profile":
        return f"{folder.parent.name}/{folder.name}"
    return folder.name.lower().replace("_", "-")


def _signer(
    env: Env, provider: CryptoProvider, key: Path, certificate: Path
) -> tuple[Sm2PrivateKey, Sequence[Certificate]]:
    from headgate.crypto.x509 import load_certificates

    return provider.sm2_load_private(_read(env, key)), load_certificates(_read(env, certificate))


def _verified(
    env: Env, provider: CryptoProvider, folder: Path, publishers: Path, revocations: Sequence[Path]
) -> Verified:
    from headgate.crypto.crl import RevocationList
    from headgate.crypto.x509 import load_certificates
    from headgate.packages import Judge, Policy, Standing
    from headgate.packages.memory import Memory
    from headgate.packages.signature import Trust

    at = datetime.fromtimestamp(env.clock.wall_us() // 1_000_000, UTC)
    crls = tuple(RevocationList.load(_read(env, each)) for each in revocations)
    trust = Trust(tuple(load_certificates(_read(env, publishers))), crls, at)
    judge = Judge(env.files, provider, Policy(Standing.PRODUCTION, trust), Memory())
    manifest = _manifest(env, folder)
    return judge.judge(manifest.kind, manifest.name, folder)


def _read(env: Env, path: Path) -> bytes:
    try:
        return env.files.read(path, 0, _MAX_FILE)
    except OSError as error:
        reason = error.strerror or str(error)
        raise PluginError(f"{path}: {reason}", code="HG-2050", path=path, reason=reason) from None
