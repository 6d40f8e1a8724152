"""What a device is, without Python: profiles found, checked, matched to a unit and compiled for it.

    library = load(env.files, search_path())
    profile = library.find("generic/rain-gauge")
    device = resolve(profile, device_id="rg-1", ..., params={"mm_per_tip": 0.2}, sm3=sm3)
    block = judge(device)(block)

docs/reference/profile.md is the manual of the format.
"""

from headgate.profiles.compile import Alike, Match, check_params, match, resolve
from headgate.profiles.decode import decode
from headgate.profiles.judge import judge
from headgate.profiles.loader import SYSTEM, Library, load, packaged_folder, search_path
from headgate.profiles.schema import Param, PointSpec, Profile, Variant

__all__ = [
    "SYSTEM",
    "Alike",
    "Library",
    "Match",
    "Param",
    "PointSpec",
    "Profile",
    "Variant",
    "check_params",
    "decode",
    "judge",
    "load",
    "match",
    "packaged_folder",
    "resolve",
    "search_path",
]
