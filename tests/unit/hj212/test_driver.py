"""Loggers of HJ 212 dial a whole gateway: what is answered, what is stored, who is refused."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from kit.dialled import PATIENCE_S, Heard, local_us
from kit.logger import (
    MN,
    ST,
    Logger,
    Trusted,
    cod,
    own_profile,
    packet,
    sealed_packet,
    site,
    stored,
)

from headgate.env import system_env
from headgate.messages import severity
from headgate.sdk import ProfileError
from headgate_drivers.hj212 import talk
from headgate_drivers.hj212.driver import Hj212Driver

VECTORS = {
    each["name"]: each
    for each in json.loads(
        (Path(__file__).parents[2] / "vectors" / "protocols" / "hj212.json").read_text()
    )["vectors"]
}
OUTFALL = VECTORS["CN2011_ST32_0e3c"]["text"].encode()
OLD = VECTORS["CN2011_ST32_0253"]["text"].encode()
ASKS_TIME = VECTORS["CN1013_ST80_5ce1"]["text"].encode()
HEARTBEAT = VECTORS["CN9015_ST91_8a3f"]["text"].encode()
# ------------------------------------------------------------ what is stored, what is answered


async def test_real_time_data_are_answered_9014_with_their_qn_and_stored(
    tmp_path: Path, port: int
) -> None:
    here = site(tmp_path, MN, port=port)
    async with here.running():
        logger = await Logger.to(port)
        logger.send(OUTFALL)
        answer = await logger.answer()
        assert (answer["CN"], answer["QN"]) == ("9014", "20240123123205877")
        assert (answer["ST"], answer["Flag"], answer["MN"]) == ("91", "4", MN)
        logger.close()
    at = local_us(2024, 1, 23, 12, 32)
    values = {(p, v, t) for p, v, _, t in stored(here) if p != "rest"}
    assert values == {
        ("cod", 4653.8, at), ("nh3n", 43.58, at), ("tp", 1.58, at), ("tn", 83.53, at),
        ("ph", 7.17, at), ("temperature", 6.3, at), ("flow", 3.41, at),
    }  # fmt: skip
    (rest,) = [json.loads(v) for p, v, _, _ in stored(here) if p == "rest"]
    assert rest["w01018-SampleTime"] == "20240123110306"


async def test_what_asks_for_no_answer_gets_none_and_is_stored(tmp_path: Path, port: int) -> None:
    here = site(tmp_path, MN, port=port)
    async with here.running():
        logger = await Logger.to(port)
        logger.send(cod(1.0, flag=4), cod(2.0, flag=None, qn=""), cod(3.0, qn="20260718143000002"))
        assert (await logger.answer())["QN"] == "20260718143000002"
        logger.close()
    assert [v for p, v, _, _ in stored(here) if p == "cod"] == [1.0, 2.0, 3.0]


async def test_a_resend_is_answered_again_and_stored_once(tmp_path: Path, port: int) -> None:
    here = site(tmp_path, MN, port=port)
    async with here.running():
        for _ in range(3):  # each answer is lost with its line
            logger = await Logger.to(port)
            logger.send(cod(31.5), cod(31.5))
            assert {(await logger.answer())["CN"] for _ in range(2)} == {"9014"}
            logger.close()
        status = await here.status()
        assert status["channels"][0]["tally"]["resends"] == 5
    async with here.running():  # also after a restart
        logger = await Logger.to(port)
        logger.send(cod(31.5))
        assert (await logger.answer())["CN"] == "9014"
        logger.close()
    assert [v for p, v, _, _ in stored(here) if p == "cod"] == [31.5]


async def test_one_qn_over_different_data_loses_nothing(tmp_path: Path, port: int) -> None:
    here = site(tmp_path, MN, port=port)
    async with here.running():
        logger = await Logger.to(port)
        logger.send(cod(1.0), cod(2.0), packet("2061", "DataTime=20260718140000;w01018-Avg=3.0"))
        for _ in range(3):
            assert (await logger.answer())["CN"] == "9014"
        logger.close()
    found = [(p, v) for p, v, _, _ in stored(here)]
    assert found == [("cod", 1.0), ("cod", 2.0), ("cod_hour", 3.0)]


async def test_each_part_is_answered_by_its_own_qn_and_stored_by_itself(
    tmp_path: Path, port: int
) -> None:
    here = site(tmp_path, MN, port=port)
    first = packet(
        "2011", "DataTime=20260718143000;w01018-Rtd=1", qn="20260718143001000", flag=7,
        parts="PNUM=3;PNO=1;",
    )  # fmt: skip
    # The second never comes; the third does not repeat DataTime, as some loggers do.
    third = packet(
        "2011", "w21003-Rtd=3", qn="20260718143001002", flag=7, parts="PNUM=3;PNO=3;"
    )  # fmt: skip
    async with here.running():
        logger = await Logger.to(port)
        logger.send(first, third)
        answers = [await logger.answer() for _ in range(2)]
        assert [a["QN"] for a in answers] == ["20260718143001000", "20260718143001002"]
        assert {a["Flag"] for a in answers} == {"4"}
        logger.close()
    at = local_us(2026, 7, 18, 14, 30)
    assert {(p, t) for p, _, _, t in stored(here)} == {("cod", at), ("nh3n", at)}


async def test_marks_say_how_far_a_value_can_be_used(tmp_path: Path, port: int) -> None:
    here = site(tmp_path, MN, port=port)
    said = (
        "DataTime=20260718143000;w01018-Rtd=1,w01018-Flag=F;w21003-Rtd=2,w21003-Flag=M;"
        "w21011-Rtd=3,w21011-Flag=D;w21001-Rtd=4,w21001-Flag=T;w01001-Rtd=5,w01001-Flag=B;"
        "w01010-Rtd=6,w01010-Flag=x;w00000-Rtd=--,w00000-Flag=N"
    )
    async with here.running():
        logger = await Logger.to(port)
        logger.send(packet("2011", said))
        await logger.answer()
        logger.close()
    assert {p: (v, q) for p, v, q, _ in stored(here)} == {
        "cod": (None, "BAD"), "nh3n": (2.0, "UNCERTAIN"), "tp": (None, "BAD"),
        "tn": (4.0, "UNCERTAIN"), "ph": (None, "BAD"), "temperature": (6.0, "UNCERTAIN"),
        "flow": (None, "BAD"),
    }  # fmt: skip


async def test_a_logger_of_2005_is_read_by_its_old_codes(tmp_path: Path, port: int) -> None:
    here = site(tmp_path, "81733553216204", port=port, profile="generic/water-outfall-2005")
    async with here.running():
        logger = await Logger.to(port)
        logger.send(OLD, OLD)
        await here.until(lambda s: s["channels"][0]["tally"].get("resends"))
        logger.close()
    assert {(p, v) for p, v, _, _ in stored(here)} == {
        ("cod", 32.439), ("nh3n", 0.466), ("tp", 0.287), ("tn", 25.801), ("ph", 7.47), ("flow", 0.0),
    }  # fmt: skip


# ------------------------------------------------------------ what is wrong


async def test_a_wrong_packet_is_not_answered_and_the_next_one_is(
    tmp_path: Path, port: int
) -> None:
    wrong = [
        cod(9.0).replace(b"=9.0", b"=8.0"),  # its check
        b"##0999" + cod(9.0)[6:],  # its length
        b"##%04d" % (int(cod(9.0)[2:6]) + 1) + cod(9.0)[6:],
        cod(9.0)[:-6] + b"5A\r\n",  # half a check
        b"##9999" + b"x" * 300 + b"\r\n",
    ]
    here = site(tmp_path, MN, port=port)
    async with here.running():
        logger = await Logger.to(port)
        for count, spoilt in enumerate(wrong, 1):
            # What is wrong may take the one behind it along, never two.
            last = f"20260718143000{count:03}"
            logger.send(spoilt, cod(1.0, qn="20260718143000900"), cod(2.0, qn=last))
            answers = {(await logger.answer())["QN"]}
            while last not in answers:
                answers.add((await logger.answer())["QN"])
            assert answers <= {"20260718143000900", last}
        tally = (await here.status())["channels"][0]["tally"]
        assert (tally["bad-bad_checksum"], tally["bad-bad_length"]) == (1, 4)
        logger.close()
    assert {v for p, v, _, _ in stored(here) if p == "cod"} == {1.0, 2.0}


async def test_a_check_without_its_zeros_and_a_length_in_characters_are_told_and_taken(
    tmp_path: Path, port: int
) -> None:
    here = site(tmp_path, MN, port=port)
    short = next(raw for n in range(9999) if (raw := cod(n / 10, flag=4))[-6:-5] == b"0")
    text = "DataTime=20260718143000;PolId=w01018;i11001-Info=//清洗//;w01018-Rtd=5000"
    said = packet("2011", text)
    chars = b"##%04d" % len(said[6:-6].decode()) + said[6:]
    async with here.running():
        logger = await Logger.to(port)
        logger.send(short[:-6] + short[-6:].lstrip(b"0"), chars)
        assert (await logger.answer())["CN"] == "9014"
        tally = (await here.status())["channels"][0]["tally"]
        assert tally["bad-bad_length"] == 2
        logger.close()
    told = [v for p, v, _, _ in stored(here) if p == "cod"]
    assert (len(told), told[-1]) == (2, 5000.0)


async def test_small_letters_in_the_check_and_an_empty_pw_are_taken(
    tmp_path: Path, port: int
) -> None:
    here = site(tmp_path, MN, port=port)
    said = cod(1.5, pw="")
    async with here.running():
        logger = await Logger.to(port)
        logger.send(said[:-6] + said[-6:].lower())
        assert (await logger.answer())["CN"] == "9014"
        logger.close()
    assert [v for p, v, _, _ in stored(here) if p == "cod"] == [1.5]


async def test_a_missing_cr_lf_and_a_time_that_is_none_are_told_and_taken(
    tmp_path: Path, port: int
) -> None:
    here = site(tmp_path, MN, port=port)
    async with here.running():
        logger = await Logger.to(port)
        logger.send(cod(1.0)[:-2], cod(2.0, at="20260732990000", qn="20260718143000009"))
        answers = [await logger.answer() for _ in range(2)]
        assert [a["QN"] for a in answers] == ["20260718143000001", "20260718143000009"]
        tally = (await here.status())["channels"][0]["tally"]
        assert tally["bad-bad_end"] == tally["bad-bad_field"] == 1
        logger.close()
    times = {v: t for p, v, _, t in stored(here) if p == "cod"}
    at = local_us(2026, 7, 18, 14, 30)
    assert times == {1.0: at, 2.0: at + 9_000}  # the second by its QN


async def test_a_logger_of_nobody_is_hung_up_on(tmp_path: Path, port: int) -> None:
    here = site(tmp_path, MN, port=port)
    async with here.running():
        for mn in ("null", "SOMEBODY", ""):
            stranger = await Logger.to(port)
            stranger.send(*[cod(1.0, mn=mn)] * 32)
            assert await stranger.hung_up()
            stranger.close()
    assert stored(here) == []


async def test_one_line_may_carry_several_loggers_and_a_stranger_among_them_ends_nothing(
    tmp_path: Path, port: int
) -> None:
    here = site(tmp_path, MN, "000102", port=port)
    async with here.running():
        line = await Logger.to(port)
        line.send(cod(1.0), cod(9.0, mn="other"), cod(2.0, mn="000102"))
        assert [(await line.answer())["MN"] for _ in range(2)] == [MN, "000102"]
        tally = (await here.status())["channels"][0]["tally"]
        assert tally["refused-stranger"] == 1
        line.close()
    assert [v for p, v, _, _ in stored(here) if p == "cod"] == [1.0, 2.0]


async def test_a_packet_whose_end_never_comes_is_taken_when_the_line_is_silent(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(talk, "UNENDED_S", 0.05)
    here = site(tmp_path, MN, port=port)
    async with here.running():
        logger = await Logger.to(port)
        logger.send(cod(1.0)[:-2])
        assert (await logger.answer())["QN"] == "20260718143000001"
        logger.send(cod(2.0, qn="20260718143000002")[:-2])
        assert (await logger.answer())["QN"] == "20260718143000002"
        logger.close()
    assert [v for p, v, _, _ in stored(here) if p == "cod"] == [1.0, 2.0]


@pytest.mark.parametrize("key", [None, "0" * 16, "31" * 16])
async def test_encrypted_data_are_opened_with_the_key_and_refused_by_name_without_it(
    tmp_path: Path, port: int, key: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    options = ""
    if key is not None:
        (tmp_path / "key").write_text(key)
        options = f'options = {{ loggers = {{ "{MN}" = {{ secret = "file:key" }} }} }}'
    here = site(tmp_path, MN, port=port, options=options)
    sent = sealed_packet("2011", "DataTime=20260718143000;w01018-Rtd=7.5,w01018-Flag=N")
    plain = packet("9015", "", qn="20260718143000002", flag=9)
    async with here.running():
        logger = await Logger.to(port)
        logger.send(sent, plain)
        first = await logger.answer()
        if key == "0" * 16:
            assert (first["CN"], first["QN"]) == ("9014", "20260718143000001")
            first = await logger.answer()
        assert (first["CN"], first["QN"]) == ("9013", "20260718143000002")
        tally = (await here.status())["channels"][0]["tally"]
        logger.close()
    told = [v for p, v, _, _ in stored(here) if p == "cod"]
    assert told == ([7.5] if key == "0" * 16 else [])
    if key is None:
        assert tally["bad-encrypted"] == 1
        assert "HG-3623" in [getattr(r, "code", None) for r in caplog.records]
    elif told == []:
        assert tally["bad-bad_checksum"] == 1
    assert key is None or key not in caplog.text


async def test_where_the_site_gives_a_password_another_one_is_neither_stored_nor_answered(
    tmp_path: Path, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "pw").write_text("s3cret-of-it\n")
    options = f'options = {{ loggers = {{ "{MN}" = {{ password = "file:pw" }} }} }}'
    here = site(tmp_path, MN, "000102", port=port, options=options)
    async with here.running():
        for wrong in ("guess", ""):
            logger = await Logger.to(port)
            logger.send(cod(9.0, pw=wrong))
            assert await logger.hung_up()
            logger.close()
        right = await Logger.to(port)
        right.send(cod(1.0, pw="s3cret-of-it"), cod(2.0, mn="000102", pw="any"))
        assert [(await right.answer())["MN"] for _ in range(2)] == [MN, "000102"]
        tally = (await here.status())["channels"][0]["tally"]
        assert tally["bad-password"] == 2
        other = await Logger.to(port)
        other.send(cod(9.0, pw="guess"))
        assert await other.hung_up()
        other.close()
        # Whoever knows the logger's name alone takes its call from it no more than its place.
        status = await here.status()
        assert "two-sources" not in status["channels"][0]["tally"]
        right.send(cod(3.0, pw="s3cret-of-it", qn="20260718143000009"))
        assert (await right.answer())["MN"] == MN
        right.close()
    assert [v for p, v, _, _ in stored(here) if p == "cod"] == [1.0, 2.0, 3.0]
    assert "s3cret-of-it" not in caplog.text


async def test_datagrams_are_answered_too(tmp_path: Path, port: int) -> None:
    here = site(tmp_path, MN, port=port, udp="+udp")

    async with here.running():
        await here.until(lambda s: s["channels"][0]["state"] == "up")
        transport, logger = await Heard.to(port)
        transport.sendto(cod(1.0))
        async with asyncio.timeout(PATIENCE_S):
            assert b"CN=9014" in await logger.data.get()
        transport.close()


# ------------------------------------------------------------ notices, heartbeats, clocks


async def test_a_notice_is_answered_9013_and_a_heartbeat_as_the_site_says(
    tmp_path: Path, port: int
) -> None:
    mn = "42010026AQ000001"
    here = site(tmp_path, "0010931004HBYDTEST000002", mn, port=port)
    async with here.running():
        logger = await Logger.to(port)
        logger.send(ASKS_TIME)
        answer = await logger.answer()
        assert (answer["CN"], answer["QN"]) == ("9013", "20190708113403000")
        logger.send(HEARTBEAT, cod(1.0, mn=mn))
        assert [(await logger.answer())["CN"] for _ in range(2)] == ["9013", "9014"]
        logger.close()


@pytest.fixture
def with_clock(tmp_path: Path) -> str:
    """The outfall's profile with its clock set."""
    changed = {"set_clock = false": "set_clock = true", 'heartbeat = "9013"': 'heartbeat = "9014"'}
    return own_profile(tmp_path, changed=changed)


