"""Systems, commands and return codes (HJ 212-2017, 6.6: tables 5, 6, 7 and 9): facts.

`ST` and `CN` are kept as they came in a packet: one that is not known here is no fault.
"""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import NamedTuple

#: Table 5. 10-29 environment, 30-49 sources, 50-69 processes, 91-99 between the machines. 44 and 45 are of
#: 2025, as two public implementations of it have them.
SYSTEMS: dict[str, str] = {
    "21": "地表水质量监测",
    "22": "空气质量监测",
    "23": "声环境质量监测",
    "24": "地下水质量监测",
    "25": "土壤质量监测",
    "26": "海水质量监测",
    "27": "挥发性有机物监测",
    "31": "大气环境污染源",
    "32": "地表水体环境污染源",
    "33": "地下水体环境污染源",
    "34": "海洋环境污染源",
    "35": "土壤环境污染源",
    "36": "声环境污染源",
    "37": "振动环境污染源",
    "38": "放射性环境污染源",
    "39": "工地扬尘污染源",
    "41": "电磁环境污染源",
    "44": "用电监控",  # 2025
    "45": "关键生产工况监控",  # 2025
    "51": "烟气排放过程监控",
    "52": "污水排放过程监控",
    "91": "系统交互",
}
BETWEEN = "91"


class Kind(Enum):
    """What a command begins (clause 6.5): who answers, and how often."""

    REQUEST = "request"  # platform asks: 9011, perhaps data, 9012
    UPLOAD = "upload"  # logger sends: 9014 where Flag asks for it
    NOTICE = "notice"  # either says: 9013
    REPLY = "reply"  # is itself an answer


class Command(NamedTuple):
    """One command: what it begins downwards and upwards (None: not used that way), and its name."""

    down: Kind | None
    up: Kind | None
    name: str


_R, _U, _N, _A = Kind.REQUEST, Kind.UPLOAD, Kind.NOTICE, Kind.REPLY
COMMANDS: dict[str, Command] = {
    "1000": Command(_R, None, "设置超时时间及重发次数"),
    "1011": Command(_R, _U, "提取/上传现场机时间"),
    "1012": Command(_R, None, "设置现场机时间"),
    "1013": Command(None, _N, "现场机时间校准请求"),
    "1061": Command(_R, _U, "提取/上传实时数据间隔"),
    "1062": Command(_R, None, "设置实时数据间隔"),
    "1063": Command(_R, _U, "提取/上传分钟数据间隔"),
    "1064": Command(_R, None, "设置分钟数据间隔"),
    "1072": Command(_R, None, "设置现场机密码"),
    "2011": Command(_R, _U, "取/上传污染物实时数据"),
    "2012": Command(_N, None, "停止察看污染物实时数据"),
    "2021": Command(_R, _U, "取/上传设备运行状态数据"),
    "2022": Command(_N, None, "停止察看设备运行状态"),
    "2031": Command(_R, _U, "取/上传污染物日历史数据"),
    "2041": Command(_R, _U, "取/上传设备运行时间日历史数据"),
    "2051": Command(_R, _U, "取/上传污染物分钟数据"),
    "2061": Command(_R, _U, "取/上传污染物小时数据"),
    "2081": Command(None, _U, "上传数采仪开机时间"),
    "3011": Command(_R, None, "零点校准量程校准"),
    "3012": Command(_R, None, "即时采样"),
    "3013": Command(_R, None, "启动清洗/反吹"),
    "3014": Command(_R, None, "比对采样"),
    "3015": Command(_R, _U, "超标留样/上传超标留样信息"),
    "3016": Command(_R, None, "设置采样时间周期"),
    "3017": Command(_R, _U, "提取/上传采样时间周期"),
    "3018": Command(_R, _U, "提取/上传出样时间"),
    "3019": Command(_R, _U, "提取/上传设备唯一标识"),
    "3020": Command(_R, _U, "提取/上传现场机信息"),
    "3021": Command(_R, None, "设置现场机参数"),
    "9011": Command(None, _A, "请求应答"),
    "9012": Command(None, _A, "执行结果"),
    "9013": Command(_A, _A, "通知应答"),
    "9014": Command(_A, _A, "数据应答"),
}


class Accepted(IntEnum):
    """QnRtn: whether a request is carried out (table 7)."""

    READY = 1
    REFUSED = 2
    WRONG_PASSWORD = 3
    WRONG_DEVICE = 4
    WRONG_SYSTEM = 5
    WRONG_FLAG = 6
    WRONG_ID = 7
    WRONG_COMMAND = 8
    WRONG_CHECK = 9
    UNKNOWN = 100


class Done(IntEnum):
    """ExeRtn: how a request went (table 6)."""

    SUCCESS = 1
    FAILED = 2
    WRONG_CONDITION = 3
    TIMEOUT = 4
    BUSY = 5
    BROKEN = 6
    NO_DATA = 100


#: Commands of data: what their DataTime is the beginning of, or the instant itself (table 4).
PERIODS: dict[str, str] = {
    "2011": "instant",
    "2021": "instant",
    "2051": "minutes",
    "2061": "hour",
    "2031": "day",
    "2041": "day",
}
