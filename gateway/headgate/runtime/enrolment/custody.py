"""Private keys of this box: on disk, each in a sealed file and its twin, or in a module.

`identity.key` is the key that a box makes at its first start; further ones (renewed, for the link,
the encryption pair from the CA) lie in `keys/`. A plain `identity.key` of an earlier version, or one
that somebody put there by hand, is sealed in place: the file first, its twin after it, each in one
atomic step, so that a power cut leaves one of the two forms, and either one opens.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from headgate.crypto.custody import is_sealed, open_key, seal_key, sealed_spki
from headgate.crypto.custody_module import KeyModule, ModuleKey
from headgate.crypto.enveloped import open_enveloped
from headgate.crypto.provider import NONCE_SIZE, CryptoProvider, Sm2PrivateKey
from headgate.env import Env
from headgate.errors import SealBroken, SecurityError
from headgate.runtime.enrolment.kek import Keeper, Made, OwnKey, keep_own, unreadable
from headgate.runtime.twins import Look, read_twins, write_twins

log = logging.getLogger(__name__)

FIRST = "identity.key"


class Custody(Protocol):
    """Where the box's private keys are."""

    @property
    def keeper(self) -> str:
        """What seals them: `systemd`, `secret`, `file` or `module`."""

    @property
    def description(self) -> str:
        """The module's own words; empty for files."""

    def first(self) -> Sm2PrivateKey:
        """The key the box signs with before anybody gave it a certificate; made where there is none."""

    def held(self) -> Sequence[bytes]:
        """The public halves (SPKI, DER) of all keys here."""

    def find(self, spki: bytes) -> Sm2PrivateKey | None:
        """The private key of a public one; None when it is not here."""

    def generate(self) -> Sm2PrivateKey:
        """A fresh key, safe on disk (or in the module) once this returns. Raises OSError."""

    def take_in(self, signing: Sm2PrivateKey, enveloped: bytes) -> Sm2PrivateKey:
        """The encryption key that a key centre wrapped for `signing`, kept like our own. Raises OSError."""

    def remove(self, spki: bytes) -> None:
        """Destroy a key; nothing when it is not here."""


