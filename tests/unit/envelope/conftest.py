from __future__ import annotations

import pytest
from kit.pki import Pki

from headgate.crypto.provider import CryptoProvider, default_provider


@pytest.fixture(scope="session")
def provider() -> CryptoProvider:
    return default_provider()


@pytest.fixture(scope="session")
def pki(provider: CryptoProvider) -> Pki:
    return Pki(provider)
