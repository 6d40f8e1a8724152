"""Record keys: when they change, for whom they are granted, and what is on disk before one is used."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kit.pki import NOW, Party, Pki

from headgate.audit import Entry
from headgate.crypto.issue import ENCRYPT_USAGE, SIGN_USAGE
from headgate.crypto.provider import default_provider
from headgate.crypto.x509 import Role
from headgate.envelope.grant import granted_to, verify_grant
from headgate.envelope.record import RecordKey
from headgate.errors import EnvelopeError, SecurityError, SpoolError
from headgate.model import Event, Item
from headgate.runtime import keyring as keyring_module
from headgate.runtime.identity import Identity, newest_of_each
from headgate.runtime.keyring import KEY_AGE_US, Keyring
from headgate.runtime.rotation import Rotation
from headgate.spool import State
from headgate.testing.env import ManualClock, fake_env

EPOCH = b"epoch--9"


@pytest.fixture(scope="module")
def pki() -> Pki:
    return Pki(default_provider())


@pytest.fixture(scope="module")
def successor(pki: Pki) -> Party:
    """The platform's next encryption certificate: the same name, another key."""
    return pki.issue("platform", Role.PLATFORM_ENCRYPTION, ENCRYPT_USAGE)


@pytest.fixture(scope="module")
def province(pki: Pki) -> Party:
    """Another platform."""
    return pki.issue("province", Role.PLATFORM_ENCRYPTION, ENCRYPT_USAGE)


class Box:
    def __init__(self, folder: Path, pki: Pki) -> None:
        self.pki = pki
        self.clock = ManualClock()
        self.env = fake_env(self.clock)
        self.state = State(self.env, folder / "state.db")
        self.state.open()
        self.state.begin_epoch(EPOCH, (None, None))
        self.identity = Identity(
            gateway="gauge-house-7", signing_key=pki.gateway.key, chain=(pki.gateway.certificate,),
            recipients=(pki.platform.certificate,), receipt_keys=(), kek=bytes(16),
        )  # fmt: skip
        self.keyring = Keyring(self.env, pki.provider, self.identity, self.state, EPOCH)

    def adopt(self, *recipients: Party, **changes: Any) -> int:
        to = tuple(each.certificate for each in recipients)
        self.identity = msgspec.structs.replace(self.identity, recipients=to, **changes)
        return self.keyring.adopt(self.identity)

    def message(self, key: RecordKey) -> bytes:
        grant = self.state.grant(key.key_id)
        assert grant is not None and grant.message is not None
        return grant.message

    async def opened(self, key: RecordKey, by: Party) -> RecordKey:
        async def unwrap(certificate: bytes, ciphertext: bytes) -> bytes:
            return by.key.decrypt(ciphertext)

        grant = await verify_grant(
            self.pki.provider,
            self.message(key),
            anchors=[self.pki.root.certificate],
            recipients=[by.certificate.fingerprint],
            unwrap=unwrap,
            at=NOW,
        )
        return grant.key


@pytest.fixture
def box(tmp_path: Path, pki: Pki) -> Iterator[Box]:
    made = Box(tmp_path, pki)
    yield made
    made.state.close()


