from pathlib import Path

import pytest

from headgate.env import SystemFiles
from headgate.errors import ProfileError
from headgate.profiles import load, packaged_folder, search_path
from headgate.profiles.case_files import load_cases

FILES = SystemFiles()
TEXT = """schema = 1
vendor = "acme"
model = "x1"
driver = "toy"
title = "{title}"
[[point]]
name = "level"
type = "uint16"
"""


def place(
    root: Path, vendor: str = "acme", model: str = "x1", text: str | None = None, title: str = ""
) -> Path:
    folder = root / vendor / model
    folder.mkdir(parents=True)
    (folder / "profile.toml").write_text(TEXT.format(title=title) if text is None else text)
    return folder


def test_a_later_folder_wins_and_says_so(tmp_path: Path) -> None:
    place(tmp_path / "a", title="old")
    place(tmp_path / "b", title="new")
    library = load(FILES, [tmp_path / "a", tmp_path / "b"])
    assert library.find("acme/x1").title == "new"
    (notice,) = library.notices
    assert notice.code == "HG-8050"
    assert notice.fields["earlier"] == str(tmp_path / "a/acme/x1/profile.toml")


def test_one_broken_file_does_not_hide_the_others(tmp_path: Path) -> None:
    place(tmp_path)
    place(tmp_path, model="x2", text="schema = \n")
    place(tmp_path, model="x3", text='colour = "red"\n' + TEXT)
    library = load(FILES, [tmp_path])
    assert list(library.profiles) == ["acme/x1"]
    assert {(Path(p.where.split(":")[0]).parent.name, p.code) for p in library.problems} == {
        ("x2", "HG-8003"),
        ("x3", "HG-8006"),
    }


def test_a_broken_newer_file_leaves_the_older_one_in_use(tmp_path: Path) -> None:
    place(tmp_path / "a", title="old")
    place(tmp_path / "b", text="schema = 2\n")
    library = load(FILES, [tmp_path / "a", tmp_path / "b"])
    assert library.find("acme/x1").title == "old"
    assert library.problems


def test_a_profile_in_the_wrong_folder_is_refused(tmp_path: Path) -> None:
    place(tmp_path, model="x9")
    library = load(FILES, [tmp_path])
    assert [(p.code, p.fields["folder"]) for p in library.problems] == [("HG-8022", "acme/x9")]


def test_other_things_lying_about_are_passed_over(tmp_path: Path) -> None:
    place(tmp_path)
    (tmp_path / "README.md").write_text("hello")
    (tmp_path / ".git/objects").mkdir(parents=True)
    (tmp_path / "__pycache__/x").mkdir(parents=True)
    (tmp_path / "acme/notes.txt").write_text("hello")
    (tmp_path / "acme/empty").mkdir()
    library = load(FILES, [tmp_path, tmp_path / "not-there", tmp_path / "README.md"])
    assert list(library.profiles) == ["acme/x1"]
    assert [(n.code, Path(n.where).parent.name) for n in library.notices] == [("HG-8054", "empty")]


def test_a_file_that_cannot_be_read_is_a_problem_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "acme/x1/profile.toml").mkdir(parents=True)
    (problem,) = load(FILES, [tmp_path]).problems
    assert problem.code == "HG-8001"


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    place(tmp_path, text="#" * 1_000_001)
    assert [p.code for p in load(FILES, [tmp_path]).problems] == ["HG-8002"]


def test_a_profile_that_is_not_there_names_the_nearest() -> None:
    library = load(FILES, [packaged_folder()])
    with pytest.raises(ProfileError) as error:
        library.find("generic/radar-levle", "site.toml: device[1].profile")
    (problem,) = error.value.problems
    assert (problem.code, problem.fields["nearest"]) == ("HG-8040", "generic/radar-level")
    assert problem.where == "site.toml: device[1].profile"


class Counted(SystemFiles):
    """Files that know what was read."""

    def __init__(self) -> None:
        self.reads: list[str] = []

    def read(self, path: Path, offset: int = 0, size: int | None = None) -> bytes:
        self.reads.append(f"{path.parent.parent.name}/{path.parent.name}")
        return super().read(path, offset, size)


def test_a_profile_is_read_when_it_is_asked_for(tmp_path: Path) -> None:
    for model in ("x1", "x2", "x3"):
        place(tmp_path, model=model, text=TEXT.format(title="").replace('"x1"', f'"{model}"'))
    files = Counted()
    library = load(files, [tmp_path])
    assert files.reads == []
    library.find("acme/x2")
    library.find("acme/x2")
    assert files.reads == ["acme/x2"]
    assert sorted(library.profiles) == ["acme/x1", "acme/x2", "acme/x3"]


def test_keys_are_asked_of_the_profiles_own_driver_alone(tmp_path: Path) -> None:
    class Keys(dict[str, dict[str, str]]):
        def __missing__(self, driver: str) -> dict[str, str]:
            raise AssertionError(f"{driver} is not needed")

        def __len__(self) -> int:
            raise AssertionError("all of them are not needed")

    place(tmp_path)
    assert load(FILES, [tmp_path], Keys(toy={"register": "which"})).find("acme/x1")


def test_other_keys_read_the_same_file_anew(tmp_path: Path) -> None:
    place(tmp_path, text=TEXT.format(title="") + "registr = 3\n")
    assert load(FILES, [tmp_path], {"toy": {"registr": "which"}}).find("acme/x1")
    assert [p.code for p in load(FILES, [tmp_path], {"toy": {"register": "which"}}).problems] == [
        "HG-8006"
    ]


def test_a_broken_profile_is_told_as_such_where_it_is_asked_for(tmp_path: Path) -> None:
    place(tmp_path, text='colour = "red"\n' + TEXT)
    library = load(FILES, [tmp_path])
    with pytest.raises(ProfileError) as error:
        library.find("acme/x1", "site.toml: device[1].profile")
    (problem,) = error.value.problems
    assert (problem.code, problem.where) == ("HG-8047", "site.toml: device[1].profile")
    assert problem.fields["file"] == str(tmp_path / "acme/x1/profile.toml")


def test_what_a_person_names_comes_last_and_so_wins(tmp_path: Path) -> None:
    path = search_path([tmp_path], [Path("/plugin")])
    assert path[0] == packaged_folder()
    assert path[-1] == tmp_path


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ("> 01 0", "[points]\na = 1\n"),
        ("< 01 03\n> 01", "[points]\na = 1\n"),
        ("> 01\n< 02\n< 03", "[points]\na = 1\n"),
        ("# nothing", "[points]\na = 1\n"),
        ("> 01\n< 02", ""),
        ("> 01\n< 02", "[points]\na = { quality = 'god' }\n"),
        ("> 01\n< 02", "[points\n"),
        ("> 01\n< 02", None),
    ],
)
def test_a_case_that_cannot_be_read_says_why(
    tmp_path: Path, frames: str, expected: str | None
) -> None:
    folder = place(tmp_path) / "cases/one"
    folder.mkdir(parents=True)
    (folder / "frames.txt").write_text(frames)
    if expected is not None:
        (folder / "expected.toml").write_text(expected)
    profile = load(FILES, [tmp_path]).find("acme/x1")
    with pytest.raises(ProfileError) as error:
        load_cases(FILES, profile)
    assert [p.code for p in error.value.problems] == ["HG-8043"]
    assert "one" in error.value.problems[0].where
