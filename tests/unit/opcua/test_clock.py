"""The server's clock against ours."""

from headgate_drivers.opcua.clock import ServerClock


def test_what_came_late_does_not_count() -> None:
    clock = ServerClock()
    assert clock.ours(5) is None
    for late_us in (900_000, 20_000, 700_000):
        clock.see(1_000_000_000 + late_us - late_us, 50_000_000 + late_us)
    assert clock.ours(1_000_000_000) == 50_020_000
    assert clock.ahead_us(50_020_000, 999_000_000) == 1_000_000


def test_a_clock_that_is_set_back_is_believed_after_a_while() -> None:
    clock = ServerClock()
    clock.see(9_000_000, 1_000_000)
    for step in range(8):
        clock.see(5_000_000 + step, 2_000_000 + step)
    assert clock.offset_us == 3_000_000
