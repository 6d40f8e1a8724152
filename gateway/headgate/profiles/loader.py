"""Profiles found on disk: ours, the box's own, those a person names, those a plugin brings.

The only module of this room that touches files. Layout: `<vendor>/<model>/profile.toml`.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files as packaged
from pathlib import Path

import msgspec

from headgate.env import ReadFiles
from headgate.errors import Problem, ProfileError
from headgate.profiles.cases import Case, read_case
from headgate.profiles.decode import MAX_BYTES, PointKeys, decode
from headgate.profiles.fields import nearest
from headgate.profiles.schema import Decoded, Profile

#: Where a technician or a vendor drops a folder on a box.
SYSTEM = Path("/etc/headgate/profiles")


class Library(msgspec.Struct, frozen=True):
    """Every profile that was found, by id, with what was wrong or worth saying about the rest."""

    profiles: dict[str, Profile]
    problems: tuple[Problem, ...] = ()
    notices: tuple[Problem, ...] = ()

    def find(self, profile_id: str, where: str = "") -> Profile:
        """The profile `vendor/model`.

        Raises:
            ProfileError: there is none of that id; names the nearest.
        """
        found = self.profiles.get(profile_id)
        if found is None:
            fields: dict[str, str | int | float] = {
                "profile": profile_id, "nearest": nearest(profile_id, self.profiles),
                "allowed": ", ".join(sorted(self.profiles)) or "-",
            }  # fmt: skip
            raise ProfileError([Problem(where or profile_id, "HG-8040", fields)])
        return found


def packaged_folder() -> Path:
    """The folder of the profiles that come with Headgate."""
    return Path(str(packaged("headgate_profiles")))


def search_path(extra: Sequence[Path] = (), plugins: Sequence[Path] = ()) -> tuple[Path, ...]:
    """Where profiles are looked for; later ones win: ours, plugins', the box's, `--profiles DIR`."""
    return (packaged_folder(), *plugins, SYSTEM, *extra)


def load(files: ReadFiles, folders: Sequence[Path], point_keys: PointKeys | None = None) -> Library:
    """Every profile under `folders`; one broken file never hides the others.

    `point_keys` are the point keys of every driver that is known (`Driver.point_keys`).
    """
    found: dict[str, Profile] = {}
    problems: list[Problem] = []
    notices: list[Problem] = []
    for folder in dict.fromkeys(folders):
        for vendor, model in _models(files, folder):
            path = folder / vendor / model / "profile.toml"
            try:
                size = files.size(path)
                if size is None:
                    notices.append(Problem(str(path), "HG-8054", {}))
                    continue
                # One byte more than the limit is enough to know that it is too long.
                data = files.read(path, 0, MAX_BYTES + 1)
            except OSError as error:
                problems.append(
                    Problem(str(path), "HG-8001", {"detail": error.strerror or str(error)})
                )
                continue
            decoded = _decoded(data, str(path), point_keys)
            problems.extend(decoded.problems)
            notices.extend(decoded.notices)
            profile = decoded.profile
            if profile is None:
                continue
            if profile.id != f"{vendor}/{model}":
                fields: dict[str, str | int | float] = {
                    "profile": profile.id,
                    "folder": f"{vendor}/{model}",
                }
                problems.append(Problem(str(path), "HG-8022", fields))
                continue
            if profile.id in found:
                fields = {"profile": profile.id, "earlier": found[profile.id].where}
                notices.append(Problem(str(path), "HG-8050", fields))
            found[profile.id] = profile
    return Library(found, tuple(problems), tuple(notices))


#: What was decoded last of each file: a reload, a check of a list and a discovery read the same ones.
_LAST: dict[str, tuple[bytes, PointKeys | None, Decoded]] = {}
_MOST_KEPT = 512


def _decoded(data: bytes, file: str, point_keys: PointKeys | None) -> Decoded:
    """As `decode`, which is pure: the same bytes under the same name are decoded once."""
    last = _LAST.get(file)
    if last is not None and last[0] == data and last[1] == point_keys:
        return last[2]
    decoded = decode(data, file, point_keys)
    if len(_LAST) < _MOST_KEPT or last is not None:
        _LAST[file] = data, point_keys, decoded
    return decoded


def load_cases(files: ReadFiles, profile: Profile) -> list[Case]:
    """The recorded cases of a profile, by name.

    Raises:
        ProfileError: every case that cannot be read.
    """
    folder = Path(profile.where).parent / "cases"
    cases: list[Case] = []
    problems: list[Problem] = []
    for name in _folders(files, folder):
        try:
            frames, expected = (
                files.read(folder / name / file, 0, MAX_BYTES)
                for file in ("frames.txt", "expected.toml")
            )
            cases.append(read_case(str(folder / name), frames, expected))
        except OSError as error:
            detail = error.strerror or str(error)
            problems.append(Problem(str(folder / name), "HG-8043", {"detail": detail}))
        except ProfileError as error:
            problems.extend(error.problems)
    if problems:
        raise ProfileError(problems)
    return cases


def _models(files: ReadFiles, folder: Path) -> list[tuple[str, str]]:
    """(vendor, model) of every profile folder; files and hidden or private names are not meant."""
    pairs = []
    for vendor in _folders(files, folder):
        pairs += [(vendor, model) for model in _folders(files, folder / vendor)]
    return pairs


def _folders(files: ReadFiles, folder: Path) -> list[str]:
    names = (name for name in _names(files, folder) if name[0] not in "._")
    return [name for name in names if _is_folder(files, folder / name)]


def _names(files: ReadFiles, folder: Path) -> list[str]:
    try:
        return files.list(folder)
    except NotADirectoryError:
        return []


def _is_folder(files: ReadFiles, path: Path) -> bool:
    try:
        files.list(path)
    except NotADirectoryError:
        return False
    return True
