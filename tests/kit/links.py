"""Links for tests: whom they trust, and servers to meet at the other end."""

from __future__ import annotations

from pathlib import Path

from headgate.link import Context, Terms, open_context


def trusting(
    ca_pem: str | None, *, certificate: Path | None = None, key: Path | None = None
) -> Context:
    """TLS that trusts one authority."""
    terms = Terms(ca_pem=ca_pem, certificate=certificate, key=key)
    return open_context(terms, where="test")
