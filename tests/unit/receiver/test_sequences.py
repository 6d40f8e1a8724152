"""Several messages to one receiver: replays, splices, forgeries (tests/vectors/envelope)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from kit.refusals import load, message, platform_key

from headgate.crypto.provider import default_provider
from headgate.crypto.x509 import Certificate
from headgate.env import SystemFiles
from headgate.envelope.receipt import VerdictCode
from headgate_receiver.core import Core
from headgate_receiver.keys import FileKeys
from headgate_receiver.sqlite import SqliteSink

FILE = load("sequences")


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[SqliteSink]:
    made = SqliteSink(tmp_path / "store.db", SystemFiles())
    yield made
    made.close()


@pytest.fixture
def core(sink: SqliteSink) -> Core:
    provider = default_provider()
    certificate = Certificate.load(bytes.fromhex(FILE["platform_certificate"]))
    key = platform_key(FILE, provider)
    return Core(
        provider,
        sink,
        FileKeys({certificate.fingerprint: key}, provider.sm2_generate()),
        [Certificate.load(bytes.fromhex(each)) for each in FILE["anchors"]],
        lambda: datetime.fromisoformat(FILE["at"]),
    )


async def outcome(core: Core, sink: SqliteSink, data: bytes) -> str:
    """What becomes of one message, in the words of the README."""
    core.begin()
    is_grant = data[2] == 2
    if is_grant:
        await core.grant(data, "gauge-house-7")
    else:
        core.record(data, "gauge-house-7")
    batch, answers = core.end()
    sink.commit(batch)
    codes = {each.code for each in batch.refusals}
    if is_grant:
        return "core" if codes == {"HG-7020"} else "kept" if batch.grants else "known"
    verdicts = {verdict.code for answer in answers for verdict in answer.verdicts.values()}
    if verdicts == {VerdictCode.NEED_GRANT}:
        return "held"
    if verdicts == {VerdictCode.REFUSED}:
        return "content"
    if verdicts == {VerdictCode.NOT_OPENED}:
        return "origin" if codes == {"HG-7025"} else "seal"
    assert not verdicts and not codes
    return "stored" if batch.records else "known"


@pytest.mark.parametrize("at", range(len(FILE["sequences"])))
async def test_what_becomes_of_each_message(core: Core, sink: SqliteSink, at: int) -> None:
    sequence: dict[str, Any] = FILE["sequences"][at]
    said = [await outcome(core, sink, message(step)) for step in sequence["steps"]]
    assert said == [step["outcome"] for step in sequence["steps"]], sequence["name"]


async def test_all_of_them_to_one_receiver_store_each_record_once(
    core: Core, sink: SqliteSink
) -> None:
    for sequence in FILE["sequences"]:
        for step in sequence["steps"]:
            await outcome(core, sink, message(step))
    for gateway, epoch in (("gauge-house-7", b"\xe0" * 8), ("gauge-house-7", b"\xe2" * 8)):
        assert 0 in sink.stored(gateway, epoch)
    assert list(sink.stored("gauge-house-8", b"\xe0" * 8).ranges()) == []
