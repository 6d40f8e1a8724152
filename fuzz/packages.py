"""What a vendor hands over: manifests, signatures, the city's list."""

from __future__ import annotations

from datetime import UTC, datetime

from fuzz.target import Target
from headgate.crypto.issue import CA_USAGE, issue_certificate, subject_name
from headgate.crypto.provider import default_provider
from headgate.crypto.x509 import Role
from headgate.errors import PluginError
from headgate.packages import catalogue, manifest
from headgate.packages.signature import PACKAGE_LABEL, Trust, sign, verify


def _manifest(data: bytes) -> None:
    try:
        found = manifest.parse(data)
    except PluginError:
        return
    assert manifest.parse(manifest.dump(found)) == found
    for path in found.sm3:
        assert ".." not in path.split("/") and not path.startswith("/")


def _catalogue(data: bytes) -> None:
    try:
        found = catalogue.parse(data)
    except PluginError:
        return
    assert catalogue.parse(catalogue.dump(found)).package == tuple(
        sorted(found.package, key=lambda p: (p.name, p.version, p.manifest))
    )


def _signature(data: bytes) -> None:
    try:
        verify(PACKAGE_LABEL, b"text", data, Role.PUBLISHER, Trust(()), default_provider())
    except PluginError:
        return
    raise AssertionError("nobody is trusted, and somebody was")


MANIFEST = (
    b'api = "1.0"\nkind = "plugin"\nname = "a"\nversion = "1.2"\n'
    b'[sm3]\n"a.py" = "' + b"0" * 64 + b'"\n'
)
LIST = (
    b"serial = 3\nissued = 2026-01-01T00:00:00+00:00\nexpires = 2027-01-01T00:00:00+00:00\n"
    b'[[package]]\nname = "a"\nversion = "1.2"\nmanifest = "' + b"0" * 64 + b'"\n'
)


def _proof() -> bytes:
    key = default_provider().sm2_generate()
    root = issue_certificate(
        subject=subject_name("root", Role.CA), spki=key.public.spki, issuer=None, issuer_key=key,
        key_usage=CA_USAGE, not_before=datetime(2026, 1, 1, tzinfo=UTC),
        not_after=datetime(2046, 1, 1, tzinfo=UTC), provider=default_provider(),
    )  # fmt: skip
    return sign(PACKAGE_LABEL, b"text", key, [root])


PACKAGES: dict[str, Target] = {
    "package-manifest": Target(_manifest, lambda: [MANIFEST]),
    "package-signature": Target(_signature, lambda: [_proof()]),
    "package-catalogue": Target(_catalogue, lambda: [LIST]),
}
