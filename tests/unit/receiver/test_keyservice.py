"""Keys in another process: the receiver works, waits for nobody, and has no private key."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.gateway import Gateway, Gauge
from kit.pki import Pki

from headgate.crypto.x509 import Role
from headgate.env import system_env
from headgate.envelope.receipt import Receipt, verify_receipt
from headgate.errors import EnvelopeError, SealBroken, SecurityError
from headgate_receiver.errands import KeyErrands
from headgate_receiver.keys import FileKeys, KeysUnavailable
from headgate_receiver.keyservice import client as client_module
from headgate_receiver.keyservice.client import RemoteKeys
from headgate_receiver.keyservice.server import KeyService
from headgate_receiver.keyservice.wire import (
    MAX_FRAME,
    Frames,
    Request,
    frame,
    read_description,
    read_request,
    read_response,
)


class Pair:
    """A service in this process, and the receiver's end of it."""

    def __init__(self, keys: FileKeys, path: Path) -> None:
        self.files, self.path = keys, path

    async def start(self, **faults: Any) -> KeyService:
        self.service = KeyService(system_env(), self.files, self.path, **faults)
        await self.service.open()
        return self.service


@pytest.fixture
async def pair(keys: FileKeys, tmp_path: Path) -> AsyncIterator[Pair]:
    made = Pair(keys, tmp_path / "keys.sock")
    await made.start()
    yield made
    await made.service.close()


@pytest.fixture
async def remote(pair: Pair) -> AsyncIterator[RemoteKeys]:
    made = await RemoteKeys.open(system_env(), pair.path)
    yield made
    await made.close()


@pytest.fixture
def fingerprint(pki: Pki) -> bytes:
    return pki.platform.certificate.fingerprint


async def test_it_opens_and_signs_as_the_keys_themselves(
    remote: RemoteKeys, pki: Pki, fingerprint: bytes, pair: Pair
) -> None:
    assert list(remote.recipients) == [fingerprint]
    assert await remote.unwrap(fingerprint, pki.platform.key.public.encrypt(b"secret")) == b"secret"
    (signature,) = await remote.sign(b"body")
    assert pair.files._receipts[0].public.verify(signature, b"body")
    assert pair.path.stat().st_mode & 0o777 == 0o600


async def test_what_does_not_open_is_told_apart_from_who_does_not_answer(
    remote: RemoteKeys, pair: Pair, fingerprint: bytes
) -> None:
    with pytest.raises(SealBroken):
        await remote.unwrap(fingerprint, b"no ciphertext")
    pair.service.fail_every = 1
    with pytest.raises(KeysUnavailable, match="told to fail"):
        await remote.unwrap(fingerprint, b"no ciphertext")


async def test_a_call_that_hangs_holds_up_no_other(
    remote: RemoteKeys, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair.service.hang_every = 2
    first, hanging, third = (asyncio.ensure_future(remote.sign(b"x")) for _ in range(3))
    await asyncio.wait([first, third])
    assert not hanging.done()
    hanging.cancel()
    await asyncio.wait([hanging])


async def test_an_answer_that_never_comes_is_given_up(pair: Pair) -> None:
    remote = await RemoteKeys.open(system_env(), pair.path, answer_s=0.05)
    pair.service.hang_every = 1
    try:
        with pytest.raises(KeysUnavailable, match="no answer within"):
            await remote.sign(b"x")
    finally:
        await remote.close()


async def test_a_restarted_service_is_found_again_with_its_new_keys(
    remote: RemoteKeys, pair: Pair, pki: Pki, keys: FileKeys
) -> None:
    await pair.service.close()
    with pytest.raises(KeysUnavailable):
        await remote.sign(b"x")
    changed = {b"n" * 32: pki.provider.sm2_generate(), **keys._encryption}
    pair.files = FileKeys(changed, keys._receipts, retired=list(keys.recipients))
    await pair.start()
    assert len(await remote.sign(b"x")) == 1
    assert remote.recipients[0] == b"n" * 32
    assert list(remote.retired) == list(keys.recipients)


async def test_without_a_service_there_is_no_start(tmp_path: Path) -> None:
    with pytest.raises(KeysUnavailable) as caught:
        await RemoteKeys.open(system_env(), tmp_path / "nobody")
    assert caught.value.code == "HG-7028"


@pytest.mark.parametrize(
    "answer",
    [b"\xff" * 8, frame(Request(1, "sign")), b"\0\0\0\x01\xc1", b"\0\0\0\x04\x94\x01\xc0\xc0"],
)
async def test_who_is_no_service_of_keys_is_left(tmp_path: Path, answer: bytes) -> None:
    class Liar(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport
            lines.append(transport)

        def data_received(self, data: bytes) -> None:
            self.transport.write(answer)

    lines: list[Any] = []
    path = tmp_path / "liar"
    server = await asyncio.get_running_loop().create_unix_server(Liar, str(path))
    try:
        with pytest.raises(KeysUnavailable):
            await RemoteKeys.open(system_env(), path, answer_s=1.0)
    finally:
        for line in lines:
            line.abort()
        server.close()
        await server.wait_closed()


async def test_a_client_that_says_nonsense_is_hung_up_on(pair: Pair) -> None:
    for nonsense in ((MAX_FRAME + 1).to_bytes(4, "big"), b"\0\0\0\x02\xc1\xc1"):
        reader, writer = await asyncio.open_unix_connection(str(pair.path))
        writer.write(nonsense)
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=5), st.integers(1, 7))
def test_frames_are_cut_wherever_the_stream_was(bodies: list[bytes], step: int) -> None:
    stream = b"".join(len(body).to_bytes(4, "big") + body for body in bodies)
    frames, found = Frames(), []
    for at in range(0, len(stream), step):
        found += frames.feed(stream[at : at + step])
    assert found == bodies


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_hostile_bytes_of_a_service_are_refused(data: bytes) -> None:
    for read in (read_request, read_response):
        try:
            read(data)
        except EnvelopeError:
            continue
    try:
        read_description(msgspec.msgpack.decode(data))
    except (EnvelopeError, msgspec.MsgspecError, ValueError):
        return


