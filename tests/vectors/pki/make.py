"""Makes `seeds.json` anew: one good certificate, list, request and envelope for whoever reads them.

    python tests/vectors/pki/make.py tests/vectors/pki/seeds.json

The holder of the envelope is the published example key of GB/T 32918.5; all other private keys are
drawn, used and forgotten, so a new run gives other bytes.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from headgate.crypto import encoding
from headgate.crypto.crl import Reason, Revoked
from headgate.crypto.enveloped import seal_enveloped
from headgate.crypto.issue import (
    CA_USAGE,
    issue_certificate,
    issue_crl,
    make_request,
    subject_name,
)
from headgate.crypto.policy import TERMS
from headgate.crypto.provider import default_provider
from headgate.crypto.x509 import Names, Role

HOLDER_KEY = "3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8"
HOLDER_POINT = (
    "0409f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020"
    "ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13"
)
NOW = datetime(2026, 11, 1, tzinfo=UTC)


def seeds() -> dict[str, str]:
    provider = default_provider()
    ca_key, link_key = provider.sm2_generate(), provider.sm2_generate()
    ca = issue_certificate(
        subject=subject_name("City CA", Role.CA, "City water", "CN"),
        spki=ca_key.public.spki,
        issuer=None,
        issuer_key=ca_key,
        key_usage=CA_USAGE,
        not_before=NOW,
        not_after=NOW + timedelta(days=3652),
        path_length=1,
        provider=provider,
    )
    terms = TERMS[Role.PLATFORM_LINK]
    link = issue_certificate(
        subject=subject_name("mqtt", Role.PLATFORM_LINK, "City water", "CN"),
        spki=link_key.public.spki,
        issuer=ca,
        issuer_key=ca_key,
        key_usage=terms.key_usage,
        not_before=NOW,
        not_after=NOW + terms.life,
        purposes=terms.purposes,
        names=Names(("mqtt.city.example",), ("10.0.3.21", "2001:db8::1")),
        crl_url="http://pki.city.example/ca.crl",
        provider=provider,
    )
    revoked = {
        link.serial: Revoked(NOW, Reason.KEY_COMPROMISE),
        5: Revoked(NOW + timedelta(days=9000)),
    }
    crl = issue_crl(
        issuer=ca,
        issuer_key=ca_key,
        number=7,
        this_update=NOW,
        next_update=NOW + timedelta(days=30),
        revoked=revoked,
    )
    holder = provider.sm2_load_public(encoding.spki(bytes.fromhex(HOLDER_POINT)))
    made = {
        "ca": ca.der,
        "link": link.der,
        "crl": crl.der,
        "request": make_request(subject_name("gw-1", Role.GATEWAY), link_key).der,
        "enveloped": seal_enveloped(holder, provider.sm2_generate(), bytes(range(16))),
    }
    return {name: data.hex() for name, data in made.items()}


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(seeds(), indent=1) + "\n", encoding="utf-8")
