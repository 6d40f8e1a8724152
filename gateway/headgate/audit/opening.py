"""What a start finds: where the chain ends that can be gone on with, and what is wrong behind it.

Looks at the newest files only, so that a start costs the same after a day and after a year; the whole log
is gone over later, file by file (`headgate.audit.check`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from headgate.audit.files import LogFolder
from headgate.audit.line import Found, scan
from headgate.audit.pen import Cause, Place, Start

#: What a power cut can leave of writes that nobody was told of.
LARGEST_TORN: Final = 1 << 20
#: Files that are looked into, newest first, until one holds a sound line.
_MOST_LOOKED_INTO: Final = 16


def find_start(
    folder: LogFolder, sm3: Callable[[bytes], bytes], new_log: Callable[[], str], remembered: int
) -> Start:
    """Where to go on. Never raises: a log that cannot be read is a break, not a reason not to start.

    Args:
        remembered: number of an entry that is known to have been durable; 0 where nothing is known.
    """
    try:
        numbers = folder.numbers()
        known = {number: folder.size(number) or 0 for number in numbers}
    except OSError as error:
        cause = _lost("unreadable", str(error.strerror), 1, remembered)
        return Start(Place(new_log()), remembered + 1, 1, cause)
    if not numbers:
        if not remembered:
            return Start(Place(new_log()), 1, 1)
        cause = _lost("gone", "no file of the log is left", 1, remembered)
        return Start(Place(new_log()), remembered + 1, 1, cause)
    next_file = numbers[-1] + 1
    highest, behind, files_behind, unreadable = remembered, 0, 0, ""
    place: Place | None = None
    for number in reversed(numbers[-_MOST_LOOKED_INTO:]):
        try:
            data = folder.read(number)
        except OSError as error:
            unreadable, files_behind = str(error.strerror), files_behind + 1
            continue
        place, last = _end_of(number, data, sm3)
        highest = max(highest, last)
        behind += len(data) - (place.end if place else 0)
        files_behind += place is None
        if place is not None:
            break
    if place is None:
        text = unreadable or "no line of the newest files can be read"
        cause = _lost("damaged", text, 1, highest)
        return Start(Place(new_log()), highest + 1, next_file, cause, known)
    return Start(
        place, max(highest, place.seq) + 1, next_file,
        _cause(place, highest, remembered, behind, files_behind, unreadable), known,
    )  # fmt: skip


def _cause(
    place: Place, highest: int, remembered: int, behind: int, files_behind: int, unreadable: str
) -> Cause | None:
    lost_to = max(highest, remembered)
    if remembered > place.seq or unreadable:
        text = unreadable or "the log ends before an entry that was durable"
        return _lost("shorter", text, place.seq + 1, lost_to)
    if not behind:
        return None
    # The first write into a new file may be torn, too, and then nothing of that file is sound.
    if behind <= LARGEST_TORN and files_behind <= 1:
        return Cause("cut", "the end of a write that a power cut stopped", torn=True)
    return _lost("damaged", "lines that cannot be read", place.seq + 1, lost_to)


def _lost(reason: str, text: str, first: int, last: int) -> Cause:
    if last < first:  # nothing that anybody knows of
        return Cause(reason, text)
    return Cause(reason, text, lost_from=first, lost_to=last)


def _end_of(number: int, data: bytes, sm3: Callable[[bytes], bytes]) -> tuple[Place | None, int]:
    """The end of the sound beginning of a file, and the highest number of an entry anywhere in it."""
    place: Place | None = None
    highest, log, whole = 0, "", True
    for found in scan(data):
        if not isinstance(found, Found):
            whole = False
            continue
        line = found.line
        highest = max(highest, line.seq)
        if place is None and whole:
            log = str(line.fields.get("log", ""))
            whole = line.kind.startswith("log-") and bool(log)
        elif place is not None and line.previous != place.sm3:
            whole = False
        if whole:
            place = Place(log, line.seq, sm3(found.text).hex(), number, found.end)
    return place, highest
