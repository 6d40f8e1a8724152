"""Signed packages as a site file asks for them, from the commands to what a gateway loads."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from kit.packages import PROVIDER
from typer.testing import CliRunner

from headgate import config
from headgate.cli.plugin import app
from headgate.crypto.certs import write_development_pki
from headgate.env import SystemFiles, system_env
from headgate.errors import ConfigError
from headgate.packages import MANIFEST, SIGNATURE
from headgate.runtime.installed import Installed, look
from headgate.runtime.packaging import judge_of, memory_path, remember

PROFILES = Path(__file__).parents[3] / "firmware_profiles" / "headgate_profiles"


class Shop:
    """A vendor's and a city's desk: keys as `certs dev` makes them, commands as a person types them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certs = folder / "certs"
        write_development_pki(
            self.certs, ["gate"], now=datetime.now(UTC), provider=PROVIDER, files=SystemFiles()
        )
        self.profiles = folder / "profiles"
        self.state = folder / "state"
        self.state.mkdir()

    def run(self, *words: str | Path, fails: str = "") -> None:
        done = CliRunner().invoke(app, [str(word) for word in words])
        if fails:
            assert done.exception is not None
            assert getattr(done.exception, "code", "") == fails, done.exception
        else:
            assert done.exit_code == 0, (done.output, done.exception)

    def signer(self, who: str) -> tuple[str | Path, ...]:
        return "--key", self.certs / f"{who}.key", "--certificate", self.certs / f"{who}.crt"

    def profile(self, version: str = "1.0.0") -> Path:
        """A profile of ours under a vendor's name, signed."""
        root = self.profiles / "acme" / "gauge"
        if not root.exists():
            shutil.copytree(PROFILES / "generic" / "radar-level", root)
            text = (root / "profile.toml").read_text()
            text = text.replace('vendor = "generic"', 'vendor = "acme"')
            text = text.replace('model = "radar-level"', 'model = "gauge"')
            (root / "profile.toml").write_text(text)
        self.run("sign", root, *self.signer("publisher"), "--version", version)
        return root

    def site(self, plugins: str) -> config.Site:
        (self.folder / "site.toml").write_text(
            f'schema = 1\n[gateway]\nid = "gate"\n[state]\nfolder = "state"\n[plugins]\n{plugins}\n'
        )
        return config.load(system_env(), self.folder)

    def load(self, plugins: str) -> Installed:
        return look(system_env(), [self.profiles])(self.site(plugins))


PRODUCTION = 'production = true\npublishers = "certs/ca.crt"\n'


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def codes(installed: Installed) -> list[str]:
    problems = (*installed.registry.distrust, *installed.library.problems)
    return [problem.code for problem in problems]


def test_a_signed_profile_is_read_in_production_and_verified_by_its_command(shop: Shop) -> None:
    root = shop.profile()
    shop.run("verify", root, "--publishers", shop.certs / "ca.crt")
    installed = shop.load(PRODUCTION)
    assert codes(installed) == []
    assert "acme/gauge" in installed.library.profiles


def test_production_takes_no_profile_without_a_signature_and_hides_a_changed_one(
    shop: Shop,
) -> None:
    root = shop.profile()
    with (root / "profile.toml").open("a") as file:
        file.write("\n# one line more\n")
    installed = shop.load(PRODUCTION)
    assert codes(installed) == ["HG-2024"]
    assert "acme/gauge" not in installed.library.profiles
    assert "generic/radar-level" in installed.library.profiles  # ours came with us
    (root / SIGNATURE).unlink()
    assert codes(shop.load(PRODUCTION)) == ["HG-2020"]


def test_outside_of_production_an_unsigned_profile_is_taken_and_a_broken_signature_is_not(
    shop: Shop,
) -> None:
    root = shop.profile()
    trusting = 'publishers = "certs/ca.crt"\n'
    (root / SIGNATURE).write_bytes(b"-----BEGIN")
    assert codes(shop.load(trusting)) == ["HG-2026"]
    (root / SIGNATURE).unlink()
    (root / MANIFEST).unlink()
    installed = shop.load(trusting)
    assert codes(installed) == []
    assert "acme/gauge" in installed.library.profiles


def test_an_older_profile_is_refused_after_a_start_with_the_newer_one(
    shop: Shop, tmp_path: Path
) -> None:
    shutil.copytree(shop.profile("1.0.0"), tmp_path / "old")
    shop.profile("1.1.0")
    installed = shop.load(PRODUCTION)
    site = shop.site(PRODUCTION)
    remember(system_env(), site, installed.memory)
    assert memory_path(site).exists()
    shutil.rmtree(shop.profiles / "acme" / "gauge")
    shutil.copytree(tmp_path / "old", shop.profiles / "acme" / "gauge")
    assert codes(shop.load(PRODUCTION)) == ["HG-2034"]


