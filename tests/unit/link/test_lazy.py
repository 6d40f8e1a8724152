"""What a link costs those who do not use it."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
import trustme
from headgate.link import Terms, open_context
open_context(Terms(ca_pem=trustme.CA().cert_pem.bytes().decode()), where="x")
open_context(Terms(kind="sidecar"), where="x")
assert "OpenSSL" not in sys.modules and "headgate.link.sm" not in sys.modules
sys.modules["OpenSSL"] = None
from headgate.errors import ConfigError
try:
    open_context(Terms(kind="rfc8998", ca_pem="x"), where="x")
except ConfigError as error:
    print(*(each.code for each in error.problems))
"""


def test_pyopenssl_is_loaded_for_rfc_8998_alone_and_its_absence_is_a_sentence() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == ["HG-5083"]
