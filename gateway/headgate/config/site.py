"""What a site file says, as frozen types. The TOML keys are the field names.

The types are also the rules: `headgate.config.decode` checks a file by their annotations, and the
JSON Schema and the reference page are made from them. `_doc` holds what a person reads there.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from headgate.config.values import Duration, HostPort, SecretRef, Size, Url

#: The layout of site files that this code reads.
SCHEMA = 1

Scalar = str | int | float | bool


def _doc(en: str, zh: str, **rules: Any) -> Meta:
    """A description in both languages, with msgspec's own rules (ge, le, pattern, max_length)."""
    return Meta(description=en, extra={"zh": zh}, **rules)


def _span(low: str, high: str) -> Meta:
    """Bounds of a duration or a size, as a person writes them."""
    return Meta(extra={"low": low, "high": high})


#: An id stands in topics, file names and metrics: short, lower case, no spaces.
Id = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$",
        extra={"rule": "1 to 64 of a-z 0-9 . _ -"},
    ),
]
GatewayId = Annotated[
    str, Meta(pattern=r"^[a-z0-9-]{1,64}$", extra={"rule": "1 to 64 of a-z 0-9 -"})
]
Text = Annotated[str, Meta(max_length=200)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
FilePath = Annotated[str, Meta(min_length=1, max_length=1000)]
Labels = dict[str, Text]


class Gateway(msgspec.Struct, frozen=True, kw_only=True):
    """Who this gateway is."""

    id: Annotated[
        GatewayId, _doc("Name of this gateway, unique in the city.", "网关编号，全市唯一。")
    ]
    name: Annotated[Text, _doc("Name for people.", "显示名称。")] = ""
    labels: Annotated[
        Labels,
        _doc("Anything else worth knowing: station code, district.", "其他信息：站码、区县等。"),
    ] = {}
    timezone: Annotated[
        Name, _doc("Zone of device times that give none.", "设备时间未带时区时按此时区理解。")
    ] = "Asia/Shanghai"
    language: Annotated[
        Literal["zh", "en"],
        _doc("Language of messages that the gateway writes by itself.", "网关自身消息的语言。"),
    ] = "zh"


class State(msgspec.Struct, frozen=True, kw_only=True):
    """Where readings and state lie, and how much room they have."""

    folder: Annotated[
        FilePath, _doc("State folder, one per gateway.", "状态目录，每台网关独占。")
    ] = "/var/lib/headgate"
    quota: Annotated[
        Size, _span("16MiB", "1TiB"), _doc("Room for unsent readings.", "未上送数据的空间上限。")
    ] = Size.parse("4GiB")
    max_loss: Annotated[
        Duration,
        _span("5ms", "1min"),
        _doc("At most this much is lost in a power cut.", "断电时最多丢失这么久的数据。"),
    ] = Duration.parse("1s")
    segment: Annotated[
        Size, _span("256KiB", "1GiB"), _doc("Size of one spool file.", "单个缓存文件的大小。")
    ] = Size.parse("32MiB")
    ballast: Annotated[
        Size,
        _span("0B", "1GiB"),
        _doc("Reserve freed when the disk is full.", "磁盘写满时释放的备用空间。"),
    ] = Size.parse("16MiB")
    memory: Annotated[
        Size,
        _span("0B", "1GiB"),
        _doc(
            "Memory for readings while the disk takes nothing; with 0B none are taken then.",
            "磁盘拒绝写入期间用于暂存数据的内存；为 0B 时不暂存。",
        ),
    ] = Size.parse("8MiB")
    endurance: Annotated[
        Size | None,
        _doc(
            "What its maker lets be written to the medium in its life (TBW); 100 times its size if absent.",
            "存储介质标称的总写入量（TBW）；未填时按容量的 100 倍估计。",
        ),
    ] = None
    history_after: Annotated[
        Duration,
        _span("1s", "1d"),
        _doc(
            "An unsent reading older than this is history.", "未上送数据超过此时长即视为历史数据。"
        ),
    ] = Duration.parse("60s")
    history_share: Annotated[
        float,
        Meta(ge=0.0, le=1.0),
        _doc(
            "Share of the link that history may take while live data flows.",
            "有实时数据时，历史数据可占用的链路比例。",
        ),
    ] = 0.5
    history_rate: Annotated[
        Size | None,
        _span("64B", "1GiB"),
        _doc(
            "At most this much history per second, to each uplink; without limit if absent.",
            "每个上行每秒最多发送这么多历史数据；未填则不限。",
        ),
    ] = None


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Certificates and keys. All may be absent before enrolment."""

    certificate: Annotated[
        FilePath | None, _doc("This gateway's SM2 certificate (PEM).", "本网关的 SM2 证书（PEM）。")
    ] = None
    key: Annotated[SecretRef | None, _doc("Its private key.", "对应的私钥。")] = None
    ca: Annotated[
        FilePath | None, _doc("Root of the city's PKI (PEM).", "城市 PKI 根证书（PEM）。")
    ] = None
    platform_encryption: Annotated[
        FilePath | None,
        _doc("Certificate that grants are wrapped for.", "平台加密证书，数据密钥用它封装。"),
    ] = None
    platform_receipt: Annotated[
        FilePath | None, _doc("Certificate that signs receipts.", "平台回执签名证书。")
    ] = None
    keep_local_wrap: Annotated[
        bool,
        _doc(
            "Keep a local wrap of data keys, so that other uplinks can open records.",
            "本机保留数据密钥的封装，供其他上行打开记录。",
        ),
    ] = True
    kek: Annotated[
        SecretRef | None,
        _doc(
            "Key that local wraps are sealed with; made in the state folder when absent.",
            "本机封装所用密钥；不写则在状态目录生成。",
        ),
    ] = None


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """Prometheus metrics."""

    listen: Annotated[
        HostPort | None,
        _doc('Where to serve them; "off" for nowhere.', '监听地址；"off" 表示关闭。'),
    ] = HostPort("127.0.0.1", 9469)


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """The log, on standard error."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        _doc("The least that is written.", "最低日志级别。"),
    ] = "info"
    format: Annotated[
        Literal["json", "text"],
        _doc("One JSON object or one line of text per event.", "每个事件一行 JSON 或文本。"),
    ] = "json"


