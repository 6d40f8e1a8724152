"""A gateway whose certificate was revoked gets a new one: what waited for it is stored, nothing twice."""

from __future__ import annotations

from typing import Any

from kit.gateway import Gateway, Gauge
from kit.pki import Pki

from headgate.crypto.x509 import Role
from headgate.envelope.grant import sign_again


async def test_a_new_certificate_vouches_for_the_records_of_a_revoked_one(
    platform: Any, gateway: Gateway, gauge: Gauge, pki: Pki
) -> None:
    first = gateway.grant()
    await platform.deliver(first, gateway.link())
    old = pki.gateway.certificate
    platform.core.revoked = {old.fingerprint}
    waiting = gateway.record(gauge.block(10), announce=[gauge.body])
    assert await platform.deliver(waiting) == [], "neither stored nor refused for good"
    renewed = pki.issue("gauge-house-7", Role.GATEWAY)
    again = sign_again(first, renewed.key, [renewed.certificate], old)
    await platform.deliver(again)
    (receipt,) = await platform.deliver(waiting)
    assert receipt.floor == 2
    platform.restart()
    platform.core.revoked = {old.fingerprint}
    (receipt,) = await platform.deliver(gateway.record(gauge.block(20)))
    assert receipt.floor == 3, "the store remembers who vouches"
    assert platform.rows("SELECT count(*) FROM grants") == [(1,)]


async def test_a_stranger_vouches_for_nothing(
    platform: Any, gateway: Gateway, gauge: Gauge, pki: Pki
) -> None:
    first = gateway.grant()
    await platform.deliver(first, gateway.link())
    platform.core.revoked = {pki.gateway.certificate.fingerprint}
    thief = pki.issue("pump-9", Role.GATEWAY)
    again = sign_again(first, thief.key, [thief.certificate], pki.gateway.certificate)
    assert await platform.deliver(again) == []
    assert await platform.deliver(gateway.record(gauge.block(10), announce=[gauge.body])) == []
