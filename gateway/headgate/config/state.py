"""`[state]`: where readings and state lie, and how much room they have."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from headgate.config.values import Duration, Size
from headgate.config.words import FilePath, doc, span


class State(msgspec.Struct, frozen=True, kw_only=True):
    """Where readings and state lie, and how much room they have."""

    folder: Annotated[
        FilePath, doc("State folder, one per gateway.", "状态目录，每台网关独占。")
    ] = "/var/lib/headgate"
    quota: Annotated[
        Size, span("16MiB", "1TiB"), doc("Room for unsent readings.", "未上送数据的空间上限。")
    ] = Size.parse("4GiB")
    max_loss: Annotated[
        Duration,
        span("5ms", "1min"),
        doc("At most this much is lost in a power cut.", "断电时最多丢失这么久的数据。"),
    ] = Duration.parse("1s")
    segment: Annotated[
        Size, span("256KiB", "1GiB"), doc("Size of one spool file.", "单个缓存文件的大小。")
    ] = Size.parse("32MiB")
    ballast: Annotated[
        Size,
        span("0B", "1GiB"),
        doc("Reserve freed when the disk is full.", "磁盘写满时释放的备用空间。"),
    ] = Size.parse("16MiB")
    memory: Annotated[
        Size,
        span("0B", "1GiB"),
        doc(
            "Memory for readings while the disk takes nothing; with 0B none are taken then.",
            "磁盘拒绝写入期间用于暂存数据的内存；为 0B 时不暂存。",
        ),
    ] = Size.parse("8MiB")
    endurance: Annotated[
        Size | None,
        doc(
            "What its maker lets be written to the medium in its life (TBW); 100 times its size if absent.",
            "存储介质标称的总写入量（TBW）；未填时按容量的 100 倍估计。",
        ),
    ] = None
    history_after: Annotated[
        Duration,
        span("1s", "1d"),
        doc(
            "An unsent reading older than this is history.", "未上送数据超过此时长即视为历史数据。"
        ),
    ] = Duration.parse("60s")
    history_share: Annotated[
        float,
        Meta(ge=0.0, le=1.0),
        doc(
            "Share of the link that history may take while live data flows.",
            "有实时数据时，历史数据可占用的链路比例。",
        ),
    ] = 0.5
    history_rate: Annotated[
        Size,
        span("64B", "1GiB"),
        doc(
            "At most this much history per second, to each uplink.",
            "每个上行每秒最多发送这么多历史数据。",
        ),
    ] = Size.parse("4MiB")
