"""`[audit]`: the log of security events."""

from __future__ import annotations

from typing import Annotated

import msgspec

from headgate.config.values import Size
from headgate.config.words import doc, span


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """The log of security events."""

    quota: Annotated[
        Size,
        span("4MiB", "16GiB"),
        doc(
            "Room for the audit log. An alarm comes before 180 days of it would not fit.",
            "审计日志的空间上限；预计不足以保存 180 天时提前告警。",
        ),
    ] = Size.parse("128MiB")