class Api(msgspec.Struct, frozen=True, kw_only=True):
    """The local API that `headgate status` and `headgate read` talk to."""

    socket: Annotated[
        FilePath | None,
        _doc(
            "Unix socket; headgate.sock in the state folder when absent.",
            "Unix 套接字；不写则为状态目录下的 headgate.sock。",
        ),
    ] = None


class Plugins(msgspec.Struct, frozen=True, kw_only=True):
    """Code of other people."""

    development: Annotated[
        bool,
        _doc(
            "Load other people's plugins into the core. Never in the field.",
            "把第三方插件直接载入核心，切勿用于现场。",
        ),
    ] = False
    blocked: Annotated[
        tuple[Name, ...], _doc("Plugins that are never loaded, by name.", "禁止加载的插件名。")
    ] = ()


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """One open line, perhaps shared by several devices."""

    id: Annotated[Id, _doc("Name that devices use.", "通道编号，供设备引用。")]
    url: Annotated[
        Url,
        _doc(
            "What to open: modbus+tcp://host:port and others.",
            "连接地址：modbus+tcp://主机:端口 等。",
        ),
    ]
    name: Annotated[Text, _doc("Name for people.", "显示名称。")] = ""
    enabled: Annotated[bool, _doc("Whether it is opened at all.", "是否启用。")] = True
    depth: Annotated[
        int, Meta(ge=1, le=64), _doc("Requests in flight at once.", "同时在途的请求数。")
    ] = 1
    timeout: Annotated[
        Duration,
        _span("10ms", "10min"),
        _doc("Longest wait for one answer.", "单次应答的最长等待。"),
    ] = Duration.parse("1s")
    retries: Annotated[
        int, Meta(ge=0, le=10), _doc("Further tries after a silent one.", "无应答后的重试次数。")
    ] = 1
    gap: Annotated[
        Duration,
        _span("0s", "10s"),
        _doc("Quiet time between two requests.", "两次请求之间的间隔。"),
    ] = Duration(0)
    connect_timeout: Annotated[
        Duration,
        _span("100ms", "10min"),
        _doc("Longest wait for a connection.", "建立连接的最长等待。"),
    ] = Duration.parse("5s")
    reconnect_min: Annotated[
        Duration,
        _span("10ms", "1h"),
        _doc(
            "First pause after a lost line; doubles from there.",
            "断线后首次重连等待，之后逐次加倍。",
        ),
    ] = Duration.parse("1s")
    reconnect_max: Annotated[
        Duration,
        _span("10ms", "1d"),
        _doc("Longest pause between two tries to connect.", "重连等待的上限。"),
    ] = Duration.parse("1min")
    ca: Annotated[
        FilePath | None,
        _doc("TLS: root that the far side is checked against.", "TLS：用于验证对端的根证书。"),
    ] = None
    client_certificate: Annotated[
        FilePath | None, _doc("TLS: our certificate.", "TLS：本端证书。")
    ] = None
    client_key: Annotated[SecretRef | None, _doc("TLS: its private key.", "TLS：对应私钥。")] = None
    server_name: Annotated[
        Name | None,
        _doc("TLS: name that the far side's certificate must bear.", "TLS：对端证书应含的名称。"),
    ] = None
    username: Annotated[
        Name | None, _doc("User name, where the far side asks for one.", "对端要求登录时的用户名。")
    ] = None
    password: Annotated[SecretRef | None, _doc("Its password, by reference.", "密码（引用）。")] = (
        None
    )
    options: Annotated[
        dict[str, Any],
        _doc("The driver's own options for this line.", "该通道所属驱动自己的选项。"),
    ] = {}
    labels: Annotated[Labels, _doc("Anything else worth knowing.", "其他信息。")] = {}


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """One physical unit at one place."""

    id: Annotated[Id, _doc("Name of this device, unique in the site.", "设备编号，站内唯一。")]
    channel: Annotated[Id, _doc("Id of its channel.", "所在通道的 id。")]
    address: Annotated[
        int | Annotated[str, Meta(min_length=1, max_length=100)],
        _doc(
            "Address on that line (Modbus: the unit number).", "线路上的地址（Modbus 为从站号）。"
        ),
    ]
    profile: Annotated[
        Name,
        _doc("Which profile describes it, `vendor/model`.", "所用 profile，形如 `厂商/型号`。"),
    ]
    line: Annotated[
        Text,
        _doc(
            'Serial settings of this device where they differ from its channel\'s: "2400 8E1".',
            '本设备与通道不同的串口参数，如 "2400 8E1"。',
        ),
    ] = ""
    name: Annotated[Text, _doc("Name for people.", "显示名称。")] = ""
    firmware: Annotated[
        Name | None,
        _doc(
            'Its firmware, where it cannot tell itself. In quotes: "1.10".',
            '固件版本（设备自身无法上报时填写），加引号："1.10"。',
        ),
    ] = None
    interval: Annotated[
        Duration, _span("1ms", "7d"), _doc("How often it is read.", "采集周期。")
    ] = Duration.parse("5s")
    timeout: Annotated[
        Duration | None,
        _span("10ms", "10min"),
        _doc(
            "Longest wait for its answer; the channel's when absent.",
            "应答等待；不写则用通道的设置。",
        ),
    ] = None
    retries: Annotated[
        int | None,
        Meta(ge=0, le=10),
        _doc("Further tries; the channel's when absent.", "重试次数；不写则用通道的设置。"),
    ] = None
    enabled: Annotated[bool, _doc("Whether it is read at all.", "是否启用。")] = True
    on_start_failure: Annotated[
        Literal["retry", "fail", "skip"],
        _doc(
            "When it does not start: try again, stop the gateway, or leave it out.",
            "启动失败时：重试、停止网关或跳过。",
        ),
    ] = "retry"
    labels: Annotated[
        Labels,
        _doc(
            "Codes and labels: station code, MN, component.", "外部编码与标签：站码、MN、部件码等。"
        ),
    ] = {}
    params: Annotated[
        dict[str, Scalar],
        _doc(
            "What the profile asks of this one device: elevation, coefficients.",
            "profile 要求本设备填写的参数：安装高程、系数等。",
        ),
    ] = {}


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the pipeline, in the order of the file. All other keys are the step's own options."""

    type: Annotated[Name, _doc("Which step, by its plugin's name.", "环节类型（插件名）。")]
    devices: Annotated[
        tuple[Name, ...],
        _doc(
            "Device ids it works on; * stands for any characters.",
            "作用的设备 id，* 代表任意字符。",
        ),
    ] = ("*",)
    enabled: Annotated[bool, _doc("Whether it is used.", "是否启用。")] = True
    options: Annotated[
        dict[str, Any],
        Meta(extra={"rest": True}),
        _doc("The step's own options.", "该环节自己的选项。"),
    ] = {}


