"""Mistakes that somebody could make, each as exact text to be replaced in one file (or a few).

`Bug.plant` fails when the text is not there exactly once: code has moved, and the bug must move with it.
Each is a mistake that type checks and unit tests of the happy way would let pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SPOOL = "gateway/headgate/spool/"
RUNTIME = "gateway/headgate/runtime/"
MQTT = "plugins/headgate_plugins/mqtt/"
RECEIVER = "receiver/headgate_receiver/"


class Moved(Exception):
    """The text of a bug is not where it was."""


@dataclass(frozen=True)
class Edit:
    """In `path`, `old` becomes `new`."""

    path: str
    old: str
    new: str


@dataclass(frozen=True)
class Bug:
    """One mistake. `likely`: the part of the programme that is tried first; any may catch it."""

    name: str
    edits: tuple[Edit, ...]
    likely: str

    def plant(self, tree: Path) -> None:
        """Make the mistake in a copy of the tree. Raises Moved."""
        for edit in self.edits:
            path = tree / edit.path
            text = path.read_text(encoding="utf-8")
            if text.count(edit.old) != 1:
                found = text.count(edit.old)
                raise Moved(f"{self.name}: {edit.path} has this {found} times:\n{edit.old}")
            path.write_text(text.replace(edit.old, edit.new), encoding="utf-8")


def bug(name: str, likely: str, path: str, old: str, new: str, *more: Edit) -> Bug:
    return Bug(name, (Edit(path, old, new), *more), likely)


WRITE = "        self._file.write(data)\n"
SYNC = "        self._file.sync()\n"

# fmt: off
BUGS = (
    # ------------------------------------------------------------ what durable means
    bug("ack before commit: the sync comes before the write", "images", SPOOL + "tail.py",
        WRITE + SYNC, SYNC + WRITE),
    bug("a segment's file is not synced", "images", SPOOL + "tail.py", WRITE + SYNC, WRITE),
    bug("the folder of a new segment is not synced", "images", SPOOL + "tail.py",
        "            self._files.sync_folder(self._folder)\n        self.rows",
        "            pass\n        self.rows"),
    bug("an error of fsync is swallowed", "faults", SPOOL + "tail.py", WRITE + SYNC,
        WRITE + "        try:\n            self._file.sync()\n        except OSError as error:\n"
        '            log.warning("not synced", extra={"error": str(error)})\n'),
    bug("after EIO, fsync is tried again on the same file", "faults", SPOOL + "tail.py",
        WRITE + SYNC, WRITE + "        try:\n            self._file.sync()\n"
        "        except OSError:\n            self._file.sync()\n"),
    bug("an error of write is swallowed", "syscalls", SPOOL + "tail.py", WRITE + SYNC,
        "        try:\n            self._file.write(data)\n        except OSError as error:\n"
        '            log.warning("not written", extra={"error": str(error)})\n' + SYNC),
    bug("a file is written on after an error in it", "syscalls", SPOOL + "log.py",
        "        except BaseException:\n            self._tail.abandon()\n            raise\n",
        "        except BaseException:\n            raise\n"),
    bug("a start appends to an old segment", "syscalls", SPOOL + "spool.py",
        "numbers = count(max(one.highest for one in logs) + 1)",
        "numbers = count(max(one.highest for one in logs))",
        Edit("gateway/headgate/env/files.py", "os.O_CREAT | os.O_EXCL | os.O_APPEND",
             "os.O_CREAT | os.O_APPEND")),
    bug("a file that replaces another is not synced before its rename", "syscalls",
        "gateway/headgate/env/files.py",
        "            os.fsync(fd)\n        finally:\n            os.close(fd)\n        os.replace",
        "        finally:\n            os.close(fd)\n        os.replace"),
    bug("a rename is not made durable by its folder", "syscalls", "gateway/headgate/env/files.py",
        "        os.replace(new, path)\n        self.sync_folder(path.parent)\n",
        "        os.replace(new, path)\n"),
    bug("fdatasync does nothing", "syscalls", "gateway/headgate/env/files.py",
        "        os.fdatasync(self._fd)\n", "        os.fstat(self._fd)\n"),
    bug("state.db without sync", "images", SPOOL + "database.py",
        "PRAGMA synchronous = FULL", "PRAGMA synchronous = OFF"),
    # ------------------------------------------------------------ what is read back
    bug("a torn tail is taken without its checksum", "images", SPOOL + "segment.py",
        "    if _CRC.unpack_from(head, _RECORD.size)[0] != _header_crc(head[: _RECORD.size], "
        "offset, start):\n        return None\n", ""),
    bug("sealed bytes are believed without their checksum", "rot", SPOOL + "segment.py",
        "    return sealed if zlib.crc32(sealed, start) == entry.sealed_crc else None",
        "    return sealed",
        Edit(SPOOL + "segment.py", "    return len(data) == entry.sealed_size and "
             "zlib.crc32(data, start) == entry.sealed_crc",
             "    return len(data) == entry.sealed_size")),
    bug("a checksum does not know the place of its record", "spool", SPOOL + "segment.py",
        "zlib.crc32(head, zlib.crc32(offset.to_bytes(8, \"big\"), start))",
        "zlib.crc32(head)",
        Edit(SPOOL + "segment.py", "zlib.crc32(index, start), zlib.crc32(data, start),",
             "zlib.crc32(index), zlib.crc32(data),"),
        Edit(SPOOL + "segment.py",
             "    return sealed if zlib.crc32(sealed, start) == entry.sealed_crc else None",
             "    return sealed if zlib.crc32(sealed) == entry.sealed_crc else None"),
        Edit(SPOOL + "segment.py", "and zlib.crc32(data, start) == entry.sealed_crc",
             "and zlib.crc32(data) == entry.sealed_crc"),
        Edit(SPOOL + "segment.py",
             "zlib.crc32(packed, start) == _RECORD", "zlib.crc32(packed) == _RECORD")),
    bug("copies of an abandoned file are taken for records", "faults", SPOOL + "earlier.py",
        "isinstance(entry, Damage) or entry.serial >= limit or entry.serial <= last",
        "isinstance(entry, Damage) or entry.serial <= last"),
    bug("a segment that cannot be read is deleted, not set aside", "syscalls",
        SPOOL + "folder.py",
        "            self._files.rename(self.path(number), folder / f\"{number:012}.seg\")\n",
        "            self._files.remove(self.path(number))\n"),
    # ------------------------------------------------------------ what is lost is said, once
    bug("a gap is forgotten before it is durable", "syscalls", SPOOL + "log.py",
        "        return self.ledger.pending\n",
        "        pending, self.ledger._pending = self.ledger.pending, []\n        return pending\n"),
    bug("a loss is counted twice", "syscalls", SPOOL + "log.py",
        "        self.ledger.accounted(account, durable=durable)\n", ""),
    bug("what the quota drops is not counted", "syscalls", SPOOL + "log.py",
        "        if loss is not None:\n            self.ledger.add(loss)\n", ""),
    bug("the readings of a dropped segment are not counted", "syscalls", SPOOL + "loss.py",
        "            readings += entry.index.readings\n", ""),
    bug("a segment goes before the ledger says so", "images", SPOOL + "log.py",
        "        before = self.ledger.copy()\n",
        "        self._disk.remove(number)\n        before = self.ledger.copy()\n"),
    bug("what a dropped record had told is not told again", "syscalls", SPOOL + "log.py",
        "        carried += [each.account for each in going if each.serial in lost]\n"
        "        self.unsaid(carried)\n", ""),
    bug("what an unreadable record had told is not told again", "rot", SPOOL + "earlier.py",
        "        self.unsaid += self.ledger.carriers_found(\n",
        "        self.ledger.carriers_found(\n"),
    bug("who told of a loss is not on record", "rot", SPOOL + "ledger.py",
        "(*self._carriers, *self._lost_carriers), self.newest,\n", "(), self.newest,\n"),
    bug("a lost tail is not missed", "rot", SPOOL + "earlier.py",
        "            if far.spool == self.ledger.log_id and far.serial > self.serial:\n",
        "            if False and far.spool == self.ledger.log_id:\n"),
    bug("serials of a lost tail are given again", "spool", SPOOL + "earlier.py",
        "        if self.ledger.end()[0] > self.serial:\n",
        "        if self.ledger.end()[0] > self.serial + (1 << 62):\n"),
    # ------------------------------------------------------------ who goes first, what comes first
    bug("the quota drops alarms first", "syscalls", SPOOL + "room.py",
        "                number = min(one.segments)\n",
        "                one = self._alarms if self._alarms.segments else one\n"
        "                number = min(one.segments)\n"),
    bug("the quota drops the newest first", "syscalls", SPOOL + "room.py",
        "                number = min(one.segments)\n",
        "                number = max(one.segments)\n"),
    bug("starts are ordered by the wall clock", "syscalls", SPOOL + "epochs.py",
        "        started = max((known.started for known in self._epochs.values()), default=0) + 1\n",
        "        started = self.wall_us()\n",
        Edit(SPOOL + "state.py", "        self._complaint = \"\"\n        # When",
             "        self._complaint = \"\"\n        self._epochs.wall_us = env.clock.wall_us\n"
             "        # When"),
        Edit(SPOOL + "state.py",
             "(SELECT ifnull(max(started), 0) + 1 FROM epochs WHERE epoch != ?1 AND ?1 = ?6)))",
             "?5 + 0 * length(?6)))")),
    bug("the last start is the one with the most records", "syscalls", SPOOL + "newest.py",
        "    latest = max((end for end in every if end.epoch in last), default=None)\n",
        "    latest = max(every, key=lambda end: end.n, default=None)\n"),
    bug("a start whose records are gone is forgotten", "rot", SPOOL + "ledger.py",
        "(*self._carriers, *self._lost_carriers), self.newest,\n",
        "(*self._carriers, *self._lost_carriers), None,\n",
        Edit(SPOOL + "epochs.py", "            self.committed(previous[0], previous[1])\n",
             "            pass\n")),
    bug("an epoch is used again after a restart", "gateway", "gateway/headgate/app.py",
        "        self.epoch = env.random.token(8)\n",
        "        known_epochs = self._state.epochs()\n"
        "        self.epoch = known_epochs[-1].epoch if known_epochs else env.random.token(8)\n"),
    bug("n starts again after some records", "gateway", RUNTIME + "press.py",
        "n, self._n = self._n, self._n + 1", "n, self._n = self._n, (self._n + 1) % 6"),
    bug("a device number is given to a second device", "syscalls", SPOOL + "devices.py",
        "        self._lowest = max(self._lowest, highest + 1)\n", ""),
    bug("a new device number is used before it is kept", "images", SPOOL + "devices.py",
        "            self._new = True\n        return number", "        return number",
        Edit(SPOOL + "devices.py", "            self._numbers[device] = number\n"
             "            self._note(device, number)\n", "            self._numbers[device] = number\n")),
    # ------------------------------------------------------------ the cursor
    bug("the cursor moves past an unsent record", "chaos", RUNTIME + "cursor.py",
        "            self._next[turn] = (position.segment, position.row + 1)\n",
        "            self._next[turn] = (position.segment, position.row + 2)\n"),
    bug("a record counts as settled once it is taken", "syscalls", RUNTIME + "cursor.py",
        "    def settle(self, epoch: bytes, first: int, last: int) -> list[Position]:\n",
        "    def took(self, position: Position) -> None:\n"
        "        rows = self._segments[position.log, position.segment].rows\n"
        "        n = rows.ns[position.row]\n"
        "        self.settled.setdefault(rows.epoch(position.row), RangeSet()).add(n, n)\n"
        "        self.changed.add(rows.epoch(position.row))\n\n"
        "    def settle(self, epoch: bytes, first: int, last: int) -> list[Position]:\n",
        Edit(RUNTIME + "outbox.py",
             "        while (position := self.cursor.take(turn, self._old)) is not None:\n",
             "        while (position := self.cursor.take(turn, self._old)) is not None:\n"
             "            self.cursor.took(position)\n")),
    bug("what got no receipt is not offered again", "chaos", RUNTIME + "outbox.py",
        "            self.cursor.give_back(flight.position, self._turn_again(flight.turn))\n", ""),
    bug("what a lost link had in flight is forgotten", "chaos", RUNTIME + "outbox.py",
        "                self.cursor.give_back(flight.position, flight.turn)\n",
        "                self.cursor.lose(flight.position)\n"),
    # ------------------------------------------------------------ receipts
    bug("the broker's word frees a record", "chaos", MQTT + "session.py",
        "        if self._terms.by_platform:\n            self._window.published",
        "        if not self._terms.by_platform:\n            self._window.published"),
    bug("a receipt is believed without its signature", "chaos",
        "gateway/headgate/envelope/receipt.py",
        "    if not any(one.verify(signature, sent.body) for one in pinned for signature in signatures):\n",
        "    if not any(signatures):\n"),
    bug("a receipt of another epoch frees records", "chaos", RUNTIME + "outbox.py",
        "        epoch = receipt.epoch\n        freed",
        "        epoch = self.cursor._epoch\n        freed"),
    bug("a receipt's range is one too long", "chaos", RUNTIME + "outbox.py",
        "self.cursor.settle(epoch, first, last)", "self.cursor.settle(epoch, first, last + 1)"),
    bug("a receipt's floor is one too high", "chaos", RUNTIME + "outbox.py",
        "self.cursor.settle(epoch, 0, receipt.floor - 1)",
        "self.cursor.settle(epoch, 0, receipt.floor)"),
    bug("a dead letter frees its neighbours", "chaos", RUNTIME + "outbox.py",
        "        self.cursor.settle(epoch, n, n)\n",
        "        self.cursor.settle(epoch, max(0, n - 1), n + 1)\n"),
    bug("a refused record leaves no gap", "chaos", RUNTIME + "outbox.py",
        "            self._say(gap)\n", "            log.info(\"gap\", extra={\"device\": gap.device})\n"),
    bug("nobody listens, and it counts as delivered", "chaos", MQTT + "session.py",
        "        if code == NO_SUBSCRIBER and (self._terms.by_platform or not self._terms.unheard):\n",
        "        if code == NO_SUBSCRIBER:\n            self._outbox.settle([record])\n"
        "            return\n        if code == -1:\n"),
    # ------------------------------------------------------------ the platform's side
    bug("a receipt leaves before its records are stored", "chaos", RECEIVER + "service.py",
        "        if not batch.empty:\n            loop",
        "        await self._answer(link, answers)\n        if not batch.empty:\n            loop"),
    bug("the platform acknowledges one more than it has", "chaos", RECEIVER + "core.py",
        "        self._stored_of(gateway, header.epoch).add(header.n)\n",
        "        self._stored_of(gateway, header.epoch).add(header.n, header.n + 1)\n"),
    bug("after a failed commit the platform believes what it has not", "chaos",
        RECEIVER + "service.py",
        "                    self._core.forget()\n", ""),
    bug("a record that comes again is stored again", "chaos", RECEIVER + "core.py",
        "        settled = header.n in self._stored_of(grant.gateway, header.epoch)\n",
        "        settled = False\n",
        Edit(RECEIVER + "schema.sql", "    UNIQUE (gateway, epoch, n)\n",
             "    UNIQUE (id, gateway, epoch, n)\n")),
    bug("times are rewritten on arrival", "chaos", RECEIVER + "looks.py",
        "        if block.device != self.table.number:\n",
        "        import msgspec\n\n"
        "        block = msgspec.structs.replace(block, at_us=block.at_us // 10 * 10)\n"
        "        if block.device != self.table.number:\n"),
    bug("one platform's word for a refused record is asked for again", "chaos",
        RECEIVER + "core.py",
        "        if refused:\n            stored = stored.copy()\n", "        if not stored:\n"
        "            stored = stored.copy()\n"),
)
# fmt: on
