"""Loading plugins: each by itself, a clear sentence for each that fails, the rest keeps running."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headgate.messages import render_problem
from headgate.runtime.discovery import Found, Manifest
from headgate.runtime.plugins import PluginState, Registry, load, problems

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

Make = Callable[..., Found]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Writes a plugin module that can be imported, and gives what discovery would have found."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def write(module: str, text: str, **more: object) -> Found:
        (tmp_path / f"{module}.py").write_text(text, encoding="utf-8")
        fields = {"name": module, "module": module, "distribution": f"{module}-dist", **more}
        return Found(version="1.0", **fields)  # type: ignore[arg-type]

    yield write
    for module in set(sys.modules) - before:
        del sys.modules[module]


def states(registry: Registry) -> dict[str, PluginState]:
    return {
        f"{p.found.distribution}:{p.found.name}".split("-dist")[0]: p.state
        for p in registry.plugins
    }


def told(registry: Registry) -> list[str]:
    """The codes, after making sure that both sentences are whole."""
    for problem in problems(registry):
        for lang in ("en", "zh"):
            sentence = render_problem(problem, lang)  # type: ignore[arg-type]
            assert "?" not in sentence, sentence
            assert "\\n" not in sentence, sentence
        assert render_problem(problem, "zh") != render_problem(problem, "en")
    return [problem.code for problem in problems(registry)]


def test_without_the_switch_nothing_of_others_is_imported(make: Make) -> None:
    found = make("hg_stranger", "raise AssertionError('imported')")
    registry = load(found=[found])
    assert states(registry) == {"hg_stranger": PluginState.REFUSED}
    assert told(registry) == ["HG-2001"]
    assert "hg_stranger" not in sys.modules


def test_a_blocked_plugin_is_not_imported_by_either_of_its_names(make: Make) -> None:
    for blocked in ("hg_blocked", "hg_blocked-dist"):
        found = make("hg_blocked", "raise AssertionError('imported')")
        registry = load(development=True, blocked=[blocked], found=[found])
        assert states(registry) == {"hg_blocked": PluginState.BLOCKED}
        assert told(registry) == []


FAULTS = {
    "raises": ("raise RuntimeError('broken in the works')", "HG-2003", "broken in the works"),
    "exits": ("import sys; sys.exit(3)", "HG-2003", "SystemExit"),
    "syntax": ("def (", "HG-2003", "SyntaxError"),
    "misspelt": (
        "from headgate.sdk import hookimpl\n@hookimpl\ndef headgate_driver():\n    return []\n",
        "HG-2004", "headgate_driver",
    ),
    "signature": (
        "from headgate.sdk import hookimpl\n@hookimpl\ndef headgate_drivers(x):\n    return []\n",
        "HG-2004", "headgate_drivers",
    ),
    "hook raises": (
        "from headgate.sdk import hookimpl\n@hookimpl\ndef headgate_drivers():\n    raise KeyError('k')\n",
        "HG-2003", "KeyError",
    ),
    "no driver": (
        "from headgate.sdk import hookimpl\n@hookimpl\ndef headgate_drivers():\n    return [int]\n",
        "HG-2008", "int",
    ),
    "no list": (
        "from headgate.sdk import hookimpl\n@hookimpl\ndef headgate_drivers():\n    return 5\n",
        "HG-2003", "TypeError",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_one_that_fails_is_told_and_its_neighbours_run(make: Make, fault: str) -> None:
    text, code, word = FAULTS[fault]
    number = list(FAULTS).index(fault)
    bad = make(f"hg_bad{number}", text)
    first = make(f"hg_first{number}", DRIVER.format(name="first"))
    after = make(f"hg_after{number}", DRIVER.format(name="after"))
    registry = load(development=True, found=[first, bad, after])
    assert states(registry)[f"hg_bad{number}"] is PluginState.FAILED
    assert sorted(registry.drivers) == ["after", "first"]
    assert told(registry) == [code]
    assert word in render_problem(problems(registry)[0], "en")


def test_a_missing_library_names_the_extra_that_brings_it(make: Make) -> None:
    ours = make("hg_opcua", "import asyncua_is_not_here", distribution="headgate")
    theirs = make("hg_theirs", "import acmelib", manifest=Manifest("1.0", extra="serial"))
    plain = make("hg_plain", "import acmelib2")
    registry = load(development=True, found=[ours, theirs, plain])
    assert told(registry) == ["HG-2003", "HG-2002", "HG-2003"]
    assert "pip install 'hg_theirs-dist[serial]'" in render_problem(problems(registry)[1], "en")


def test_an_entry_point_to_nowhere_is_no_missing_library() -> None:
    manifest = Manifest("1.0", extra="serial")
    found = Found("lost", "hg_nowhere.deep", "lost-dist", "1", manifest)
    assert told(load(development=True, found=[found])) == ["HG-2003"]


def test_of_two_drivers_of_one_name_the_first_stays(make: Make) -> None:
    one = make("hg_one", DRIVER.format(name="same"))
    two = make("hg_two", DRIVER.format(name="same"))
    registry = load(development=True, found=[one, two])
    assert registry.drivers["same"].__module__ == "hg_one"
    assert told(registry) == ["HG-2005"]
    sentence = render_problem(problems(registry)[0], "en")
    assert "same" in sentence
    assert "hg_one" in sentence
    driver = registry.driver_for("same+tcp")
    assert driver is registry.drivers["same"]
    assert registry.driver_for("other+tcp") is None


def test_two_makers_may_give_their_plugins_one_name(make: Make) -> None:
    one = make("hg_left", DRIVER.format(name="left"), name="gauge")
    two = make("hg_right", DRIVER.format(name="right"), name="gauge")
    registry = load(development=True, found=[one, two])
    assert sorted(registry.drivers) == ["left", "right"]
    assert told(registry) == []


def test_our_own_distribution_loads_without_a_switch_and_without_a_problem() -> None:
    registry = load()
    registry.complete()
    ours = [p for p in registry.plugins if p.found.ours]
    assert ours
    assert {p.state for p in ours} == {PluginState.LOADED}
