"""Whether this box takes a package: signed, whole, wanted, and not older than what ran here.

Source: docs/reference/packages.md, section 3; the attacks are those of The Update Framework's security page.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Literal

import msgspec

from headgate.crypto.provider import CryptoProvider
from headgate.crypto.verify import Usage, verify_chain
from headgate.crypto.x509 import Certificate, Role
from headgate.env import ReadFiles
from headgate.errors import PluginError, SecurityError
from headgate.packages import content, signature
from headgate.packages.catalogue import Catalogue
from headgate.packages.manifest import (
    MANIFEST,
    MAX_MANIFEST,
    SIGNATURE,
    Manifest,
    parse,
    version_key,
)
from headgate.packages.memory import Before, Memory
from headgate.packages.signature import MAX_SIGNATURE, PACKAGE_LABEL, Trust


class Standing(StrEnum):
    """How a box takes packages of others."""

    CLOSED = "closed"
    """Nobody is trusted: plugins of others stay out, profiles are taken as they lie there."""
    SIGNED = "signed"
    """Signed plugins are taken; profiles without a signature too."""
    PRODUCTION = "production"
    """Nothing without a good signature is taken, plugin or profile."""
    DEVELOPMENT = "development"
    """Everything is taken. Never in the field."""


class Policy(msgspec.Struct, frozen=True):
    """What the site file says of packages, loaded: whom it trusts, and the list that it follows."""

    standing: Standing
    trust: Trust = Trust(())
    catalogue: Catalogue | None = None
    #: A list is asked for and cannot be followed: only what ran here before is taken.
    catalogue_lost: bool = False


class Verified(msgspec.Struct, frozen=True):
    """A package that was taken: its files as they were checked, and who stands behind it."""

    root: Path
    manifest: Manifest
    files: dict[str, bytes]
    signer: str
    certificates: tuple[bytes, ...]
    digest: str
    """SM3 of the manifest, which fixes every file."""

    @property
    def before(self) -> Before:
        """What is to be remembered of it."""
        certificates = tuple(each.hex() for each in self.certificates)
        return Before(self.manifest.version, self.digest, self.signer, certificates)


class Judge:
    """Judges packages one by one; what it took is remembered by `remembered`."""

    def __init__(
        self, files: ReadFiles, provider: CryptoProvider, policy: Policy, memory: Memory
    ) -> None:
        self._files = files
        self._provider = provider
        self.policy = policy
        self._memory = memory

    def judge(
        self, kind: Literal["plugin", "profile"], name: str, root: Path, version: str | None = None
    ) -> Verified:
        """A package in a folder, expected to be this one.

        Raises:
            PluginError: why it is not taken.
        """
        try:
            return self._judge(kind, name, root, version)
        except OSError as error:
            reason = f"{error.filename}: {error.strerror}"
            raise PluginError(reason, code="HG-2006", plugin=name, reason=reason) from error

    def signed(self, root: Path) -> bool:
        """Whether there is a signature at all."""
        return self._files.size(root / SIGNATURE) is not None

    def _judge(
        self, kind: Literal["plugin", "profile"], name: str, root: Path, version: str | None
    ) -> Verified:
        if self._files.size(root / MANIFEST) is None or not self.signed(root):
            raise PluginError(f"{name} is not signed", code="HG-2020", plugin=name)
        text = self._files.read(root / MANIFEST, 0, MAX_MANIFEST + 1)
        manifest = parse(text)
        proof = self._files.read(root / SIGNATURE, 0, MAX_SIGNATURE + 1)
        signer, *further = signature.verify(
            PACKAGE_LABEL, text, proof, Role.PUBLISHER, self.policy.trust, self._provider
        )
        found = manifest.kind, manifest.name, manifest.version
        if found != (kind, name, manifest.version if version is None else version):
            raise PluginError(
                f"signed as {' '.join(found)}", code="HG-2029", plugin=name,
                signed=" ".join(found), expected=" ".join((kind, name, version or "")).strip(),
            )  # fmt: skip
        version_key(manifest.version)
        files = content.gather(self._files, root)
        content.check(files, manifest, self._provider)
        digest = self._provider.sm3(text).hex()
        verified = Verified(
            root, manifest, files, signer.subject_cn or "-",
            (signer.der, *(each.der for each in further)), digest,
        )  # fmt: skip
        self._wanted(verified)
        self._no_older(verified)
        return verified

    def _wanted(self, package: Verified) -> None:
        """The city's list has exactly this; a list that is over lets go on what ran here."""
        manifest = package.manifest
        known = self._memory.packages.get(manifest.name)
        same = known is not None and known.manifest == package.digest
        catalogue, at = self.policy.catalogue, self.policy.trust.at
        if catalogue is None:
            if self.policy.catalogue_lost and not same:
                raise PluginError(
                    f"{manifest.name}: no list to be found on", code="HG-2033", plugin=manifest.name
                )
            return
        if not catalogue.has(manifest.name, manifest.version, package.digest):
            raise PluginError(
                f"{manifest.name} {manifest.version} is not on the list", code="HG-2031",
                plugin=manifest.name, version=manifest.version, serial=catalogue.serial,
            )  # fmt: skip
        if at is not None and at > catalogue.expires and not same:
            raise PluginError(
                "the list is over", code="HG-2032", plugin=manifest.name,
                expires=f"{catalogue.expires:%Y-%m-%d}",
            )  # fmt: skip

    def _no_older(self, package: Verified) -> None:
        """Not below what ran here, not something else under one version, not by somebody else."""
        manifest = package.manifest
        known = self._memory.packages.get(manifest.name)
        if known is None or known.manifest == package.digest or self._fallen(known):
            return
        have, want = version_key(known.version), version_key(manifest.version)
        fields = {"plugin": manifest.name, "version": manifest.version, "known": known.version}
        if known.signer != package.signer:
            raise PluginError(
                "signed by another publisher", code="HG-2036", **fields, signer=package.signer,
                other=known.signer,
            )  # fmt: skip
        if want < have:
            raise PluginError("an older version", code="HG-2034", **fields)
        if want == have:
            raise PluginError("another package under one version", code="HG-2035", **fields)

    def _fallen(self, known: Before) -> bool:
        """Whether who signed what ran here is no longer trusted: a thief's high number binds nobody."""
        trust = self.policy.trust
        try:
            own, *further = (Certificate.load(bytes.fromhex(each)) for each in known.certificates)
            # Without dates: a certificate that has merely ended leaves what it signed in order.
            verify_chain(
                own, further, trust.anchors,
                usage=Usage.SIGN, at=None, provider=self._provider, role=Role.PUBLISHER,
                crls=trust.crls,
            )  # fmt: skip
        except SecurityError:
            return True
        except ValueError:
            return False
        return False

    def remembered(self, taken: Iterable[Verified]) -> Memory:
        """What is to be kept for the next start."""
        packages = {each.manifest.name: each.before for each in taken}
        serial = self.policy.catalogue.serial if self.policy.catalogue is not None else 0
        return Memory({**self._memory.packages, **packages}, max(self._memory.serial, serial))
