from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from headgate.config import Known, Loaded, examine
from headgate.env import system_env


@pytest.fixture
def site(tmp_path: Path) -> Callable[..., Loaded]:
    """Writes a site (the main text, and parts by name) and examines it."""

    def write(text: str | bytes, known: Known | None = None, **parts: str | bytes) -> Loaded:
        for name, content in {"site.toml": text, **parts}.items():
            path = tmp_path / (name if name == "site.toml" else f"site.d/{name}.toml")
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return examine(system_env(), tmp_path, known)

    return write
