"""The spool's own promises on a real folder: locks, formats, segments, a clean stop."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from headgate.env import Env, SystemFiles, system_env
from headgate.errors import SpoolCorrupt, SpoolError, SpoolLocked
from headgate.model import GapReason, Lane
from headgate.spool import Account, ClearIndex, Loss, Position, SealedRecord, Spool

Make = Callable[[], Spool]
BOOT = b"b" * 16
LOGS = ("data", "alarms")


def record(
    n: int, size: int = 200, lane: Lane = Lane.LIVE, epoch: bytes = b"epoch---"
) -> SealedRecord:
    body = n.to_bytes(8, "big").ljust(size, b".")
    return SealedRecord(epoch, n, b"key-----", lane, body, ClearIndex(2, n, n, BOOT, ((1, 2),)))


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Spool] = []

    def spool() -> Spool:
        for old in made:
            old.close()
        made.append(
            Spool(
                system_env(), tmp_path, segment_bytes=4096, quota_bytes=1 << 20, ballast_bytes=8192
            )
        )
        return made[-1]

    yield spool
    for one in made:
        one.close()


def test_what_was_committed_is_read_back_after_a_restart(make: Make) -> None:
    spool = make()
    spool.open()
    positions = spool.commit(
        [record(n, lane=Lane.ALARM if n == 3 else Lane.LIVE) for n in range(6)]
    )
    positions += spool.commit([record(6)])
    assert [position.log for position in positions] == ["data"] * 3 + ["alarms"] + ["data"] * 3
    spool = make()
    found = spool.open()
    assert (found.records, found.epoch, found.last_n, found.losses) == (7, b"epoch---", 6, ())
    assert [spool.read(position) for position in positions] == [record(n).data for n in range(7)]


def test_a_start_never_appends_to_an_old_segment(make: Make, tmp_path: Path) -> None:
    sizes: dict[str, int] = {}
    for _ in range(3):
        spool = make()
        spool.open()
        spool.commit([record(0)])
        now = {path.name: path.stat().st_size for path in (tmp_path / "data").glob("*.seg")}
        assert now.items() >= sizes.items()
        assert len(now) == len(sizes) + 1
        sizes = now


def test_two_processes_never_share_a_spool(make: Make, tmp_path: Path) -> None:
    make().open()
    with pytest.raises(SpoolLocked) as refused:
        Spool(system_env(), tmp_path).open()
    assert refused.value.code == "HG-4003"


def test_a_newer_format_is_left_exactly_as_it_is(make: Make, tmp_path: Path) -> None:
    import zlib

    spool = make()
    spool.open()
    spool.commit([record(0)])
    spool.close()
    (path,) = (tmp_path / "data").glob("*.seg")
    data = bytearray(path.read_bytes())
    size = 36 + int.from_bytes(data[28:32], "big")
    data[8] = 2
    data[32:36] = zlib.crc32(data[36:size], zlib.crc32(data[:32])).to_bytes(4, "big")
    path.write_bytes(data)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    spool = make()
    with pytest.raises(SpoolLocked) as refused:
        spool.open()
    assert refused.value.code == "HG-4004"
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_folder_that_cannot_be_used_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SpoolError) as refused:
        Spool(system_env(), tmp_path / "file").open()
    assert refused.value.code == "HG-4005"


def test_a_lost_tail_is_a_loss_where_the_place_was_noted(make: Make, tmp_path: Path) -> None:
    spool = make()
    spool.open()
    spool.commit([record(0)])
    spool.commit([record(1), record(2)])
    noted = spool.totals()
    spool.close()
    (path,) = (tmp_path / "data").glob("*.seg")
    path.write_bytes(path.read_bytes()[: -(200 + 10)])
    spool = make()
    (loss,) = spool.open(noted).losses
    assert (loss.reason, loss.records, loss.readings) == (GapReason.CORRUPT, 1, 2)


class Sick(SystemFiles):
    """A disk that reads a file with errors: so many times, or (-1) always."""

    def __init__(self, name: str, times: int) -> None:
        self.name, self.times = name, times

    def read(self, path: Path, offset: int = 0, size: int | None = None) -> bytes:
        if path.name == self.name and self.times:
            self.times -= 1
            raise OSError(errno.EIO, "Input/output error", str(path))
        return super().read(path, offset, size)


def sick_spool(folder: Path, times: int) -> Spool:
    whole = system_env()
    files = Sick("000000000001.seg", times)
    env = Env(whole.clock, whole.random, files, whole.net, whole.single)
    return Spool(env, folder, segment_bytes=4096, quota_bytes=1 << 20, ballast_bytes=8192)


def test_a_read_error_that_passes_costs_nothing(make: Make, tmp_path: Path) -> None:
    spool = make()
    spool.open()
    spool.commit([record(0), record(1)])
    spool.close()
    again = sick_spool(tmp_path, 1)
    found = again.open()
    again.close()
    assert (found.records, found.losses) == (2, ())


def test_a_rotten_end_is_told_exactly_also_where_it_cannot_be_read_twice(
    make: Make, tmp_path: Path
) -> None:
    spool = make()
    spool.open()
    spool.commit([record(0), record(1)])
    spool.close()
    for path in (tmp_path / "data" / "ledger", *sorted((tmp_path / "data").glob("*.seg"))[-1:]):
        data = bytearray(path.read_bytes())
        data[-1] ^= 1  # of the ledger, so that nobody has noted it; of the last record
        path.write_bytes(data)
    times = []

    class Fading(SystemFiles):
        def read(self, path: Path, offset: int = 0, size: int | None = None) -> bytes:
            if path.suffix == ".seg":
                times.append(offset)
                if (
                    len(times) > 4
                ):  # its head, all records, the sealed bytes of each: then never again
                    raise OSError(errno.EIO, "Input/output error", str(path))
            return super().read(path, offset, size)

    whole = system_env()
    env = Env(whole.clock, whole.random, Fading(), whole.net, whole.single)
    again = Spool(env, tmp_path, segment_bytes=4096, quota_bytes=1 << 20, ballast_bytes=8192)
    (loss,) = again.open().losses
    again.close()
    assert len(times) > 4
    assert (loss.records, loss.readings) == (1, 2)


def test_a_newest_segment_that_cannot_be_read_is_told_also_where_nobody_can_count(
    make: Make, tmp_path: Path
) -> None:
    spool = make()
    spool.open()
    spool.commit([record(0)])
    spool.close()
    spool = make()
    spool.open()
    noted = spool.totals()
    path = tmp_path / "data" / "ledger"
    before = path.read_bytes()
    spool.commit([record(1)])
    spool.close()
    path.write_bytes(before)  # as a power cut leaves it: nothing has noted the second record
    newest = max((tmp_path / "data").glob("*.seg"))
    whole = system_env()
    env = Env(whole.clock, whole.random, Sick(newest.name, -1), whole.net, whole.single)
    again = Spool(env, tmp_path, segment_bytes=4096, quota_bytes=1 << 20, ballast_bytes=8192)
    found = again.open(noted)
    assert found.records == 1
    assert [(loss.reason, loss.readings) for loss in found.losses] == [(GapReason.CORRUPT, None)]
    assert [gap.readings for gap in found.losses[0].gaps(5, BOOT)] == [None]
    carrier = msgspec.structs.replace(
        record(2), index=ClearIndex(2, 2, 2, BOOT, ((1, 2),), (), (found.losses[0].account,))
    )
    again.commit([carrier])
    assert again.losses() == ()
    again.close()
    assert make().open().losses == ()


def test_an_unreadable_end_is_told_also_where_an_empty_segment_follows(
    make: Make, tmp_path: Path
) -> None:
    spool = make()
    spool.open()
    ledgers = {log: (tmp_path / log / "ledger").read_bytes() for log in LOGS}
    spool.commit([record(0)])
    spool.close()
    for log, data in ledgers.items():
        (tmp_path / log / "ledger").write_bytes(data)
    (path,) = (tmp_path / "data").glob("*.seg")
    (tmp_path / "data" / "000000000002.seg").touch()  # the power went when it had just been made
    whole = system_env()
    env = Env(whole.clock, whole.random, Sick(path.name, -1), whole.net, whole.single)
    again = Spool(env, tmp_path, segment_bytes=4096, quota_bytes=1 << 20, ballast_bytes=8192)
    found = again.open()
    again.close()
    assert [(loss.reason, loss.readings) for loss in found.losses] == [(GapReason.CORRUPT, None)]


def test_a_loss_of_alarms_is_not_said_again_once_the_record_that_said_it_is_gone(
    make: Make, tmp_path: Path
) -> None:
    spool = make()
    spool.open()
    spool.commit([record(0, lane=Lane.ALARM)])
    spool.close()
    (path,) = (tmp_path / "alarms").glob("*.seg")
    path.write_bytes(path.read_bytes()[:-50] + bytes(50))
    spool = make()
    (loss,) = spool.open().losses
    index = ClearIndex(2, 1, 1, BOOT, ((1, 2),), (), (loss.account,))
    spool.commit([msgspec.structs.replace(record(1), index=index)])
    before = (tmp_path / "alarms" / "ledger").read_bytes()
    spool.close()
    # Killed here; what said it was delivered, and its segment let go.
    (tmp_path / "alarms" / "ledger").write_bytes(before)
    (carrier,) = (tmp_path / "data").glob("*.seg")
    carrier.unlink()
    spool = make()
    assert [loss.account.log for loss in spool.open().losses] == ["data"]


def test_a_record_torn_at_the_very_end_is_told_at_the_start(make: Make, tmp_path: Path) -> None:
    spool = make()
    spool.open()
    spool.commit([record(0), record(1)])
    spool.close()
    (path,) = (tmp_path / "data").glob("*.seg")
    path.write_bytes(path.read_bytes()[:-50] + bytes(50))
    spool = make()
    found = spool.open()
    assert found.records == 1
    assert [(loss.records, loss.devices) for loss in found.losses] == [(1, ((1, 2),))]


def test_a_start_whose_only_record_rots_is_still_the_one_before(make: Make, tmp_path: Path) -> None:
    spool = make()
    spool.open()
    spool.commit([record(0, epoch=b"first---")])
    spool.close()
    spool = make()
    spool.open()
    # Killed after this: nobody has noted how far it came.
    noted = [(tmp_path / log / "ledger", (tmp_path / log / "ledger").read_bytes()) for log in LOGS]
    spool.commit([record(7, epoch=b"second--")])
    spool.close()
    for path, data in noted:
        path.write_bytes(data)
    path = max((tmp_path / "data").glob("*.seg"))
    path.write_bytes(path.read_bytes()[:-50] + bytes(50))
    for _ in range(3):  # the first start tells, and puts its file away; the others only remember
        spool = make()
        found = spool.open()
        assert (found.epoch, found.last_n) == (b"second--", 7)


def test_a_start_whose_records_were_all_let_go_is_still_the_one_before(make: Make) -> None:
    spool = make()
    spool.open()
    (position,) = spool.commit([record(3)])
    spool.needed = lambda rows, row: False
    spool._logs["data"].let_go(position.segment, spool.needed, GapReason.QUOTA)
    spool = make()
    found = spool.open()
    assert (found.records, found.epoch, found.last_n) == (0, b"epoch---", 3)


def test_nothing_is_put_away_while_its_loss_cannot_be_recorded(make: Make, tmp_path: Path) -> None:
    spool = make()
    spool.open()
    spool.commit([record(0)])
    before = (tmp_path / "data" / "ledger").read_bytes()
    spool.close()
    (tmp_path / "data" / "ledger").write_bytes(before)
    (path,) = (tmp_path / "data").glob("*.seg")
    path.write_bytes(path.read_bytes()[:-50] + bytes(50))

    class NoLedger(SystemFiles):
        def replace(self, path: Path, data: bytes, mode: int = 0o644) -> None:
            raise OSError(errno.EIO, "Input/output error", str(path))

    whole = system_env()
    env = Env(whole.clock, whole.random, NoLedger(), whole.net, whole.single)
    for _ in range(2):
        sick = Spool(env, tmp_path, segment_bytes=4096, quota_bytes=1 << 20, ballast_bytes=0)
        assert [loss.records for loss in sick.open().losses] == [1]
        assert path.exists()
        sick._let_go_of_lock()  # killed
    assert [loss.records for loss in make().open().losses] == [1]
    assert not path.exists()


def test_a_missing_segment_is_counted_exactly(make: Make, tmp_path: Path) -> None:
    spool = make()
    spool.open()
    for n in range(60):
        spool.commit([record(n)])
    spool.close()
    segments = sorted((tmp_path / "data").glob("*.seg"))
    assert len(segments) > 3
    segments[1].unlink()
    spool = make()
    found = spool.open()
    (loss,) = found.losses
    assert loss.records == 60 - found.records
    assert loss.readings == 2 * loss.records
    assert loss.first_us is not None
    assert loss.last_us is not None
    assert loss.last_us - loss.first_us == loss.records + 1


def test_a_position_of_a_segment_that_is_gone_is_corrupt_and_no_second_loss(make: Make) -> None:
    spool = make()
    spool.open()
    with pytest.raises(SpoolCorrupt):
        spool.read(Position("data", 99, 0))
    assert spool.losses() == ()


def test_a_segment_that_nothing_can_be_read_of_is_set_aside_not_deleted(
    make: Make, tmp_path: Path
) -> None:
    spool = make()
    spool.open()
    spool.commit([record(0), record(1)])
    spool.close()
    (path,) = (tmp_path / "data").glob("*.seg")
    path.write_bytes(b"\x55" * path.stat().st_size)
    spool = make()
    (loss,) = spool.open().losses
    assert (loss.records, loss.readings) == (2, 4)
    assert (tmp_path / "data" / "quarantine" / path.name).exists()


def test_a_full_disk_gets_the_ballast_first(make: Make, tmp_path: Path) -> None:
    spool = make()
    spool.open()
    assert (tmp_path / "ballast").stat().st_size == 8192
    assert spool.status().ballast


def test_a_loss_is_told_as_gaps_by_device_with_the_rest_on_the_gateway() -> None:
    loss = Loss(
        GapReason.QUOTA,
        Account("data", 0, 3),
        3,
        12,
        ((4, 5), (9, 3)),
        100,
        200,
        b"old boot--------",
    )
    gaps = loss.gaps(999, BOOT)
    assert [(gap.device, gap.readings) for gap in gaps] == [(4, 5), (9, 3), (0, 4)]
    assert all(
        (gap.first_us, gap.last_us, gap.boot) == (100, 200, b"old boot--------") for gap in gaps
    )
    unknown = Loss(GapReason.CORRUPT, Account("data", 0, 3), 3, None)
    assert [(gap.device, gap.readings, gap.first_us) for gap in unknown.gaps(999, BOOT)] == [
        (0, None, 999)
    ]


def test_what_is_written_is_little_more_than_what_is_sealed(make: Make) -> None:
    spool = make()
    spool.open()
    for n in range(64):
        spool.commit([record(n, size=2000)])
    status = spool.status()
    assert status.payload == 64 * 2000
    assert status.written < 1.5 * status.payload
