"""Everything in the SDK is serialisable by contract: a driver in a host process notices nothing.

One toy driver of each shape is run twice, in this process and at the far end of a wire.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import pytest

from headgate import errors, model
from headgate.sdk import (
    Block,
    Channel,
    ChannelClosed,
    ChannelTimeout,
    ConfigError,
    Delimited,
    Delivery,
    Device,
    DevicePoint,
    DeviceRefused,
    FixedSize,
    HeadgateError,
    Identity,
    Listener,
    ListeningDriver,
    Origin,
    Point,
    PollingDriver,
    Problem,
    ProfileError,
    ProtocolError,
    SpoolError,
    StreamingDriver,
    Value,
)
from headgate.sdk.wire import error_from_wire, error_to_wire
from headgate.testing import FakeChannel, FakeListener, make_device, run_driver_contract
from headgate.testing.loopback import loopback

DEVICE = make_device(
    [
        DevicePoint(Point("level", "i16", "mm"), {"at": 0}),
        DevicePoint(Point("state", "text"), {"at": 2}),
        DevicePoint(Point("image", "bytes")),
        DevicePoint(Point("flow", "f64", "m3/s", model.Linear(0.1)), {"scale": None}),
    ],
    params={"datum": 1.25},
    labels={"mn": "A100"},
)


class AcmeRefused(DeviceRefused):
    """A plugin's own error."""


class Polled(PollingDriver):
    name = "polled"

    def __init__(self) -> None:
        self.cancelled = asyncio.Event()

    def plan(self, device: Device) -> Any:
        if device.address == 66:
            raise ProfileError([Problem("profile: level", "HG-8000", {"point": "level", "n": 3})])
        return object()  # a plan need not cross

    async def read(self, channel: Channel, device: Device, plan: Any) -> Block:
        assert type(plan) is object
        try:
            reply = await channel.exchange(b"ask", FixedSize(3))
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        if reply[0] == 0xEE:
            raise AcmeRefused("says no", detail=reply[1], code="HG-3102", device=device.id, unit=7)
        if reply[0] != 0x10:
            raise ProtocolError("nonsense", reply=reply.hex())
        level = int.from_bytes(reply[1:3], "big", signed=True)
        raw: dict[str, Value] = {
            "level": level,
            "state": "läuft",
            "image": b"\x00\xff",
            "flow": 0.1,
        }
        return device.block(channel.now_us(), raw)

    async def identify(self, channel: Channel, device: Device) -> Identity | None:
        return Identity("acme", "P1", None, "s-1")

    async def write(self, channel: Channel, device: Device, point: str, raw: Value) -> Value:
        await channel.send(f"{point}={raw!r}".encode())
        return raw


class Streamed(StreamingDriver):
    name = "streamed"

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    async def listen(self, channel: Channel, devices: Sequence[Device]) -> AsyncIterator[Block]:
        try:
            async for frame in channel.frames(Delimited(b"\n", 64)):
                if not frame.payload.lstrip(b"-").isdigit() or len(frame.payload) > 5:
                    raise ProtocolError("not a number")
                value = int(frame.payload)
                if not -32768 <= value <= 32767:
                    raise ProtocolError("not a level")
                yield devices[0].block(channel.now_us(), {"level": value})
        finally:
            self.ended.set()


class Dialled(ListeningDriver):
    name = "dialled"

    async def serve(self, listener: Listener, devices: Sequence[Device]) -> AsyncIterator[Delivery]:
        async for channel in listener.accept():
            async for frame in channel.frames(Delimited(b"\n", 64)):
                block = devices[0].block(channel.now_us(), {"state": frame.payload.hex()})
                digest = frame.payload.ljust(32)
                delivery = Delivery([block], Origin("st", "32H", 7, 5, digest))
                yield delivery
                try:
                    await delivery.durable()
                except SpoolError as error:
                    await channel.send(b"NAK " + error.code.encode())
                else:
                    await channel.send(b"ACK " + frame.payload)


OTHER = msgspec.structs.replace(DEVICE, address=66)
GOOD = [(b"ask", b"\x10\xff\xfe")]


