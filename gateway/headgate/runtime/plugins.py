"""Loading plugins: each by itself, so that one that fails leaves the rest running.

Our own distribution is imported in the core, and each of its plugins where something of it is asked for
(`headgate.runtime.brought`). Everything else belongs into its own host process; until one is there, it
loads only where the site file says so, all of it at the start: what runs is then told, once.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import partial
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pluggy

from headgate.errors import PluginError, Problem
from headgate.runtime.brought import Brought, Promise
from headgate.runtime.discovery import OURS, Found, discover, requirements, spelt
from headgate.sdk import Driver, Stage, Uplink, hooks

if TYPE_CHECKING:
    from headgate.packages import Judge, Verified

#: The extra that brings a library our own plugins need.
EXTRAS = {"asyncua": "opcua", "bleak": "ble", "pymodbus": "sim"}


class PluginState(StrEnum):
    """What became of a plugin."""

    LOADED = "loaded"
    #: It may be loaded, and nothing asked for what it brings.
    WAITING = "waiting"
    BLOCKED = "blocked"
    REFUSED = "refused"
    FAILED = "failed"


class Loaded(msgspec.Struct, frozen=True):
    """One plugin and what became of it. `problems` are catalogue sentences; the rest keeps running."""

    found: Found
    state: PluginState
    brings: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


class Registry:
    """Everything that plugins registered, by name, and a report for `headgate plugins`."""

    def __init__(self) -> None:
        self.drivers: Brought[Driver] = Brought()
        self.stages: Brought[Stage] = Brought()
        self.uplinks: Brought[Uplink] = Brought()
        self.profile_folders: list[Path] = []
        self.plugins: list[Loaded] = []
        #: Plugins of other makers that were taken, and the bytes they run from.
        self.packages: list[Verified] = []
        #: What is wrong with the files that say whom to trust.
        self.distrust: tuple[Problem, ...] = ()

    def able(self, scheme: str) -> list[str]:
        """The names of all drivers that speak over channels of a URL scheme; imports nothing.

        Whose scheme it is by name comes first: meters may stand on a line of Modbus, too.
        """
        found = [name for name, schemes in self._spoken() if scheme in schemes]
        return sorted(found, key=lambda name: not scheme.startswith(name))

    def driver_for(self, scheme: str) -> type[Driver] | None:
        """The driver that speaks over channels of a URL scheme."""
        return next(
            (self.drivers[name] for name in self.able(scheme) if name in self.drivers), None
        )

    def drivers_for(self, scheme: str) -> list[type[Driver]]:
        """Every driver that speaks over such channels: several on a serial port, where the devices decide."""
        return [self.drivers[name] for name in self.able(scheme) if name in self.drivers]

    def schemes(self) -> Collection[str]:
        """Every scheme that some driver speaks; imports nothing."""
        return {scheme for _, schemes in self._spoken() for scheme in schemes}

    def complete(self) -> None:
        """Import every plugin that still waits."""
        for table in self._tables():
            len(table)

    def _spoken(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        for name, entry in self.drivers.named().items():
            yield name, entry.schemes(name) if isinstance(entry, Promise) else entry.schemes

    def _tables(self) -> tuple[Brought[Any], ...]:
        return self.drivers, self.stages, self.uplinks

    def promise(self, plugin: Found, names: Iterable[str], keep: Callable[[], Loaded]) -> None:
        """Put off the import of a plugin until one of the names that it registers is asked for.

        Each is told as a manifest does: "driver:modbus". `keep` imports it, and never raises.
        """
        place = len(self.plugins)
        self.plugins.append(Loaded(plugin, PluginState.WAITING))

        def kept() -> None:
            if self.plugins[place].state is PluginState.WAITING:
                self.plugins[place] = keep()
                for table in self._tables():
                    table.forget(plugin)

        promise = Promise(plugin, kept)
        by_kind = dict(zip(_KINDS, self._tables(), strict=True))
        for each in names:
            kind, _, name = each.partition(":")
            by_kind[kind].promise(name, promise)


#: What may be put off, in the order of the tables.
_KINDS = ("driver", "stage", "uplink")


class PointKeys(Mapping[str, Mapping[str, str]]):
    """`Driver.point_keys` of each driver by name, for reading profiles: imports the one that is asked for."""

    def __init__(self, registry: Registry) -> None:
        self._drivers = registry.drivers

    def __getitem__(self, name: str) -> Mapping[str, str]:
        return self._drivers[name].point_keys

    def __iter__(self) -> Iterator[str]:
        return iter(self._drivers)

    def __len__(self) -> int:
        return len(self._drivers)


def load(
    *,
    development: bool = False,
    blocked: Collection[str] = (),
    found: Iterable[Found] | None = None,
    judge: Judge | None = None,
) -> Registry:
    """Load every plugin that may be loaded, ours when asked for. Never raises for a plugin's fault.

    Args:
        development: load those of other makers too, whatever they are.
        blocked: names that are never loaded.
        found: what there is; what is installed when absent.
        judge: whoever says which of other makers' may run; they are imported from the bytes it read.
    """
    registry = Registry()
    manager = pluggy.PluginManager("headgate")
    manager.add_hookspecs(hooks)
    for plugin in discover() if found is None else found:
        if plugin.name in blocked or plugin.distribution in blocked:
            registry.plugins.append(Loaded(plugin, PluginState.BLOCKED))
        elif plugin.problem is not None:
            registry.plugins.append(Loaded(plugin, PluginState.REFUSED, problems=(plugin.problem,)))
        elif not plugin.ours and judge is not None:
            _take(manager, registry, plugin, judge)
        elif not plugin.ours and not development:
            problem = Problem(
                plugin.name, "HG-2001", {"plugin": plugin.name, "distribution": plugin.distribution}
            )
            registry.plugins.append(Loaded(plugin, PluginState.REFUSED, problems=(problem,)))
        elif _may_wait(plugin):
            assert plugin.manifest is not None
            keep = partial(_load_one, manager, registry, plugin)
            registry.promise(plugin, plugin.manifest.registers, keep)
        else:
            registry.plugins.append(_load_one(manager, registry, plugin))
    return registry


def _may_wait(plugin: Found) -> bool:
    """Whether all that a plugin brings is known by name: ours alone, and none that brings profiles.

    What others bring is loaded at the start, where the audit log tells of it.
    """
    if not plugin.ours or plugin.manifest is None or not plugin.manifest.registers:
        return False
    named = [each.partition(":")[::2] for each in plugin.manifest.registers]
    return all(
        kind in _KINDS and (kind != "driver" or name in plugin.manifest.schemes)
        for kind, name in named
    )


def _take(manager: pluggy.PluginManager, registry: Registry, plugin: Found, judge: Judge) -> None:
    """Load a signed plugin of another maker, from the bytes that were checked."""
    from headgate.packages.importer import enter

    try:
        if plugin.folder is None:
            raise PluginError("no manifest", code="HG-2020", plugin=plugin.name)
        package = judge.judge("plugin", plugin.distribution, plugin.folder, plugin.version)
        _alone(plugin, package)
        enter(package)
    except PluginError as error:
        fields = {key: str(value) for key, value in error.fields.items()}
        problem = Problem(plugin.name, error.code, {"plugin": plugin.name, **fields})
        registry.plugins.append(Loaded(plugin, PluginState.REFUSED, problems=(problem,)))
        return
    loaded = _load_one(manager, registry, plugin, package.manifest.registers)
    registry.plugins.append(loaded)
    registry.packages.append(package)


def _alone(plugin: Found, package: Verified) -> None:
    """Return when a plugin needs nobody who was not checked: our own libraries, and the SDK.

    Raises:
        PluginError: it names a module outside of itself, or wants a library that we do not bring.
    """
    from headgate.packages.importer import imports_of

    if plugin.module.partition(".")[0] != package.root.name:
        raise PluginError("module elsewhere", code="HG-2037", module=plugin.module)
    ours = set(requirements(OURS))
    for name in (*plugin.requires, *package.manifest.requires):
        if name not in ours or name not in package.manifest.requires:
            raise PluginError(f"wants {name}", code="HG-2040", plugin=plugin.name, library=name)
    named = set(package.manifest.requires)
    brought_by = packages_distributions()
    for name in imports_of(package.files):
        if name in sys.stdlib_module_names or name in ("headgate", package.root.name):
            continue
        if not {spelt(each) for each in brought_by.get(name, ())} & named:
            raise PluginError(f"imports {name}", code="HG-2040", plugin=plugin.name, library=name)


def _load_one(
    manager: pluggy.PluginManager,
    registry: Registry,
    plugin: Found,
    registers: Collection[str] | None = None,
) -> Loaded:
    """`registers`: all that it may bring; None for no bound."""
    try:
        module = importlib.import_module(plugin.module)
    except ModuleNotFoundError as error:
        return _failed(plugin, _missing(plugin, error))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's module; the others must go on
        return _failed(
            plugin,
            Problem(plugin.name, "HG-2003", {"plugin": plugin.name, "reason": _reason(error)}),
        )
    # Two distributions may give their plugins one name: that is no reason to lose either.
    name = f"{plugin.distribution}:{plugin.name}"
    try:
        manager.register(module, name)
        manager.check_pending()
    except Exception as error:  # noqa: BLE001 - pluggy looks at every attribute, and one may raise
        if manager.get_plugin(name) is module:
            manager.unregister(name=name)
        return _failed(
            plugin,
            Problem(plugin.name, "HG-2004", {"plugin": plugin.name, "reason": _reason(error)}),
        )
    brings: list[str] = []
    problems: list[Problem] = []
    for hook, add in (
        ("headgate_drivers", _adder("driver", registry.drivers, Driver)),
        ("headgate_stages", _adder("stage", registry.stages, Stage)),
        ("headgate_uplinks", _adder("uplink", registry.uplinks, Uplink)),
        ("headgate_profiles", _folder_adder(registry.profile_folders)),
    ):
        others = [p for n, p in manager.list_name_plugin() if n != name]
        try:
            for brought in manager.subset_hook_caller(hook, others)():
                for one in brought:
                    if registers is not None and _title(hook, one) not in registers:
                        what = _title(hook, one)
                        problems.append(
                            Problem(plugin.name, "HG-2041", {"plugin": plugin.name, "what": what})
                        )
                        continue
                    add(plugin, one, brings, problems)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - as above: a hook of a stranger
            problems.append(
                Problem(plugin.name, "HG-2003", {"plugin": plugin.name, "reason": _reason(error)})
            )
    return Loaded(
        plugin,
        PluginState.FAILED if problems and not brings else PluginState.LOADED,
        tuple(brings),
        tuple(problems),
    )


def _title(hook: str, one: Any) -> str:
    """What a manifest calls something that a hook brings: "driver:acme-th20", "profiles"."""
    if hook == "headgate_profiles":
        return "profiles"
    return f"{hook.removeprefix('headgate_').removesuffix('s')}:{getattr(one, 'name', None)}"


Add = Callable[[Found, Any, list[str], list[Problem]], None]


def _adder(kind: str, table: Brought[Any], base: type) -> Add:
    def add(plugin: Found, one: Any, brings: list[str], problems: list[Problem]) -> None:
        name = getattr(one, "name", None)
        if not (isinstance(one, type) and issubclass(one, base) and isinstance(name, str)):
            problems.append(
                Problem(
                    plugin.name,
                    "HG-2008",
                    {"plugin": plugin.name, "kind": kind, "what": repr(one)[:80]},
                )
            )
        elif (other := table.add(name, one, plugin)) is not None:
            fields = {"plugin": plugin.name, "kind": kind, "name": name, "other": other}
            problems.append(Problem(plugin.name, "HG-2005", {**fields}))
        else:
            brings.append(f"{kind}:{name}")

    return add


def _folder_adder(folders: list[Path]) -> Add:
    def add(plugin: Found, one: Any, brings: list[str], problems: list[Problem]) -> None:
        folders.append(Path(one))
        brings.append(f"profiles:{one}")

    return add


def _failed(plugin: Found, problem: Problem) -> Loaded:
    return Loaded(plugin, PluginState.FAILED, problems=(problem,))


def _missing(plugin: Found, error: ModuleNotFoundError) -> Problem:
    library = (error.name or "?").partition(".")[0]
    extra = EXTRAS.get(library) or (plugin.manifest.extra if plugin.manifest else None)
    # An entry point that names a module of its own which is not there is no missing library.
    if extra and library != plugin.module.partition(".")[0]:
        return Problem(
            plugin.name,
            "HG-2002",
            {"plugin": plugin.name, "library": library, "extra": f"{plugin.distribution}[{extra}]"},
        )
    return Problem(plugin.name, "HG-2003", {"plugin": plugin.name, "reason": _reason(error)})


def _reason(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def problems(registry: Registry) -> Sequence[Problem]:
    """Every problem of every plugin, in load order."""
    own = [problem for plugin in registry.plugins for problem in plugin.problems]
    return [*registry.distrust, *own]