class Uplink(msgspec.Struct, frozen=True, kw_only=True):
    """One platform that readings go to. All other keys are the uplink's own options."""

    id: Annotated[
        Id,
        _doc(
            "Name of this uplink. Its place in the spool hangs on it.",
            "上行编号；其发送进度与此编号绑定。",
        ),
    ]
    type: Annotated[
        Name,
        _doc(
            "Which kind: mqtt, mqtt-json or a plugin's.", "类型：mqtt、mqtt-json 或插件提供的类型。"
        ),
    ]
    url: Annotated[Url, _doc("Where: mqtts://host:8883.", "地址：mqtts://主机:8883。")]
    enabled: Annotated[
        bool,
        _doc(
            "Whether it is used. When off, nothing is kept for it.",
            "是否启用；停用时不为其保留数据。",
        ),
    ] = True
    ack: Annotated[
        Literal["platform", "broker"],
        _doc(
            "Whose word frees a reading: the platform's receipt or the broker's.",
            "以谁的确认为准释放数据：平台回执或 broker。",
        ),
    ] = "platform"
    protocol: Annotated[Literal["5", "3.1.1"], _doc("MQTT version.", "MQTT 版本。")] = "5"
    client_id: Annotated[
        Name | None,
        _doc("MQTT client id; the gateway's id when absent.", "MQTT 客户端标识；不写则用网关 id。"),
    ] = None
    username: Annotated[Name | None, _doc("User name.", "用户名。")] = None
    password: Annotated[SecretRef | None, _doc("Its password, by reference.", "密码（引用）。")] = (
        None
    )
    ca: Annotated[
        FilePath | None,
        _doc(
            "TLS: root that the platform is checked against; the system's when absent.",
            "TLS：验证平台的根证书；不写则用系统的。",
        ),
    ] = None
    client_certificate: Annotated[
        FilePath | None, _doc("TLS: our certificate.", "TLS：本端证书。")
    ] = None
    client_key: Annotated[SecretRef | None, _doc("TLS: its private key.", "TLS：对应私钥。")] = None
    server_name: Annotated[
        Name | None,
        _doc("TLS: name that the platform's certificate must bear.", "TLS：平台证书应含的名称。"),
    ] = None
    keepalive: Annotated[
        Duration,
        _span("5s", "1h"),
        _doc("How often an idle connection is checked.", "空闲连接的检查周期。"),
    ] = Duration.parse("30s")
    timeout: Annotated[
        Duration,
        _span("1s", "10min"),
        _doc("Longest wait for an acknowledgement.", "等待确认的最长时间。"),
    ] = Duration.parse("30s")
    in_flight: Annotated[
        int, Meta(ge=1, le=1000), _doc("Messages under way at once.", "同时在途的消息数。")
    ] = 16
    history_share: Annotated[
        float | None,
        Meta(ge=0.0, le=1.0),
        _doc("As in [state], for this uplink.", "同 [state]，仅对此上行生效。"),
    ] = None
    history_rate: Annotated[
        Size | None,
        _span("64B", "1GiB"),
        _doc("As in [state], for this uplink.", "同 [state]，仅对此上行生效。"),
    ] = None
    reconnect_min: Annotated[
        Duration,
        _span("100ms", "1h"),
        _doc(
            "Shortest pause after a lost link.",
            "断链后重连等待的下限。",
        ),
    ] = Duration.parse("1s")
    reconnect_max: Annotated[
        Duration,
        _span("100ms", "1d"),
        _doc(
            "The first try after a loss falls anywhere within this; pauses grow to five times that.",
            "断链后首次重连在此时间内随机分布；之后的等待逐次增至五倍。",
        ),
    ] = Duration.parse("90s")
    topic: Annotated[
        Text | None,
        _doc("Topic, or its beginning, where the type has one.", "主题或主题前缀（视类型而定）。"),
    ] = None
    unsynced: Annotated[
        Literal["hold", "mark"],
        _doc(
            "Readings without a trusted time: hold them back, or send them marked.",
            "时间不可信的数据：暂缓发送，或带标记发送。",
        ),
    ] = "mark"
    options: Annotated[
        dict[str, Any],
        Meta(extra={"rest": True}),
        _doc("The type's own options.", "该类型自己的选项。"),
    ] = {}