def near() -> Channel:
    """The core's end of a line whose bytes only the far side sees."""
    return FakeChannel()


async def outcome(work: Any) -> Any:
    """What came of it, in a form that can be compared."""
    try:
        return await work
    except HeadgateError as error:
        problems = getattr(error, "problems", ()), getattr(error, "detail", None)
        return str(error), error.code, dict(error.fields), error.retryable, problems


# ---------------------------------------------------------------- polling


@pytest.mark.parametrize(
    "script",
    [
        GOOD,
        [(b"ask", b"\xee\x0b\x00")],
        [(b"ask", b"\x77\x00\x00")],
        [(b"ask", None)],
        [(b"ask", ChannelClosed("gone", line="l", peer=("h", 1)))],
    ],
    ids=["value", "refused", "nonsense", "silence", "closed"],
)
async def test_a_look_is_the_same_here_and_there(script: list[tuple[bytes, Any]]) -> None:
    driver = Polled()
    direct = await outcome(driver.read(FakeChannel(script), DEVICE, driver.plan(DEVICE)))
    async with loopback(driver, {"line": FakeChannel(script)}) as far:
        await far.prepare([DEVICE])
        crossed = await outcome(far.read(near(), DEVICE, far.plan(DEVICE)))
        assert far.peer.received >= 2
    if isinstance(direct, tuple) and "peer" in direct[2]:
        direct[2]["peer"] = list(direct[2]["peer"])  # msgpack has one kind of sequence
    assert crossed == direct
    if isinstance(direct, Block):
        assert crossed.columns == direct.columns
        assert type(crossed.columns[1]) is tuple


async def test_a_profile_error_is_raised_by_plan_with_its_problems() -> None:
    async with loopback(Polled(), {"line": FakeChannel()}) as far:
        await far.prepare([OTHER])
        with pytest.raises(ProfileError) as raised:
            far.plan(OTHER)
    assert raised.value.problems == (
        Problem("profile: level", "HG-8000", {"point": "level", "n": 3}),
    )


@pytest.mark.parametrize("value", [7, -1.5, True, "an", b"\x01", None, 2**63])
async def test_values_keep_their_type(value: Value) -> None:
    line = FakeChannel()
    async with loopback(Polled(), {"line": line}) as far:
        back = await far.write(near(), DEVICE, "level", value)
    assert back == value
    assert type(back) is type(value)
    assert line.sent == [f"level={value!r}".encode()]


async def test_identity_crosses_and_a_driver_that_cannot_tell_says_none() -> None:
    async with loopback(Polled(), {"line": FakeChannel()}) as far:
        assert await far.identify(near(), DEVICE) == Identity("acme", "P1", None, "s-1")
    async with loopback(Streamed(), {"line": FakeChannel()}) as far:
        assert await far.identify(near(), DEVICE) is None
        with pytest.raises(NotImplementedError):
            await far.write(near(), DEVICE, "level", 1)


async def test_cancelling_reaches_a_driver_in_the_middle_of_an_exchange() -> None:
    driver, line = Polled(), FakeChannel(GOOD).silent()
    async with loopback(driver, {"line": line}) as far:
        await far.prepare([DEVICE])
        look = asyncio.ensure_future(far.read(near(), DEVICE, far.plan(DEVICE)))
        await line.reached.wait()
        look.cancel()
        await asyncio.wait_for(driver.cancelled.wait(), 10)
        with pytest.raises(asyncio.CancelledError):
            await look


async def test_looks_at_the_same_time_do_not_mix_up() -> None:
    lines = {f"l{i}": FakeChannel([(b"ask", bytes([0x10, 0, i]))], name=f"l{i}") for i in range(20)}
    async with loopback(Polled(), lines) as far:
        await far.prepare([DEVICE])
        plan = far.plan(DEVICE)
        blocks = await asyncio.gather(
            *(far.read(FakeChannel(name=name), DEVICE, plan) for name in lines)
        )
    assert [b.columns[0] for b in blocks] == [bytes([0, i]) for i in range(20)]


