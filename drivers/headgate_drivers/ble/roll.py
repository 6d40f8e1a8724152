"""Whose advert it is: the devices of the site by address and by beacon id. Everybody else is only counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from headgate_drivers.ble.codec import FORMATS, Advert
from headgate_drivers.ble.heard import Heard, Told
from headgate_drivers.ble.strangers import Strangers

_BEACONS = ("ibeacon", "altbeacon", "eddystone")


class Roll:
    """The allow-list of one adapter. Strangers leave a number behind and nothing else."""

    def __init__(self, devices: Iterable[Heard], strangers: Strangers | None = None) -> None:
        self.devices = list(devices)
        self.strangers = strangers or Strangers()
        self._by_address: dict[str, list[Heard]] = {}
        self._by_beacon: dict[str, list[Heard]] = {}
        for heard in self.devices:
            book = self._by_address if heard.reader.by_address else self._by_beacon
            book.setdefault(heard.reader.identity, []).append(heard)

    def advert(self, advert: Advert, now_us: int) -> list[Told]:
        """What an advert tells of whom it is known to be from."""
        mine: Iterable[Heard] = self._by_address.get(advert.address, ())
        if not mine and self._by_beacon:
            mine = self._beacon(advert)
        if not mine:
            self.strangers.heard(advert.address, now_us)
            return []
        return [told for heard in mine for told in heard.advert(advert, now_us)]

    def _beacon(self, advert: Advert) -> Iterable[Heard]:
        for name in _BEACONS:
            for frame in FORMATS[name].frames(advert, None):
                told = {field.name: field.value for field in frame.fields}
                if found := self._by_beacon.get(_identity(told)):
                    return found
        return ()

    def counted(self) -> Mapping[str, int]:
        """How many adverts were our devices', repeated, refused and why, and how many were strangers'."""
        total: Counter[str] = Counter({"strangers": self.strangers.adverts})
        for heard in self.devices:
            for name, count in heard.counted.items():
                total[str(name)] += count
        return total


def _identity(told: Mapping[str, Any]) -> str:
    if "uuid" in told:
        return f"{told['uuid']}/{told['major']}/{told['minor']}"
    if "namespace" in told:
        return f"{told['namespace']}/{told['instance']}"
    return ""
