"""`headgate status` as a page, in the reader's language."""

from __future__ import annotations

import re

import pytest

from headgate.cli.read import page as read_page
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


def test_states_of_stations_ports_and_gaps_are_said_in_chinese(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HEADGATE_LANG", "zh")
    port = {
        "channel": "st", "state": "up", "url": "-",
        "reason": "[Errno 98] error while attempting to bind on address (1): address already in use",
        "counters": {"answers": 1, "requests": 0},
        "tally": {"calls": 3, "on-line": 2, "refused-stranger": 1, "bad-bad_checksum": 4},
    }  # fmt: skip
    device = {
        "device": "d", "state": "silent", "good": 0, "looks": 1, "latency_us": None,
        "text": "channel st: no answer within 1.5 s",
    }  # fmt: skip
    counted = {
        "due": 5, "arrived": 2, "bad": 0, "in_time": 2, "in_gaps": 3, "open": 0,
        "gaps": {"device-silent": {"gaps": 1, "looks": 3, "readings": 0}},
    }  # fmt: skip
    account = {"late_s": 5, "today": {"d": counted}, "days": []}
    said = page({**STATUS, "channels": [port], "devices": [device], "account": account})
    assert "校验错误 4, 拨入次数 3, 在线 2, 拒绝：非本站点测站 1" in said
    assert "设备无应答 3 次" in said
    assert "端口已被其他程序占用 (1)" in said
    assert "通道 st：1.5 秒内无应答" in said
    assert not re.search(r"[a-z]{3,}", said)


@pytest.mark.parametrize(
    ("lang", "line", "advice"),
    [
        ("en", "address already in use [HG-3604]", "Another program listens there"),
        ("zh", "端口已被其他程序占用 (1) [HG-3604]", "端口已被占用，或该地址不属于本机"),
    ],
)
def test_a_port_that_cannot_be_had_is_told_with_what_to_try(
    monkeypatch: pytest.MonkeyPatch, lang: str, line: str, advice: str
) -> None:
    monkeypatch.setenv("HEADGATE_LANG", lang)
    port = {
        "channel": "st", "state": "down", "url": "-", "code": "HG-3604",
        "reason": "[Errno 98] error while attempting to bind on address (1): address already in use",
        "counters": {"answers": 1, "requests": 0},
    }  # fmt: skip
    lines = page({**STATUS, "channels": [port]}).splitlines()
    at = next(i for i, each in enumerate(lines) if each.strip().startswith("st "))
    assert lines[at].endswith(line)
    assert lines[at + 1].strip().startswith(advice)


def test_what_was_due_arrived_and_is_missing_is_on_the_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HEADGATE_LANG", "en")
    counted = {
        "due": 1440, "arrived": 1400, "bad": 2, "in_time": 1390, "in_gaps": 39, "open": 1,
        "gaps": {
            "device-silent": {"gaps": 2, "looks": 39, "readings": 78},
            "quota": {"gaps": 1, "looks": 0, "readings": 500},
            "clock-unknown": {"gaps": 1, "looks": 0, "readings": 0},
        },
    }  # fmt: skip
    device = {
        "device": "gauge-1", "state": "ok", "good": 9, "looks": 9, "latency_us": 2000, "text": "",
    }  # fmt: skip
    account = {
        "late_s": 5.0, "day": "2026-07-01", "today": {"gauge-1": counted},
        "days": [{"day": "2026-06-30", **counted, "due": None}, {"day": "2026-07-01", **counted}],
    }  # fmt: skip
    lines = page({**STATUS, "devices": [device], "account": account}).splitlines()
    whole = (
        "due 1440, arrived 1400, in time 1390, bad 2, open 1,"
        " device-silent 39 looks, quota 500 readings, clock-unknown 1x"
    )
    of_device = next(i for i, line in enumerate(lines) if "gauge-1" in line)
    assert lines[of_device + 1].strip() == f"today: {whole}"
    assert "(in time: 5 s)" in lines[of_device + 2]
    assert lines[of_device + 3].split(maxsplit=1) == ["2026-07-01", whole]
    assert lines[of_device + 4].split(maxsplit=1)[1].startswith("due -, arrived")


@pytest.mark.parametrize(
    ("lang", "line", "advice"),
    [
        ("en", "channel bus: no answer within 2 s [HG-3002]", "Check that the unit has power"),
        ("zh", "通道 bus：2 秒内无应答 [HG-3002]", "请检查设备供电"),
    ],
)
def test_a_device_that_says_nothing_is_told_with_what_to_try(
    monkeypatch: pytest.MonkeyPatch, lang: str, line: str, advice: str
) -> None:
    monkeypatch.setenv("HEADGATE_LANG", lang)
    said = read_page({
        "device": "m", "profile": "p", "took_ms": 2000.0, "frames": [], "readings": [],
        "error": "channel bus: no answer within 2 s", "code": "HG-3002",
    })  # fmt: skip
    assert line in said
    assert advice in said