async def test_a_host_that_dies_is_a_line_that_is_closed() -> None:
    line = FakeChannel(GOOD).silent()
    async with loopback(Polled(), {"line": line}) as far:
        await far.prepare([DEVICE])
        look = asyncio.ensure_future(far.read(near(), DEVICE, far.plan(DEVICE)))
        await line.reached.wait()
        far.peer._writer.transport.abort()
        with pytest.raises(ChannelClosed):
            await look


# ---------------------------------------------------------------- streaming


async def test_a_stream_is_the_same_here_and_there_up_to_its_error() -> None:
    incoming = [b"1\n2", b"2\n-3\n", b"no\n5\n"]

    async def collect(stream: AsyncIterator[Block]) -> tuple[list[Block], Any]:
        got: list[Block] = []

        async def pull() -> None:
            async for block in stream:
                got.append(block)  # noqa: PERF401 - what came before the error counts

        return got, await outcome(pull())

    direct = await collect(Streamed().listen(FakeChannel(incoming=incoming), [DEVICE]))
    async with loopback(Streamed(), {"line": FakeChannel(incoming=incoming)}) as far:
        crossed = await collect(far.listen(near(), [DEVICE]))
    assert crossed == direct
    assert len(direct[0]) == 3
    assert direct[1][1] == "HG-3101"


async def test_leaving_a_stream_ends_it_at_the_far_side() -> None:
    driver = Streamed()
    async with loopback(driver, {"line": FakeChannel(incoming=[b"1\n2\n3\n"])}) as far:
        stream = far.listen(near(), [DEVICE])
        await anext(stream)
        assert not driver.ended.is_set()
        await stream.aclose()
        assert driver.ended.is_set()


async def test_cancelling_a_stream_that_waits_ends_it_at_the_far_side() -> None:
    driver, line = Streamed(), FakeChannel().silent()
    async with loopback(driver, {"line": line}) as far:
        stream = far.listen(near(), [DEVICE])
        waiting = asyncio.ensure_future(anext(stream))
        await line.reached.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.wait_for(driver.ended.wait(), 10)


# ---------------------------------------------------------------- listening


async def serve(driver: Any, line: FakeListener | Listener, store: Any) -> list[Delivery]:
    got = []
    async for delivery in driver.serve(line, [DEVICE]):
        delivery.bind(lambda d=delivery: store(d))
        got.append(delivery)
    return got


async def test_deliveries_cross_and_are_acknowledged_only_when_durable() -> None:
    async def store(delivery: Delivery) -> None:
        if delivery.origin.digest.startswith(b"bad"):
            raise SpoolError("full", code="HG-4006", folder="/x")

    sent = []
    for far_away in (False, True):
        caller = FakeChannel(incoming=[b"one\nbad\ntwo\n"])
        port = FakeListener([caller])
        if far_away:
            async with loopback(Dialled(), {"port": port}) as far:
                got = await serve(far, FakeListener([]), store)
                assert far._deliveries == {}
        else:
            got = await serve(Dialled(), port, store)
        assert [d.origin.digest[:3] for d in got] == [b"one", b"bad", b"two"]
        assert got[0].origin == Origin("st", "32H", 7, 5, b"one".ljust(32))
        sent.append((caller.sent, [d.blocks for d in got]))
    assert sent[0] == sent[1]
    assert sent[0][0] == [b"ACK one", b"NAK HG-4006", b"ACK two"]


async def test_no_acknowledgement_leaves_before_the_commit() -> None:
    caller = FakeChannel(incoming=[b"one\n"])
    committed = asyncio.Event()
    asked = asyncio.Event()

    async def store(delivery: Delivery) -> None:
        asked.set()
        await committed.wait()

    async with loopback(Dialled(), {"port": FakeListener([caller])}) as far:
        serving = asyncio.ensure_future(serve(far, FakeListener([]), store))
        await asked.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        assert caller.sent == []
        committed.set()
        await serving
        assert caller.sent == [b"ACK one"]


# ---------------------------------------------------------------- errors, and the kit itself


