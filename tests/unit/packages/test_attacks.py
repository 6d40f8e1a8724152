"""The attacks that The Update Framework names, each against a box that takes signed packages only."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from kit.packages import CODE, PROVIDER, Bench
from kit.pki import NOW, Party, Pki

from headgate.crypto.crl import Reason, RevocationList, Revoked
from headgate.crypto.issue import issue_crl
from headgate.crypto.x509 import Role
from headgate.errors import PluginError
from headgate.packages import MANIFEST, SIGNATURE, Manifest
from headgate.packages.content import MAX_FILE
from headgate.packages.manifest import MAX_MANIFEST
from headgate.packages.signature import Trust
from headgate.runtime.discovery import Found
from headgate.runtime.plugins import PluginState, load


def refusal(bench: Bench, root: Path, version: str | None = None) -> str:
    with pytest.raises(PluginError) as refused:
        bench.take(root, version)
    return refused.value.code


def revoked(bench: Bench, party: Party) -> RevocationList:
    root = bench.pki.root
    gone = {party.certificate.serial: Revoked(NOW, Reason.KEY_COMPROMISE)}
    return issue_crl(
        issuer=root.certificate, issuer_key=root.key, number=1, this_update=NOW,
        next_update=NOW + timedelta(days=30), revoked=gone,
    )  # fmt: skip


def test_what_is_signed_and_whole_is_taken(bench: Bench) -> None:
    taken = bench.take(bench.signed(), "1.2.0")
    assert taken.signer == "acme"
    assert set(taken.files) == {"__init__.py", "parts/__init__.py", "parts/table.txt"}


# ---------------------------------------------------------------- arbitrary software


def test_arbitrary_software_without_a_signature(bench: Bench) -> None:
    assert refusal(bench, bench.make()) == "HG-2020"


def test_arbitrary_software_signed_by_a_stranger_by_the_wrong_role_or_too_late(
    bench: Bench,
) -> None:
    stranger = Pki(PROVIDER, "another root").issue("acme", Role.PUBLISHER)
    gateway = bench.pki.gateway
    expired = bench.pki.issue("acme", Role.PUBLISHER, days=300)
    for signer in (stranger, gateway, expired):
        assert refusal(bench, bench.signed(by=signer)) == "HG-2027"


def test_a_signature_of_the_same_publisher_for_another_purpose_is_none(bench: Bench) -> None:
    root = bench.signed()
    text = (root / MANIFEST).read_bytes()
    from headgate.packages.signature import CATALOGUE_LABEL, sign

    proof = sign(CATALOGUE_LABEL, text, bench.publisher.key, [bench.publisher.certificate])
    (root / SIGNATURE).write_bytes(proof)
    assert refusal(bench, root) == "HG-2028"


# ---------------------------------------------------------------- rollback


def test_rollback_to_an_older_version(bench: Bench) -> None:
    old, new = bench.signed("1.9.0"), bench.signed("1.10.0")
    bench.take(old)
    bench.take(new)
    assert refusal(bench, old) == "HG-2034"


def test_the_same_version_with_other_content_is_refused(bench: Bench) -> None:
    bench.take(bench.signed())
    again = bench.signed(code="# changed, and signed again\n")
    assert refusal(bench, again) == "HG-2035"


def test_another_publisher_does_not_take_a_name_over(bench: Bench) -> None:
    bench.take(bench.signed())
    other = bench.pki.issue("mallory", Role.PUBLISHER)
    assert refusal(bench, bench.signed("2.0.0", by=other)) == "HG-2036"


# ---------------------------------------------------------------- fast-forward


def test_a_thief_who_wrote_the_highest_number_does_not_block_the_name_for_ever(
    bench: Bench,
) -> None:
    bench.take(bench.signed("999999999.0"))
    fresh = bench.pki.issue("acme", Role.PUBLISHER)
    assert refusal(bench, bench.signed("1.3.0", by=fresh)) == "HG-2034"
    bench.trust = Trust(bench.trust.anchors, (revoked(bench, bench.publisher),), NOW)
    assert bench.take(bench.signed("1.3.0", by=fresh)).manifest.version == "1.3.0"


def test_a_number_longer_than_any_maker_needs_is_none(bench: Bench) -> None:
    assert refusal(bench, bench.signed("10000000000.0")) == "HG-2021"


# ---------------------------------------------------------------- freeze, and a mirror that hides updates


def test_a_list_that_is_over_takes_nothing_new_and_lets_go_on_what_ran(bench: Bench) -> None:
    old, new = bench.signed("1.2.0"), bench.signed("1.3.0")
    bench.allow(old)
    bench.take(old)
    bench.allow(old, new, serial=2, until=NOW - timedelta(days=1))
    assert refusal(bench, new) == "HG-2032"
    assert bench.take(old).manifest.version == "1.2.0"


def test_without_a_trusted_clock_no_list_is_over(bench: Bench) -> None:
    root = bench.signed()
    bench.allow(root, until=NOW - timedelta(days=1))
    bench.trust = Trust(bench.trust.anchors, (), None)
    assert bench.take(root)


def test_a_version_that_left_the_list_runs_no_more(bench: Bench) -> None:
    """An update that is kept from a box: the list names the version it must have."""
    old, new = bench.signed("1.2.0"), bench.signed("1.3.0")
    bench.allow(old)
    bench.take(old)
    bench.allow(new, serial=2)
    assert refusal(bench, old) == "HG-2031"


def test_where_the_list_cannot_be_followed_only_what_ran_before_is_taken(bench: Bench) -> None:
    old, new = bench.signed("1.2.0"), bench.signed("1.3.0")
    bench.take(old)
    bench.catalogue, bench.lost = None, True
    assert bench.take(old)
    assert refusal(bench, new) == "HG-2033"


# ---------------------------------------------------------------- endless data, slow retrieval


@pytest.mark.parametrize("file", [MANIFEST, SIGNATURE, "big.bin"])
def test_endless_data_is_read_up_to_a_bound(bench: Bench, file: str) -> None:
    root = bench.signed()
    with (root / file).open("wb") as out:
        out.truncate(MAX_FILE * 4)  # holes: no disk is filled
    assert refusal(bench, root) in ("HG-2006", "HG-2026", "HG-2023")


def test_more_files_than_a_package_has(bench: Bench) -> None:
    root = bench.signed()
    for number in range(2_001):
        (root / f"f{number}.txt").touch()
    assert refusal(bench, root) == "HG-2023"


def test_a_file_that_never_ends_to_come_is_not_waited_for(bench: Bench) -> None:
    root = bench.signed()
    (root / "parts" / "table.txt").unlink()
    os.mkfifo(root / "parts" / "table.txt")
    assert refusal(bench, root) == "HG-2006"


def test_a_manifest_of_a_million_entries_is_refused_by_its_length(bench: Bench) -> None:
    root = bench.signed()
    (root / MANIFEST).write_bytes(b'api = "1.0"\n#' + b"x" * MAX_MANIFEST)
    assert refusal(bench, root) == "HG-2006"


# ---------------------------------------------------------------- extraneous dependencies


def found(bench: Bench, root: Path, requires: tuple[str, ...] = (), **more: str) -> Found:
    return Found(
        "acme", more.get("module", "hg_acme"), "hg-acme", "1.2.0", None, None, root, requires
    )


def state(bench: Bench, one: Found) -> tuple[PluginState, list[str]]:
    registry = load(found=[one], judge=bench.judge())
    (plugin,) = registry.plugins
    return plugin.state, [problem.code for problem in plugin.problems]


@pytest.mark.parametrize("library", ["requests", "msgspec"])
def test_a_dependency_that_the_manifest_does_not_name(bench: Bench, library: str) -> None:
    one = found(bench, bench.signed(), (library,))
    assert state(bench, one) == (PluginState.REFUSED, ["HG-2040"])


def test_a_dependency_that_is_named_and_that_nobody_has_checked(bench: Bench) -> None:
    manifest = Manifest("1.0", name="hg-acme", version="1.2.0", requires=("requests",))
    root = bench.sign(bench.make(), manifest=manifest)
    assert state(bench, found(bench, root)) == (PluginState.REFUSED, ["HG-2040"])


@pytest.mark.parametrize(
    "code", ["import requests", "from requests.auth import X", "def f():\n    import hg_helper_lib"]
)
def test_an_import_of_code_that_nobody_checked_keeps_a_plugin_out(bench: Bench, code: str) -> None:
    root = bench.signed(code=f"{CODE}\n{code}\n")
    assert state(bench, found(bench, root)) == (PluginState.REFUSED, ["HG-2040"])


def test_what_is_no_python_is_told(bench: Bench) -> None:
    root = bench.make()
    (root / "broken.py").write_text("def (:\n")
    assert state(bench, found(bench, bench.sign(root))) == (PluginState.REFUSED, ["HG-2051"])


def test_a_library_that_we_bring_may_be_used_when_the_manifest_names_it(bench: Bench) -> None:
    manifest = Manifest(
        "1.0", name="hg-acme", version="1.2.0", requires=("msgspec",),
        registers=("driver:acme-probe", "profiles"),
    )  # fmt: skip
    root = bench.sign(bench.make(), manifest=manifest)
    assert state(bench, found(bench, root, ("msgspec",))) == (PluginState.LOADED, [])


# ---------------------------------------------------------------- mix and match


def test_files_of_two_good_versions_are_no_third(bench: Bench) -> None:
    old, new = bench.signed("1.2.0"), bench.signed("1.3.0")
    (new / "parts" / "__init__.py").write_bytes((old / "parts" / "__init__.py").read_bytes())
    assert refusal(bench, new) == "HG-2024"


def test_a_list_that_is_older_than_the_one_that_was_followed(bench: Bench, tmp_path: Path) -> None:
    """Packages from the newest list beside those of an older one: see test_site.py for the file."""
    old = bench.signed("1.2.0")
    bench.allow(old, serial=8)
    bench.take(old)
    assert bench.memory.serial == 8


# ---------------------------------------------------------------- wrong software


def test_another_package_or_version_in_the_place_of_this_one(bench: Bench) -> None:
    root = bench.sign(bench.make(), name="hg-other")
    assert refusal(bench, root) == "HG-2029"
    assert refusal(bench, bench.signed("1.2.0"), "1.4.0") == "HG-2029"
    profile = Manifest("1.0", "profile", "hg-acme", "1.2.0")
    assert refusal(bench, bench.sign(bench.make(), manifest=profile)) == "HG-2029"


def test_the_entry_point_of_other_metadata_runs_nothing_that_was_not_signed(bench: Bench) -> None:
    one = found(bench, bench.signed(), module="antigravity")
    assert state(bench, one) == (PluginState.REFUSED, ["HG-2037"])


# ---------------------------------------------------------------- compromised keys


def test_what_a_revoked_publisher_signed_runs_no_more(bench: Bench) -> None:
    root = bench.signed()
    bench.take(root)
    bench.trust = Trust(bench.trust.anchors, (revoked(bench, bench.publisher),), NOW)
    assert refusal(bench, root) == "HG-2027"


def test_a_stolen_publishers_key_alone_runs_nothing_where_a_list_is_kept(bench: Bench) -> None:
    good = bench.signed("1.2.0")
    bench.allow(good)
    assert refusal(bench, bench.signed("1.3.0", code="# the thief's\n")) == "HG-2031"


# ---------------------------------------------------------------- changed after the check, and every byte


def test_every_byte_of_manifest_and_signature_counts(bench: Bench) -> None:
    root = bench.signed()
    for file in (MANIFEST, SIGNATURE):
        good = (root / file).read_bytes()
        for at in range(0, len(good), 7):
            bad = bytearray(good)
            bad[at] ^= 0x01
            (root / file).write_bytes(bad)
            try:
                taken = bench.take(root)
            except PluginError:
                continue
            # Line ends of a PEM file mean nothing; what was signed is the same.
            assert file == SIGNATURE
            assert taken.manifest.name == "hg-acme"
        (root / file).write_bytes(good)
    assert bench.take(root)


@pytest.mark.parametrize("wrong", ["changed", "missing", "added"])
def test_a_file_that_was_changed_taken_away_or_added_is_named(bench: Bench, wrong: str) -> None:
    root = bench.signed()
    file = root / "parts" / ("more.py" if wrong == "added" else "__init__.py")
    if wrong == "missing":
        file.unlink()
    else:
        file.write_text("raise SystemExit\n")
    with pytest.raises(PluginError) as refused:
        bench.take(root)
    assert (refused.value.code, refused.value.fields["wrong"]) == ("HG-2024", wrong)


PATHS = ["../x.py", "/etc/passwd", "a//b", "a/./b", "..", "", "a/../b", "a\\b", "x\x00y", "ａ.py", "-",
         ".hidden",          "a/" * 20 + "b", "c" * 200, MANIFEST]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_a_path_that_leads_elsewhere_is_not_taken(bench: Bench, path: str) -> None:
    manifest = Manifest("1.0", name="hg-acme", version="1.2.0", sm3={path: "0" * 64})
    root = bench.sign(bench.make(), manifest=manifest)
    assert refusal(bench, root) in ("HG-2006", "HG-2024")


def test_two_names_that_one_file_system_takes_for_one(bench: Bench) -> None:
    digest = "0" * 64
    manifest = Manifest(
        "1.0", name="hg-acme", version="1.2.0", sm3={"A.py": digest, "a.py": digest}
    )
    assert refusal(bench, bench.sign(bench.make(), manifest=manifest)) == "HG-2006"


def test_what_was_checked_is_what_runs(bench: Bench) -> None:
    """Changed between the check and the import: the bytes that were read are imported."""
    import importlib

    from headgate.packages.importer import enter

    root = bench.signed()
    taken = bench.take(root)
    for file in root.rglob("*.py"):
        file.write_text("raise AssertionError('changed code ran')\n")
    (root / "late.py").write_text("raise AssertionError('added code ran')\n")
    enter(taken)
    module = importlib.import_module("hg_acme.parts")
    assert module.version == "1.2.0"
    from importlib.resources import files as resources

    assert (resources("hg_acme.parts") / "table.txt").read_text() == "7 8 9\n"
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("hg_acme.late")


def test_compiled_files_beside_the_code_are_not_looked_at(bench: Bench) -> None:
    import importlib
    import py_compile

    from headgate.packages.importer import enter

    root = bench.signed()
    evil = bench.folder / "evil.py"
    evil.write_text("raise AssertionError('compiled code ran')\n")
    cache = root / "parts" / "__pycache__"
    cache.mkdir()
    py_compile.compile(str(evil), str(cache / "__init__.cpython-311.pyc"))
    enter(bench.take(root))
    assert importlib.import_module("hg_acme.parts").version == "1.2.0"


def test_native_code_and_names_of_others_cannot_be_signed_in(bench: Bench) -> None:
    root = bench.make()
    (root / "fast.so").write_bytes(b"\x7fELF")
    assert state(bench, found(bench, bench.sign(root))) == (PluginState.REFUSED, ["HG-2038"])
    thief = bench.sign(bench.make("json"), name="hg-acme")
    one = found(bench, thief, module="json")
    assert state(bench, one) == (PluginState.REFUSED, ["HG-2037"])


def test_a_plugin_brings_no_more_than_its_manifest_names(bench: Bench) -> None:
    manifest = Manifest("1.0", name="hg-acme", version="1.2.0", registers=("profiles",))
    root = bench.sign(bench.make(), manifest=manifest)
    registry = load(found=[found(bench, root)], judge=bench.judge())
    assert registry.drivers == {}
    assert [p.code for p in registry.plugins[0].problems] == ["HG-2041"]


def test_the_memory_outlives_a_start(bench: Bench, tmp_path: Path) -> None:
    from kit.packages import FILES

    from headgate.packages.memory import load as read
    from headgate.packages.memory import save

    bench.take(bench.signed("1.10.0"))
    save(FILES, tmp_path / "packages.json", bench.memory)
    assert read(FILES, tmp_path / "packages.json") == bench.memory
    data = bytearray((tmp_path / "packages.json").read_bytes())
    data[-20] ^= 1
    (tmp_path / "packages.json").write_bytes(data)
    assert read(FILES, tmp_path / "packages.json") == msgspec.structs.replace(
        bench.memory, packages={}, serial=0
    )
