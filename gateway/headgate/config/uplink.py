"""`[[uplink]]`: a platform that readings go to."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from headgate.config.values import Duration, SecretRef, Size, Url
from headgate.config.words import FilePath, Id, Name, Text, doc, span


class Uplink(msgspec.Struct, frozen=True, kw_only=True):
    """One platform that readings go to. All other keys are the uplink's own options."""

    id: Annotated[
        Id,
        doc(
            "Name of this uplink. Its place in the spool hangs on it.",
            "上行编号；其发送进度与此编号绑定。",
        ),
    ]
    type: Annotated[
        Name,
        doc(
            "Which kind: mqtt, mqtt-json or a plugin's.", "类型：mqtt、mqtt-json 或插件提供的类型。"
        ),
    ]
    url: Annotated[Url, doc("Where: mqtts://host:8883.", "地址：mqtts://主机:8883。")]
    enabled: Annotated[
        bool,
        doc(
            "Whether it is used. When off, nothing is kept for it.",
            "是否启用；停用时不为其保留数据。",
        ),
    ] = True
    ack: Annotated[
        Literal["platform", "broker"],
        doc(
            "Whose word frees a reading: the platform's receipt or the broker's.",
            "以谁的确认为准释放数据：平台回执或 broker。",
        ),
    ] = "platform"
    receipts_from: Annotated[
        Name | None,
        doc(
            "Common name of the certificates whose receipts free data here; needed with several platforms.",
            "此上行以哪个通用名（CN）的回执证书为准；有多个平台时必填。",
        ),
    ] = None
    protocol: Annotated[Literal["5", "3.1.1"], doc("MQTT version.", "MQTT 版本。")] = "5"
    client_id: Annotated[
        Name | None,
        doc("MQTT client id; the gateway's id when absent.", "MQTT 客户端标识；不写则用网关 id。"),
    ] = None
    username: Annotated[Name | None, doc("User name.", "用户名。")] = None
    password: Annotated[SecretRef | None, doc("Its password, by reference.", "密码（引用）。")] = (
        None
    )
    link: Annotated[
        Literal["tls", "rfc8998", "sidecar"] | None,
        doc(
            "What protects the link: TLS 1.3, RFC 8998 (SM2, SM3, SM4), or a TLCP sidecar on this box. "
            "When absent: TLS for mqtts://, nothing for mqtt://.",
            "链路保护：TLS 1.3、RFC 8998（国密）或本机 TLCP 旁路程序；"
            "不写则 mqtts:// 用 TLS，mqtt:// 不加密。",
        ),
    ] = None
    ca: Annotated[
        FilePath | None,
        doc(
            "Root (or issuing CA) that the platform is checked against. No other is trusted.",
            "验证平台的根证书（或签发 CA），不信任其他任何 CA。",
        ),
    ] = None
    trust: Annotated[
        Literal["pinned", "system"],
        doc(
            'Whom to trust: "pinned" is `ca` alone; "system" also this machine\'s authorities (tls only).',
            "信任来源：pinned 仅信任 ca；system 同时信任系统自带的 CA（仅 tls）。",
        ),
    ] = "pinned"
    tls_minimum: Annotated[
        Literal["1.3", "1.2"],
        doc(
            "Oldest TLS version taken; 1.2 is for old brokers only.",
            "可接受的最低 TLS 版本；1.2 仅用于旧服务器。",
        ),
    ] = "1.3"
    client_certificate: Annotated[
        FilePath | None,
        doc(
            "Our certificate, and its CAs below the root behind it.",
            "本端证书（其后可附中间 CA 证书）。",
        ),
    ] = None
    client_key: Annotated[SecretRef | None, doc("Its private key.", "对应私钥。")] = None
    crl: Annotated[
        FilePath | None,
        doc(
            "Revocation lists (PEM), one from each CA of the platform's chain; read for each connection.",
            "吊销列表（PEM），平台证书链上每个 CA 一份；每次连接时重新读取。",
        ),
    ] = None
    server_name: Annotated[
        Name | None,
        doc(
            "Name that the platform's certificate must bear, when that is not the address.",
            "平台证书应含的名称（与地址不同时填写）。",
        ),
    ] = None
    sidecar_user: Annotated[
        Name | None,
        doc(
            'Account that runs the sidecar, for link = "sidecar" over a unix socket.',
            "旁路程序的运行账户（link = sidecar 且使用 unix 套接字时）。",
        ),
    ] = None
    keepalive: Annotated[
        Duration,
        span("5s", "1h"),
        doc("How often an idle connection is checked.", "空闲连接的检查周期。"),
    ] = Duration.parse("30s")
    timeout: Annotated[
        Duration,
        span("1s", "10min"),
        doc("Longest wait for an acknowledgement.", "等待确认的最长时间。"),
    ] = Duration.parse("30s")
    in_flight: Annotated[
        int, Meta(ge=1, le=1000), doc("Messages under way at once.", "同时在途的消息数。")
    ] = 16
    history_share: Annotated[
        float | None,
        Meta(ge=0.0, le=1.0),
        doc("As in [state], for this uplink.", "同 [state]，仅对此上行生效。"),
    ] = None
    history_rate: Annotated[
        Size | None,
        span("64B", "1GiB"),
        doc("As in [state], for this uplink.", "同 [state]，仅对此上行生效。"),
    ] = None
    reconnect_min: Annotated[
        Duration,
        span("100ms", "1h"),
        doc(
            "Shortest pause after a lost link.",
            "断链后重连等待的下限。",
        ),
    ] = Duration.parse("1s")
    reconnect_max: Annotated[
        Duration,
        span("100ms", "1d"),
        doc(
            "The first try after a loss falls anywhere within this; pauses grow to five times that.",
            "断链后首次重连在此时间内随机分布；之后的等待逐次增至五倍。",
        ),
    ] = Duration.parse("90s")
    topic: Annotated[
        Text | None,
        doc("Topic, or its beginning, where the type has one.", "主题或主题前缀（视类型而定）。"),
    ] = None
    unsynced: Annotated[
        Literal["hold", "mark"],
        doc(
            "Readings without a trusted time: hold them back, or send them marked.",
            "时间不可信的数据：暂缓发送，或带标记发送。",
        ),
    ] = "mark"
    options: Annotated[
        dict[str, Any],
        Meta(extra={"rest": True}),
        doc("The type's own options.", "该类型自己的选项。"),
    ] = {}