def tree() -> list[type[HeadgateError]]:
    return [
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, HeadgateError)
    ]


@pytest.mark.parametrize("kind", tree(), ids=lambda kind: kind.__name__)
def test_every_error_of_the_tree_comes_back_as_it_was(kind: type[HeadgateError]) -> None:
    if issubclass(kind, ConfigError):
        error: HeadgateError = kind([Problem("w", "HG-1001", {"a": 1})])
    else:
        error = kind("what happened", code="HG-1234", kind="x", n=None, at=1.5)
        error.fields = {**error.fields, "text": "a field may be named like a parameter"}
    packed = msgspec.msgpack.encode(error_to_wire(error))
    back = error_from_wire(msgspec.msgpack.decode(packed, type=type(error_to_wire(error))))
    assert type(back) is kind
    assert (str(back), back.code, back.fields) == (str(error), error.code, error.fields)
    assert back.retryable == error.retryable
    assert getattr(back, "problems", None) == getattr(error, "problems", None)


def test_a_plugins_own_error_arrives_as_the_nearest_we_know_and_a_bug_as_a_plugin_error() -> None:
    back = error_from_wire(error_to_wire(AcmeRefused("no", detail=11)))
    assert type(back) is DeviceRefused
    assert back.detail == 11
    bug = error_from_wire(error_to_wire(KeyError("x")))
    assert isinstance(bug, errors.PluginError)
    assert "KeyError" in str(bug)


async def test_the_kit_passes_good_drivers_of_every_shape() -> None:
    await run_driver_contract(Polled(), DEVICE, FakeChannel(GOOD))
    await run_driver_contract(Streamed(), DEVICE, FakeChannel(incoming=[b"1\n22\n", b"-3\n"]))
    await run_driver_contract(
        Dialled(), DEVICE, FakeListener([FakeChannel(incoming=[b"one\ntwo\n"])])
    )


class Trusting(Polled):
    async def read(self, channel: Channel, device: Device, plan: Any) -> Block:
        reply = await channel.exchange(b"ask", Delimited(b"\n"))
        return device.block(1, {"level": int(reply)})


class Stubborn(Polled):
    async def read(self, channel: Channel, device: Device, plan: Any) -> Block:
        try:
            return await super().read(channel, device, plan)
        except asyncio.CancelledError:
            return device.block(1, {})


class Leaking(Polled):
    async def read(self, channel: Channel, device: Device, plan: Any) -> Block:
        self.task = asyncio.ensure_future(asyncio.Event().wait())
        return await super().read(channel, device, plan)


class Misfit(Polled):
    async def read(self, channel: Channel, device: Device, plan: Any) -> Block:
        block = await super().read(channel, device, plan)
        return msgspec.structs.replace(block, columns=(block.columns or ())[:1])


@pytest.mark.parametrize(
    ("driver", "script", "promise"),
    [
        (Trusting, [(b"ask", b"12\n")], "bad bytes"),
        (Stubborn, GOOD, "CancelledError pass"),
        (Misfit, GOOD, "does not fit its table"),
    ],
)
async def test_the_kit_finds_a_driver_that_breaks_its_promise(
    driver: type[Polled], script: list[tuple[bytes, Any]], promise: str
) -> None:
    with pytest.raises(AssertionError, match=promise):
        await run_driver_contract(driver(), DEVICE, FakeChannel(script))


async def test_the_kit_finds_a_task_left_behind() -> None:
    driver = Leaking()
    before = asyncio.all_tasks()
    with pytest.raises(AssertionError, match="left behind"):
        await run_driver_contract(driver, DEVICE, FakeChannel(GOOD), hostile=1)
    for task in asyncio.all_tasks() - before:
        task.cancel()


async def test_a_script_that_is_not_followed_fails_the_test() -> None:
    with pytest.raises(AssertionError, match="the script has"):
        await FakeChannel([(b"a", b"b")]).exchange(b"x", FixedSize(1))
    with pytest.raises(ChannelTimeout):
        await FakeChannel([(b"a", b"b")]).exchange(b"a", FixedSize(2))