class FileCustody:
    """Keys in sealed files of the state folder."""

    def __init__(
        self, env: Env, provider: CryptoProvider, folder: Path, own: OwnKey, unsaved: list[Made]
    ) -> None:
        self._env = env
        self._provider = provider
        self._folder = folder
        self._own = own
        self._unsaved = unsaved
        self._opened: dict[bytes, Sm2PrivateKey] = {}

    @property
    def keeper(self) -> str:
        """What keeps the key that seals them."""
        return self._own.keeper.value

    @property
    def description(self) -> str:
        """Nothing beyond it."""
        return ""

    def first(self) -> Sm2PrivateKey:
        """`identity.key`."""
        path = self._folder / FIRST

        def make() -> bytes:
            return self._sealed(self._provider.sm2_generate())

        if not self._own_is_kept() and self._read(path) is None:
            # Sealed under a key that a power cut would take, it waits in memory with that key.
            self._unsaved.append(Made(path, make()))
            return self._key(path, self._unsaved[-1].content)
        data = keep_own(self._env, path, make, self._look, self._unsaved)
        return self._key(path, data)

    def held(self) -> Sequence[bytes]:
        """Public halves, read without opening anything."""
        found = []
        for path in self._paths():
            data = self._read(path)
            if data is None:
                continue
            try:
                found.append(
                    sealed_spki(data)
                    if is_sealed(data)
                    else self._provider.sm2_load_private(data).public.spki
                )
            except SecurityError:
                log.warning("a key file that is none", extra={"file": path.name})
        return found

    def find(self, spki: bytes) -> Sm2PrivateKey | None:
        """The key whose public half this is."""
        if (known := self._opened.get(spki)) is not None:
            return known
        for path in (self._path(spki), self._folder / FIRST):
            data = self._read(path)
            if data is None:
                continue
            if is_sealed(data) and len(data) > 97 and sealed_spki(data) != spki:
                continue
            key = self._key(path, data)
            if key.public.spki == spki:
                return key
        return None

    def generate(self) -> Sm2PrivateKey:
        """A fresh key, on disk."""
        return self._keep(self._provider.sm2_generate())

    def take_in(self, signing: Sm2PrivateKey, enveloped: bytes) -> Sm2PrivateKey:
        """A key from the key centre, on disk."""
        return self._keep(open_enveloped(self._provider, signing, enveloped))

    def remove(self, spki: bytes) -> None:
        """Unlink its file and the twin. What a flash disk keeps of them is sealed."""
        self._opened.pop(spki, None)
        path = self._path(spki)
        for each in (path, path.with_name(f"{path.name}.twin")):
            self._env.files.remove(each)

    # ------------------------------------------------------------ files

    def _own_is_kept(self) -> bool:
        """Whether the key that seals is safe itself: what is sealed under it must not outlive it."""
        if self._own.keeper is not Keeper.FILE:
            return True
        return self._env.files.size(self._folder / "kek") is not None

    def _keep(self, key: Sm2PrivateKey) -> Sm2PrivateKey:
        if not self._own_is_kept():
            raise OSError(errno.EROFS, "the box's own key is not on disk yet")
        path = self._path(key.public.spki)
        self._env.files.make_folder(path.parent, 0o700)
        write_twins(self._env.files, path, self._sealed(key))
        self._opened[key.public.spki] = key
        return key

    def _sealed(self, key: Sm2PrivateKey) -> bytes:
        nonce = self._env.random.token(NONCE_SIZE)
        return seal_key(self._provider, self._own.secret, key, nonce)

    def _path(self, spki: bytes) -> Path:
        return self._folder / "keys" / f"{self._provider.sm3(spki)[:8].hex()}.key"

    def _paths(self) -> list[Path]:
        folder = self._folder / "keys"
        names = {name.removesuffix(".twin") for name in self._env.files.list(folder)}
        further = [folder / name for name in sorted(names) if name.endswith(".key")]
        return [self._folder / FIRST, *further]

    def _read(self, path: Path) -> bytes | None:
        try:
            return read_twins(self._env.files, path, self._look)
        except OSError as error:
            raise unreadable(path, error) from error

    def _key(self, path: Path, data: bytes) -> Sm2PrivateKey:
        """The key in a file; one that lies there plain is sealed in place."""
        if is_sealed(data):
            try:
                key = open_key(self._provider, self._own.secret, data)
            except SealBroken as error:
                raise SecurityError(
                    f"{path} does not open", code="HG-6120", file=str(path), keeper=self.keeper
                ) from error
        else:
            key = self._provider.sm2_load_private(data)
            try:
                if not self._own_is_kept():
                    raise OSError(errno.EROFS, "the box's own key is not on disk yet")
                write_twins(self._env.files, path, self._sealed(key))
                log.warning("a plain key file was sealed", extra={"file": path.name})
            except OSError as error:
                # As before, then; the next start tries again.
                log.warning("a key file stays plain", extra={"error": str(error)})
        self._opened[key.public.spki] = key
        return key

    def _look(self, data: bytes) -> Look:
        try:
            if is_sealed(data):
                open_key(self._provider, self._own.secret, data)
            else:
                self._provider.sm2_load_private(data)
        except SecurityError:
            return Look.DAMAGED
        return Look.WHOLE


class ModuleCustody:
    """Keys in a module. The first of the module's keys is the box's own until others are asked for."""

    def __init__(self, module: KeyModule, provider: CryptoProvider) -> None:
        self._module = module
        self._provider = provider

    @property
    def keeper(self) -> str:
        """The module."""
        return "module"

    @property
    def description(self) -> str:
        """What the module says of itself."""
        return self._module.description

    def first(self) -> Sm2PrivateKey:
        """The module's oldest key, or one made now."""
        known = self._module.held()
        return self._key(known[0].id) if known else self.generate()

    def held(self) -> Sequence[bytes]:
        """Public halves."""
        return [held.spki for held in self._module.held()]

    def find(self, spki: bytes) -> Sm2PrivateKey | None:
        """The key whose public half this is."""
        named = [held.id for held in self._module.held() if held.spki == spki]
        return self._key(named[0]) if named else None

    def generate(self) -> Sm2PrivateKey:
        """A key made inside."""
        return ModuleKey(self._module, self._module.generate(), self._provider)

    def take_in(self, signing: Sm2PrivateKey, enveloped: bytes) -> Sm2PrivateKey:
        """The module itself opens what the key centre wrapped."""
        if not isinstance(signing, ModuleKey):
            raise SecurityError("the signing key is not in the module", code="HG-6122")
        held = self._module.import_enveloped(signing.id, enveloped)
        return ModuleKey(self._module, held, self._provider)

    def remove(self, spki: bytes) -> None:
        """Have the module destroy it."""
        for held in self._module.held():
            if held.spki == spki:
                self._module.remove(held.id)

    def _key(self, name: str) -> Sm2PrivateKey:
        held = next(held for held in self._module.held() if held.id == name)
        return ModuleKey(self._module, held, self._provider)
