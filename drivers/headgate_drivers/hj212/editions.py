"""What the editions have in common, and what is not known of the newest.

HJ/T 212-2005 and HJ 212-2017 are read and written whole. HJ 212-2025 is in force since 2026-01-01 and
replaces them; its text was not at hand. What is known of it is the number of its Flag and the names of
its new commands. **Not known**, and so not claimed: how keys are agreed (1014) and whether and how CP is
encrypted; what stands in CP of each new command; its longest packet; new factors, marks and return codes;
which commands of 2017 it drops. A new site that must be 2025 cannot be accepted with this.
"""

from __future__ import annotations

from enum import IntEnum

from headgate_drivers.hj212.frames import Packet


class Edition(IntEnum):
    """The number in the highest six bits of Flag."""

    OF_2005 = 0
    OF_2017 = 1
    OF_2025 = 2


#: Commands that 2025 adds: their names only, as one public implementation has them.
NEW_IN_2025: dict[str, str] = {
    "1001": "上传数采仪硬件序号",
    "1002": "设置数采仪MN编码",
    "1014": "密钥更新",
    "2013": "原始监测数据",
    "2052": "噪声单次测量数据",
    "2062": "自动标样核查校准数据",
    "2111": "上传炉膛温度5min均值",
    "3022": "下发即时留样任务",
    "3024": "启动标样核查",
    "9015": "心跳包",
}
HEARTBEAT = "9015"


def edition(packet: Packet) -> Edition | None:
    """Which edition a packet says it is of; 2005 where it has no Flag, None for a number of no edition."""
    version = packet.flag.version if packet.flag else 0
    return Edition(version) if version <= Edition.OF_2025 else None


def understood(packet: Packet) -> bool:
    """Whether all that a packet says is known here.

    Data of 2025 in the form of 2017 are; a command that is new in 2025 is only recognised.
    """
    return edition(packet) is not None and packet.cn not in NEW_IN_2025
