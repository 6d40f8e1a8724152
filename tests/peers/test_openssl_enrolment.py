"""A box enrolled by a CA that is the `openssl` command: our requests, its certificates."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from kit.enrolment import Box
from kit.openssl import CA_EXTENSIONS, ID, Authority, OpenSSL

from headgate.crypto.x509 import Certificate
from headgate.errors import ConfigError
from headgate.testing.env import ManualClock

pytestmark = pytest.mark.peer("openssl")

SIGN = "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature,nonRepudiation\n"
ENCRYPT = "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,keyEncipherment,dataEncipherment\n"


@pytest.fixture
def openssl(tmp_path: Path) -> OpenSSL:
    return OpenSSL(tmp_path)


@pytest.fixture
def root(openssl: OpenSSL) -> Certificate:
    return Authority(openssl).load("root", None, CA_EXTENSIONS, role="headgate-ca")


@pytest.fixture
def box(tmp_path: Path) -> Box:
    clock = ManualClock()
    clock.shift_us = int(time.time() * 1e6) - clock.now_us + 60_000_000
    return Box(tmp_path / "box", clock=clock)


def issue(
    openssl: OpenSSL,
    folder: Path,
    name: str,
    request: bytes,
    extensions: str,
    *,
    sm2_id: bool = True,
) -> bytes:
    """A certificate for a request, by `openssl x509 -req`."""
    (folder / f"{name}.csr").write_bytes(request)
    (folder / f"{name}.ext").write_text(extensions)
    openssl("req", "-in", f"{name}.csr", "-verify", "-noout", "-vfyopt", ID)
    signing = ("-sigopt", ID) if sm2_id else ()
    openssl(
        "x509", "-req", "-in", f"{name}.csr", "-vfyopt", ID, "-CA", "root.crt", "-CAkey", "root.key",
        "-sm3", *signing, "-days", "90", "-extfile", f"{name}.ext", "-out", f"{name}.crt",
    )  # fmt: skip
    return (folder / f"{name}.crt").read_bytes()


async def test_a_ca_made_of_openssl_enrols_a_box(
    openssl: OpenSSL, tmp_path: Path, root: Certificate, box: Box
) -> None:
    asked = await box.desk.request("uid:0", organization="示范市水务局")
    files = {
        "root.crt": root.pem(),
        "sign": issue(openssl, tmp_path, "sign", asked.sign.pem(), SIGN),
        "link": issue(openssl, tmp_path, "link", asked.link.pem(), SIGN),
    }
    for role in ("platform-encryption", "platform-receipt"):
        extensions = ENCRYPT if "encryption" in role else SIGN
        authority = Authority(openssl)
        made = authority.load(role, "root", extensions, role=f"headgate-{role}")
        files[role] = made.pem()
    fingerprint = root.fingerprint.hex()
    await box.desk.bring(files, "uid:0", trust=fingerprint)
    assert box.identity.enrolled
    assert box.identity.certified.link[0].subject_ou == "headgate-gateway-link"
    text = openssl(
        "x509", "-in", "sign.crt", "-noout", "-subject", "-nameopt", "utf8,sep_comma_plus"
    )
    assert text.strip().removeprefix("subject=").startswith("C=CN")
    # The fingerprint on paper is one that the CA's own command gives.
    assert (
        fingerprint
        in openssl("x509", "-in", "root.crt", "-noout", "-fingerprint", "-sm3")
        .replace(":", "")
        .lower()
    )


async def test_a_ca_that_forgot_the_sm2_id_is_told_how_to_mend_it(
    openssl: OpenSSL, tmp_path: Path, root: Certificate, box: Box
) -> None:
    asked = await box.desk.request("uid:0")
    made = issue(openssl, tmp_path, "sign", asked.sign.pem(), SIGN, sm2_id=False)
    with pytest.raises(ConfigError) as refused:
        await box.desk.bring({"a": made, "r": root.pem()}, "uid:0", trust=root.fingerprint.hex())
    (problem,) = refused.value.problems
    assert problem.code == "HG-6158" and "distid" in str(problem.fields["reason"])


@pytest.mark.parametrize(
    "extensions",
    [
        ENCRYPT,
        "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n",
        SIGN + "nameConstraints=critical,permitted;DNS:example\n",
        "basicConstraints=critical,CA:FALSE\n",
    ],
    ids=["usage", "ca", "constraints", "silent"],
)
async def test_a_certificate_with_the_wrong_use_is_not_taken_in(
    openssl: OpenSSL, tmp_path: Path, root: Certificate, box: Box, extensions: str
) -> None:
    asked = await box.desk.request("uid:0")
    made = issue(openssl, tmp_path, "sign", asked.sign.pem(), extensions)
    before = box.files()
    with pytest.raises(ConfigError):
        await box.desk.bring({"a": made, "r": root.pem()}, "uid:0", trust=root.fingerprint.hex())
    assert box.files() == before
