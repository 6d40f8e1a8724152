"""Which start committed last, over two logs whose segments share their numbers."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from headgate.spool.newest import End, newest


@pytest.mark.parametrize(
    ("data", "alarms", "found"),
    [
        ([], [], (None, None)),
        ([End(1, b"a", 4)], [], (b"a", 4)),
        ([End(1, b"a", 4), End(3, b"b", 2)], [End(2, b"a", 9)], (b"b", 2)),
        ([End(1, b"a", 4)], [End(2, b"a", 9)], (b"a", 9)),
        # Abandoned by the first start, forgotten by the second, and brought back by a power cut.
        ([End(1, b"a", 4), End(7, b"a", 5)], [End(2, b"a", 1), End(3, b"b", 0)], (b"b", 0)),
    ],
)
def test_the_start_that_came_last_is_found(
    data: Sequence[End], alarms: Sequence[End], found: tuple[bytes | None, int | None]
) -> None:
    assert newest([data, alarms]) == found
    assert newest([alarms, data]) == found
