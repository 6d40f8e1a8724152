"""A box that keeps no local wrap has each secret once: its grants are signed again, never lost."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from kit.enrolment import Box, City
from kit.pki import SECRET

from headgate.crypto.x509 import Role
from headgate.envelope.grant import check_grant, verify_grant
from headgate.runtime.keyring import Keyring
from headgate.spool import State


@pytest.mark.parametrize("wrap", [True, False], ids=["wrap", "no-wrap"])
async def test_what_was_sealed_while_the_certificate_was_over_is_granted_by_the_next(
    tmp_path: Path, wrap: bool
) -> None:
    city = City(tmp_path / "ca")
    desk = Box(tmp_path / "box", clock=city.clock)
    key, encryption = city.platform(Role.PLATFORM_ENCRYPTION)
    _, receipt = city.platform(Role.PLATFORM_RECEIPT)
    await desk.enrol(city, pe=encryption.pem(), pr=receipt.pem())
    box = Box(tmp_path / "box", clock=city.clock, keep_local_wrap=wrap)
    box.later(days=735)
    barred = box.load()
    assert barred.certified.barred and not barred.enrolled
    state = State(box.env, box.state / "state.db")
    state.open()
    try:
        keyring = Keyring(box.env, box.provider, barred, state, b"epoch--1")
        record_key = keyring.current()
        (grant,) = state.grants()
        assert (grant.message is None) is wrap, "without a wrap the secret must be granted at once"
        asked = await box.desk.request("uid:0", anew=True)
        renewed = city.platform(Role.PLATFORM_RECEIPT)[1].pem()
        await box.desk.bring({**city.answer(asked), "pr": renewed}, "uid:0")
        # The platform's certificate ran out, too; that its key still opens is the platform's affair.
        after = msgspec.structs.replace(box.load(), recipients=(encryption,))
        assert after.signing_key.public.spki != barred.signing_key.public.spki
        assert after.certified.barred == ""
        assert keyring.adopt(after) == 1
        (grant,) = state.grants()
        assert grant.message is not None

        async def unwrap(certificate: bytes, ciphertext: bytes) -> bytes:
            secret: bytes = key.decrypt(ciphertext)
            return secret

        opened = await verify_grant(
            box.provider, grant.message, anchors=[city.root],
            recipients=[encryption.fingerprint], unwrap=unwrap, at=city.ca.now(),
        )  # fmt: skip
        assert opened.key.key == record_key.key and opened.key.key != SECRET[:16]
        assert check_grant(box.provider, grant.message, [city.root], city.ca.now()).certificate == (
            after.chain[0].fingerprint
        )
    finally:
        state.close()
