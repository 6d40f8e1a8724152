"""Profiles found on disk: ours, the box's own, those a person names, those a plugin brings.

The only module of this room that touches files. Layout: `<vendor>/<model>/profile.toml`. Folders are
looked through at once; a file is read when its profile is first asked for: a site names three of fifty.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files as packaged
from pathlib import Path

from headgate.env import ReadFiles
from headgate.errors import Problem, ProfileError
from headgate.profiles.decode import MAX_BYTES, PointKeys, decode
from headgate.profiles.fields import nearest
from headgate.profiles.schema import Decoded, Profile

#: Where a technician or a vendor drops a folder on a box.
SYSTEM = Path("/etc/headgate/profiles")


class Profiles(Mapping[str, Profile]):
    """The profiles of some folders by id. Going through all of them reads all of them."""

    def __init__(
        self, files: ReadFiles, places: Mapping[str, Sequence[Path]], point_keys: PointKeys | None
    ) -> None:
        self._files = files
        self._places = places
        self._point_keys = point_keys
        self._read: dict[str, Decoded] = {}

    def __getitem__(self, profile_id: str) -> Profile:
        profile = self.read(profile_id).profile
        if profile is None:
            raise KeyError(profile_id)
        return profile

    def __iter__(self) -> Iterator[str]:
        return (each for each in self._places if self.read(each).profile is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def named(self) -> Sequence[str]:
        """The id of every folder, whatever lies in it; reads none of them."""
        return list(self._places)

    def read(self, profile_id: str) -> Decoded:
        """What lies under an id, with everything that is wrong with it or worth saying.

        The last of several files that can be used is the profile.
        """
        if profile_id not in self._read:
            found: Profile | None = None
            problems: list[Problem] = []
            notices: list[Problem] = []
            for path in self._places.get(profile_id, ()):
                decoded = self._file(path, profile_id)
                problems += decoded.problems
                notices += decoded.notices
                if decoded.profile is None:
                    continue
                if found is not None:
                    fields: dict[str, str | int | float] = {
                        "profile": profile_id, "earlier": found.where,
                    }  # fmt: skip
                    notices.append(Problem(str(path), "HG-8050", fields))
                found = decoded.profile
            self._read[profile_id] = Decoded(found, tuple(problems), tuple(notices))
        return self._read[profile_id]

    def _file(self, path: Path, profile_id: str) -> Decoded:
        try:
            if self._files.size(path) is None:
                return Decoded(None, (), (Problem(str(path), "HG-8054", {}),))
            # One byte more than the limit is enough to know that it is too long.
            data = self._files.read(path, 0, MAX_BYTES + 1)
        except OSError as error:
            detail = error.strerror or str(error)
            return Decoded(None, (Problem(str(path), "HG-8001", {"detail": detail}),))
        decoded = _decoded(data, str(path), self._point_keys)
        if decoded.profile is not None and decoded.profile.id != profile_id:
            fields: dict[str, str | int | float] = {
                "profile": decoded.profile.id, "folder": profile_id,
            }  # fmt: skip
            return Decoded(
                None, (*decoded.problems, Problem(str(path), "HG-8022", fields)), decoded.notices
            )
        return decoded


class Library:
    """Every profile that was found, by id, with what was wrong or worth saying about the rest.

    `refused` is what stands against folders that must not be read at all.
    """

    def __init__(self, profiles: Profiles, refused: Sequence[Problem] = ()) -> None:
        self.profiles = profiles
        self.refused = tuple(refused)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with any profile. Reads all of them."""
        read = [self.profiles.read(each).problems for each in self.profiles.named()]
        return (*self.refused, *(problem for problems in read for problem in problems))

    @property
    def notices(self) -> tuple[Problem, ...]:
        """What is worth saying of any profile. Reads all of them."""
        read = [self.profiles.read(each).notices for each in self.profiles.named()]
        return tuple(notice for notices in read for notice in notices)

    def find(self, profile_id: str, where: str = "") -> Profile:
        """The profile `vendor/model`.

        Raises:
            ProfileError: there is none of that id, with the nearest; or its file has mistakes.
        """
        found = self.profiles.get(profile_id)
        if found is not None:
            return found
        fields: dict[str, str | int | float] = {"profile": profile_id}
        if own := self.profiles.read(profile_id).problems:
            file = own[0].where.partition(":")[0]
            raise ProfileError(
                [
                    Problem(
                        where or profile_id, "HG-8047", {**fields, "file": file, "count": len(own)}
                    )
                ]
            )
        fields["nearest"] = nearest(profile_id, self.profiles)
        fields["allowed"] = ", ".join(sorted(self.profiles)) or "-"
        raise ProfileError([Problem(where or profile_id, "HG-8040", fields)])


