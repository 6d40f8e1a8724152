"""What the driver does without a server."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from headgate.env import system_env
from headgate.errors import ConfigError, PluginError
from headgate.model import Gap, GapReason
from headgate.runtime.ownline import OwnLine
from headgate_drivers.opcua import OpcUaDriver
from headgate_drivers.opcua.settings import settings_of


def test_no_gateway_pays_for_the_library_before_it_opens_a_channel() -> None:
    look = (
        "import sys, headgate_drivers.opcua as o; o.OpcUaDriver(); print('asyncua' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"


async def test_a_missing_library_is_one_clear_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "asyncua", None)
    line = OwnLine(system_env(), "c", "opc.tcp://127.0.0.1:1", {"folder": str(tmp_path)})
    with pytest.raises(PluginError) as raised:
        await anext(OpcUaDriver().listen(line, []))
    assert raised.value.code == "HG-3300"
    assert not raised.value.retryable


def test_every_wrong_option_is_named_at_once() -> None:
    wrong = {"security": "Basic256", "publishing": "soon", "trsut": "any", "mode": "Sign"}
    problems = OpcUaDriver().check_channel("pumps", wrong)
    assert [problem.where for problem in problems] == [
        "channel pumps: security", "channel pumps: publishing", "channel pumps: trsut"
    ]  # fmt: skip
    assert OpcUaDriver().check_channel("pumps", {"security": "None", "read": "poll"}) == ()
    with pytest.raises(ConfigError):
        settings_of("channel pumps", {"user_certificate": "a.pem"})


def test_what_the_url_says_of_a_user_is_not_sent() -> None:
    settings = settings_of("c", {"url": "opc.tcp://me:secret@10.0.0.1:4840/a@b"})
    assert settings.url == "opc.tcp://10.0.0.1:4840/a@b"


# ---------------------------------------------------------------- our certificate


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    return {"url": "opc.tcp://h", "folder": str(tmp_path), "gateway": "gw-1"}


async def test_our_certificate_is_made_once_and_renewed_in_time_with_its_key(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from headgate_drivers.opcua import trust

    def made() -> trust.Trust:
        return trust.Trust(settings_of("c", options))

    certificate, key = await made().own()
    first, secret = certificate.read_bytes(), key.read_bytes()
    assert trust.seen(first).uri == "urn:headgate:gw-1"
    assert (await made().own())[0].read_bytes() == first

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + timedelta(days=trust.LIFETIME_DAYS - trust.RENEW_DAYS + 1)

    monkeypatch.setattr(trust, "datetime", Later)
    await made().own()
    assert certificate.read_bytes() != first
    assert key.read_bytes() == secret


async def test_a_box_whose_clock_was_never_set_makes_a_certificate_that_is_valid_today(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from headgate_drivers.opcua import trust

    class Unset(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime(1970, 1, 1, 0, 5, tzinfo=UTC)

    monkeypatch.setattr(trust, "datetime", Unset)
    certificate, _ = await trust.Trust(settings_of("c", options)).own()
    assert trust.seen(certificate.read_bytes()).not_after.year > 2100


async def test_files_that_are_no_certificates_accept_nobody(options: dict[str, Any]) -> None:
    from headgate_drivers.opcua.trust import Trust, seen

    trust = Trust(settings_of("c", options))
    certificate, _ = await trust.own()
    theirs = seen(certificate.read_bytes())
    assert not trust.accepts(theirs)  # no folder at all
    trust.accept(theirs)
    (Path(options["folder"]) / "opcua/trusted/notes.der").write_bytes(b"remember the milk")
    assert trust.accepts(theirs)
    assert len(trust.trusted()) == 1


# ---------------------------------------------------------------- what a server lost


def test_a_queue_that_overflowed_is_a_gap_and_the_value_is_kept(device) -> None:
    from headgate_drivers.opcua.looks import Moment
    from headgate_drivers.opcua.places import layout_of
    from headgate_drivers.opcua.station import Station
    from headgate_drivers.opcua.stream import Feed
    from headgate_drivers.opcua.subscription import Change

    unit = device({"name": "a", "path": "A"})
    station = Station(unit, layout_of(unit), 1)

    class Line:
        id = "c"

    class Watched:
        def places(self, handle):
            return station, station.layout.places[0]

    feed = Feed.__new__(Feed)
    feed._settings = settings_of("c", {"url": "opc.tcp://h"})
    feed._watching = Watched()
    feed._line = Line()
    gap, block = feed._told([Change(1, 0x480, 4.5, None)], Moment(9, None, 5))
    assert isinstance(gap, Gap)
    assert (gap.reason, gap.first_us, gap.last_us, gap.looks) == (GapReason.OVERRUN, 5, 9, None)
    assert block.quality is None
