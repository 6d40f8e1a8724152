"""Discovery reads metadata and manifests, imports nothing, and lets no broken plugin stop it."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest

from headgate.messages import render_problem
from headgate.runtime.discovery import Found, api_matches, discover
from headgate.runtime.plugins import PluginState, load


def install(
    site: Path, name: str, manifest: str | bytes | None = None, entries: str = ""
) -> metadata.Distribution:
    """A distribution on disk as pip leaves it, whose code leaves a mark when it is imported."""
    package = name.replace("-", "_")
    (site / package).mkdir(parents=True)
    (site / package / "__init__.py").write_text(
        f"open({str(site / 'imported')!r}, 'w').close()\n", encoding="utf-8"
    )
    info = site / f"{package}-2.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.1\n")
    (info / "entry_points.txt").write_text(f"[headgate]\n{entries or f'{name} = {package}'}\n")
    files = [f"{package}/__init__.py,,", f"{info.name}/METADATA,,", f"{info.name}/RECORD,,"]
    if manifest is not None:
        data = manifest if isinstance(manifest, bytes) else manifest.encode()
        (site / package / "headgate-plugin.toml").write_bytes(data)
        files.append(f"{package}/headgate-plugin.toml,,")
    (info / "RECORD").write_text("\n".join(files) + "\n")
    return metadata.Distribution.at(info)


def one(site: Path, manifest: str | bytes | None) -> Found:
    (found,) = discover([install(site, "acme-x", manifest)])
    return found


def test_a_manifest_is_read_and_nothing_is_imported(tmp_path: Path) -> None:
    found = one(tmp_path, 'api = "1.0"\nregisters = ["driver:x"]\nextra = "serial"\n')
    assert found.manifest is not None
    assert found.manifest.registers == ("driver:x",)
    assert (found.distribution, found.version, found.module) == ("acme-x", "2.1", "acme_x")
    assert found.problem is None
    assert not (tmp_path / "imported").exists()
    assert "acme_x" not in sys.modules


def test_a_plugin_without_a_manifest_is_found_too(tmp_path: Path) -> None:
    found = one(tmp_path, None)
    assert found.manifest is None
    assert found.problem is None


@pytest.mark.parametrize(
    "manifest",
    [
        "api = ", "registers = []", 'api = "1.0"\nright = ["tcp"]', "api = 1", b"\xff\xfe\x00",
        'api = "1.0"\n#' + "x" * 600_000, "",
    ],
    ids=["cut", "no api", "unknown key", "wrong type", "no text", "huge", "empty"],
)  # fmt: skip
def test_a_broken_manifest_keeps_its_plugin_out_with_a_sentence(
    tmp_path: Path, manifest: str | bytes
) -> None:
    found = one(tmp_path, manifest)
    assert found.problem is not None
    assert found.problem.code == "HG-2006"
    for lang in ("en", "zh"):
        assert "acme-x" in render_problem(found.problem, lang)  # type: ignore[arg-type]
    registry = load(development=True, found=[found])
    assert registry.plugins[0].state is PluginState.REFUSED
    assert not (tmp_path / "imported").exists()


def test_a_plugin_for_another_sdk_is_refused_and_told_both_versions(tmp_path: Path) -> None:
    found = one(tmp_path, 'api = "2.0"\n')
    assert found.problem is not None
    assert found.problem.code == "HG-2007"
    assert "2.0" in render_problem(found.problem, "en")
    assert load(development=True, found=[found]).plugins[0].state is PluginState.REFUSED


@pytest.mark.parametrize(
    ("wanted", "have", "fits"),
    [
        ("1.0", "1.0", True), ("1.0", "1.7", True), ("1.8", "1.7", False), ("1.10", "1.9", False),
        ("2.0", "1.9", False), ("0.9", "1.0", False), ("1", "1.0", False), ("x.y", "1.0", False),
        ("1.0.0", "1.0", False), ("", "1.0", False),
    ],
)  # fmt: skip
def test_same_major_and_not_newer(wanted: str, have: str, fits: bool) -> None:
    assert api_matches(wanted, have) is fits


def test_a_distribution_seen_twice_is_one_and_the_order_is_fixed(tmp_path: Path) -> None:
    b = install(tmp_path / "b", "b-plugin")
    a = install(tmp_path / "a", "A_plugin", entries="z = A_plugin\ny = A_plugin.sub:thing")
    found = discover([b, a, b])
    assert [(f.distribution, f.name, f.module) for f in found] == [
        ("a-plugin", "y", "A_plugin.sub"),
        ("a-plugin", "z", "A_plugin"),
        ("b-plugin", "b-plugin", "b_plugin"),
    ]


def test_what_is_no_plugin_is_passed_over_and_ours_comes_first(tmp_path: Path) -> None:
    found = discover([*metadata.distributions(), install(tmp_path, "a-first")])
    assert found[0].ours
    assert {f.distribution for f in found if not f.ours} >= {"a-first"}
    assert "pytest" not in {f.distribution for f in found}