class Site(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A whole site: what this gateway reads, keeps and sends."""

    schema: Annotated[int, _doc("Layout of this file.", "文件格式版本。")] = SCHEMA
    gateway: Annotated[Gateway, _doc("Who this gateway is.", "网关自身。")]
    state: Annotated[State, _doc("Where readings lie.", "数据与状态的存放。")] = State()
    identity: Annotated[Identity, _doc("Certificates and keys.", "证书与密钥。")] = Identity()
    metrics: Annotated[Metrics, _doc("Prometheus metrics.", "Prometheus 指标。")] = Metrics()
    log: Annotated[Log, _doc("The log.", "日志。")] = Log()
    api: Annotated[Api, _doc("The local API.", "本地接口。")] = Api()
    plugins: Annotated[Plugins, _doc("Code of other people.", "第三方插件。")] = Plugins()
    channel: Annotated[tuple[Channel, ...], _doc("Lines to devices.", "到设备的通道。")] = ()
    device: Annotated[tuple[Device, ...], _doc("Devices.", "设备。")] = ()
    stage: Annotated[
        tuple[Stage, ...], _doc("Steps between reading and sending.", "采集与发送之间的处理环节。")
    ] = ()
    uplink: Annotated[tuple[Uplink, ...], _doc("Platforms.", "上行平台。")] = ()
    #: Where the file lies: what relative paths in it start from. Not a key of the file.
    base: Annotated[str, Meta(extra={"hidden": True})] = "."

    @cached_property
    def channels(self) -> dict[str, Channel]:
        """Channels by id."""
        return {channel.id: channel for channel in self.channel}

    @cached_property
    def devices(self) -> dict[str, Device]:
        """Devices by id."""
        return {device.id: device for device in self.device}

    @cached_property
    def uplinks(self) -> dict[str, Uplink]:
        """Uplinks by id."""
        return {uplink.id: uplink for uplink in self.uplink}

    def path(self, written: str) -> Path:
        """A path of the file, made whole: relative ones start at the site file's folder."""
        return Path(self.base) / written

    @property
    def state_folder(self) -> Path:
        """The state folder."""
        return self.path(self.state.folder)

    @property
    def api_socket(self) -> Path:
        """The local API's socket."""
        return (
            self.path(self.api.socket) if self.api.socket else self.state_folder / "headgate.sock"
        )

    def timeout(self, device: Device) -> Duration:
        """Longest wait for one answer of a device: its own, else its channel's."""
        return device.timeout or self.channels[device.channel].timeout

    def retries(self, device: Device) -> int:
        """Further tries of a device: its own, else its channel's."""
        return self.channels[device.channel].retries if device.retries is None else device.retries
