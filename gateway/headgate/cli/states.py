"""What the gateway's own key words (states, tallies, reasons of gaps) are called in Chinese.

In English a key is its own word: the same that docs, JSON and metrics have.
"""

from __future__ import annotations

from headgate.cli.terminal import reader
from headgate.messages.rules import in_chinese

_CHINESE = {
    # channels
    "up": "正常",
    "down": "断开",
    "connecting": "连接中",
    "closed": "已关闭",
    # devices
    "new": "待采集",
    "ok": "正常",
    "silent": "无应答",
    "faulty": "应答异常",
    "quarantined": "已隔离",
    "line-down": "线路断开",
    # uplinks
    "online": "在线",
    "offline": "离线",
    "holding": "暂缓上送",
    "stopped": "已停止",
    # callers at a port
    "calls": "拨入次数",
    "on-line": "在线",
    "resends": "重发报文",
    "idle": "长时间静默断开",
    "two-sources": "一站两源",
    "broken-calls": "处理出错的连接",
    "datagrams-dropped": "丢弃的数据报",
    "relay-unsaved": "转发未落盘",
    "refused-stranger": "拒绝：非本站点测站",
    "refused-strangers": "拒绝：未表明身份的连接过多",
    "refused-unnamed": "拒绝：未表明身份",
    "refused-flood": "拒绝：连接过于频繁",
    "refused-full": "拒绝：连接数已满",
    "refused-busy": "拒绝：繁忙",
    "bad-bad_start": "无法识别的字节",
    "bad-bad_length": "长度错误",
    "bad-bad_end": "结束符错误",
    "bad-bad_checksum": "校验错误",
    "bad-bad_command": "命令字错误",
    "bad-bad_field": "内容错误",
    "bad-truncated": "报文不完整",
    "bad-not_supported": "不支持的报文",
    "bad-device_error": "设备报错",
    "bad-encrypted": "无法解密",
    "bad-password": "密码不符",
    "bad-too_many_values": "数据过多",
    # gaps
    "device-silent": "设备无应答",
    "device-quarantined": "设备已隔离",
    "gateway-off": "网关停机",
    "overrun": "未及采集",
    "disk-slow": "磁盘缓慢",
    "quota": "超出配额",
    "corrupt": "数据损坏",
    "refused": "平台拒收",
    "clock-unknown": "时间未知",
    "not-committed": "未落盘",
}


def chinese(key: str) -> str:
    """The Chinese word for a key; the key itself where there is none, as with what a driver counts."""
    return _CHINESE.get(key, key)


def reason(text: str) -> str:
    """Why something is as it is, in the reader's language where the reason is a known one."""
    return in_chinese(text) if reader() == "zh" else text