def packaged_folder() -> Path:
    """The folder of the profiles that come with Headgate."""
    return Path(str(packaged("headgate_profiles")))


def search_path(extra: Sequence[Path] = (), plugins: Sequence[Path] = ()) -> tuple[Path, ...]:
    """Where profiles are looked for; later ones win: ours, plugins', the box's, `--profiles DIR`."""
    return (packaged_folder(), *plugins, SYSTEM, *extra)


def load(
    files: ReadFiles,
    folders: Sequence[Path],
    point_keys: PointKeys | None = None,
    refused: Sequence[Problem] = (),
) -> Library:
    """Every profile under `folders`, to be read when asked for; one broken file never hides the others.

    `point_keys` are the point keys of every driver that is known (`Driver.point_keys`); `refused` is
    told among the library's problems.
    """
    places: dict[str, list[Path]] = {}
    for folder in dict.fromkeys(folders):
        for vendor, model in _models(files, folder):
            path = folder / vendor / model / "profile.toml"
            places.setdefault(f"{vendor}/{model}", []).append(path)
    return Library(Profiles(files, places, point_keys), refused)


class _Asked(Mapping[str, Mapping[str, str]]):
    """Point keys, with a note of whose were asked for."""

    def __init__(self, point_keys: PointKeys) -> None:
        self._point_keys = point_keys
        self.given: dict[str, Mapping[str, str] | None] = {}

    def __getitem__(self, driver: str) -> Mapping[str, str]:
        self.given[driver] = self._point_keys.get(driver)
        return self._point_keys[driver]

    def __iter__(self) -> Iterator[str]:
        return iter(self._point_keys)

    def __len__(self) -> int:
        return len(self._point_keys)


#: What was decoded last of each file, and with which keys: a reload, a check of a list and a discovery
#: read the same ones.
_LAST: dict[str, tuple[bytes, Mapping[str, Mapping[str, str] | None], Decoded]] = {}
_MOST_KEPT = 512


def _decoded(data: bytes, file: str, point_keys: PointKeys | None) -> Decoded:
    """As `decode`, which is pure: the same bytes under the same name are decoded once."""
    known = {} if point_keys is None else point_keys
    last = _LAST.get(file)
    if (
        last is not None
        and last[0] == data
        and all(known.get(driver) == given for driver, given in last[1].items())
    ):
        return last[2]
    asked = _Asked(known)
    decoded = decode(data, file, asked)
    if len(_LAST) < _MOST_KEPT or last is not None:
        _LAST[file] = data, asked.given, decoded
    return decoded


def _models(files: ReadFiles, folder: Path) -> list[tuple[str, str]]:
    """(vendor, model) of every profile folder; files and hidden or private names are not meant."""
    pairs = []
    for vendor in folders_in(files, folder):
        pairs += [(vendor, model) for model in folders_in(files, folder / vendor)]
    return pairs


def folders_in(files: ReadFiles, folder: Path) -> list[str]:
    """The folders of a folder, but hidden and private ones; none where it is not there."""
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
