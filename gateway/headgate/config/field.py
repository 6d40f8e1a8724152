"""`[[channel]]`, `[[device]]` and `[[stage]]`: what is read, over which lines, and what is done with it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from headgate.config.values import Duration, SecretRef, Url
from headgate.config.words import FilePath, Id, Labels, Name, Scalar, Text, doc, span


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """One open line, perhaps shared by several devices."""

    id: Annotated[Id, doc("Name that devices use.", "通道编号，供设备引用。")]
    url: Annotated[
        Url,
        doc(
            "What to open: modbus+tcp://host:port and others.",
            "连接地址：modbus+tcp://主机:端口 等。",
        ),
    ]
    name: Annotated[Text, doc("Name for people.", "显示名称。")] = ""
    enabled: Annotated[bool, doc("Whether it is opened at all.", "是否启用。")] = True
    depth: Annotated[
        int, Meta(ge=1, le=64), doc("Requests in flight at once.", "同时在途的请求数。")
    ] = 1
    timeout: Annotated[
        Duration,
        span("10ms", "10min"),
        doc("Longest wait for one answer.", "单次应答的最长等待。"),
    ] = Duration.parse("1s")
    retries: Annotated[
        int, Meta(ge=0, le=10), doc("Further tries after a silent one.", "无应答后的重试次数。")
    ] = 1
    gap: Annotated[
        Duration,
        span("0s", "10s"),
        doc("Quiet time between two requests.", "两次请求之间的间隔。"),
    ] = Duration(0)
    connect_timeout: Annotated[
        Duration,
        span("100ms", "10min"),
        doc("Longest wait for a connection.", "建立连接的最长等待。"),
    ] = Duration.parse("5s")
    reconnect_min: Annotated[
        Duration,
        span("10ms", "1h"),
        doc(
            "First pause after a lost line; doubles from there.",
            "断线后首次重连等待，之后逐次加倍。",
        ),
    ] = Duration.parse("1s")
    reconnect_max: Annotated[
        Duration,
        span("10ms", "1d"),
        doc("Longest pause between two tries to connect.", "重连等待的上限。"),
    ] = Duration.parse("1min")
    ca: Annotated[
        FilePath | None,
        doc("TLS: root that the far side is checked against.", "TLS：用于验证对端的根证书。"),
    ] = None
    client_certificate: Annotated[
        FilePath | None, doc("TLS: our certificate.", "TLS：本端证书。")
    ] = None
    client_key: Annotated[SecretRef | None, doc("TLS: its private key.", "TLS：对应私钥。")] = None
    server_name: Annotated[
        Name | None,
        doc("TLS: name that the far side's certificate must bear.", "TLS：对端证书应含的名称。"),
    ] = None
    username: Annotated[
        Name | None, doc("User name, where the far side asks for one.", "对端要求登录时的用户名。")
    ] = None
    password: Annotated[SecretRef | None, doc("Its password, by reference.", "密码（引用）。")] = (
        None
    )
    options: Annotated[
        dict[str, Any],
        doc("The driver's own options for this line.", "该通道所属驱动自己的选项。"),
    ] = {}
    labels: Annotated[Labels, doc("Anything else worth knowing.", "其他信息。")] = {}


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """One physical unit at one place."""

    id: Annotated[Id, doc("Name of this device, unique in the site.", "设备编号，站内唯一。")]
    channel: Annotated[Id, doc("Id of its channel.", "所在通道的 id。")]
    address: Annotated[
        int | Annotated[str, Meta(min_length=1, max_length=100)],
        doc("Address on that line (Modbus: the unit number).", "线路上的地址（Modbus 为从站号）。"),
    ]
    profile: Annotated[
        Name,
        doc("Which profile describes it, `vendor/model`.", "所用 profile，形如 `厂商/型号`。"),
    ]
    line: Annotated[
        Text,
        doc(
            'Serial settings of this device where they differ from its channel\'s: "2400 8E1".',
            '本设备与通道不同的串口参数，如 "2400 8E1"。',
        ),
    ] = ""
    name: Annotated[Text, doc("Name for people.", "显示名称。")] = ""
    firmware: Annotated[
        Name | None,
        doc(
            'Its firmware, where it cannot tell itself. In quotes: "1.10".',
            '固件版本（设备自身无法上报时填写），加引号："1.10"。',
        ),
    ] = None
    interval: Annotated[Duration, span("1ms", "7d"), doc("How often it is read.", "采集周期。")] = (
        Duration.parse("5s")
    )
    timeout: Annotated[
        Duration | None,
        span("10ms", "10min"),
        doc(
            "Longest wait for its answer; the channel's when absent.",
            "应答等待；不写则用通道的设置。",
        ),
    ] = None
    retries: Annotated[
        int | None,
        Meta(ge=0, le=10),
        doc("Further tries; the channel's when absent.", "重试次数；不写则用通道的设置。"),
    ] = None
    enabled: Annotated[bool, doc("Whether it is read at all.", "是否启用。")] = True
    on_start_failure: Annotated[
        Literal["retry", "fail", "skip"],
        doc(
            "When it does not start: try again, stop the gateway, or leave it out.",
            "启动失败时：重试、停止网关或跳过。",
        ),
    ] = "retry"
    labels: Annotated[
        Labels,
        doc(
            "Codes and labels: station code, MN, component.", "外部编码与标签：站码、MN、部件码等。"
        ),
    ] = {}
    params: Annotated[
        dict[str, Scalar],
        doc(
            "What the profile asks of this one device: elevation, coefficients.",
            "profile 要求本设备填写的参数：安装高程、系数等。",
        ),
    ] = {}


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the pipeline, in the order of the file. All other keys are the step's own options."""

    type: Annotated[Name, doc("Which step, by its plugin's name.", "环节类型（插件名）。")]
    devices: Annotated[
        tuple[Name, ...],
        doc(
            "Device ids it works on; * stands for any characters.",
            "作用的设备 id，* 代表任意字符。",
        ),
    ] = ("*",)
    enabled: Annotated[bool, doc("Whether it is used.", "是否启用。")] = True
    options: Annotated[
        dict[str, Any],
        Meta(extra={"rest": True}),
        doc("The step's own options.", "该环节自己的选项。"),
    ] = {}
