"""The press with the real spool, state and keys: what is on disk can be opened, once, in order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from kit.pki import Party, Pki

from headgate.crypto.issue import ENCRYPT_USAGE
from headgate.crypto.provider import CryptoProvider, default_provider
from headgate.crypto.x509 import Role
from headgate.envelope.chain import BEGINNING
from headgate.envelope.payload import Payload, decode_payload, encode_table
from headgate.envelope.record import open_proven, open_record, parse_header
from headgate.errors import SpoolError
from headgate.model import (
    Alarm,
    Block,
    EpochLink,
    Event,
    Gap,
    GapReason,
    Lane,
    Plan,
    Point,
    PointTable,
)
from headgate.runtime import press as press_module
from headgate.runtime.batch import Batch
from headgate.runtime.identity import Identity
from headgate.runtime.keyring import KEY_AGE_US, Keyring
from headgate.runtime.press import KnownTable, Sealing, SealingPress
from headgate.spool import Account, Loss, Position, SealedRecord, Spool, State
from headgate.testing.env import ManualClock, fake_env

EPOCH = b"epoch--9"


@pytest.fixture(scope="module")
def provider() -> CryptoProvider:
    return default_provider()


@pytest.fixture(scope="module")
def pki(provider: CryptoProvider) -> Pki:
    return Pki(provider)


class Box:
    """A gateway's road from the press down to the disk."""

    def __init__(self, folder: Path, provider: CryptoProvider, pki: Pki) -> None:
        self.clock = ManualClock()
        env = fake_env(self.clock)
        self.provider = provider
        self.spool = Spool(env, folder / "spool", ballast_bytes=4096)
        self.state = State(env, folder / "state.db")
        recovered = self.spool.open()
        self.state.open()
        link = self.state.begin_epoch(EPOCH, (recovered.epoch, recovered.last_n))
        identity = Identity(
            gateway="gauge-house-7", signing_key=pki.gateway.key, chain=(pki.gateway.certificate,),
            recipients=(pki.platform.certificate,), receipt_keys=(), kek=bytes(16),
        )  # fmt: skip
        self.keyring = Keyring(env, provider, identity, self.state, EPOCH)
        self.refuse: SpoolError | None = None
        self.extra: list[Loss] = []
        self.handed: list[SealedRecord] = []
        self.press = SealingPress(
            env, provider, self.keyring, self, Sealing(EPOCH, self.clock.boot, *link)
        )

    # what the press needs of the spool, with faults
    def losses(self) -> Sequence[Loss]:
        return (*self.spool.losses(), *self.extra)

    def commit(self, records: Sequence[SealedRecord]) -> Sequence[Position]:
        self.handed += records
        assert all(self.state.grant(r.key_id) for r in records), "sealed before its grant was kept"
        assert not self.state._dirty or all(k[0] != "grant" for k in self.state._dirty)
        if self.refuse is not None:
            raise self.refuse
        said = {account for r in records for account in r.index.accounts}
        self.extra = [loss for loss in self.extra if loss.account not in said]
        return self.spool.commit(records)

    def table(self, number: int, points: int = 2, title: str = "") -> bytes:
        table = PointTable(
            number, f"d{number}", tuple(Point(f"p{i}", "u16", title=title) for i in range(points))
        )
        data = encode_table(table)
        name = self.provider.sm3(data)
        self.press.learn(name, KnownTable(data, points))
        return name

    def stored(self) -> list[tuple[SealedRecord, Payload]]:
        """Everything the spool holds, opened, by n."""
        opened = []
        for record in {r.n: r for r in self.handed}.values():
            key = self.keyring.key(record.key_id)
            data = open_record(self.provider, key, record.data)
            opened.append((record, decode_payload(data)))
        return sorted(opened, key=lambda pair: pair[0].n)

    def close(self) -> None:
        self.state.close()
        self.spool.close()


@pytest.fixture
def box(tmp_path: Path, provider: CryptoProvider, pki: Pki):  # type: ignore[no-untyped-def]
    made = Box(tmp_path, provider, pki)
    yield made
    made.close()


