"""`[controls]`, `[[control]]` and `[[heartbeat]]`: what may be moved at all, and how a box lets go of it.

Nobody far away can widen these: a command is judged by them, and none changes them.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from headgate.config.values import Duration
from headgate.config.words import FilePath, Id, Name, doc, span

#: What is done at the end of a lease.
OnLeaseEnd = Literal["auto", "hold", "off"]
Condition = Annotated[str, Meta(min_length=1, max_length=400)]
Number = float | int | bool


class Controls(msgspec.Struct, frozen=True, kw_only=True):
    """What goes for every control of this box."""

    signed: Annotated[
        bool,
        doc(
            "Controls count only when two technicians have signed them (`headgate control sign`).",
            "控制项须由两名技术人员签名方可生效（`headgate control sign`）。",
        ),
    ] = False
    signatures: Annotated[FilePath, doc("The file with their signatures.", "签名文件。")] = (
        "controls.sig"
    )
    local_writes: Annotated[
        Literal["any", "controls"] | None,
        doc(
            "`headgate write` on points without a control: any, or none (controls). When absent: any "
            "on a site without controls, none on one with.",
            "能否用 `headgate write` 写没有控制项的测点：any 可以，controls 不可以。"
            "不写时：站点没有控制项则可以，有则不可以。",
        ),
    ] = None
    token: Annotated[
        Duration,
        span("5s", "60s"),
        doc("How long a selection holds.", "选择（SELECT）的有效时间。"),
    ] = Duration.parse("10s")
    write_timeout: Annotated[
        Duration,
        span("1s", "5min"),
        doc(
            "Longest wait for a line and a device to take a write.",
            "等待线路与设备接受写入的最长时间。",
        ),
    ] = Duration.parse("30s")


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """One point that may be commanded, and within what."""

    device: Annotated[Id, doc("Id of its device.", "设备编号。")]
    point: Annotated[Name, doc("The point that is written.", "被写入的测点。")]
    on_lease_end: Annotated[
        OnLeaseEnd,
        doc(
            "When the lease ends, also because the link or this box failed: auto writes auto_value to "
            "auto_point, off writes off_value to the point, hold leaves it. There is no default: at an old "
            "station, 'pump off because the link died' is the flood.",
            "租期结束时（包括链路或本机故障）：auto 向 auto_point 写 auto_value，"
            "off 向本测点写 off_value，hold 保持不动。没有默认值：对老泵站来说，“链路断了就停泵”就是水灾。",
        ),
    ]
    operations: Annotated[
        tuple[Literal["set", "release"], ...],
        doc("What may be done with it.", "允许的操作。"),
    ] = ("set", "release")
    min: Annotated[
        Number | None,
        doc(
            "Lowest value, in the point's unit. Numbers need both; a truth may be narrowed to one.",
            "最小值（测点单位）。数值测点必填；布尔测点可用来限定。",
        ),
    ] = None
    max: Annotated[Number | None, doc("Highest value.", "最大值。")] = None
    max_step: Annotated[
        float | None,
        Meta(ge=0),
        doc("Greatest change by one command.", "单次命令允许的最大变化。"),
    ] = None
    min_interval: Annotated[
        Duration,
        span("0s", "24h"),
        doc("Shortest time between two writes.", "两次写入的最短间隔。"),
    ] = Duration(0)
    max_starts_per_hour: Annotated[
        int | None,
        Meta(ge=1, le=3600),
        doc("Starts (from 0 to something else) in any hour.", "任意一小时内允许的启动次数。"),
    ] = None
    feedback: Annotated[
        Name | None,
        doc(
            "What shows that it happened: POINT of the same device, or DEVICE/POINT.",
            "反映结果的测点：同一设备的 测点名，或 设备/测点。",
        ),
    ] = None
    feedback_within: Annotated[
        Duration,
        span("100ms", "10min"),
        doc("How long that may take.", "反馈的最长等待。"),
    ] = Duration.parse("10s")
    feedback_tolerance: Annotated[
        float, Meta(ge=0), doc("How far it may be off.", "反馈允许的偏差。")
    ] = 0.0
    people: Annotated[
        int, Meta(ge=1, le=2), doc("How many people a command needs.", "一条命令需要几个人。")
    ] = 1
    operators: Annotated[
        tuple[Name, ...],
        doc(
            "Who may command it, by the names in their certificates; * stands for any characters.",
            "允许下达命令的人（证书中的姓名），* 代表任意字符。",
        ),
    ] = ("*",)
    lease: Annotated[
        Duration,
        span("1s", "24h"),
        doc("Longest time that a value stays forced.", "强制值保持的最长时间。"),
    ] = Duration.parse("30min")
    auto_point: Annotated[
        Name | None,
        doc(
            "on_lease_end = auto: the point that hands back.",
            "on_lease_end = auto：交还自动的测点。",
        ),
    ] = None
    auto_value: Annotated[Number, doc("What is written there.", "写入该测点的值。")] = True
    off_value: Annotated[
        Number, doc("on_lease_end = off: what off is.", "on_lease_end = off：代表关闭的值。")
    ] = False
    interlock: Annotated[
        tuple[Condition, ...],
        doc(
            'Conditions that must all hold: "{pit/level} > 1.2". A point that is not good fails it.',
            '必须全部成立的条件："{pit/level} > 1.2"。引用的测点质量不好即视为不成立。',
        ),
    ] = ()
    remote_when: Annotated[
        Condition | None,
        doc(
            'When the switch at the panel is on remote: "{pump-1/remote} == 1".',
            '盘柜转换开关处于“远方”的条件："{pump-1/remote} == 1"。',
        ),
    ] = None


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """A register that this box counts up as long as it lives; the PLC's own timer does the fall-back."""

    device: Annotated[Id, doc("Id of its device.", "设备编号。")]
    point: Annotated[Name, doc("The point that is counted up.", "被递增的测点。")]
    every: Annotated[Duration, span("100ms", "10min"), doc("How often.", "写入周期。")] = (
        Duration.parse("5s")
    )
    below: Annotated[
        int,
        Meta(ge=2, le=2**31),
        doc("It begins at 0 again when it comes here.", "达到此值后回到 0。"),
    ] = 65536
