"""The table of elements (SL 651-2014 annex C.1): facts, in the standard's own names.

Digits and decimals are what the standard proposes; a frame says its own, and the frame is right.
Units are UCUM; braces where it has none.
"""

from __future__ import annotations

from typing import NamedTuple


class Known(NamedTuple):
    """One element: its ASCII identifier, digits N(D,d), unit and name."""

    ascii: str
    digits: int
    decimals: int
    unit: str
    name: str


#: identifier: ASCII identifier, digits, decimals, unit, name
ELEMENTS: dict[int, Known] = {
    0x01: Known("AC", 8, 2, "m2", "断面面积"),
    0x02: Known("AI", 3, 1, "Cel", "瞬时气温"),
    0x03: Known("C", 3, 1, "Cel", "瞬时水温"),
    0x04: Known("DR", 3, 0, "", "时间步长码"),
    0x05: Known("DT", 4, 2, "{h.min}", "时段长,降水、引排水、抽水历时"),
    0x06: Known("ED", 5, 1, "mm", "日蒸发量"),
    0x07: Known("EJ", 5, 1, "mm", "当前蒸发"),
    0x08: Known("FL", 5, 0, "hPa", "气压"),
    0x09: Known("GH", 5, 2, "m", "闸坝、水库闸门开启高度"),
    0x0A: Known("GN", 3, 0, "", "输水设备、闸门(组)编号"),
    0x0B: Known("GS", 1, 0, "", "输水设备类别"),
    0x0C: Known("GT", 3, 0, "{gate}", "水库、闸坝闸门开启孔数"),
    0x0D: Known("GTP", 3, 1, "Cel", "地温"),
    0x0E: Known("H", 6, 2, "m", "地下水瞬时埋深"),
    0x0F: Known("HW", 5, 2, "m", "波浪高度"),
    0x10: Known("M10", 4, 1, "%", "10厘米处土壤含水量"),
    0x11: Known("M20", 4, 1, "%", "20厘米处土壤含水量"),
    0x12: Known("M30", 4, 1, "%", "30厘米处土壤含水量"),
    0x13: Known("M40", 4, 1, "%", "40厘米处土壤含水量"),
    0x14: Known("M50", 4, 1, "%", "50厘米处土壤含水量"),
    0x15: Known("M60", 4, 1, "%", "60厘米处土壤含水量"),
    0x16: Known("M80", 4, 1, "%", "80厘米处土壤含水量"),
    0x17: Known("M100", 4, 1, "%", "100厘米处土壤含水量"),
    0x18: Known("MST", 4, 1, "%", "湿度"),
    0x19: Known("NS", 2, 0, "{unit}", "开机台数"),
    0x1A: Known("P1", 5, 1, "mm", "1小时时段降水量"),
    0x1B: Known("P2", 5, 1, "mm", "2小时时段降水量"),
    0x1C: Known("P3", 5, 1, "mm", "3小时时段降水量"),
    0x1D: Known("P6", 5, 1, "mm", "6小时时段降水量"),
    0x1E: Known("P12", 5, 1, "mm", "12小时时段降水量"),
    0x1F: Known("PD", 5, 1, "mm", "日降水量"),
    0x20: Known("PJ", 5, 1, "mm", "当前降水量"),
    0x21: Known("PN01", 5, 1, "mm", "1分钟时段降水量"),
    0x22: Known("PN05", 5, 1, "mm", "5分钟时段降水量"),
    0x23: Known("PN10", 5, 1, "mm", "10分钟时段降水量"),
    0x24: Known("PN30", 5, 1, "mm", "30分钟时段降水量"),
    0x25: Known("PR", 5, 1, "mm", "暴雨量"),
    0x26: Known("PT", 6, 1, "mm", "降水量累计值"),
    0x27: Known("Q", 9, 3, "m3/s", "瞬时流量、抽水流量"),
    0x28: Known("Q1", 9, 3, "m3/s", "取(排)水口流量1"),
    0x29: Known("Q2", 9, 3, "m3/s", "取(排)水口流量2"),
    0x2A: Known("Q3", 9, 3, "m3/s", "取(排)水口流量3"),
    0x2B: Known("Q4", 9, 3, "m3/s", "取(排)水口流量4"),
    0x2C: Known("Q5", 9, 3, "m3/s", "取(排)水口流量5"),
    0x2D: Known("Q6", 9, 3, "m3/s", "取(排)水口流量6"),
    0x2E: Known("Q7", 9, 3, "m3/s", "取(排)水口流量7"),
    0x2F: Known("Q8", 9, 3, "m3/s", "取(排)水口流量8"),
    0x30: Known("QA", 9, 3, "m3/s", "总出库流量、过闸总流量"),
    0x31: Known("QZ", 9, 3, "m3/s", "输水设备流量、过闸(组)流量"),
    0x32: Known("SW", 11, 3, "10*4.t", "输沙量"),
    0x33: Known("UC", 2, 0, "", "风向"),
    0x34: Known("UE", 2, 0, "", "风力(级)"),
    0x35: Known("US", 4, 1, "m/s", "风速"),
    0x36: Known("VA", 5, 3, "m/s", "断面平均流速"),
    0x37: Known("VJ", 5, 3, "m/s", "当前瞬时流速"),
    0x38: Known("VT", 4, 2, "V", "电源电压"),
    0x39: Known("Z", 7, 3, "m", "瞬时河道水位、潮位"),
    0x3A: Known("ZB", 7, 3, "m", "库(闸、站)下水位"),
    0x3B: Known("ZU", 7, 3, "m", "库(闸、站)上水位"),
    0x3C: Known("Z1", 7, 3, "m", "取(排)水口水位1"),
    0x3D: Known("Z2", 7, 3, "m", "取(排)水口水位2"),
    0x3E: Known("Z3", 7, 3, "m", "取(排)水口水位3"),
    0x3F: Known("Z4", 7, 3, "m", "取(排)水口水位4"),
    0x40: Known("Z5", 7, 3, "m", "取(排)水口水位5"),
    0x41: Known("Z6", 7, 3, "m", "取(排)水口水位6"),
    0x42: Known("Z7", 7, 3, "m", "取(排)水口水位7"),
    0x43: Known("Z8", 7, 3, "m", "取(排)水口水位8"),
    0x44: Known("SQ", 9, 3, "kg/m3", "含沙量"),
    0x45: Known("ZT", 8, 0, "", "遥测站状态及报警信息"),
    0x46: Known("pH", 4, 2, "", "pH值"),
    0x47: Known("DO", 4, 1, "mg/L", "溶解氧"),
    0x48: Known("COND", 5, 0, "uS/cm", "电导率"),
    0x49: Known("TURB", 3, 0, "{NTU}", "浊度"),
    0x4A: Known("CODMN", 4, 1, "mg/L", "高锰酸盐指数"),
    0x4B: Known("REDOX", 5, 1, "mV", "氧化还原电位"),
    0x4C: Known("NH4N", 6, 2, "mg/L", "氨氮"),
    0x4D: Known("TP", 5, 3, "mg/L", "总磷"),
    0x4E: Known("TN", 5, 2, "mg/L", "总氮"),
    0x4F: Known("TOC", 4, 2, "mg/L", "总有机碳"),
    0x50: Known("CU", 7, 4, "mg/L", "铜"),
    0x51: Known("ZN", 6, 4, "mg/L", "锌"),
    0x52: Known("SE", 7, 5, "mg/L", "硒"),
    0x53: Known("AS", 7, 5, "mg/L", "砷"),
    0x54: Known("THG", 7, 5, "mg/L", "总汞"),
    0x55: Known("CD", 7, 5, "mg/L", "镉"),
    0x56: Known("PB", 7, 5, "mg/L", "铅"),
    0x57: Known("CHLA", 4, 2, "mg/L", "叶绿素a"),
    0x58: Known("WP1", 5, 2, "kPa", "水压1"),
    0x59: Known("WP2", 5, 2, "kPa", "水压2"),
    0x5A: Known("WP3", 5, 2, "kPa", "水压3"),
    0x5B: Known("WP4", 5, 2, "kPa", "水压4"),
    0x5C: Known("WP5", 5, 2, "kPa", "水压5"),
    0x5D: Known("WP6", 5, 2, "kPa", "水压6"),
    0x5E: Known("WP7", 5, 2, "kPa", "水压7"),
    0x5F: Known("WP8", 5, 2, "kPa", "水压8"),
    0x60: Known("SYL1", 11, 3, "m3", "水表1剩余水量"),
    0x61: Known("SYL2", 11, 3, "m3", "水表2剩余水量"),
    0x62: Known("SYL3", 11, 3, "m3", "水表3剩余水量"),
    0x63: Known("SYL4", 11, 3, "m3", "水表4剩余水量"),
    0x64: Known("SYL5", 11, 3, "m3", "水表5剩余水量"),
    0x65: Known("SYL6", 11, 3, "m3", "水表6剩余水量"),
    0x66: Known("SYL7", 11, 3, "m3", "水表7剩余水量"),
    0x67: Known("SYL8", 11, 3, "m3", "水表8剩余水量"),
    0x68: Known("SBL1", 10, 2, "m3/h", "水表1每小时水量"),
    0x69: Known("SBL2", 10, 2, "m3/h", "水表2每小时水量"),
    0x6A: Known("SBL3", 10, 2, "m3/h", "水表3每小时水量"),
    0x6B: Known("SBL4", 10, 2, "m3/h", "水表4每小时水量"),
    0x6C: Known("SBL5", 10, 2, "m3/h", "水表5每小时水量"),
    0x6D: Known("SBL6", 10, 2, "m3/h", "水表6每小时水量"),
    0x6E: Known("SBL7", 10, 2, "m3/h", "水表7每小时水量"),
    0x6F: Known("SBL8", 10, 2, "m3/h", "水表8每小时水量"),
    0x70: Known("VTA", 4, 1, "V", "交流A相电压"),
    0x71: Known("VTB", 4, 1, "V", "交流B相电压"),
    0x72: Known("VTC", 4, 1, "V", "交流C相电压"),
    0x73: Known("VIA", 4, 1, "A", "交流A相电流"),
    0x74: Known("VIB", 4, 1, "A", "交流B相电流"),
    0x75: Known("VIC", 4, 1, "A", "交流C相电流"),
}

