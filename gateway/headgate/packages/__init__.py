"""Plugins and profiles as signed packages: what one says of itself, and whether this box takes it.

A package is a folder with `headgate-plugin.toml` (the manifest: name, version, rights, the SM3 of every
file) and `headgate-plugin.sig` (a publisher's SM2 signature over the manifest's bytes). What was
checked is what is used: files are read once, and imported from those bytes.
"""

from headgate.packages.judge import Judge, Policy, Standing, Verified
from headgate.packages.manifest import MANIFEST, SIGNATURE, Manifest

__all__ = ["MANIFEST", "SIGNATURE", "Judge", "Manifest", "Policy", "Standing", "Verified"]
