"""What the editions have in common, and what is not known of the newest.

HJ 212-2017 is read and written whole, HJ/T 212-2005 as far as it is the same, and as its loggers in the
field do it (its text was not at hand). HJ 212-2025 is in force since 2026-01-01 and replaces them. Its text
was not at hand either: what stands here is what several public implementations, made from it, agree on, and
its annex A.1 and A.2, whose examples were worked out again. **Not known**, and so not claimed: how keys are
handed out and renewed (1014), what stands in CP of each new command, files (annex H), new factors and
marks, which commands of 2017 it drops. A new site that must be 2025 cannot be accepted with this.
"""

from __future__ import annotations

from enum import IntEnum

from headgate_drivers.hj212.commands import COMMANDS, Command, Kind
from headgate_drivers.hj212.frames import Packet


class Edition(IntEnum):
    """The number in the highest six bits of Flag."""

    OF_2005 = 0
    OF_2017 = 1
    OF_2025 = 2


_R, _U, _N = Kind.REQUEST, Kind.UPLOAD, Kind.NOTICE
#: Commands that 2025 adds, which way they go and what answers them.
NEW_IN_2025: dict[str, Command] = {
    "1001": Command(None, _N, "上传数采仪硬件序号"),
    "1002": Command(_R, None, "设置数采仪MN编码"),
    "1014": Command(_R, _N, "密钥更新"),
    "2013": Command(_R, _U, "原始监测数据"),
    "2052": Command(_R, _U, "噪声单次测量数据"),
    "2062": Command(_R, _U, "自动标样核查校准数据"),
    "2111": Command(None, _U, "上传炉膛温度5min均值"),
    "3022": Command(_R, None, "下发即时留样任务"),
    "3024": Command(_R, None, "启动标样核查"),
    "9015": Command(None, _N, "心跳包"),
}
#: Loggers of every edition have one; those before 2025 by their makers' own choice.
HEARTBEAT = "9015"
NEW_KEY = "1014"

#: Commands of 2005 that 2017 dropped, or gave another meaning, as several public implementations have
#: them. The answers of 2005 say in CP what they answer, not in front: `replies`.
ONLY_IN_2005: dict[str, str] = {
    "1001": "设置超限报警时间",
    "1021": "提取/上传污染物报警门限值",
    "1022": "设置污染物报警门限值",
    "1031": "提取/上传上位机地址",
    "1032": "设置上位机地址",
    "1041": "提取/上传数据上报时间",
    "1042": "设置数据上报时间",
    "2071": "取/上传污染物报警记录",
    "2072": "上传报警事件",
    "3013": "设备操作",
    "3014": "设置设备采样时间周期",
}


def edition(packet: Packet) -> Edition | None:
    """Which edition a packet says it is of; 2005 where it has no Flag, None for a number of no edition."""
    version = packet.flag.version if packet.flag else 0
    return Edition(version) if version <= Edition.OF_2025 else None


def command(packet: Packet) -> Command | None:
    """What its command is in the packet's own edition; None for one that is not known."""
    if packet.cn == HEARTBEAT or edition(packet) is Edition.OF_2025:
        return NEW_IN_2025.get(packet.cn) or COMMANDS.get(packet.cn)
    return COMMANDS.get(packet.cn)


def understood(packet: Packet) -> bool:
    """Whether all that a packet says is known here.

    Data of 2025 in the form of 2017 are; a command that is new in 2025 is only recognised.
    """
    said = edition(packet)
    if said is Edition.OF_2005 and packet.cn in ONLY_IN_2005:
        return True
    return said is not None and packet.cn in COMMANDS


def name(packet: Packet) -> str:
    """What the packet's own edition calls its command; empty where that is not known."""
    if edition(packet) is Edition.OF_2005 and packet.cn in ONLY_IN_2005:
        return ONLY_IN_2005[packet.cn]
    found = command(packet)
    return found.name if found is not None else ""