# ------------------------------------------------------------ beside the turns


class Slow:
    """Keys whose first unwrap waits for a word; each sign is counted."""

    def __init__(self, keys: FileKeys) -> None:
        self._keys = keys
        self.go = asyncio.Event()
        self.slow: set[bytes] = set()
        self.calls = 0

    recipients = property(lambda self: self._keys.recipients)
    retired = property(lambda self: self._keys.retired)

    async def unwrap(self, certificate: bytes, ciphertext: bytes) -> bytes:
        self.calls += 1
        if ciphertext in self.slow:
            await self.go.wait()
        return await self._keys.unwrap(certificate, ciphertext)

    async def sign(self, message: bytes) -> Sequence[bytes]:
        return await self._keys.sign(message)


async def test_one_slow_key_holds_up_nothing_but_what_needs_it(
    platform: Any, gauge: Gauge, pki: Pki, keys: FileKeys
) -> None:

    mine = Gateway(pki)
    other = Gateway(
        pki,
        identity=pki.issue("gauge-house-8", Role.GATEWAY),
        epoch=b"epoch--8",
        key_id=b"key-id-8",
    )
    slow = Slow(keys)
    errands, core = KeyErrands(slow), platform.core
    core.begin()
    waiting = core.check_grant(mine.grant(), "gauge-house-7")
    quick = core.check_grant(other.grant(), "gauge-house-8")
    slow.slow.add(waiting.ciphertext)
    await errands.unwrap([waiting, quick])
    ((which, secret),) = errands.take()
    assert which is quick
    core.granted(quick, secret)
    # The gateway asks again meanwhile: it is the same call.
    again = core.check_grant(mine.grant(), "gauge-house-7")
    await errands.unwrap([again])
    assert slow.calls == 2
    slow.go.set()
    await errands.opened()
    ((which, secret),) = errands.take()
    core.granted(which, secret)
    batch, _ = core.end()
    assert [each.gateway for each in batch.grants] == ["gauge-house-8", "gauge-house-7"]
    await errands.stop()


async def test_receipts_are_signed_side_by_side_and_sent_when_they_are(keys: FileKeys) -> None:
    slow, sent = Slow(keys), asyncio.Event()
    errands = KeyErrands(slow)
    messages: list[tuple[str, bytes]] = []

    async def send(topic: str, message: bytes) -> None:
        messages.append((topic, message))
        if len(messages) == 20:
            sent.set()

    for serial in range(20):
        errands.sign(Receipt("gauge-house-7", b"epoch--1", serial, 0), send)
    await sent.wait()
    public = keys._receipts[0].public
    serials = {verify_receipt(m, public, "gauge-house-7").serial for _, m in messages}
    assert serials == set(range(20))
    assert {topic for topic, _ in messages} == {"headgate/v1/gauge-house-7/down/receipt"}
    await errands.stop()


