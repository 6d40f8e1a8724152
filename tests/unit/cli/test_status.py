"""`headgate status` as a page, in the reader's language."""

from __future__ import annotations

import re

import pytest

from headgate.cli.status import page

STATUS = {
    "gateway": "gw-1", "version": "1.0", "uptime_s": 61,
    "clock": {"state": "unsynced", "error_us": None},
    "identity": {"enrolled": True, "local_wrap": False, "sm2": "-"},
    "spool": {"bytes": 10, "quota": 2048, "segments": 3, "free": 5 * 1024**3},
    "writer": {"commits": 7, "failures": 1, "last_error": None},
    "uplinks": [{"id": "u", "state": "-", "error": None, "outbox": {"records": 4, "bytes": 5}}],
    "channels": [], "devices": [], "problems": [],
}  # fmt: skip


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_the_page_speaks_one_language(monkeypatch: pytest.MonkeyPatch, lang: str) -> None:
    monkeypatch.setenv("HEADGATE_LANG", lang)
    said = page(STATUS)
    assert re.search(r"3 (个分段|segments), 5.0 GiB (可用|free)", said)
    # What is left of the other language are names and units.
    foreign = r"[a-z]{4,}" if lang == "zh" else r"[\u4e00-\u9fff]"
    assert not re.search(foreign, said)


@pytest.mark.parametrize(
    ("lang", "line"),
    [
        ("en", "adverts 7, strangers about 31, of strangers 900"),
        ("zh", "广播 7, 未知标签约 31, 未知标签广播 900"),
    ],
)
def test_what_a_driver_counts_besides_is_on_the_page(
    monkeypatch: pytest.MonkeyPatch, lang: str, line: str
) -> None:
    monkeypatch.setenv("HEADGATE_LANG", lang)
    channel = {
        "channel": "air", "state": "up", "url": "ble://hci0", "reason": "",
        "counters": {"answers": 1, "requests": 0},
        "tally": {"strangers": 900, "adverts": 7, "stranger_senders": 31, "replay": 0},
    }  # fmt: skip
    assert line in page({**STATUS, "channels": [channel]})