@pytest.fixture
def full(box: Box, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Says whether the disk takes anything."""
    real = box.state.flush

    def set_full(is_full: bool) -> None:
        monkeypatch.setattr(box.state, "flush", (lambda: False) if is_full else real)

    return set_full


def durable(box: Box, key: RecordKey) -> bool:
    return ("grant", key.key_id) not in box.state._dirty


# ------------------------------------------------------------ when


def test_a_key_changes_by_count(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring_module, "RECORDS_PER_KEY", 3)
    used = [box.keyring.current() for _ in range(7)]
    assert [k is used[i - i % 3] for i, k in enumerate(used)] == [True] * 7
    assert len({key.key_id for key in used}) == len({key.key for key in used}) == 3


def test_a_key_changes_by_time(box: Box) -> None:
    first = box.keyring.current()
    box.clock.advance(KEY_AGE_US / 1e6 - 1)
    assert box.keyring.current() is first
    box.clock.advance(1)
    assert box.keyring.current() is not first


def test_a_key_changes_when_it_is_asked_for(box: Box) -> None:
    first = box.keyring.current()
    key_id = box.keyring.renew()
    second = box.keyring.current()
    assert second.key_id == key_id != first.key_id
    assert durable(box, second)
    assert box.keyring.key(first.key_id) == first, "what lies here is still opened"


def test_a_retired_key_seals_nothing_more(box: Box) -> None:
    first = box.keyring.current()
    assert box.keyring.retire([b"unheard-", first.key_id])
    second = box.keyring.current()
    assert second.key_id != first.key_id
    # The ask comes again, from whoever recorded it: the key is long out of use.
    assert not box.keyring.retire([first.key_id])
    assert box.keyring.current() is second


def test_asks_for_other_keys_change_nothing_and_take_no_memory(box: Box) -> None:
    first = box.keyring.current()
    for at in range(2000):
        assert not box.keyring.retire([at.to_bytes(8, "big")])
    assert box.keyring.current() is first
    assert len(box.keyring._retired) <= 256


# ------------------------------------------------------------ a disk that is full


@pytest.mark.parametrize("cause", ["start", "count", "time", "ask", "platform", "recipients"])
def test_no_key_is_used_before_its_grant_is_on_disk(
    box: Box,
    full: Callable[[bool], None],
    successor: Party,
    cause: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = None if cause == "start" else box.keyring.current()
    full(True)
    if cause == "count":
        monkeypatch.setattr(keyring_module, "RECORDS_PER_KEY", 1)
    elif cause == "time":
        box.clock.advance(KEY_AGE_US / 1e6)
    elif cause == "ask":
        with pytest.raises(SpoolError):
            box.keyring.renew()
    elif cause == "platform" and first is not None:
        box.keyring.retire([first.key_id])
    elif cause == "recipients":
        box.adopt(successor)
    known = len(box.state.grants())
    for _ in range(3):
        with pytest.raises(SpoolError):
            box.keyring.current()
    assert len(box.state.grants()) <= known + 1, "a full disk makes no new key with every try"
    held = box.keyring.current(unwritten=True)
    assert not box.keyring.written(), "a record of it must not lie on the disk either"
    full(False)
    assert box.keyring.written()
    assert durable(box, held)
    assert first is None or held.key_id != first.key_id


# ------------------------------------------------------------ for whom


async def test_a_new_platform_certificate_means_a_new_key(
    box: Box, pki: Pki, successor: Party
) -> None:
    first = box.keyring.current()
    assert box.adopt(successor) == 1
    second = box.keyring.current()
    assert second.key_id != first.key_id
    for key in (first, second):
        assert await box.opened(key, successor) == key
        with pytest.raises(EnvelopeError, match="other recipients"):
            await box.opened(key, pki.platform)


async def test_nothing_is_granted_again_when_nothing_has_changed(box: Box) -> None:
    first = box.keyring.current()
    before = box.message(first)
    assert box.adopt(box.pki.platform) == 0
    assert box.keyring.current() is first
    assert box.message(first) == before


async def test_a_key_without_a_local_wrap_stays_as_it_was_granted(
    tmp_path: Path, pki: Pki, successor: Party
) -> None:
    box = Box(tmp_path, pki)
    try:
        box.adopt(pki.platform, kek=None)
        first = box.keyring.current()
        assert box.adopt(successor) == 0
        assert granted_to(box.message(first))[0] == {pki.platform.certificate.fingerprint}
        assert box.keyring.current().key_id != first.key_id
    finally:
        box.state.close()


async def test_several_platforms_get_one_key_whose_records_are_signed(
    box: Box, pki: Pki, province: Party
) -> None:
    box.adopt(pki.platform, province, signs_records=True)
    key = box.keyring.current()
    assert key.core is not None
    assert await box.opened(key, pki.platform) == await box.opened(key, province) == key


async def test_an_older_key_without_signatures_is_not_shared(
    box: Box, pki: Pki, province: Party
) -> None:
    bare = box.keyring.current()
    box.adopt(pki.platform, province, signs_records=True)
    assert granted_to(box.message(bare))[0] == {pki.platform.certificate.fingerprint}


async def test_a_renewed_certificate_of_the_gateway_renews_the_grants(box: Box, pki: Pki) -> None:
    key = box.keyring.current()
    renewed = pki._make("gauge-house-7", Role.GATEWAY, pki.gateway.key, pki.root, SIGN_USAGE)
    assert box.adopt(pki.platform, chain=(renewed,)) == 1
    assert granted_to(box.message(key))[1] == renewed.der
    assert box.keyring.current() is key, "the key is the same, so nothing need change"


def test_a_key_of_another_signing_key_is_left_alone(box: Box, successor: Party) -> None:
    box.keyring.current()
    other = box.pki.issue("gauge-house-7", Role.GATEWAY)
    assert box.adopt(successor, signing_key=other.key, chain=(other.certificate,)) == 0


def test_of_one_platform_the_newest_certificate_is_used(pki: Pki, province: Party) -> None:
    old = pki.platform.certificate
    new = msgspec.structs.replace(old, not_before=old.not_before + timedelta(days=1), serial=7)
    assert newest_of_each([old, province.certificate, new]) == (new, province.certificate)
    assert newest_of_each([new, old]) == (new,)


def test_a_key_that_is_nowhere_is_said(box: Box) -> None:
    with pytest.raises(SecurityError) as caught:
        box.keyring.key(b"unheard-")
    assert caught.value.code == "HG-6108"


# ------------------------------------------------------------ who may ask


class Asked:
    """A rotation with its road: an audit log in a list, and the writer's thread in line."""

    def __init__(self, box: Box) -> None:
        self.entries: list[Entry] = []
        self.items: list[Item] = []
        self.rotation = Rotation(box.env, box.keyring, self.aside, self, self.items.append)

    async def aside(self, work: Callable[[], Any]) -> Any:
        return work()

    async def note(self, entry: Entry) -> None:
        self.entries.append(entry)

    async def local(self) -> str:
        answers = [said async for said in self.rotation.handlers()["rotate-key"]({})]
        return str(answers[0]["key"])


Settle = Callable[[], Awaitable[None]]


async def test_asked_for_on_the_box_it_is_done_and_written_down(box: Box) -> None:
    asked, first = Asked(box), box.keyring.current()
    key = await asked.local()
    assert key == box.keyring.current().key_id.hex() != first.key_id.hex()
    assert [(e.kind, e.who, e.result) for e in asked.entries] == [("key-rotated", "local", "ok")]
    assert key in asked.entries[0].what
    assert [i.fields["key"] for i in asked.items if isinstance(i, Event)] == [key]


async def test_a_disk_that_refuses_is_told_to_who_asks(
    box: Box, full: Callable[[bool], None]
) -> None:
    asked = Asked(box)
    box.keyring.current()
    full(True)
    with pytest.raises(SpoolError):
        await asked.local()
    assert [e.result for e in asked.entries] == ["failed"]


async def test_a_platform_may_ask_and_only_of_the_key_in_use(box: Box) -> None:
    asked, first = Asked(box), box.keyring.current()
    asked.rotation.asked([b"unheard-"])
    await asked.rotation.close()
    assert box.keyring.current() is first and not asked.entries
    for _ in range(3):
        asked.rotation.asked([first.key_id])
        await asked.rotation.close()
    assert [(e.who, e.result) for e in asked.entries] == [("platform", "ok")]
    assert box.keyring.current() is not first


async def test_asks_that_come_at_once_are_answered_by_one_change(box: Box) -> None:
    asked, first = Asked(box), box.keyring.current()
    for _ in range(3):
        asked.rotation.asked([first.key_id])
    await asked.rotation.close()
    assert len(asked.entries) == 1
    assert len(box.state.grants()) == 2


async def test_a_platforms_ask_on_a_full_disk_is_followed_later(
    box: Box, full: Callable[[bool], None]
) -> None:
    asked, first = Asked(box), box.keyring.current()
    full(True)
    asked.rotation.asked([first.key_id])
    await asked.rotation.close()
    assert [e.result for e in asked.entries] == ["failed"]
    full(False)
    assert box.keyring.current().key_id != first.key_id


async def test_granting_older_keys_is_written_down(box: Box, successor: Party) -> None:
    asked = Asked(box)
    box.keyring.current()
    changed = msgspec.structs.replace(box.identity, recipients=(successor.certificate,))
    assert await asked.rotation.adopt(changed) == 1
    assert [e.kind for e in asked.entries] == ["keys-granted"]
