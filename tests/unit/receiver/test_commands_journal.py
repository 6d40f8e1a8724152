"""The platform's memory of its commands: on disk before anything leaves, and never twice."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from kit.commands import content

from headgate.env import SystemFiles
from headgate.envelope.command import Command, Step
from headgate_receiver.commands.errors import AlreadySent, CommandError
from headgate_receiver.commands.journal import Journal
from headgate_receiver.commands.standing import Stage, Told

ISSUER, TOKEN = b"i" * 32, b"t" * 16


def open_(path: Path) -> Journal:
    return Journal(path / "commands.db", SystemFiles())


def message(step: Step, counter: int, token: bytes | None = TOKEN) -> Command:
    return Command(step, content(), b"s" * 32, counter, None if step is Step.SELECT else token)


def test_counters_rise_through_restarts_and_clocks_that_were_set_back(tmp_path: Path) -> None:
    journal = open_(tmp_path)
    assert journal.next_counter(ISSUER, 5_000) == 5_000
    assert journal.next_counter(ISSUER, 1_000) == 5_001
    journal.close()
    journal = open_(tmp_path)
    assert journal.next_counter(ISSUER, 0) == 5_002
    assert journal.next_counter(b"j" * 32, 7) == 7
    assert journal.next_counter(ISSUER, 9_000) == 9_000
    journal.close()


def test_two_programs_on_one_journal_never_draw_the_same_counter(tmp_path: Path) -> None:
    one, other = open_(tmp_path), open_(tmp_path)
    drawn = [each.next_counter(ISSUER, 1) for _ in range(50) for each in (one, other)]
    assert drawn == sorted(set(drawn))
    one.close()
    other.close()


def test_an_operate_is_written_down_once_for_each_token(tmp_path: Path) -> None:
    journal = open_(tmp_path)
    journal.draft(content(), "wang.li", 1)
    journal.sending(message(Step.OPERATE, 1), b"1" * 32, b"bytes", 1)
    journal.close()
    journal = open_(tmp_path)
    for step in (Step.OPERATE, Step.RENEW):
        with pytest.raises(AlreadySent):
            journal.sending(message(step, 2), b"2" * 32, b"bytes", 2)
    journal.sending(message(Step.OPERATE, 3, b"u" * 16), b"3" * 32, b"bytes", 3)
    journal.sending(message(Step.CANCEL, 4), b"4" * 32, b"bytes", 4)
    journal.close()


def test_one_that_never_left_may_be_sent_after_all(tmp_path: Path) -> None:
    journal = open_(tmp_path)
    journal.draft(content(), "wang.li", 1)
    journal.sending(message(Step.OPERATE, 1), b"1" * 32, b"bytes", 1)
    journal.delivered(b"1" * 32, "unsent")
    journal.sending(message(Step.OPERATE, 2), b"2" * 32, b"bytes", 2)
    assert journal.standing(content().command).stage is Stage.OPERATING
    journal.close()


def test_an_id_names_one_content_and_its_value_keeps_its_type(tmp_path: Path) -> None:
    journal = open_(tmp_path)
    for number, value in enumerate((True, 1, 1.0, False, 0)):
        wanted = content(number, value)
        journal.draft(wanted, "wang.li", number)
        journal.draft(wanted, "wang.li", 9)
        kept = journal.content(wanted.command)
        assert kept == wanted
        assert type(kept.value) is type(value)
    with pytest.raises(CommandError) as raised:
        journal.draft(content(0, False), "wang.li", 9)
    assert raised.value.code == "HG-7103"
    with pytest.raises(CommandError) as raised:
        journal.draft(content(1, True), "wang.li", 9)  # 1 is not true
    assert raised.value.code == "HG-7103"
    assert [each.content.value for each in journal.commands(2)] == [0, False]
    journal.close()


def test_only_the_gateway_that_was_asked_can_say_anything(tmp_path: Path) -> None:
    journal = open_(tmp_path)
    journal.draft(content(), "wang.li", 1)
    word = Told(content().command, "confirmed", "record", 5, 5, "operate")
    assert journal.heard("another-box", word)
    assert journal.standing(content().command).state == ""
    assert journal.heard("gauge-house-7", word)
    assert journal.standing(content().command).state == "confirmed"
    journal.close()


def test_a_word_is_kept_once_and_of_ours_only(tmp_path: Path) -> None:
    journal = open_(tmp_path)
    journal.draft(content(), "wang.li", 1)
    ours = ("gauge-house-7", Told(content().command, "accepted", "record", 5, 5, "operate"), None)
    other = ("gauge-house-7", Told(content(9).command, "accepted", "record", 6, 6, "operate"), None)
    assert len(journal.heard_all([ours, other, ours], cursor=17)) == 1
    assert journal.cursor == 17
    assert journal.heard_all([ours]) == []
    assert [told.state for told in journal.standing(content().command).history] == ["accepted"]
    journal.close()


def test_a_beginning_of_an_id_is_enough_when_it_is_one_commands(tmp_path: Path) -> None:
    journal = open_(tmp_path)
    one, other = content(), content(command=b"\xab\xcd" + bytes(14))
    journal.draft(one, "wang.li", 1)
    journal.draft(other, "wang.li", 1)
    assert journal.find("ABCD") == other.command
    for wrong in ("", "0a", "xyz", "abce"):
        with pytest.raises(CommandError):
            journal.find(wrong)
    journal.close()


def test_a_file_that_is_no_journal_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "commands.db").write_bytes(
        b"not a database at all, but long enough to be read as one" * 9
    )
    with pytest.raises(CommandError) as raised:
        open_(tmp_path)
    assert raised.value.code == "HG-7102"
    (tmp_path / "commands.db").unlink()
    db = sqlite3.connect(tmp_path / "commands.db")
    db.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
    db.execute("INSERT INTO meta VALUES ('schema', '2')")
    db.commit()
    db.close()
    with pytest.raises(CommandError, match="schema 2"):
        open_(tmp_path)
