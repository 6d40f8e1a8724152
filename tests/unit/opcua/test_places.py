"""What a profile may say of a point."""

import pytest

from headgate.sdk import ProfileError
from headgate_drivers.opcua.places import UA, BrowsePath, NodeName, layout_of


def test_a_path_is_read_with_namespaces_by_uri_never_by_index(device) -> None:
    quirks = {"namespace": "urn:x", "namespace_di": "urn:di"}
    layout = layout_of(
        device(
            {"path": "WetWell/di:Level"},
            {"path": "ua:Server"},
            {"path": "A&/B/C&:D"},
            quirks=quirks,
        )
    )
    assert layout.root == BrowsePath((("urn:x", "Station"),))
    assert [place.where for place in layout.places] == [
        BrowsePath((("urn:x", "WetWell"), ("urn:di", "Level"))),
        BrowsePath(((UA, "Server"),)),
        BrowsePath((("urn:x", "A/B"), ("urn:x", "C:D"))),
    ]


def test_a_node_id_may_hold_the_devices_address(device) -> None:
    layout = layout_of(
        device({"node": "s={address}.Level"}, {"node": "nsu=urn:y;i=7"}, address="s=PS1")
    )
    assert layout.root == NodeName("urn:x", "s=PS1")
    assert layout.places[0].where == NodeName("urn:x", "s=s=PS1.Level")
    assert layout.places[1].where == NodeName("urn:y", "i=7")


def test_everything_that_leads_nowhere_is_named_at_once(device) -> None:
    wrong = device(
        {"name": "both", "path": "A", "node": "i=1"},
        {"name": "none"},
        {"name": "index", "node": "ns=2;s=Level"},
        {"name": "space", "path": "nobody:Level"},
        {"name": "number", "node": "i=twelve"},
        {"name": "queue", "path": "A", "queue": 0},
        {"name": "percent", "path": "A", "server_deadband_percent": 101},
        {"name": "good", "path": "A"},
        address="ns=3;s=x",
    )
    with pytest.raises(ProfileError) as raised:
        layout_of(wrong)
    named = [problem.where.rpartition(": ")[2] for problem in raised.value.problems]
    assert named == [
        "address", 'point "both"', 'point "none"', 'point "index"', 'point "space"',
        'point "number"', 'point "queue"', 'point "percent"',
    ]  # fmt: skip
    assert {problem.code for problem in raised.value.problems} == {"HG-3320"}


def test_a_profile_without_a_namespace_may_not_use_one(device) -> None:
    with pytest.raises(ProfileError):
        layout_of(device({"path": "Level"}, address="/", quirks={}))
    layout_of(device({"path": "ua:Server"}, address="/", quirks={}))


def test_methods_and_deadbands_are_read(device) -> None:
    (place,) = layout_of(
        device({"path": "A", "start": "P/Start", "stop": "P/Stop", "server_deadband": 0.5,
                "sampling_ms": 0, "queue": 100, "element": 3, "every_sample": True})
    ).places  # fmt: skip
    assert place.start == BrowsePath((("urn:x", "P"), ("urn:x", "Start")))
    assert (place.deadband, place.percent, place.sampling_ms, place.queue) == (0.5, False, 0, 100)
    assert (place.element, place.every_sample) == (3, True)


def test_events_come_from_where_the_profile_says_else_from_where_the_channel_does(device) -> None:
    point = {"path": "A"}
    quirks = {"namespace": "urn:x", "events": "WetWell", "events_severity": 500}
    layout = layout_of(device(point, quirks=quirks), "server", 100)
    assert (layout.events, layout.severity) == (BrowsePath((("urn:x", "WetWell"),)), 500)
    layout = layout_of(device(point), "server", 100)
    assert (layout.events, layout.severity) == ("server", 100)
    assert layout_of(device(point, quirks={**quirks, "events": "."})).events == BrowsePath(())
    assert layout_of(device(point, quirks={**quirks, "events": "none"}), "server").events is None
    assert layout_of(device(point)).events is None
    with pytest.raises(ProfileError):
        layout_of(device(point, quirks={**quirks, "events": "nobody:WetWell"}))
    with pytest.raises(ProfileError):
        layout_of(device(point, quirks={**quirks, "events_severity": 2000}))