async def test_a_clock_that_is_off_is_set_once_and_how_it_went_is_heard(
    tmp_path: Path, port: int, with_clock: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    here = site(tmp_path, MN, port=port, profile=with_clock)
    zone = ZoneInfo("Asia/Shanghai")
    env = system_env()
    env.clock = Trusted()
    async with here.running(env, [tmp_path / "profiles"]) as gateway:
        logger = await Logger.to(port)
        logger.send(cod(1.0, qn="20150718143000001"))
        assert (await logger.answer())["CN"] == "9014"
        order = await logger.answer()
        assert (order["CN"], order["ST"], order["MN"], order["Flag"]) == ("1012", ST, MN, "5")
        said = datetime.strptime(order["CP"], "SystemTime=%Y%m%d%H%M%S")  # noqa: DTZ007
        assert abs(datetime.now(zone).replace(tzinfo=None) - said) < timedelta(minutes=5)
        for cn, cp in (("9011", "QnRtn=1"), ("9012", "ExeRtn=1")):
            logger.send(packet(cn, cp, qn=order["QN"], st="91", flag=4))
        logger.send(cod(2.0, qn="20150718143000002"))  # still off: not again within the hour
        assert (await logger.answer())["CN"] == "9014"
        logger.send(packet("9015", "", qn="20150718143000003", st="91", flag=9))
        assert ((await logger.answer())["CN"], gateway.ready.is_set()) == ("9014", True)
        logger.close()
    results = [getattr(r, "result", None) for r in caplog.records if r.message == "clock set"]
    assert results == ["SUCCESS"]


# ------------------------------------------------------------ what a site may say


@pytest.mark.parametrize("address", ["null", "", "a;b", "x" * 41])
def test_an_address_that_is_no_mn_is_told_before_anything_is_opened(
    address: str, tmp_path: Path
) -> None:
    import msgspec

    from headgate.env import SystemFiles
    from headgate.profiles import load, packaged_folder, resolve

    library = load(SystemFiles(), [packaged_folder()], {"hj212": Hj212Driver.point_keys})
    device = resolve(
        library.find("generic/water-outfall"), device_id="x", number=1, channel="c", address="1",
        sm3=lambda _: bytes(32),
    )  # fmt: skip
    Hj212Driver().check(device)
    with pytest.raises(ProfileError) as told:
        Hj212Driver().check(msgspec.structs.replace(device, address=address))
    assert [p.code for p in told.value.problems] == ["HG-3621"]


@pytest.mark.parametrize(
    "options",
    [
        {"longest": 100},
        {"longest": "2k"},
        {"loggers": []},
        {"loggers": {"a": {"pw": 1}}},
        {"odd": 1},
    ],
)
def test_an_option_that_is_wrong_is_told(options: dict[str, Any]) -> None:
    edition, problem = Hj212Driver().check_channel("bureau", options)
    assert (edition.code, problem.code) == ("HG-3624", "HG-3622")


def test_an_option_that_is_right_is_told_nothing_of_but_the_edition() -> None:
    options = {"longest": 4096, "loggers": {"a": {"secret": "x"}}}
    assert [p.code for p in Hj212Driver().check_channel("bureau", options)] == ["HG-3624"]
    assert severity("HG-3624") == "warning"
