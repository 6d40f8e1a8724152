"""Frames of serial lines and of Modbus."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from fuzz.target import Target, cut, pieces, whole
from headgate.channels.dialin import packet_of
from headgate.channels.telnet import LONGEST as TELNET_KEEPS
from headgate.channels.telnet import Telnet
from headgate.columns import readings
from headgate.env import system_env
from headgate.errors import HeadgateError
from headgate.profiles import load, packaged_folder, resolve
from headgate.profiles.case_files import load_cases
from headgate.runtime.fitting import placeholders
from headgate.sdk import Device, Framing, line_of
from headgate_drivers.manhole import codec as manhole
from headgate_drivers.modbus.codec import (
    AsciiFraming,
    MbapFraming,
    Request,
    RtuFraming,
    answer_data,
)
from headgate_drivers.modbus.identity import clean, identity_of, identity_part, version_of
from headgate_drivers.modbus.replay import registers_in
from headgate_drivers.serial import SerialDriver
from headgate_drivers.serial.codec import Codec, Whole
from headgate_drivers.serial.driver import Answers
from headgate_drivers.serial.plan import Layout, layout_of

VECTORS = Path(__file__).parents[1] / "tests" / "vectors" / "protocols"
#: Questions of every function that is read, for whatever answers come.
QUESTIONS = [Request(function, 0, count) for function in (1, 2, 3, 4) for count in (1, 2, 16)]


def vectors(name: str) -> list[dict[str, Any]]:
    return list(json.loads((VECTORS / f"{name}.json").read_text())["vectors"])


# ---------------------------------------------------------------- Modbus


def _modbus_seeds() -> list[bytes]:
    found = [v[key] for v in vectors("modbus") for key in ("request", "response") if key in v]
    return [bytes.fromhex(text) for text in found if isinstance(text, str)]


def _answers(payloads: Iterable[bytes]) -> None:
    for payload in payloads:
        for request in QUESTIONS:
            try:
                answer_data(payload, payload[0], request)
            except HeadgateError:
                continue
        try:
            part = identity_part(payload, payload[0])
        except HeadgateError:
            continue
        identity_of(part.objects)


def _modbus(framing: Framing, keeps: int) -> Target:
    def run(data: bytes) -> None:
        _answers(cut(framing, data, keeps))

    def seeds() -> Iterable[bytes]:
        for frame in _modbus_seeds():
            body = frame[:-2]
            if isinstance(framing, (MbapFraming, AsciiFraming)):
                yield whole(framing.wrap(7, body[0], body[1:])[0])
            else:
                yield whole(frame)

    return Target(run, seeds)


def _identity(data: bytes) -> None:
    """Past the checksum: identification objects, version registers, recorded frames."""
    _answers([data] if len(data) > 1 else [])
    clean(data)
    for form in ("major.minor bytes", "integer", "text"):
        version_of(form, data + b"\0\1")  # never less than one register
    middle = len(data) // 2
    try:
        recorded = registers_in([(data[:middle], data[middle:])])
        for request in QUESTIONS:
            recorded.answer(request)
    except HeadgateError:
        return


# ---------------------------------------------------------------- serial sensors


@cache
def sensors() -> list[tuple[str, Device, bool]]:
    """(model, device, polled) of every packaged profile of the two serial drivers."""
    library = load(system_env().files, [packaged_folder()])
    found = []
    for profile in library.profiles.values():
        if profile.driver in ("serial", "serial-polled"):
            device = resolve(
                profile,
                device_id="d",
                number=1,
                channel="c",
                address=1,
                sm3=lambda _: bytes(32),
                params=placeholders(profile),
            )
            found.append((profile.id, device, profile.driver == "serial-polled"))
    return found


@cache
def layouts() -> list[Layout]:
    return [layout_of(device, polled=polled) for _, device, polled in sensors()]


def _sensor(data: bytes) -> None:
    """The first byte picks the sensor."""
    if not data:
        return
    which = data[0] % len(sensors())
    _, device, polled = sensors()[which]
    layout = layouts()[which]
    if polled:
        for group in layout.groups:
            for payload in cut(Answers(layout, group), data[1:], layout.rule.longest):
                layout.block(0, layout.values(payload, group))
        return
    codec = Codec(layout.rule)
    for piece in pieces(data[1:]):
        codec.feed(piece)
        before = codec.waiting
        events = codec.events()
        assert codec.waiting <= before
        assert codec.waiting <= layout.rule.longest + 1
        for event in events:
            if isinstance(event, Whole):
                for group in layout.groups_in(event.content):
                    layout.block(0, layout.values(event.content, group))
    block = SerialDriver().replay(device, [(b"", data[1:])])
    list(readings(block, device.table))


def _sensor_seeds() -> Iterable[bytes]:
    env = system_env()
    library = load(env.files, [packaged_folder()])
    for which, (model, _, _) in enumerate(sensors()):
        for case in load_cases(env.files, library.profiles[model]):
            yield bytes([which]) + whole(b"".join(said for _, said in case.frames))


# ---------------------------------------------------------------- manhole, meters, telnet, urls


def _manhole(data: bytes) -> None:
    codec = manhole.Codec()
    for piece in pieces(data):
        codec.feed(piece)
        for word in codec.events():
            assert manhole.read(manhole.acknowledgement(word)) is None
        assert codec.waiting <= manhole.LONGEST


def manhole_frame(items: bytes) -> bytes:
    """A frame that checks, whatever its items."""
    body = b"\x00\x12\xa3\xf4\x07\x02" + items[:200] + b"\xb0"
    head = manhole.START + bytes([len(body) + 2]) + body
    return head + manhole.crc16(head).to_bytes(2, "big")


def _manhole_items(data: bytes) -> None:
    """Past the checksum."""
    codec = manhole.Codec()
    codec.feed(manhole_frame(data))
    codec.events()
    assert codec.waiting <= manhole.LONGEST


def _telnet(data: bytes) -> None:
    telnet = Telnet()
    for piece in pieces(data):
        plain, said = telnet.feed(piece)
        assert len(plain) + len(said) <= len(piece)
        assert len(telnet._told or b"") <= TELNET_KEEPS


def _url(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    for parse in (line_of, packet_of):
        try:
            parse(text)
        except ValueError:
            continue


LINES: dict[str, Target] = {
    "modbus-tcp": _modbus(MbapFraming(), 260),
    "modbus-rtu": _modbus(RtuFraming(), 256),
    "modbus-ascii": _modbus(AsciiFraming(), 513),
    "modbus-identity": Target(_identity, _modbus_seeds),
    "serial": Target(_sensor, _sensor_seeds),
    "manhole": Target(
        _manhole, lambda: [whole(manhole_frame(b"\x01\x02\x00\x01\x03\x02\x00\x10") * 2)]
    ),
    "manhole-items": Target(_manhole_items, lambda: [b"\x01\x02\x00\x01\x06\x04\x00\x00\x00\x10"]),
    "telnet": Target(
        _telnet, lambda: [whole(bytes.fromhex("61fffffffd2cfffa2c6500002580fff00d0a"))]
    ),
    "channel-url": Target(
        _url, lambda: [b"modbus+rtu:///dev/ttyS1?baud=9600&parity=E&gap_ms=5", b"hex:0A0B"]
    ),
}
