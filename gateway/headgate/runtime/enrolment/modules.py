"""Finds the key module that a site file names.

`stand-in` is ours (software, for trials). Others come as an entry point of the group
`headgate.keymodule`: a callable that takes a `Slot` and gives a `KeyModule`. Nothing of that group is
imported unless the site file names it.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import msgspec

from headgate.config import Site, resolve_secret
from headgate.crypto.custody_module import KeyModule
from headgate.crypto.provider import CryptoProvider
from headgate.env import Env
from headgate.errors import HeadgateError, SecurityError

GROUP = "headgate.keymodule"
STAND_IN = "stand-in"


class Slot(msgspec.Struct, frozen=True):
    """What an adapter is given. `pin` is a secret: never logged."""

    provider: CryptoProvider
    env: Env
    folder: Path
    library: str | None
    device: str | None
    pin: str | None

    def __repr__(self) -> str:
        return f"<slot {self.device or self.library or self.folder}>"


def open_module(env: Env, site: Site, provider: CryptoProvider, name: str) -> KeyModule:
    """The module of this name, ready to sign.

    Raises:
        SecurityError: nothing of that name is installed, or it does not open.
    """
    spec = site.identity
    pin = None if spec.module_pin is None else resolve_secret(env, spec.module_pin, Path(site.base))
    folder = site.state_folder / "module"
    if name == STAND_IN:
        from headgate.crypto.custody_standin import StandIn

        try:
            return StandIn(provider, env.files, folder, env.random.token)
        except OSError as error:
            raise _closed(name, str(error)) from error
    found = list(importlib.metadata.entry_points(group=GROUP, name=name))
    if not found:
        raise SecurityError(f"no key module {name}", code="HG-6125", module=name)
    slot = Slot(provider, env, folder, spec.module_library, spec.module_device, pin)
    try:
        module: KeyModule = found[0].load()(slot)
    except HeadgateError as error:
        raise _closed(name, str(error)) from error
    except Exception as error:  # noqa: BLE001 - whatever it is, the box has no keys then
        # Somebody else's code: the kind of its error is told, the words might hold the PIN.
        raise _closed(name, type(error).__name__) from None
    return module


def destroy_keys(env: Env, site: Site, provider: CryptoProvider) -> int:
    """Have the site's module destroy every key it holds for us; how many there were.

    Raises:
        SecurityError: it does not open, or refuses.
    """
    if site.identity.module is None:
        return 0
    module = open_module(env, site, provider, site.identity.module)
    held = module.held()
    for each in held:
        module.remove(each.id)
    return len(held)


def _closed(name: str, reason: str) -> SecurityError:
    return SecurityError(f"key module {name}: {reason}", code="HG-6126", module=name, reason=reason)