def batch(*items: object, lane: Lane = Lane.LIVE) -> Batch:
    made = Batch(lane)
    for item in items:
        made.add(item, 100)  # type: ignore[arg-type]
    return made


def block(table: bytes, slot: int = 0, device: int = 1) -> Block:
    return Block(device=device, table=table, at_us=1000 + slot, slot=slot, columns=(bytes(4),))


def loss(first: int, end: int) -> Loss:
    return Loss(GapReason.QUOTA, Account("data", first, end), 1, 10, ((1, 10),), 5, 6)


def test_what_was_committed_reads_back_and_opens_under_its_grant(box: Box) -> None:
    name = box.table(1)
    first = batch(block(name, 1), block(name, 2))
    committed = box.press.commit([first])
    (record,) = committed.records
    assert box.spool.read(committed.positions[0]) == record.data
    ((_, payload),) = box.stored()
    assert [i.slot for i in payload.named() if isinstance(i, Block)] == [1, 2]
    assert record.index.readings == 4
    assert record.index.devices == ((1, 4),)
    assert (record.index.first_us, record.index.last_us) == (1001, 1002)
    grant = box.state.grant(record.key_id)
    assert grant is not None
    assert grant.message is not None


def test_the_first_item_of_an_epoch_is_its_link_and_no_other_record_has_one(box: Box) -> None:
    name = box.table(1)
    box.press.commit(
        [batch(Alarm(1, "p", "high", 1, True, 5), lane=Lane.ALARM), batch(block(name))]
    )
    box.press.commit([batch(block(name, 1))])
    payloads = [payload for _, payload in box.stored()]
    assert payloads[0].items[0] == EpochLink(None, None, box.clock.boot, box.clock.now_us)
    assert not any(isinstance(i, EpochLink) for p in payloads for i in p.items[1:])
    assert not any(isinstance(i, EpochLink) for p in payloads[1:] for i in p.items)


def test_a_refused_commit_is_tried_again_with_the_same_bytes_and_no_n_comes_twice(box: Box) -> None:
    name = box.table(1)
    kept = batch(block(name, 1))
    box.refuse = SpoolError("full")
    for _ in range(2):
        with pytest.raises(SpoolError):
            box.press.commit([kept])
    box.refuse = None
    box.press.commit([kept, batch(block(name, 2))])
    by_n: dict[int, set[bytes]] = {}
    for record in box.handed:
        by_n.setdefault(record.n, set()).add(record.data)
    assert sorted(by_n) == [0, 1]
    assert all(len(data) == 1 for data in by_n.values())


def test_a_table_is_announced_once_an_epoch_and_again_on_request(box: Box) -> None:
    name, other = box.table(1), box.table(2)
    box.press.commit([batch(Plan(1, name, 0, 1_000_000, 2))])
    box.press.commit([batch(block(name, 1))])
    assert box.press.announce_again(name)
    assert not box.press.announce_again(bytes(32))
    box.press.commit([batch(block(name, 2), block(other, 2, device=2))])
    box.press.commit([batch(block(name, 3), block(other, 3, device=2))])
    announced = [
        {box.provider.sm3(table) for table in payload.announced} for _, payload in box.stored()
    ]
    # A plan names a table, and does not bring it: plans go ahead, in a room that is kept small.
    assert announced == [set(), {name}, {name, other}, set()]


