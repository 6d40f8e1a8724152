"""A publisher, a technician, and packages to be signed, altered and judged."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
from kit.pki import NOW, Party, Pki

from headgate.crypto.provider import default_provider
from headgate.crypto.x509 import Role
from headgate.env import SystemFiles
from headgate.packages import MANIFEST, SIGNATURE, Judge, Manifest, Policy, Standing, Verified
from headgate.packages.catalogue import Allowed, Catalogue
from headgate.packages.content import digests, gather
from headgate.packages.manifest import dump
from headgate.packages.memory import Memory
from headgate.packages.signature import PACKAGE_LABEL, Trust, sign

PROVIDER = default_provider()
FILES = SystemFiles()

CODE = """
from pathlib import Path
from headgate.sdk import PollingDriver, hookimpl
class Probe(PollingDriver):
    name = "acme-probe"
    schemes = ("acme+tcp",)
    async def read(self, channel, device, plan): ...
@hookimpl
def headgate_drivers():
    return [Probe]
@hookimpl
def headgate_profiles():
    return [Path(__file__).parent / "profiles"]
"""


class Bench:
    """Signs and judges below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pki = Pki(PROVIDER)
        self.publisher = self.pki.issue("acme", Role.PUBLISHER)
        self.technician = self.pki.issue("chen", Role.TECHNICIAN)
        self.memory = Memory()
        self.trust = Trust((self.pki.root.certificate,), (), NOW)
        self.catalogue: Catalogue | None = None
        self.lost = False

    def make(self, module: str = "hg_acme", version: str = "1.2.0", code: str = CODE) -> Path:
        """The folder of a plugin's package, not signed yet."""
        root = self.folder / f"v{version}" / module
        (root / "parts").mkdir(parents=True, exist_ok=True)
        (root / "__init__.py").write_text(code)
        (root / "parts" / "__init__.py").write_text(f"version = {version!r}\n")
        (root / "parts" / "table.txt").write_text("7 8 9\n")
        return root

    def sign(
        self,
        root: Path,
        *,
        name: str = "hg-acme",
        version: str = "1.2.0",
        by: Party | None = None,
        manifest: Manifest | None = None,
    ) -> Path:
        by = by or self.publisher
        manifest = manifest or Manifest(
            "1.0", name=name, version=version, registers=("driver:acme-probe", "profiles")
        )
        if not manifest.sm3:
            found = digests(gather(FILES, root), PROVIDER)
            manifest = msgspec.structs.replace(manifest, sm3=found)
        text = dump(manifest)
        (root / MANIFEST).write_bytes(text)
        (root / SIGNATURE).write_bytes(sign(PACKAGE_LABEL, text, by.key, [by.certificate]))
        return root

    def signed(self, version: str = "1.2.0", by: Party | None = None, code: str = CODE) -> Path:
        return self.sign(self.make(version=version, code=code), version=version, by=by)

    def judge(self) -> Judge:
        policy = Policy(Standing.PRODUCTION, self.trust, self.catalogue, self.lost)
        return Judge(FILES, PROVIDER, policy, self.memory)

    def take(self, root: Path, version: str | None = None) -> Verified:
        """Judge, and remember as a gateway does once it runs."""
        judge = self.judge()
        taken = judge.judge("plugin", "hg-acme", root, version)
        self.memory = judge.remembered([taken])
        return taken

    def allow(self, *roots: Path, serial: int = 1, until: datetime | None = None) -> None:
        packages = []
        for root in roots:
            text = (root / MANIFEST).read_bytes()
            manifest = msgspec.toml.decode(text, type=Manifest)
            digest = PROVIDER.sm3(text).hex()
            packages.append(Allowed(manifest.name, manifest.version, digest))
        until = until or datetime(2027, 1, 1, tzinfo=UTC)
        self.catalogue = Catalogue(serial, NOW, until, tuple(packages))
