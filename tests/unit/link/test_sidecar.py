"""Plain bytes go to a program on this machine, run by whom it should be, and to nobody else."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path

import pytest

from headgate.errors import ConfigError, UplinkUnavailable
from headgate.link import Refused, Terms, open_context, stays_here
from headgate.link.sidecar import listeners
from headgate.mqtt import Settings, connect
from headgate.sdk import UplinkContext
from headgate_plugins.mqtt import MqttUplink


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1"])
def test_loopback_stays_here(host: str) -> None:
    assert stays_here(host)


@pytest.mark.parametrize(
    "host",
    ["localhost", "10.0.0.1", "0.0.0.0", "::", "128.0.0.1", "", "127.1", "127.0.0.1.example"],
)
def test_everything_else_does_not(host: str) -> None:
    assert not stays_here(host)


def mistakes(**given: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        MqttUplink(UplinkContext("city", "gate-7", given))
    return [each.code for each in caught.value.problems]


def test_a_sidecar_elsewhere_is_a_mistake_in_the_site_file() -> None:
    for host in ("10.0.0.1", "platform.example", "localhost"):
        assert mistakes(url=f"mqtt://{host}:1884", link="sidecar") == ["HG-5082"]


@pytest.mark.parametrize(
    ("url", "link"),
    [
        ("mqtt://10.0.0.1", "tls"),
        ("mqtt://10.0.0.1", "rfc8998"),
        ("mqtts://127.0.0.1", "sidecar"),
        ("mqtt+unix:///run/tlcp.sock", "tls"),
        ("mqtt+unix:///run/tlcp.sock", ""),
    ],
)
def test_a_url_and_a_link_that_contradict_each_other_open_nothing(url: str, link: str) -> None:
    assert mistakes(url=url, link=link) == ["HG-5080"]


@pytest.mark.parametrize("rest", ["", "/", "host/x", "/" + "a" * 108])
def test_a_path_that_is_none_is_told(rest: str) -> None:
    assert mistakes(url=f"mqtt+unix://{rest}", link="sidecar") == ["HG-5030"]


def test_a_bad_certificate_is_not_read_for_a_sidecar() -> None:
    open_context(Terms(kind="sidecar", certificate=Path("/nowhere")), where="test")


def shake(terms: Terms) -> None:
    a, b = socket.socketpair()
    with b:
        line = open_context(terms, where="test").wrap_socket(a)
        try:
            line.do_handshake()
            line.send(b"x")
            assert b.recv(1) == b"x"
        finally:
            line.close()


def test_who_holds_the_other_end_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    shake(Terms(kind="sidecar"))
    # The other end is ours; as if this process ran under an account of its own.
    own = os.getuid()
    monkeypatch.setattr("headgate.link.sidecar._ALWAYS", frozenset())
    monkeypatch.setattr("os.geteuid", lambda: own + 1)
    with pytest.raises(Refused) as caught:
        shake(Terms(kind="sidecar"))
    assert caught.value.code == "HG-5073"
    assert str(own) in str(caught.value)
    shake(Terms(kind="sidecar", user=str(own)))


PROC_NET = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:075C 00000000:0000 0A 00000000:00000000 00:00000000 00000000   988        0 1
   1: 00000000:075D 00000000:0000 0A 00000000:00000000 00:00000000 00000000   989        0 2
   2: 0100007F:075C 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 3
   3: 0200007F:075E 00000000:0000 0A 00000000:00000000 00:00000000 00000000   990        0 4
   4: 0100007F:075E 00000000:0000 0A 00000000:00000000 00:00000000 00000000   991        0 5
   5: 0100007F:075E 00000000:0000 0A 00000000:00000000 00:00000000 00000000   992        0 6
   6: rubbish
   7: XX00007F:075C 00000000:0000 0A 00000000:00000000 00:00000000 00000000   993        0 7
"""


