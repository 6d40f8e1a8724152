"""The audit log of a running gateway: durable before `note` returns, and telling of its own losses."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.audit_log import KEY, KEYS, PROVIDER, entry, filled, lines, opened
from msgspec import structs

from headgate.audit import AuditLog, Entry, Head
from headgate.audit.check import Checker, Report
from headgate.audit.files import LogFolder
from headgate.audit.flood import BURST
from headgate.audit.keeping import RESERVE
from headgate.audit.line import NOTHING, Found, Line, encode, json_text, scan
from headgate.env import AppendFile, SystemFiles
from headgate.errors import SpoolError
from headgate.testing.env import ManualClock, fake_env, run


def test_each_entry_hangs_on_the_one_before(tmp_path: Path) -> None:
    async def main() -> None:
        log = opened(tmp_path / "audit")
        await log.note(entry())
        await log.note(entry("stopping"))
        log.close()

    run(main)
    found = lines(tmp_path / "audit")
    assert [f.line.kind for f in found] == ["log-opened", "started", "stopping"]
    assert [f.line.seq for f in found] == [1, 2, 3]
    assert found[0].line.previous == NOTHING
    for before, after in itertools.pairwise(found):
        assert after.line.previous == PROVIDER.sm3(before.text).hex()


# ------------------------------------------------------------ what a disk and a person do to it


class Disk(SystemFiles):
    """Refuses writes or syncs when it is told to."""

    def __init__(self) -> None:
        self.refuse: int | None = None
        self.refuse_sync: int | None = None
        self.syncs = 0

    def append(self, path: Path) -> AppendFile:
        return _Append(self, super().append(path))


class _Append:
    def __init__(self, disk: Disk, file: AppendFile) -> None:
        self._disk, self._file = disk, file

    def write(self, data: bytes) -> None:
        if self._disk.refuse is not None:
            self._file.write(data[: len(data) // 2])
            raise OSError(self._disk.refuse, os.strerror(self._disk.refuse))
        self._file.write(data)

    def sync(self) -> None:
        self._disk.syncs += 1
        if self._disk.refuse_sync is not None:
            raise OSError(self._disk.refuse_sync, os.strerror(self._disk.refuse_sync))
        self._file.sync()

    def close(self) -> None:
        self._file.close()


def report_of(folder: Path, **more: Any) -> Report:
    files = LogFolder(SystemFiles(), folder)
    checker = Checker(PROVIDER.sm3, **more)
    for number in files.numbers():
        checker.feed(number, files.read(number))
    return checker.finish()


def test_what_comes_together_shares_one_sync(tmp_path: Path) -> None:
    async def main() -> None:
        disk = Disk()
        log = opened(tmp_path / "audit", env=fake_env(ManualClock(), files=disk))
        await asyncio.gather(*(log.note(entry(n=n)) for n in range(50)))
        assert disk.syncs == 1
        log.close()

    run(main)
    assert [f.line.fields.get("n") for f in lines(tmp_path / "audit")[1:]] == list(range(50))


@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS, errno.ENOSPC])
@pytest.mark.parametrize("where", ["refuse", "refuse_sync"])
def test_a_disk_that_refuses_is_said_and_the_chain_goes_on_in_a_new_file(
    tmp_path: Path, number: int, where: str
) -> None:
    async def main() -> None:
        clock, disk = ManualClock(), Disk()
        log = opened(tmp_path / "audit", env=fake_env(clock, files=disk))
        alarms: list[tuple[str, bool]] = []
        log.on_alarm = lambda name, active, value: alarms.append((name, active))
        await log.note(entry(n=1))
        setattr(disk, where, number)
        with pytest.raises(SpoolError) as refused:
            await log.note(entry(n=2))
        assert refused.value.code == "HG-9300"
        log.tell(entry(n=3))  # nobody waits: it is kept, with its time
        await log.settled()
        assert log.status().failing and ("audit-failing", True) in alarms
        setattr(disk, where, None)
        clock.advance(2)
        await log.note(entry(n=4))
        assert alarms[-1] == ("audit-failing", False) and log.status().breaks == 1
        log.close()

    run(main)
    files = sorted(path.name for path in (tmp_path / "audit").glob("*.log"))
    assert len(files) == 2  # never again into the first; none of what failed in between is left
    report = report_of(tmp_path / "audit")
    assert report.sound, report.findings
    assert [f.code for f in report.findings] == ["HG-9324"]  # the break, on record
    numbers = {line.fields.get("n") for line in _chain(tmp_path / "audit")}
    assert {1, 3, 4} <= numbers and 2 not in numbers


def _chain(folder: Path) -> list[Line]:
    """The lines that hang together, from the last one back."""
    found = []
    for path in sorted(folder.glob("*.log")):
        found += [each for each in scan(path.read_bytes()) if isinstance(each, Found)]
    by_digest = {PROVIDER.sm3(each.text).hex(): each.line for each in found}
    line: Line | None = found[-1].line
    chain = []
    while line is not None:
        chain.append(line)
        line = by_digest.get(line.previous)
    return chain[::-1]


def test_room_is_kept_back_for_the_entries_of_a_full_disk(tmp_path: Path) -> None:
    class Full(Disk):
        def remove(self, path: Path) -> None:
            super().remove(path)
            if path.name == "reserve":
                self.refuse = None

    async def main() -> None:
        disk = Full()
        log = opened(tmp_path / "audit", env=fake_env(ManualClock(), files=disk))
        await log.note(entry())
        await log.hourly()
        assert (tmp_path / "audit" / "reserve").stat().st_size == RESERVE
        disk.refuse = errno.ENOSPC
        await log.note(entry("command-accepted"))
        assert not (tmp_path / "audit" / "reserve").exists()
        log.close()

    run(main)
    assert report_of(tmp_path / "audit").sound


def test_a_sound_log_is_sound_and_its_heads_are_its_own(tmp_path: Path) -> None:
    heads = filled(tmp_path / "audit", starts=3)
    report = report_of(tmp_path / "audit", keys=KEYS, heads=heads)
    assert report.sound and report.findings == ()
    assert report.heads == report.compared == len(heads) == 3 and report.unknown_keys == 0


def checked(files: dict[int, bytes], **more: Any) -> Report:
    checker = Checker(PROVIDER.sm3, **more)
    for number in sorted(files):
        checker.feed(number, files[number])
    return checker.finish()


def in_memory(folder: Path) -> dict[int, bytes]:
    files = LogFolder(SystemFiles(), folder)
    return {number: files.read(number) for number in files.numbers()}


def test_every_byte_that_is_changed_is_found(tmp_path: Path) -> None:
    filled(tmp_path / "audit")
    files = in_memory(tmp_path / "audit")
    for number, whole in files.items():
        for at in range(len(whole)):
            changed = whole[at] ^ (1 << at % 8)
            altered = whole[:at] + bytes([changed]) + whole[at + 1 :]
            assert not checked({**files, number: altered}).sound, (number, at)


def test_every_byte_that_is_removed_or_put_in_is_found(tmp_path: Path) -> None:
    heads = filled(tmp_path / "audit")
    files = in_memory(tmp_path / "audit")
    for number, whole in files.items():
        for at in range(0, len(whole), 5):
            for altered in (whole[:at] + whole[at + 1 :], whole[:at] + b"\n" + whole[at:]):
                assert not checked({**files, number: altered}, heads=heads).sound, (number, at)


def rewritten(path: Path, change: Callable[[list[Line]], list[Line]]) -> None:
    """What somebody does who knows the format: other entries, their checksums right."""
    found = [each.line for each in scan(path.read_bytes()) if isinstance(each, Found)]
    path.write_bytes(b"".join(encode(json_text(line)) for line in change(found)))


def test_an_entry_edited_by_somebody_who_mends_the_checksum_is_named(tmp_path: Path) -> None:
    filled(tmp_path / "audit")
    first = min((tmp_path / "audit").glob("*.log"))

    def edit(found: list[Line]) -> list[Line]:
        return [structs.replace(line, who="nobody") if line.seq == 3 else line for line in found]

    rewritten(first, edit)
    report = report_of(tmp_path / "audit", keys=KEYS)
    assert [(f.code, f.fields["seq"]) for f in report.findings if f.grave] == [("HG-9311", 3)]


def test_entries_taken_out_moved_and_put_in_are_named(tmp_path: Path) -> None:
    filled(tmp_path / "audit")
    first = min((tmp_path / "audit").glob("*.log"))
    whole = first.read_bytes()
    rewritten(first, lambda found: [line for line in found if line.seq != 3])
    [finding] = report_of(tmp_path / "audit").findings
    assert (finding.code, finding.fields) == ("HG-9312", {"first": 3, "last": 3})
    first.write_bytes(whole)
    rewritten(first, lambda found: [found[0], found[2], found[1], *found[3:]])
    assert "HG-9313" in [f.code for f in report_of(tmp_path / "audit").findings]
    first.write_bytes(whole)
    rewritten(first, lambda found: [*found[:3], found[2], *found[3:]])
    assert "HG-9313" in [f.code for f in report_of(tmp_path / "audit").findings]


def test_a_whole_file_that_is_gone_is_named_by_its_entries(tmp_path: Path) -> None:
    filled(tmp_path / "audit", starts=3)
    numbers = sorted((tmp_path / "audit").glob("*.log"))
    first_of = [next(iter(scan(p.read_bytes()))).line.seq for p in numbers]  # type: ignore[union-attr]
    numbers[1].unlink()
    [finding] = report_of(tmp_path / "audit").findings
    assert finding.code == "HG-9312"
    assert finding.fields == {"first": first_of[1], "last": first_of[2] - 1}


def test_a_beginning_that_is_gone_is_named(tmp_path: Path) -> None:
    filled(tmp_path / "audit")
    min((tmp_path / "audit").glob("*.log")).unlink()
    [finding] = report_of(tmp_path / "audit").findings
    assert finding.code == "HG-9317"


def test_a_tail_cut_off_between_two_entries_is_found_by_the_head_known_elsewhere(
    tmp_path: Path,
) -> None:
    heads = filled(tmp_path / "audit")
    last = max((tmp_path / "audit").glob("*.log"))
    rewritten(last, lambda found: found[:2])
    assert report_of(tmp_path / "audit", keys=KEYS).sound  # no file can show this by itself
    report = report_of(tmp_path / "audit", keys=KEYS, heads=heads)
    [finding] = report.findings
    assert (finding.code, finding.fields["known"]) == ("HG-9314", heads[-1].seq)


def test_a_log_written_anew_by_whoever_holds_the_key_differs_from_the_head_known_elsewhere(
    tmp_path: Path,
) -> None:
    heads = filled(tmp_path / "audit")
    for path in (tmp_path / "audit").glob("*.log"):
        path.unlink()
    again = filled(tmp_path / "audit")
    assert report_of(tmp_path / "audit", keys=KEYS, heads=again).sound
    report = report_of(tmp_path / "audit", keys=KEYS, heads=heads)
    assert not report.sound and {f.code for f in report.findings} <= {"HG-9315", "HG-9320"}


def test_a_head_signed_by_another_key_is_refused(tmp_path: Path) -> None:
    filled(tmp_path / "audit")
    stranger = PROVIDER.sm2_generate()
    report = report_of(tmp_path / "audit", keys={KEY.key.hex(): stranger.public.verify})
    assert {f.code for f in report.findings} == {"HG-9316"}
    assert report_of(tmp_path / "audit").unknown_keys == 2


def test_a_clone_and_a_restored_image_show_as_forks(tmp_path: Path) -> None:
    heads = filled(tmp_path / "audit", starts=1)
    shutil.copytree(tmp_path / "audit", tmp_path / "clone")
    ours = filled(tmp_path / "audit", starts=1)
    theirs = filled(tmp_path / "clone", starts=1, later_s=5)
    for folder in ("audit", "clone"):
        report = report_of(tmp_path / folder, keys=KEYS, heads=[*heads, *ours, *theirs])
        assert not report.sound


@pytest.mark.parametrize("cut", range(0, 400, 13))
def test_a_power_cut_in_a_write_leaves_a_log_that_goes_on_and_says_so(
    tmp_path: Path, cut: int
) -> None:
    folder = tmp_path / "audit"
    filled(folder, starts=1)
    last = max(folder.glob("*.log"))
    whole = last.read_bytes()
    more = encode(json_text(structs.replace(lines(folder)[-1].line, seq=99, what="unheard of")))
    last.write_bytes(whole + more[: min(cut, len(more) - 1)])
    filled(folder, starts=1)
    report = report_of(folder, keys=KEYS)
    assert report.sound and report.findings == ()
    kinds = [line.kind for line in _chain(folder)]
    assert kinds.count("log-torn") == (1 if cut else 0)
    # Whatever is slipped into what the cut left is found all the same.
    if cut:
        last.write_bytes(last.read_bytes()[:-1] + b"x")
        assert [f.code for f in report_of(folder).findings] == ["HG-9319"]


def test_a_log_deleted_while_the_gateway_runs_begins_anew_with_what_is_known(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "audit"

    async def main() -> None:
        log = opened(folder)
        alarms: list[tuple[str, bool]] = []
        log.signer, log.on_alarm = KEY, lambda name, active, value: alarms.append((name, active))
        for n in range(5):
            await log.note(entry(n=n))
        shutil.rmtree(folder)
        await log.note(entry(n=5))
        await log.hourly()
        assert ("audit-broken", True) in alarms
        log.close()

    run(main)
    found = lines(folder)
    assert found[0].line.kind == "log-break"
    fields = found[0].line.fields
    assert (fields["reason"], fields["lost_from"], fields["lost_to"]) == ("altered", 1, 6)
    assert [f.line.kind for f in found[1:]] == [
        "started",
        "log-head",
    ]  # the break is signed at once
    assert [f.code for f in report_of(folder, keys=KEYS).findings if f.grave] == ["HG-9318"]


@pytest.mark.parametrize("damage", ["deleted", "emptied", "rotten", "last file deleted"])
def test_a_log_lost_while_the_gateway_was_off_begins_anew_with_what_is_known(
    tmp_path: Path, damage: str
) -> None:
    folder = tmp_path / "audit"
    seq = filled(folder)[-1].seq
    for path in sorted(folder.glob("*.log"))[1 if damage.startswith("last") else 0 :]:
        if damage.endswith("deleted"):
            path.unlink()
        else:
            path.write_bytes(b"" if damage == "emptied" else bytes(len(path.read_bytes())))

    async def main() -> None:
        log = opened(folder, remembered=seq)
        await log.note(entry())
        log.close()

    run(main)
    newest = max(folder.glob("*.log"))
    first = next(iter(scan(newest.read_bytes())))
    assert isinstance(first, Found) and first.line.kind == "log-break"
    assert first.line.fields["lost_to"] >= seq and first.line.seq > seq  # no number is used twice
    assert not report_of(folder).sound


def test_a_file_that_goes_or_changes_later_is_told_once_and_alarms(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    filled(folder, starts=3)
    files = sorted(folder.glob("*.log"))

    async def main() -> None:
        log = opened(folder)
        alarms: list[tuple[str, bool]] = []
        log.on_alarm = lambda name, active, value: alarms.append((name, active))
        await log.note(entry())
        files[1].unlink()
        await log.hourly()
        await log.hourly()
        data = files[0].read_bytes()
        files[0].write_bytes(data.replace(b"command-accepted", b"command-confirme"))
        await log.check()
        await log.settled()
        assert alarms == [("audit-broken", True)]
        log.close()

    run(main)
    told = [f.line for f in lines_of(max(folder.glob("*.log"))) if f.line.kind == "log-damaged"]
    assert [line.fields["file"] for line in told] == [2, 1]


def lines_of(path: Path) -> list[Found]:
    return [each for each in scan(path.read_bytes()) if isinstance(each, Found)]


# ------------------------------------------------------------ how long it is kept


def test_at_the_quota_the_oldest_file_goes_on_record_and_the_rest_still_proves_itself(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "audit"
    heads: list[Head] = []

    async def main() -> None:
        clock = ManualClock()
        env = fake_env(clock)
        quota = 1 << 20
        log = AuditLog(
            env, folder, "hg-1", "0.1", PROVIDER.sm3, quota_bytes=quota, file_bytes=64 << 10
        )
        alarms: list[tuple[str, bool]] = []
        log.signer, log.on_head = KEY, heads.append
        log.on_alarm = lambda name, active, value: alarms.append((name, active))
        await log.note(entry())
        await log.hourly()
        for _ in range(40):
            for n in range(100):
                log.tell(entry("command-accepted", n=n))
            await log.settled()
            clock.advance(3600)
            await log.hourly()
            total = sum(path.stat().st_size for path in folder.iterdir())
            assert total < quota + (128 << 10)
        # Long before the first file went, it was plain that 180 days would not fit.
        assert alarms[0] == ("audit-retention", True)
        assert ("audit-dropped", True) in alarms
        log.close()

    run(main)
    assert not (folder / "000000000001.log").exists()
    report = report_of(folder, keys=KEYS, heads=heads)
    assert report.sound, report.findings
    assert any(f.line.kind == "log-dropped" for f in lines(folder))


def test_a_quiet_log_keeps_more_than_180_days_and_no_alarm_is_raised(tmp_path: Path) -> None:
    async def main() -> None:
        clock = ManualClock()
        log = opened(tmp_path / "audit", env=fake_env(clock))
        log.signer = KEY
        alarms: list[str] = []
        log.on_alarm = lambda name, active, value: alarms.append(name)
        for _ in range(24 * 10):
            await log.note(entry("command-accepted"))
            clock.advance(3600)
            await log.hourly()
        status = log.status()
        assert alarms == [] and status.days is not None and status.days > 180
        assert status.files == 11 and 20_000 < status.per_day < 60_000  # a file a day
        log.close()

    run(main)


def test_a_flood_is_counted_and_cannot_fill_the_log(tmp_path: Path) -> None:
    async def main() -> None:
        clock = ManualClock()
        log = opened(tmp_path / "audit", env=fake_env(clock))
        for _ in range(10_000):
            log.tell(entry("receipt-refused"))
            await log.note(entry("command-refused"))
        await log.note(entry("command-accepted"))  # what is asked for rightly is always written
        await log.hourly()
        log.close()

    run(main)
    kinds = [f.line.kind for f in lines(tmp_path / "audit")]
    assert kinds.count("receipt-refused") == kinds.count("command-refused") == BURST
    assert kinds.count("command-accepted") == 1
    told = [f.line for f in lines(tmp_path / "audit") if f.line.kind == "log-suppressed"]
    assert {(line.what, line.fields["count"]) for line in told} == {
        ("receipt-refused", 10_000 - BURST), ("command-refused", 10_000 - BURST),
    }  # fmt: skip


def test_no_text_from_outside_makes_a_long_or_broken_line(tmp_path: Path) -> None:
    async def main() -> None:
        log = opened(tmp_path / "audit")
        hostile = "\n0000 {}\ud800\x1b[2J" * 10_000
        await log.note(
            Entry(
                kind=hostile, who=hostile, what=hostile, result=hostile,
                fields={f"{n}{hostile}": hostile for n in range(100)},
            )
        )  # fmt: skip
        log.close()

    run(main)
    assert len(lines(tmp_path / "audit")) == 2
    assert report_of(tmp_path / "audit").sound


@given(st.binary(max_size=400))
def test_hostile_bytes_in_a_file_never_raise(data: bytes) -> None:
    checker = Checker(PROVIDER.sm3)
    checker.feed(1, data)
    checker.feed(2, data + b"\n" + data)
    assert not checker.finish().sound


def test_what_waits_at_the_end_is_still_written(tmp_path: Path) -> None:
    log = opened(tmp_path / "audit")
    log.tell(entry("start-refused"))  # before any loop runs
    log.close()
    assert [f.line.kind for f in lines(tmp_path / "audit")] == ["log-opened", "start-refused"]


# ------------------------------------------------------------ power cuts


class Volatile(SystemFiles):
    """A disk of which a power cut leaves only what was synced: bytes of files, names of folders."""

    def __init__(self) -> None:
        self.lengths: dict[Path, int] = {}
        self.named: set[Path] = set()

    def append(self, path: Path) -> AppendFile:
        disk, file = self, super().append(path)
        disk.lengths[path] = 0

        class Kept:
            def write(self, data: bytes) -> None:
                file.write(data)

            def sync(self) -> None:
                file.sync()
                disk.lengths[path] = path.stat().st_size

            def close(self) -> None:
                file.close()

        return Kept()

    def sync_folder(self, folder: Path) -> None:
        self.named |= {path for path in folder.iterdir() if path.suffix != ".new"}

    def left(self, root: Path) -> dict[int, bytes]:
        """Files of the log after a cut, by number."""
        found = {}
        for path, length in self.lengths.items():
            parents = [each for each in path.parents if root in each.parents]
            if path in self.named and all(each in self.named for each in parents):
                found[int(path.stem)] = path.read_bytes()[:length]
        return found


def test_an_entry_that_was_confirmed_is_there_after_a_power_cut_at_any_time(tmp_path: Path) -> None:
    async def main() -> None:
        disk = Volatile()
        clock = ManualClock()
        log = AuditLog(
            fake_env(clock, files=disk), tmp_path / "audit", "hg-1", "0.1", PROVIDER.sm3,
            quota_bytes=1 << 24, file_bytes=2000,
        )  # fmt: skip
        for n in range(40):
            await log.note(entry(n=n))
            left = disk.left(tmp_path)
            found = [each for data in left.values() for each in scan(data)]
            assert any(isinstance(f, Found) and f.line.fields.get("n") == n for f in found)
            assert checked(left).sound
        assert len(disk.lengths) > 5  # over many files
        log.close()

    run(main)
