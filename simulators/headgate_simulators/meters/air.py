"""A Modbus unit between the meters: an air transmitter at 9600 baud without parity."""

from __future__ import annotations

from collections.abc import Mapping

from headgate_simulators.meters.meter import Meter, Said
from headgate_simulators.meters.wire import Asked, answer_modbus, crc


class Air(Meter):
    """Humidity and temperature in tenths, holding registers 0 and 1."""

    model = "generic/temperature-humidity"
    settings = "9600 8N1"
    digits = 1
    points = frozenset({"temperature", "humidity"})

    def values(self, t: float) -> Mapping[str, float]:
        """What stands in its registers."""
        temperature = round(10 * self.world.air_temperature_c(t))
        return {"temperature": temperature / 10, "humidity": (600 - temperature) / 10}

    def answer(self, asked: Asked, t: float) -> Said | None:
        if asked.protocol != "modbus" or asked.address != self.address:
            return None
        if asked.control not in (3, 4):
            return self._exception(asked, 1)
        start, count = int.from_bytes(asked.data[:2], "big"), int.from_bytes(asked.data[2:], "big")
        said = self.values(t)
        words = [round(10 * said["humidity"]), round(10 * said["temperature"]) & 0xFFFF]
        if asked.control != 3 or not count or start + count > len(words) or "refuses" in self.wrong:
            return self._exception(asked, 2)
        raw = b"".join(word.to_bytes(2, "big") for word in words[start : start + count])
        return Said(answer_modbus(self.number, 3, raw), said if count == len(words) else {})

    def _exception(self, asked: Asked, code: int) -> Said:
        body = bytes([self.number, asked.control | 0x80, code])
        return Said(body + crc(body))
