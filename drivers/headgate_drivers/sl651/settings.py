"""What a station's parameters say, for a person (SL 651-2014 annexes D.1 to D.4). Pure.

Numbers of D.4 come with their unit. Of D.1 each has a form of its own: centres, channels with address and
port, the way of working, which elements are measured (D.2), whom a relay serves (D.3), its card.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

from headgate.sdk import Told
from headgate_drivers.sl651.items import Element, Raw
from headgate_drivers.sl651.parameters import PARAMETERS, PASSWORD

#: D.1: the kind of a channel, its first byte.
CHANNELS = {
    0: "禁用", 1: "短信", 2: "IPv4", 3: "北斗", 4: "海事卫星", 5: "PSTN", 6: "超短波",
}  # fmt: skip
IPV4 = 2
FIRST_CHANNEL, LAST_CHANNEL = 0x04, 0x0B
#: D.1: the way of working (0C).
WORKING = {1: "自报", 2: "自报确认", 3: "查询/应答", 4: "调试或维修"}
#: D.1: the kind of a card (0F), its first character.
CARDS = {"1": "移动通信卡", "2": "北斗卫星通信卡"}
CENTRES, ADDRESS, WAY, MEASURED, SERVED, CARD = 0x01, 0x02, 0x0C, 0x0D, 0x0E, 0x0F

#: D.2: what is measured, byte by byte, the highest bit first; "" is no element.
ELEMENTS_MEASURED: tuple[tuple[str, ...], ...] = (
    ("降水量", "蒸发量", "风向", "风速", "气温", "湿度", "地温", "气压"),
    ("水位8", "水位7", "水位6", "水位5", "水位4", "水位3", "水位2", "水位1"),
    ("地下水埋深", "图片", "波浪", "闸门开度", "水量", "流速", "流量", "水压"),
    ("水表8", "水表7", "水表6", "水表5", "水表4", "水表3", "水表2", "水表1"),
    ("100cm墒情", "80cm墒情", "60cm墒情", "50cm墒情", "40cm墒情", "30cm墒情", "20cm墒情", "10cm墒情"),
    ("pH值", "溶解氧", "电导率", "浊度", "氧化还原电位", "高锰酸盐指数", "氨氮", "水温"),
    ("总有机碳", "总氮", "总磷", "锌", "硒", "砷", "总汞", "镉"),
    ("", "", "", "", "", "叶绿素a", "铜", "铅"),
)  # fmt: skip

#: D.4: units by the range of identifiers they hold for.
_UNITS: tuple[tuple[int, int, str], ...] = (
    (0x20, 0x20, "h"), (0x21, 0x21, "min"), (0x22, 0x22, "h"), (0x23, 0x23, "s"), (0x24, 0x24, "min"),
    (0x25, 0x25, "mm"), (0x26, 0x26, "cm"), (0x27, 0x27, "mm"), (0x28, 0x41, "m"), (0x42, 0x42, "m3/s"),
    (0x43, 0x43, "m/s"), (0x44, 0x44, "m"), (0x45, 0x45, "kW"), (0x46, 0x46, "hPa"), (0x47, 0x47, "m/s"),
    (0x48, 0x48, "Cel"), (0x49, 0x58, "m"), (0x59, 0x68, "kPa"), (0x69, 0x6A, "Cel"), (0x6D, 0x70, "mg/L"),
    (0x71, 0x72, "uS/cm"), (0x73, 0x74, "mV"), (0x75, 0x76, "{NTU}"), (0x77, 0x8C, "mg/L"),
    (0x8D, 0x8D, "m3/s"), (0x8E, 0x96, "m3"), (0x99, 0xA8, "m3"),
)  # fmt: skip


def unit_of(code: int) -> str:
    """The unit of a parameter; empty where it has none, or is not known."""
    return next((unit for first, last, unit in _UNITS if first <= code <= last), "")


def told(item: Element | Raw) -> Told:
    """A parameter as a line: name with identifier, what it says, unit. A password is not told."""
    known = PARAMETERS.get(item.code)
    name = f"{item.code:02X} {known.name if known else ''}".rstrip()
    if isinstance(item, Element):
        if item.code == WAY and item.value is not None:
            said = WORKING.get(int(item.value))
            return Told(name, f"{int(item.value)} {said}" if said else item.digits)
        return Told(name, item.value, unit_of(item.code))
    return Told(name, _said(item.code, item.data))


def _said(code: int, data: bytes) -> str:
    if code == PASSWORD:
        return "****"
    if code == CENTRES:
        return ", ".join(str(each) if each else "禁用" for each in data)
    if FIRST_CHANNEL <= code <= LAST_CHANNEL and data:
        return channel_of(data)
    if code == MEASURED:
        return ", ".join(measured(data))
    if code == SERVED and len(data) % 6 == 0:
        return ", ".join(f"{a} x {n}" for a, n in served(data))
    if code == CARD and data:
        kind, number = chr(data[0]), data[1:].decode("ascii", "replace")
        return f"{CARDS.get(kind, kind)} {number}".rstrip()
    return data.hex().upper()


def channel_of(data: bytes) -> str:
    """Parameters 04 to 0B: the kind of channel, and its address (D.1).

    IPv4: 6 bytes of BCD, three digits for each part, then 3 bytes for the port. Else digits, an odd one
    with A before it (clause 6.6.3.3 b).
    """
    kind, digits = data[0], data[1:].hex().upper()
    name = CHANNELS.get(kind, f"{kind:02X}")
    if kind == IPV4 and len(digits) == 18 and digits.isdecimal():
        parts = [int(digits[at : at + 3]) for at in range(0, 12, 3)]
        if max(parts) <= 255:
            address = IPv4Address(bytes(parts))
            return f"{name} {address}:{int(digits[12:])}"
    return f"{name} {digits.lstrip('A')}".rstrip()


def measured(data: bytes) -> Iterator[str]:
    """Parameter 0D: the elements that are measured (D.2); a bit beyond the table by its place."""
    for at, byte in enumerate(data):
        for bit in range(7, -1, -1):
            if byte >> bit & 1:
                known = ELEMENTS_MEASURED[at][7 - bit] if at < len(ELEMENTS_MEASURED) else ""
                yield known or f"A{at + 1}.D{bit}"


def served(data: bytes) -> Iterator[tuple[str, int]]:
    """Parameter 0E: the stations that a relay serves, as the first address and how many follow (D.3)."""
    for at in range(0, len(data) - 5, 6):
        count = data[at + 5]
        digits = f"{count:02X}"
        yield data[at : at + 5].hex().upper(), int(digits) if digits.isdecimal() else count
