"""A profile's recorded cases, read from its folder."""

from __future__ import annotations

from pathlib import Path

from headgate.env import ReadFiles
from headgate.errors import Problem, ProfileError
from headgate.profiles.cases import Case, read_case
from headgate.profiles.decode import MAX_BYTES
from headgate.profiles.loader import folders_in
from headgate.profiles.schema import Profile


def load_cases(files: ReadFiles, profile: Profile) -> list[Case]:
    """The recorded cases of a profile, by name.

    Raises:
        ProfileError: every case that cannot be read.
    """
    folder = Path(profile.where).parent / "cases"
    cases: list[Case] = []
    problems: list[Problem] = []
    for name in folders_in(files, folder):
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
