"""`headgate decode`: pasted and traced bytes, told field by field; others with what to try."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headgate.cli import main
from headgate.cli.trace import Meaning

REPORT = (
    "7e7e01006000000112343200 2b020018261121194939f1f1006000000148f0f0 2611211949"
    "2019000000 2619000000 392300021245 38121261 03de0b"
)
CONFIRMED = "7e 7e 00 60 00 00 01 01 12 34 32 80 08 02 00 18 26 11 21 19 49 39 1b 96 f0"
HJ212 = (
    "##0101QN=20160801085857223;ST=32;CN=1062;PW=100000;MN=010000A8900016F000169DC0;Flag=5;"
    "CP=&&RtdInterval=30&&1C80"
)


class Done:
    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err


@pytest.fixture
def decode(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Done]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADGATE_LANG", "en")

    def run(*arguments: str, lang: str = "en", stdin: bytes = b"") -> Done:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as left:
            main(["--lang", lang, "decode", *arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Done(int(left.value.code or 0), captured.out, captured.err)

    return run


def test_a_frame_is_told_field_by_field(decode: Callable[..., Done]) -> None:
    done = decode("sl651", REPORT)
    assert done.status == 0
    assert "  address    0060000001\n" in done.out
    assert "  function   32H\n" in done.out
    assert "element  code 39H  digits 00021245  decimals 3" in done.out
    assert (
        "  which means\n" in done.out
        and "    39 瞬时河道水位、潮位  21.245 m  2026-11-21T19:49\n" in done.out
    )


def test_each_protocol_of_the_page_is_decoded_from_bytes_alone(decode: Callable[..., Done]) -> None:
    done = decode("modbus", "00")
    assert "cjt188, dlt645, gb26875, hj212, sl651, szy206" in done.err


@pytest.mark.parametrize(
    "written",
    [
        REPORT,
        REPORT.upper(),
        " ".join(f"0x{byte:02X}," for byte in bytes.fromhex(REPORT)),
        " ".join(f"{byte:02X}H" for byte in bytes.fromhex(REPORT)),
        ":".join(f"{byte:02x}" for byte in bytes.fromhex(REPORT)),
    ],
    ids=["run-on", "capitals", "0x", "H", "colons"],
)
def test_bytes_are_taken_as_people_write_them(decode: Callable[..., Done], written: str) -> None:
    done = decode("sl651", *written.split())
    assert (done.status, done.out.count("address    0060000001")) == (0, 1)


def test_a_pasted_packet_of_hj_212_is_its_own_text(decode: Callable[..., Done]) -> None:
    done = decode("hj212", HJ212)
    assert done.status == 0
    assert "cn      1062" in done.out and "RtdInterval=30" in done.out


@pytest.mark.parametrize(
    ("lang", "wrong", "fix"),
    [("en", "bad_checksum: the check does not fit", "Damaged"), ("zh", "校验不符", "传输中损坏")],
)
def test_what_is_no_frame_is_told_with_what_to_try(
    decode: Callable[..., Done], lang: str, wrong: str, fix: str
) -> None:
    done = decode("sl651", REPORT.replace("2019", "2018"), lang=lang)
    assert done.status == 1
    assert wrong in done.out and fix in done.out


def test_bytes_that_end_too_soon_are_told(decode: Callable[..., Done]) -> None:
    done = decode("dlt645", "FE FE 68 10 00 23 66 92 45 68 91")
    assert done.status == 1
    assert "truncated: 11 bytes" in done.out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("sl651", "7e7e0x01zz"), "HG-9172"),
        (("sl651", "7e7"), "HG-9174"),
        (("sl652", "7e7e"), "HG-9170"),
        (("modbus", "7e7e"), "HG-9170"),
        (("sl651",), "HG-9171"),
        (("sl651", "7e", "--file", "-"), "HG-9171"),
        (("sl651", "--file", "nowhere.txt"), "HG-9173"),
        (("sl651", "--file", "."), "HG-9173"),
    ],
)
def test_what_cannot_be_decoded_is_refused_with_a_reason(
    decode: Callable[..., Done], arguments: tuple[str, ...], code: str
) -> None:
    done = decode(*arguments)
    assert done.status == 1 and code in done.err


def test_a_saved_trace_is_two_streams(decode: Callable[..., Done], tmp_path: Path) -> None:
    # A frame in two pieces, with what we said between them.
    first, rest = REPORT.replace(" ", "")[:40], REPORT.replace(" ", "")[40:]
    lines = ["# headgate trace of stations", f"< {first}  # 0.010", f"> {CONFIRMED}  # 0.011"]
    (tmp_path / "port.txt").write_text("\n".join([*lines, f"< {rest}  # 0.020", ""]))
    done = decode("sl651", "--file", "port.txt")
    assert done.status == 0
    assert [line for line in done.out.splitlines() if line[0] in "<>"] == ["> frame", "< frame"]


def test_raw_bytes_and_hex_come_from_a_file_or_standard_input(
    decode: Callable[..., Done], tmp_path: Path
) -> None:
    (tmp_path / "raw.bin").write_bytes(bytes.fromhex(REPORT))
    assert decode("sl651", "--file", "raw.bin").status == 0
    assert decode("sl651", "--file", "-", stdin=CONFIRMED.encode()).status == 0


def test_a_file_of_text_is_what_it_is(decode: Callable[..., Done], tmp_path: Path) -> None:
    (tmp_path / "packets.txt").write_bytes(f"{HJ212}\r\n{HJ212}\r\n".encode())
    done = decode("hj212", "--file", "packets.txt")
    assert (done.status, done.out.count("cn      1062")) == (0, 2)
    (tmp_path / "log.txt").write_bytes(f"[rx] {HJ212}\r\n".encode())
    done = decode("hj212", "--file", "log.txt")
    assert "bad_start: 5 bytes" in done.out and "cn      1062" in done.out


def test_a_program_gets_all_fields(decode: Callable[..., Done]) -> None:
    done = decode("sl651", REPORT + "00 11", "--format", "json")
    assert done.status == 1
    said: list[dict[str, Any]] = json.loads(done.out)
    assert said[0]["frame"]["address"] == "0060000001"
    assert said[0]["frame"]["message"]["items"][-1]["value"] == 12.61
    assert said[1]["fault"]["code"] == "bad_start"


def test_a_trace_tells_what_each_callers_bytes_mean() -> None:
    meaning = Meaning("sl651")
    hexed = REPORT.replace(" ", "")

    def said(who: str, way: str, part: str) -> list[str]:
        return list(meaning.of({"who": who, "way": way, "hex": part}))

    assert said("10.0.0.1:40", "received", hexed[:40]) == []
    assert said("10.0.0.2:50", "received", "00") != []  # noise of another caller
    assert said("10.0.0.1:40 0060000001", "sent", CONFIRMED)[0] == "    frame"
    assert any(
        "0060000001" in line for line in said("10.0.0.1:40 0060000001", "received", hexed[40:])
    )