#: Identifiers whose data are not a number: F4 rain of an hour, F5 to FC levels of an hour.
SLOTS = {0xF4: "DRP", **{0xF5 + level: f"DRZ{level + 1}" for level in range(8)}}

#: Identifier by its ASCII form; DRxnn, TT, ST, RGZS, PIC and DATA are read by their form.
BY_ASCII: dict[str, int] = {
    **{known.ascii: code for code, known in ELEMENTS.items() if code != 0x04},
    **{name: code for code, name in SLOTS.items()},
    "PH": 0x46,  # the only name with a small letter, and not everybody writes it so
}

#: Classes of stations (annex A); others are the user's own.
CLASSES: dict[int, str] = {
    0x50: "降水",
    0x48: "河道",
    0x4B: "水库(湖泊)",
    0x5A: "闸坝",
    0x44: "泵站",
    0x54: "潮汐",
    0x4D: "墒情",
    0x47: "地下水",
    0x51: "水质",
    0x49: "取水口",
    0x4F: "排水口",
}

#: The bits of the station's state (table 58): name, and what 0 and 1 mean. Mind bits 7 and 10.
STATUS_BITS: dict[int, tuple[str, str, str]] = {
    0: ("交流电充电状态", "正常", "停电"),
    1: ("蓄电池电压状态", "正常", "电压低"),
    2: ("水位超限报警状态", "正常", "报警"),
    3: ("流量超限报警状态", "正常", "报警"),
    4: ("水质超限报警状态", "正常", "报警"),
    5: ("流量仪表状态", "正常", "故障"),
    6: ("水位仪表状态", "正常", "故障"),
    7: ("终端箱门状态", "开启", "关闭"),
    8: ("存储器状态", "正常", "异常"),
    9: ("IC卡功能有效", "关闭", "IC卡有效"),
    10: ("水泵工作状态", "水泵工作", "水泵停机"),
    11: ("剩余水量报警", "未超限", "水量超限"),
}

#: The event counters, ERC1 first (table 82); 19 to 32 are spare.
EVENTS: tuple[str, ...] = (
    "历史数据初始化",
    "参数变更",
    "状态量变位",
    "传感器及仪表故障",
    "密码修改",
    "终端故障",
    "交流失电",
    "蓄电池电压低告警",
    "终端箱非法打开",
    "水泵故障",
    "剩余水量超限告警",
    "水位超限告警",
    "水压超限告警",
    "水质参数超限告警",
    "数据出错",
    "发报文",
    "收报文",
    "发报文出错",
)