async def test_keys_that_fail_cost_patience_and_no_grant(
    platform: Any, gateway: Gateway, keys: FileKeys
) -> None:
    class Broken(Slow):
        async def unwrap(self, certificate: bytes, ciphertext: bytes) -> bytes:
            raise KeysUnavailable("away", reason="away")

    errands, core = KeyErrands(Broken(keys)), platform.core
    core.begin()
    wrapped = core.check_grant(gateway.grant(), "gauge-house-7")
    await errands.unwrap([wrapped])
    assert errands.take() == []
    assert core.end()[0].refusals == [], "not refused: it is asked for again"
    wrapped = core.check_grant(gateway.grant(), "gauge-house-7")
    assert wrapped is not None
    await errands.stop()


async def test_a_secret_that_is_none_is_a_refusal(platform: Any, gateway: Gateway) -> None:
    core = platform.core
    core.begin()
    wrapped = core.check_grant(gateway.grant(), "gauge-house-7")
    core.not_granted(wrapped, SealBroken("altered"))
    core.granted(wrapped, b"short")
    assert [each.kind for each in core.end()[0].refusals] == ["grant", "grant"]
    assert issubclass(SealBroken, SecurityError)


# ------------------------------------------------------------ where the private keys are

_RECEIVER = """
import asyncio, re, sys
from pathlib import Path
from headgate.env import system_env
from headgate_receiver.keyservice.client import RemoteKeys

async def main():
    keys = await RemoteKeys.open(system_env(), Path(sys.argv[1]))
    secret = await keys.unwrap(keys.recipients[0], bytes.fromhex(sys.argv[2]))
    signatures = await keys.sign(b"body")
    await keys.close()
    return secret, signatures

kept = asyncio.run(main())
print(kept[0].hex(), flush=True)
sys.stdin.readline()
"""


def test_no_private_key_is_in_the_receivers_memory(tmp_path: Path, pki: Pki) -> None:
    receipts = pki.issue("receipts", Role.PLATFORM_RECEIPT)
    folder = tmp_path / "keys"
    folder.mkdir()
    (folder / "ca.crt").write_bytes(pki.root.certificate.pem())
    for stem, party in (("platform-encryption", pki.platform), ("platform-receipt", receipts)):
        (folder / f"{stem}.crt").write_bytes(party.certificate.pem())
        (folder / f"{stem}.key").write_bytes(party.key.pem())
    scalars = [_scalar(party.key.pem()) for party in (pki.platform, receipts)]
    wrapped = pki.platform.key.public.encrypt(b"thirty-two bytes that are secret")
    socket = tmp_path / "keys.sock"
    with _run(
        "-m", "headgate_receiver.keyservice.server", "--keys", str(folder), "--socket", str(socket)
    ) as service:
        assert service.stdout is not None and service.stdout.readline() == "ready\n"
        with _run("-c", _RECEIVER, str(socket), wrapped.hex()) as receiver:
            assert receiver.stdout is not None
            secret = bytes.fromhex(receiver.stdout.readline().strip())
            assert secret == b"thirty-two bytes that are secret"
            assert _in_memory(receiver.pid, [secret]) == [True], "the search finds what is there"
            assert _in_memory(receiver.pid, scalars) == [False, False]
            receiver.communicate("\n")
        assert _in_memory(service.pid, scalars) == [True, True]
        service.send_signal(signal.SIGTERM)
        service.communicate()
    assert service.returncode == 0


def _run(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _scalar(pem: bytes) -> bytes:
    from headgate.crypto import encoding

    ((_, body),) = encoding.pem_blocks(pem)
    at = body.index(b"\x04\x20", body.index(b"\x02\x01\x01"))
    return body[at + 2 : at + 34]


def _in_memory(pid: int, needles: Sequence[bytes]) -> list[bool]:
    """Whether each of these bytes, as they are or in the limbs of a big number, is in a process."""
    found = [False] * len(needles)
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in maps:
            span, rights, *rest = line.split()
            if not rights.startswith("rw") or (rest[-1:] == ["[vvar]"]):
                continue
            first, last = (int(part, 16) for part in span.split("-"))
            try:
                memory.seek(first)
                data = memory.read(last - first)
            except OSError:
                continue
            for at, needle in enumerate(needles):
                found[at] = found[at] or needle in data or needle[::-1] in data
    return found


def test_the_client_gives_up_sooner_than_the_receiver_does() -> None:
    from headgate_receiver import errands

    assert client_module.ANSWER_S < errands.DEADLINE_S
