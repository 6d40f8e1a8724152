"""A key module of software: for trials of the seam, and no protection to speak of.

It keeps its keys in a folder of its own, sealed under a key of its own, and like a real module it
gives none of them out. What it proves is that the gateway works with keys that it cannot read; what
it does not prove is that nobody else can (GM/T 0028 certifies that).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from headgate.crypto.custody import open_key, seal_key, sealed_spki
from headgate.crypto.custody_module import HeldKey
from headgate.crypto.enveloped import open_enveloped
from headgate.crypto.provider import NONCE_SIZE, SM4_KEY_SIZE, CryptoProvider, Sm2PrivateKey
from headgate.env import Files
from headgate.errors import SecurityError

_OWN: Final = "module.secret"
_SUFFIX: Final = ".held"


class StandIn:
    """A `KeyModule` over a folder. `token` gives random bytes fit for keys."""

    def __init__(
        self, provider: CryptoProvider, files: Files, folder: Path, token: Callable[[int], bytes]
    ) -> None:
        self._provider = provider
        self._files = files
        self._folder = folder
        self._token = token
        self._open: dict[str, Sm2PrivateKey] = {}
        self._order: list[HeldKey] = []
        self._start()

    @property
    def description(self) -> str:
        """What it is, so that nobody takes it for more."""
        return "software stand-in, not certified"

    def held(self) -> Sequence[HeldKey]:
        """Every key, the oldest first."""
        return tuple(self._order)

    def generate(self) -> HeldKey:
        """A fresh key."""
        return self._keep(self._provider.sm2_generate())

    def import_enveloped(self, signing: str, enveloped: bytes) -> HeldKey:
        """A key from a key centre, opened in here."""
        return self._keep(open_enveloped(self._provider, self._key(signing), enveloped))

    def sign(self, key: str, message: bytes) -> bytes:
        """A signature by one of the keys."""
        return self._key(key).sign(message)

    def decrypt(self, key: str, ciphertext: bytes) -> bytes:
        """Decryption by one of the keys."""
        return self._key(key).decrypt(ciphertext)

    def remove(self, key: str) -> None:
        """Destroy a key."""
        self._order = [held for held in self._order if held.id != key]
        self._open.pop(key, None)
        self._files.remove(self._folder / f"{key}{_SUFFIX}")

    # ------------------------------------------------------------ inside

    def _start(self) -> None:
        own = self._folder / _OWN
        if self._files.size(own) is None:
            self._files.make_folder(self._folder, 0o700)
            self._files.replace(own, self._token(SM4_KEY_SIZE), 0o600)
        self._own = self._files.read(own)
        for name in self._files.list(self._folder):
            if name.endswith(_SUFFIX):
                spki = sealed_spki(self._files.read(self._folder / name))
                self._order.append(HeldKey(name.removesuffix(_SUFFIX), spki))

    def _keep(self, key: Sm2PrivateKey) -> HeldKey:
        # A rising number first: names sort by age.
        number = 1 + max((int(held.id.split("-")[0]) for held in self._order), default=0)
        spki = key.public.spki
        held = HeldKey(f"{number:04}-{self._provider.sm3(spki)[:4].hex()}", spki)
        sealed = seal_key(self._provider, self._own, key, self._token(NONCE_SIZE))
        self._files.replace(self._folder / f"{held.id}{_SUFFIX}", sealed, 0o600)
        self._order.append(held)
        self._open[held.id] = key
        return held

    def _key(self, name: str) -> Sm2PrivateKey:
        if name not in self._open:
            if all(held.id != name for held in self._order):
                raise SecurityError(f"no key {name!r} in the module", code="HG-6124", key=name)
            data = self._files.read(self._folder / f"{name}{_SUFFIX}")
            self._open[name] = open_key(self._provider, self._own, data)
        return self._open[name]
