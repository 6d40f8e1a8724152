"""What a person writes as text: durations, sizes, addresses, URLs, references."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headgate.config import Duration, HostPort, SecretRef, Size, Url
from headgate.config.values import CredentialsError


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("5s", 5_000_000), ("250ms", 250_000), ("1min", 60_000_000), ("1h", 3_600_000_000),
        ("1d", 86_400_000_000), ("0s", 0), ("0.1s", 100_000), ("1.5 s", 1_500_000), ("7us", 7),
    ],
)  # fmt: skip
def test_a_duration_is_a_number_and_a_unit(text: str, us: int) -> None:
    assert Duration.parse(text).us == us


@pytest.mark.parametrize(
    "text",
    ["", "5", "5 sec", "-1s", "s", "1.5us", "1e3s", "５s", "5S", "nan s", "1s1s", "1" * 40 + "s"],
)
def test_what_is_not_a_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        Duration.parse(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("64KiB", 65536), ("4GiB", 4 * 2**30), ("1MB", 1_000_000), ("0B", 0), ("1.5KiB", 1536)],
)
def test_a_size_is_a_number_and_a_unit(text: str, size: int) -> None:
    assert Size.parse(text).bytes == size


@given(st.integers(0, 2**60))
def test_durations_and_sizes_are_written_as_they_are_read(value: int) -> None:
    duration, size = Duration(value % 10**15), Size(value % 10**12)
    assert Duration.parse(str(duration)) == duration
    assert Size.parse(str(size)) == size


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("modbus+tcp://10.0.3.21:502", Url("modbus+tcp", "10.0.3.21", 502)),
        ("modbus+tcp://[fd00::21]:502", Url("modbus+tcp", "fd00::21", 502)),
        ("sl651+listen://[::]:5651", Url("sl651+listen", "::", 5651)),
        ("ble://hci0", Url("ble", "hci0")),
        ("mqtts://platform.example:8883/x", Url("mqtts", "platform.example", 8883, "/x")),
        (
            "modbus+rtu:///dev/serial/by-id/usb-1?baud=9600&parity=even",
            Url(
                "modbus+rtu",
                "",
                None,
                "/dev/serial/by-id/usb-1",
                {"baud": "9600", "parity": "even"},
            ),
        ),
    ],
)
def test_a_url_names_a_connection(text: str, expected: Url) -> None:
    assert Url.parse(text) == expected
    assert Url.parse(str(expected)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", "10.0.3.21:502", "modbus+tcp:10.0.3.21", "tcp://h:0x1", "tcp://h:70000", "tcp://[::1", "tcp://:502",
        "tcp://h:", "tcp://a b", "tcp://h\n", "Tcp ://h", "1tcp://h", "tcp://h#x", "tcp://h?a=1&a=2", "tcp://h?a",
        "tcp://" + "h" * 3000,
    ],
)  # fmt: skip
def test_what_is_not_a_url_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Url.parse(text)


def test_a_password_in_a_url_is_refused_by_its_own_name() -> None:
    with pytest.raises(CredentialsError) as caught:
        Url.parse("mqtts://me:hunter2@host")
    assert "hunter2" not in str(caught.value)


@given(st.text(max_size=60))
@example("://")
def test_parsing_raises_value_errors_only(text: str) -> None:
    for kind in (Duration, Size, Url, HostPort, SecretRef):
        for written in (text, f"tcp://{text}", f"file:{text}"):
            try:
                made = kind.parse(written)
            except ValueError:
                continue
            assert kind.parse(str(made)) == made


@pytest.mark.parametrize(
    ("text", "host", "port"), [("127.0.0.1:9469", "127.0.0.1", 9469), ("[::1]:0", "::1", 0)]
)
def test_an_address_has_a_port(text: str, host: str, port: int) -> None:
    assert HostPort.parse(text) == HostPort(host, port)


@pytest.mark.parametrize(
    "text", ["127.0.0.1", ":9469", "::1:9469", "host:99999", "host:-1", "a b:1"]
)
def test_what_is_not_an_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not host:port"):
        HostPort.parse(text)


@pytest.mark.parametrize(
    "text",
    ["hunter2", "env:", "env:1A", "env:A B", "systemd:../x", "systemd:..", "file:", "http:x"],
)
def test_a_literal_is_not_a_reference_and_is_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="not env:NAME") as caught:
        SecretRef.parse(text)
    assert "hunter2" not in str(caught.value)
