from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from headgate.crypto.provider import CryptoProvider, default_provider

VECTORS = Path(__file__).parents[2] / "vectors" / "sm"


@pytest.fixture(scope="session")
def provider() -> CryptoProvider:
    return default_provider()


@pytest.fixture(scope="session")
def vectors() -> Any:
    return {path.stem: json.loads(path.read_text()) for path in sorted(VECTORS.glob("*.json"))}
