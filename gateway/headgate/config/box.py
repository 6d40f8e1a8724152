"""The box itself, as a site file says it: who it is, its log, its metrics, its local API, others' code."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from headgate.config.values import HostPort
from headgate.config.words import FilePath, GatewayId, Labels, Name, Text, doc


class Gateway(msgspec.Struct, frozen=True, kw_only=True):
    """Who this gateway is."""

    id: Annotated[
        GatewayId, doc("Name of this gateway, unique in the city.", "网关编号，全市唯一。")
    ]
    name: Annotated[Text, doc("Name for people.", "显示名称。")] = ""
    labels: Annotated[
        Labels,
        doc("Anything else worth knowing: station code, district.", "其他信息：站码、区县等。"),
    ] = {}
    timezone: Annotated[
        Name, doc("Zone of device times that give none.", "设备时间未带时区时按此时区理解。")
    ] = "Asia/Shanghai"
    language: Annotated[
        Literal["zh", "en"],
        doc("Language of messages that the gateway writes by itself.", "网关自身消息的语言。"),
    ] = "zh"


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """Prometheus metrics."""

    listen: Annotated[
        HostPort | None,
        doc('Where to serve them; "off" for nowhere.', '监听地址；"off" 表示关闭。'),
    ] = HostPort("127.0.0.1", 9469)


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """The log, on standard error."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        doc("The least that is written.", "最低日志级别。"),
    ] = "info"
    format: Annotated[
        Literal["json", "text"],
        doc("One JSON object or one line of text per event.", "每个事件一行 JSON 或文本。"),
    ] = "json"


class Api(msgspec.Struct, frozen=True, kw_only=True):
    """The local API that `headgate status` and `headgate read` talk to."""

    socket: Annotated[
        FilePath | None,
        doc(
            "Unix socket; headgate.sock in the state folder when absent.",
            "Unix 套接字；不写则为状态目录下的 headgate.sock。",
        ),
    ] = None


class Plugins(msgspec.Struct, frozen=True, kw_only=True):
    """Code of other people."""

    development: Annotated[
        bool,
        doc(
            "Load other people's plugins into the core. Never in the field.",
            "把第三方插件直接载入核心，切勿用于现场。",
        ),
    ] = False
    production: Annotated[
        bool,
        doc(
            "Take only what a trusted publisher signed, plugins and profiles alike.",
            "仅接受可信发布者签名的插件和 profile。",
        ),
    ] = False
    publishers: Annotated[
        FilePath | None,
        doc(
            "Roots of those who may sign plugins and profiles (PEM).",
            "可为插件和 profile 签名者的根证书（PEM）。",
        ),
    ] = None
    revocations: Annotated[
        tuple[FilePath, ...],
        doc("Revocation lists of those roots.", "上述根证书的吊销列表。"),
    ] = ()
    catalogue: Annotated[
        FilePath | None,
        doc(
            "The city's list of packages that may run, signed by a technician.",
            "由技术员签名的允许清单：仅清单内的包可运行。",
        ),
    ] = None
    blocked: Annotated[
        tuple[Name, ...], doc("Plugins that are never loaded, by name.", "禁止加载的插件名。")
    ] = ()
