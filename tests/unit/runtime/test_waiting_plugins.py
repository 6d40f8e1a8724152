"""Plugins of ours wait until a site names something of theirs; what is promised is what comes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate import config
from headgate.env import system_env
from headgate.packages.manifest import Manifest
from headgate.runtime.discovery import Found, discover
from headgate.runtime.installed import look
from headgate.runtime.plugins import PluginState, Registry, load, problems
from headgate.runtime.roster import Drivers

DRIVER = """
from headgate.sdk import PollingDriver, hookimpl
class D(PollingDriver):
    name = "{name}"
    schemes = ("{name}+tcp",)
    async def read(self, channel, device, plan): ...
@hookimpl
def headgate_drivers():
    return [D]
"""


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose modules count as our own: `headgate_drivers.hg_waits` and the like."""
    import headgate_drivers

    monkeypatch.setattr(headgate_drivers, "__path__", [*headgate_drivers.__path__, str(tmp_path)])
    before = set(sys.modules)
    yield tmp_path
    for module in set(sys.modules) - before:
        del sys.modules[module]


def promised(folder: Path, name: str, text: str, manifest: Manifest) -> Found:
    (folder / f"{name}.py").write_text(text)
    return Found(name, f"headgate_drivers.{name}", "headgate", "1", manifest)


def manifest(driver: str) -> Manifest:
    return Manifest("1.0", registers=(f"driver:{driver}",), schemes={driver: (f"{driver}+tcp",)})


def states(registry: Registry) -> list[PluginState]:
    return [each.state for each in registry.plugins]


def test_what_our_manifests_promise_is_what_our_plugins_bring() -> None:
    registry = load()
    said = {
        p.found.name: p.found.manifest for p in registry.plugins if p.found.manifest is not None
    }
    schemes = {name: set(them) for each in said.values() for name, them in each.schemes.items()}
    assert set(states(registry)) == {PluginState.WAITING}
    registry.complete()
    assert set(states(registry)) == {PluginState.LOADED}
    assert {p.found.name: set(p.brings) for p in registry.plugins} == {
        name: set(each.registers) for name, each in said.items()
    }
    assert {name: set(driver.schemes) for name, driver in registry.drivers.items()} == schemes
    assert problems(registry) == []


def test_a_driver_is_imported_when_its_scheme_is_asked_for_and_not_before(ours: Path) -> None:
    one = promised(ours, "hg_one", DRIVER.format(name="one"), manifest("one"))
    two = promised(ours, "hg_two", DRIVER.format(name="two"), manifest("two"))
    registry = load(found=[one, two])
    assert registry.able("one+tcp") == ["one"]
    assert registry.schemes() == {"one+tcp", "two+tcp"}
    assert states(registry) == [PluginState.WAITING, PluginState.WAITING]
    assert registry.driver_for("two+tcp") is not None
    assert states(registry) == [PluginState.WAITING, PluginState.LOADED]
    assert "headgate_drivers.hg_one" not in sys.modules


def test_one_that_cannot_be_imported_is_not_there_and_is_told(ours: Path) -> None:
    broken = promised(ours, "hg_broken", "import nothing_of_that_name", manifest("broken"))
    registry = load(found=[broken])
    assert registry.driver_for("broken+tcp") is None
    assert registry.able("broken+tcp") == []
    assert list(registry.drivers) == []
    assert [p.code for p in problems(registry)] == ["HG-2003"]
    assert states(registry) == [PluginState.FAILED]


def test_one_that_brings_less_than_it_promised_takes_no_name_away(ours: Path) -> None:
    promise = Manifest(
        "1.0", registers=("driver:real", "driver:air"), schemes={"real": ("r",), "air": ("a",)}
    )
    registry = load(found=[promised(ours, "hg_air", DRIVER.format(name="real"), promise)])
    assert list(registry.drivers) == ["real"]


@pytest.mark.parametrize(
    "said",
    [
        Manifest("1.0"),
        Manifest("1.0", registers=("driver:plain",)),
        Manifest("1.0", registers=("driver:plain", "profiles"), schemes={"plain": ("plain+tcp",)}),
    ],
    ids=["nothing", "no schemes", "profiles"],
)
def test_one_that_does_not_say_all_is_imported_at_once(ours: Path, said: Manifest) -> None:
    registry = load(found=[promised(ours, "hg_plain", DRIVER.format(name="plain"), said)])
    assert states(registry) == [PluginState.LOADED]


def test_others_are_imported_at_the_start_whatever_their_manifest_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "hg_acme.py").write_text(DRIVER.format(name="acme"))
    found = Found("acme", "hg_acme", "acme-dist", "1", manifest("acme"))
    try:
        assert states(load(development=True, found=[found])) == [PluginState.LOADED]
    finally:
        sys.modules.pop("hg_acme", None)


def test_a_promised_name_is_taken(
    ours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    waits = promised(ours, "hg_mine", DRIVER.format(name="same"), manifest("same"))
    (tmp_path / "hg_theirs.py").write_text(DRIVER.format(name="same"))
    theirs = Found("theirs", "hg_theirs", "acme-dist", "1")
    try:
        registry = load(development=True, found=[waits, theirs])
        assert [p.code for p in problems(registry)] == ["HG-2005"]
        assert registry.drivers["same"].__module__ == "headgate_drivers.hg_mine"
    finally:
        sys.modules.pop("hg_theirs", None)


def test_every_plugin_of_ours_says_what_it_brings() -> None:
    """Without a word it would be imported at every start."""
    assert [found.name for found in discover() if found.ours and found.manifest is None] == []


def test_a_line_whose_driver_is_broken_is_told_and_nothing_falls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site.toml"
    site.write_text(
        'schema = 1\n[gateway]\nid = "g"\n[[channel]]\nid = "a"\nurl = "opc.tcp://10.0.0.1"\n'
    )
    monkeypatch.setitem(sys.modules, "headgate_drivers.opcua", None)
    installed = look(system_env())(config.Site(gateway=config.Gateway(id="g")))
    loaded = config.examine(system_env(), site, installed.known())
    assert "HG-1208" in [p.code for p in loaded.problems]
    assert loaded.partial is not None
    channel = loaded.partial.channels["a"]
    assert Drivers(installed.registry).speaker(channel, loaded.partial, installed.library) is None
