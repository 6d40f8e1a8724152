"""Who was reached and who was refused stands in the audit log, once for each change."""

from __future__ import annotations

from headgate.audit import Entry
from headgate.runtime.delivery import UplinkStatus
from headgate.runtime.peers import PeerWatch


def told(*looks: tuple[str, str | None]) -> list[tuple[str, str, str]]:
    entries: list[Entry] = []
    watch = PeerWatch(entries.append)
    for state, code in looks:
        watch.look([UplinkStatus("city", "mqtt", state, 1, None, code)])
    assert {each.what for each in entries} <= {"uplink city"}
    return [(each.kind, each.result, each.code) for each in entries]


CONNECTED = ("peer-connected", "ok", "")


def test_a_connection_is_told_once_however_long_it_stands() -> None:
    looks = [("connecting", None), ("online", None), ("no receipts", "HG-5024"), ("online", None)]
    assert told(*looks) == [CONNECTED]
    assert told(("online", None), ("waiting", "HG-5018"), ("online", None)) == [CONNECTED] * 2


def test_a_refusal_is_told_once_for_each_reason() -> None:
    stranger, revoked = ("waiting", "HG-5060"), ("waiting", "HG-5066")
    found = told(stranger, ("connecting", "HG-5060"), stranger, revoked)
    assert found == [("peer-refused", "refused", code) for code in ("HG-5060", "HG-5066")]
    again = told(stranger, ("online", None), stranger)
    assert [kind for kind, _, _ in again] == ["peer-refused", "peer-connected", "peer-refused"]


def test_a_line_that_is_down_is_nobodys_refusal() -> None:
    assert told(("waiting", "HG-5010"), ("waiting", "HG-5012"), ("waiting", "HG-5018")) == []