def test_a_look_alone_remembers_nothing(shop: Shop) -> None:
    shop.profile()
    shop.load(PRODUCTION)
    assert list(shop.state.iterdir()) == []


def test_the_catalogue_names_what_may_run_and_an_older_one_is_not_followed(shop: Shop) -> None:
    root = shop.profile()
    listed = PRODUCTION + 'catalogue = "catalogue.toml"\n'
    file = shop.folder / "catalogue.toml"
    make = ("catalogue", file, *shop.signer("technician"), "--publishers", shop.certs / "ca.crt")
    shop.run(*make)
    assert codes(shop.load(listed)) == ["HG-2031"]
    shop.run(*make, "--add", root)
    installed = shop.load(listed)
    assert codes(installed) == []
    remember(system_env(), shop.site(listed), installed.memory)
    # The first list again, as somebody would who wants the box to forget.
    file.unlink()
    shop.run(*make)
    assert codes(shop.load(listed)) == ["HG-2033"]
    assert "acme/gauge" in shop.load(listed).library.profiles  # it ran here before


@pytest.mark.parametrize("who", ["publisher", "operator"])
def test_a_catalogue_is_a_technicians_word_alone(shop: Shop, who: str) -> None:
    root = shop.profile()
    file = shop.folder / "catalogue.toml"
    ca = shop.certs / "ca.crt"
    shop.run("catalogue", file, *shop.signer(who), "--publishers", ca, "--add", root)
    assert codes(shop.load(PRODUCTION + 'catalogue = "catalogue.toml"\n')) == ["HG-2033", "HG-2033"]


def test_without_roots_nothing_is_taken_and_the_sentence_says_which_file_is_missing(
    shop: Shop,
) -> None:
    shop.profile()
    installed = shop.load('production = true\npublishers = "elsewhere.crt"\n')
    assert codes(installed) == ["HG-2039", "HG-2027"]


@pytest.mark.parametrize(
    ("plugins", "code"),
    [
        (PRODUCTION + "development = true", "HG-2043"),
        ("production = true", "HG-2044"),
        ('catalogue = "c.toml"', "HG-2044"),
    ],
)
def test_switches_that_cannot_be_meant_are_mistakes(shop: Shop, plugins: str, code: str) -> None:
    with pytest.raises(ConfigError) as refused:
        shop.site(plugins)
    assert code in [problem.code for problem in refused.value.problems]


def test_where_nobody_is_trusted_nobody_judges(shop: Shop) -> None:
    assert judge_of(system_env(), shop.site("")) == (None, ())
    assert judge_of(system_env(), shop.site("development = true")) == (None, ())


def test_signing_needs_a_manifest_a_version_and_the_right_key(shop: Shop) -> None:
    empty = shop.folder / "empty"
    empty.mkdir()
    shop.run("sign", empty, *shop.signer("publisher"), fails="HG-2049")
    root = shop.profile()
    shop.run("sign", root, *shop.signer("publisher"), "--version", "1.0-rc1", fails="HG-2021")
    wrong = ("--key", shop.certs / "operator.key", "--certificate", shop.certs / "publisher.crt")
    shop.run("sign", root, *wrong, fails="HG-2025")
    shop.run("verify", root, "--publishers", shop.folder / "nothing.crt", fails="HG-2050")


def test_the_vendors_example_is_signed_and_loaded(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a box has it: the distribution installed, the site trusting its publisher, nothing else."""
    from importlib import metadata

    from headgate.runtime import discovery, plugins

    example = Path(__file__).parents[3] / "examples" / "vendor-plugin" / "acme_th20"
    installed = shop.folder / "lib"
    shutil.copytree(example, installed / "acme_th20", ignore=shutil.ignore_patterns("__pycache__"))
    root = installed / "acme_th20"
    shop.run("sign", root, *shop.signer("publisher"), "--version", "1.0.0")
    info = installed / "acme_th20-1.0.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: acme-th20\nVersion: 1.0.0\nRequires-Dist: headgate\n"
    )
    (info / "entry_points.txt").write_text("[headgate]\nacme-th20 = acme_th20\n")
    files = [str(p.relative_to(installed)) for p in root.rglob("*") if p.is_file()]
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    found = discovery.discover([metadata.Distribution.at(info)])
    monkeypatch.setattr(plugins, "discover", lambda: found)
    site = shop.site(PRODUCTION)
    box = look(system_env())(site)
    assert [str(p.state) for p in box.registry.plugins] == ["loaded"], box.registry.plugins
    assert "acme-th20" in box.registry.drivers
    assert "acme/th-20" in box.library.profiles
    assert box.memory is not None and box.memory.packages["acme-th20"].version == "1.0.0"
    # The same place, without the signature: refused, and nothing of it is imported.
    (root / SIGNATURE).unlink()
    assert [str(p.state) for p in look(system_env())(site).registry.plugins] == ["refused"]
