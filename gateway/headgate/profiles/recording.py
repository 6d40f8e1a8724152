"""A trace of a line into a case of a profile: the frames of one unit, and what they say. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from headgate.columns import readings
from headgate.errors import Problem, ProfileError
from headgate.model import Quality, Reading, Status
from headgate.profiles.cases import Exchange, Replay
from headgate.profiles.compile import resolve
from headgate.profiles.judge import judge
from headgate.profiles.schema import Profile, Scalar
from headgate.sdk.device import Device
from headgate.sdk.stream import StreamCodec

#: The driver's own: of a trace's exchanges those that are one look at the device.
Select = Callable[[Device, Sequence[Exchange]], Sequence[Exchange]]


#: Under which of these names a frame says who sent it: stations, loggers (MN), fire alarm transmitters.
_WHO = ("address", "mn", "source", "station")


def last_said(
    stream: StreamCodec[Any], replay: Replay, device: Device, trace: Sequence[Exchange]
) -> list[Exchange]:
    """Of a trace of stations that dial in the newest report of one that tells most; nothing when none tells.

    A trace has all callers of a port. Parts of frames that stand between one another's are lost.
    """
    piece, own = b"", list[bytes]()
    senders: set[str] = set()
    for at in b"".join(said for _, said in trace):
        piece += (byte := bytes((at,)))  # so that it ends where a frame does
        senders |= {who for found in stream.feed(byte) if (who := _sender(found)) is not None}
        if not stream.waiting:
            if senders == {str(device.address)}:
                own.append(piece)
            piece, senders = b"", set()
    best, most = b"", 0
    for said in (*reversed(own), b"".join(own)):  # all of it, where no report is whole in itself
        block = replay(device, [(b"", said)])
        told = sum(each.quality is not Quality.BAD for each in readings(block, device.table))
        if told > most:
            best, most = said, told
    return [(b"", best)] if best else []


def _sender(found: object) -> str | None:
    frame = getattr(found, "frame", None) or getattr(found, "packet", None) or found
    return next((str(who) for name in _WHO if (who := getattr(frame, name, None))), None)


def exchanges_of(trace: str, where: str) -> list[Exchange]:
    """The exchanges of a trace file; what stands in comments was answered to nobody.

    Raises:
        ProfileError: HG-8043, with the line that is none.
    """
    pairs: list[Exchange] = []
    for number, line in enumerate(trace.splitlines(), 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            frame = bytes.fromhex(text[1:])
        except ValueError:
            frame = b""
        if text[0] == ">" and frame:
            pairs.append((frame, b""))
        elif text[0] == "<" and frame and (not pairs or not pairs[-1][0]):
            pairs.append((b"", frame))  # it talks by itself
        elif text[0] == "<" and frame:
            pairs[-1] = (pairs[-1][0], pairs[-1][1] + frame)
        else:
            fields: dict[str, str | int | float] = {"detail": "> request, < answer, in hex"}
            raise ProfileError([Problem(f"{where}:{number}", "HG-8043", fields)])
    return pairs


def case_of(
    profile: Profile,
    exchanges: Sequence[Exchange],
    select: Select,
    replay: Replay,
    *,
    address: str | int,
    firmware: str | None = None,
    params: Mapping[str, Scalar] | None = None,
    title: str = "",
) -> dict[str, str]:
    """The two files of a case, by name. What it expects is what these frames say today: read it over.

    Raises:
        ProfileError: parameters that are missing; or frames of which none reads this unit (HG-8043).
    """
    device = resolve(
        profile,
        device_id=profile.model,
        number=1,
        channel="case",
        address=address,
        sm3=lambda _: bytes(32),
        firmware=firmware,
        params=params,
    )
    chosen = select(device, exchanges)
    if not chosen:
        fields: dict[str, str | int | float] = {
            "detail": f"nothing of unit {address} in it that was answered or told"
        }
        raise ProfileError([Problem(profile.id, "HG-8043", fields)])
    block = judge(device)(replay(device, chosen))
    lines = [f"# {title}"] if title else []
    for request, answer in chosen:
        lines += [f"> {request.hex(' ').upper()}"] if request else []
        lines.append(f"< {answer.hex(' ').upper()}")
    head = [f"title = {_toml(title)}"] if title else []
    head.append(f"address = {_toml(address)}")
    if firmware is not None:
        head.append(f"firmware = {_toml(firmware)}")
    if params:
        head += ["", "[params]", *(f"{key} = {_toml(value)}" for key, value in params.items())]
    told = [f"{reading.point} = {_expected(reading)}" for reading in readings(block, device.table)]
    return {
        "frames.txt": "\n".join(lines) + "\n",
        "expected.toml": "\n".join([*head, "", "[points]", *told]) + "\n",
    }


def _expected(reading: Reading) -> str:
    if reading.quality is Quality.GOOD:
        return _toml(reading.value)
    parts = [f'quality = "{Quality(reading.quality).name.lower()}"']
    if reading.value is not None:
        parts.insert(0, f"value = {_toml(reading.value)}")
    reason = reading.status >> 8
    if reason in Status._value2member_map_ and reason:
        parts.append(f'status = "{Status(reason).name.lower().replace("_", "-")}"')
    return "{ " + ", ".join(parts) + " }"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    return json.dumps(value if isinstance(value, str) else str(value), ensure_ascii=False)