def test_a_table_is_still_announced_when_the_first_try_could_not_seal(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = box.table(1)
    kept = batch(block(name, 1))
    monkeypatch.setattr(box.state, "flush", lambda: False)
    grants = set()
    for _ in range(3):
        with pytest.raises(SpoolError):
            box.press.commit([kept])
        grants.add(tuple(g.key_id for g in box.state.grants()))
    assert len(grants) == 1, "a full disk makes one key, not one for each try"
    assert box.handed == []
    monkeypatch.undo()
    box.press.commit([kept])
    ((record, payload),) = box.stored()
    assert record.n == 0
    assert len(payload.announced) == 1
    assert isinstance(payload.items[0], EpochLink)


def test_losses_ride_with_a_live_record_and_are_said_once(box: Box) -> None:
    name = box.table(1)
    box.extra = [loss(3, 4)]
    box.press.commit([batch(Alarm(1, "p", "high", 1, True, 5), lane=Lane.ALARM)])
    assert box.extra, "an alarm's log is no place for it"
    kept = batch(block(name, 1))
    box.refuse = SpoolError("full")
    with pytest.raises(SpoolError):
        box.press.commit([kept])
    box.refuse = None
    box.press.commit([kept, batch(block(name, 2))])
    assert box.extra == []
    box.press.commit([batch(block(name, 3))])
    gaps = [i for _, payload in box.stored() for i in payload.items if isinstance(i, Gap)]
    assert [(g.device, g.reason, g.readings) for g in gaps] == [(1, GapReason.QUOTA, 10)]
    accounts = [account for record, _ in box.stored() for account in record.index.accounts]
    assert accounts == [Account("data", 3, 4)]


def test_a_loss_that_came_meanwhile_rides_beside_a_record_that_is_tried_again(box: Box) -> None:
    name = box.table(1)
    box.extra = [loss(3, 4)]
    kept = batch(block(name, 1))
    box.refuse = SpoolError("full")
    with pytest.raises(SpoolError):
        box.press.commit([kept])
    box.refuse = None
    box.extra.append(loss(7, 9))
    box.press.commit([kept, batch(block(name, 2))])
    accounts = [record.index.accounts for record, _ in box.stored()]
    assert accounts == [(Account("data", 3, 4),), (Account("data", 7, 9),)]


def test_what_no_record_can_hold_becomes_a_gap_and_the_rest_goes_on(
    box: Box, caplog: pytest.LogCaptureFixture
) -> None:
    name = box.table(1)
    bad = Block(device=1, table=name, at_us=2**70, columns=(bytes(4),))
    huge = Block(device=1, table=name, at_us=5, columns=(bytes(3_000_000),))
    wrong = Block(device=1, table=None, at_us=5, columns=(bytes(4),))  # type: ignore[arg-type]
    odd = Event("odd", 1, {"x": object()})  # type: ignore[dict-item]
    box.press.commit([batch(block(name, 1), bad, huge, wrong, odd, block(name, 2))])
    ((_, payload),) = box.stored()
    kinds = [type(i).__name__ for i in payload.items]
    assert kinds == ["EpochLink", "Block", "Gap", "Gap", "Gap", "Gap", "Block"]
    told = [i for i in payload.items if isinstance(i, Gap)]
    assert {g.reason for g in told} == {GapReason.REFUSED}
    assert [g.device for g in told] == [1, 1, 1, 0]
    assert "an item cannot be encoded" in caplog.text


def test_more_tables_than_a_record_holds_go_ahead_in_records_of_their_own(box: Box) -> None:
    title = "a level, measured downwards from the top of the gauge house wall " * 3
    names = [box.table(i + 1, points=120, title=title) for i in range(150)]
    blocks = [block(name, 1, device=i + 1) for i, name in enumerate(names)]
    committed = box.press.commit([batch(*blocks)])
    assert len(committed.records) > 3
    seen: set[bytes] = set()
    for record, payload in box.stored():
        assert len(record.data) < 2 * 1024 * 1024
        assert sum(map(len, payload.announced)) < 2 * press_module.ANNOUNCED_BYTES
        seen |= {box.provider.sm3(table) for table in payload.announced}
        assert set(payload.tables) <= seen, "announced in or before the first record that uses it"
    assert seen == set(names)
    assert isinstance(box.stored()[0][1].items[0], EpochLink)
    assert [r.n for r, _ in box.stored()] == list(range(len(committed.records)))


def test_a_key_is_changed_with_age_and_older_records_still_open(box: Box) -> None:
    name = box.table(1)
    box.press.commit([batch(block(name, 1))])
    box.clock.now_us += KEY_AGE_US
    box.press.commit([batch(block(name, 2))])
    records = [record for record, _ in box.stored()]
    assert records[0].key_id != records[1].key_id
    assert [r.n for r in records] == [0, 1], "one counter over all keys"


def test_a_restart_links_to_the_last_record_that_was_committed(
    tmp_path: Path, provider: CryptoProvider, pki: Pki
) -> None:
    box = Box(tmp_path, provider, pki)
    name = box.table(1)
    for slot in range(3):
        box.press.commit([batch(block(name, slot))])
    box.close()
    env = fake_env()
    spool, state = (
        Spool(env, tmp_path / "spool", ballast_bytes=4096),
        State(env, tmp_path / "state.db"),
    )
    recovered = spool.open()
    state.open()
    assert state.begin_epoch(b"epoch-10", (recovered.epoch, recovered.last_n)) == (EPOCH, 2)
    state.close()
    spool.close()


def test_sealed_bytes_show_nothing_of_what_is_inside(box: Box) -> None:
    name = box.table(1)
    box.press.commit([batch(Event("very-recognisable-words", 1), block(name))])
    (record,) = box.handed
    assert b"recognisable" not in record.data
    assert b"recognisable" not in msgspec.msgpack.encode(record.index)


# ------------------------------------------------------------ records that are signed


@pytest.fixture
def province(pki: Pki) -> Party:
    return pki.issue("province", Role.PLATFORM_ENCRYPTION, ENCRYPT_USAGE)


def sign_for(box: Box, *recipients: Party) -> None:
    """From now on for these platforms, each record signed."""
    identity = msgspec.structs.replace(
        box.keyring._identity,
        recipients=tuple(each.certificate for each in recipients), signs_records=True,
    )  # fmt: skip
    box.keyring.adopt(identity)


def links(box: Box, pki: Pki, records: Sequence[SealedRecord]) -> list[tuple[bytes, bytes]]:
    """Of each record, proved: what it names before it, and its own link."""
    found = []
    for record in records:
        key = box.keyring.key(record.key_id)
        opened = open_proven(box.provider, key, record.data, pki.gateway.key.public)
        assert opened.proof is not None and opened.link is not None
        found.append((opened.proof.previous, opened.link))
    return found


def test_every_record_is_signed_and_names_the_one_before_over_keys_and_commits(
    box: Box, pki: Pki, province: Party
) -> None:
    sign_for(box, pki.platform, province)
    name = box.table(1)
    records = [*box.press.commit([batch(block(name, 1)), batch(block(name, 2))]).records]
    box.keyring.renew()
    records += box.press.commit([batch(block(name, 3))]).records
    assert len({record.key_id for record in records}) == 2
    chain = links(box, pki, records)
    assert chain[0][0] == BEGINNING
    assert [previous for previous, _ in chain[1:]] == [link for _, link in chain[:-1]]
    assert [r.n for r in records] == [0, 1, 2]


def test_a_commit_that_is_tried_again_stores_the_same_signed_bytes(
    box: Box, pki: Pki, province: Party
) -> None:
    sign_for(box, pki.platform, province)
    tried = batch(block(box.table(1), 1))
    box.refuse = SpoolError("full")
    with pytest.raises(SpoolError):
        box.press.commit([tried])
    box.refuse = None
    after = box.press.commit([tried]).records
    assert [r.data for r in after] == [box.handed[0].data]
    following = box.press.commit([batch(block(box.table(1), 2))]).records
    ((_, link),), ((previous, _),) = links(box, pki, after), links(box, pki, following)
    assert previous == link


def test_signing_begins_and_ends_with_a_key(box: Box, pki: Pki, province: Party) -> None:
    name = box.table(1)
    (bare,) = box.press.commit([batch(block(name, 1))]).records
    sign_for(box, pki.platform, province)
    (signed,) = box.press.commit([batch(block(name, 2))]).records
    assert not parse_header(bare.data).signed
    assert parse_header(signed.data).signed
    assert links(box, pki, [signed])[0][0] == BEGINNING, "nothing before it was signed"
    assert [record.n for record, _ in box.stored()] == [0, 1], "the box itself opens both"