@pytest.mark.skipif(sys.byteorder != "little", reason="this table is of a little-endian machine")
def test_who_listens_is_read_from_the_kernels_table() -> None:
    assert listeners(PROC_NET, "127.0.0.1", 0x75C) == {988}
    assert listeners(PROC_NET, "127.0.0.1", 0x75D) == {989}
    # Two may listen at one port, and either one may get the connection.
    assert listeners(PROC_NET, "127.0.0.1", 0x75E) == {991, 992}
    assert listeners(PROC_NET, "127.0.0.1", 1) == set()
    six = "head\n 0: 00000000000000000000000001000000:075C 0:0 0A 0 0 0 7 0 1\n"
    assert listeners(six, "::1", 0x75C) == {7}
    assert listeners(six, "127.0.0.1", 0x75C) == set()
    both = "head\n 0: 00000000000000000000000000000000:075C 0:0 0A 0 0 0 7 0 1\n"
    assert listeners(both, "127.0.0.1", 0x75C) == {7}


def dial(terms: Terms) -> None:
    """A handshake with a port of this process."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sock = socket.create_connection(listener.getsockname())
        line = open_context(terms, where="test").wrap_socket(sock)
        try:
            line.do_handshake()
        finally:
            line.close()


def test_a_port_that_somebody_else_took_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    dial(Terms(kind="sidecar"))
    own = os.getuid()
    monkeypatch.setattr("headgate.link.sidecar._ALWAYS", frozenset())
    monkeypatch.setattr("os.geteuid", lambda: own + 1)
    with pytest.raises(Refused) as caught:
        dial(Terms(kind="sidecar"))
    assert caught.value.code == "HG-5073"
    dial(Terms(kind="sidecar", user=str(own)))


def test_where_the_kernel_does_not_tell_a_named_account_is_not_taken_on_trust(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("headgate.link.sidecar.listeners", lambda *_: set())
    dial(Terms(kind="sidecar"))
    with pytest.raises(Refused) as caught:
        dial(Terms(kind="sidecar", user="0"))
    assert caught.value.code == "HG-5073"


def test_an_account_that_is_not_here_is_a_mistake() -> None:
    with pytest.raises(ConfigError) as caught:
        open_context(Terms(kind="sidecar", user="no-such-account"), where="test")
    assert "no-such-account" in str(caught.value.problems[0].fields["reason"])


def test_a_tcp_peer_that_is_not_here_is_refused_even_when_dialled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name in the resolver, a route, a proxy: what counts is who answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sock = socket.create_connection(listener.getsockname())
        line = open_context(Terms(kind="sidecar"), where="test").wrap_socket(sock)
        try:
            line.do_handshake()
            monkeypatch.setattr("headgate.link.sidecar.stays_here", lambda host: False)
            with pytest.raises(Refused) as caught:
                line.do_handshake()
        finally:
            line.close()
    assert caught.value.code == "HG-5082"


async def test_a_sidecar_that_is_not_running_is_a_link_that_is_down(tmp_path: Path) -> None:
    settings = Settings.from_url(f"mqtt+unix://{tmp_path}/nobody.sock")
    with pytest.raises(UplinkUnavailable) as caught:
        async with connect(settings, tls=open_context(Terms(kind="sidecar"), where="test")):
            pass
    assert caught.value.code == "HG-5010"
    assert caught.value.fields["broker"] == f"{tmp_path}/nobody.sock"


async def test_a_sidecar_that_hangs_up_is_told_without_blaming_a_certificate(
    tmp_path: Path,
) -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        await writer.wait_closed()

    path = tmp_path / "x.sock"
    async with await asyncio.start_unix_server(hang_up, path):
        with pytest.raises(UplinkUnavailable) as caught:
            async with connect(
                Settings.from_url(f"mqtt+unix://{path}"),
                tls=open_context(Terms(kind="sidecar"), where="test"),
            ):
                pass
    assert caught.value.code == "HG-5018"
