"""Commands in a person's words: what will happen, where it stands, how it ended. Pure but for the words."""

from __future__ import annotations

from typing import Any, Final

from headgate.envelope.command import CommandValue, Content, Operation
from headgate.messages import Language, say
from headgate_receiver.commands.results import PointFacts
from headgate_receiver.commands.standing import Stage, Standing

# Exit statuses of `headgate command`.
DONE, FAILED, USAGE, REFUSED, NOT_CONFIRMED, NOT_KNOWN = 0, 1, 2, 3, 4, 5

_CHINESE: Final = {
    "received": "已收到", "selected": "已选择", "accepted": "已接受", "executing": "执行中",
    "confirmed": "回读确认", "failed": "失败", "unknown": "无法确定", "refused": "被拒绝",
    "cancelled": "已撤销", "expired": "已过期", "superseded": "被取代", "renewed": "已续期",
    "ended": "租期已结束", "drafted": "已起草", "selecting": "选择已发出", "operating": "执行已发出",
    "answered": "已有结果", "withdrawn": "已退回",
}  # fmt: skip


def word(state: str, lang: Language) -> str:
    """A state or a stage as a person reads it."""
    if lang == "zh" and state in _CHINESE:
        return f"{_CHINESE[state]}（{state}）"
    return state or "-"


def value(said: CommandValue | None) -> str:
    """A value as it is typed."""
    return "-" if said is None else str(said).lower() if isinstance(said, bool) else str(said)


def plan(content: Content, who: str, facts: PointFacts | None, lang: Language) -> str:
    """What would happen, for somebody to say yes to."""
    release = content.operation is Operation.RELEASE
    return say(
        "HG-7121" if release else "HG-7120", lang,
        gateway=content.gateway, device=content.device, point=content.point,
        name=facts.device_name or content.device if facts else content.device,
        title=facts.title or content.point if facts else content.point,
        now=value(facts.value) if facts else "?", value=value(content.value),
        unit=_unit(content), lease=duration(content.lease_s), who=who,
    )  # fmt: skip


def line(standing: Standing, lang: Language) -> str:
    """Where a command stands, on both sides, in one line."""
    content = standing.content
    asked = (
        "release"
        if content.operation is Operation.RELEASE
        else f"{value(content.value)}{_unit(content)}"
    )
    said = standing.last
    why = f" [{said.code}]" if said and said.code else ""
    return (
        f"{content.command.hex()[:12]}  {content.gateway}/{content.device}/{content.point} = {asked}"
        f"  {word(standing.stage.value, lang)} | {word(standing.state, lang)}{why}"
    )


def ending(standing: Standing, lang: Language) -> tuple[int, str]:
    """How it ended: an exit status, and a sentence. It is done when it was read back, and never before."""
    said = standing.last
    fields: dict[str, Any] = {
        "device": standing.content.device, "point": standing.content.point,
        "command": standing.content.command.hex()[:12],
        "value": value(said.value if said else None), "unit": _unit(standing.content),
        "code": said.code if said else "", "text": _why(standing, lang), "state": standing.state,
        "lease": duration((said.lease_ms if said else 0) // 1000),
    }  # fmt: skip
    if standing.state == "renewed":
        return DONE, say("HG-7126", lang, **fields)
    if standing.state == "ended":
        return DONE, say("HG-7127", lang, **fields)
    if standing.done:
        return DONE, say("HG-7122", lang, **fields)
    if standing.state == "failed":
        return NOT_CONFIRMED, say("HG-7123", lang, **fields)
    if standing.state == "unknown":
        return NOT_KNOWN, say("HG-7124", lang, **fields)
    if standing.in_doubt:
        return NOT_KNOWN, say("HG-7125", lang, **fields)
    if standing.stage is Stage.WITHDRAWN or standing.state == "cancelled":
        return REFUSED, say("HG-7128", lang, **fields)
    if standing.settled:
        return REFUSED, say("HG-7129", lang, **fields)
    return FAILED, say("HG-7130", lang, **fields)


def duration(seconds: int) -> str:
    """`15 min`, `90 s`, `2 h`."""
    if seconds and seconds % 3600 == 0:
        return f"{seconds // 3600} h"
    if seconds and seconds % 60 == 0:
        return f"{seconds // 60} min"
    return f"{seconds} s"


def plain(standing: Standing) -> dict[str, Any]:
    """For another program: `--format json`."""
    content, said = standing.content, standing.last
    return {
        "command": content.command.hex(), "gateway": content.gateway, "device": content.device,
        "point": content.point, "operation": content.operation.value, "value": content.value,
        "unit": content.unit, "lease_s": content.lease_s, "expiry_us": content.expiry_us,
        "who": standing.issuer, "stage": standing.stage.value, "state": standing.state,
        "done": standing.done, "in_doubt": standing.in_doubt, "moved": standing.moved,
        "code": said.code if said else "", "text": said.text if said else "",
        "read_back": said.value if said else None, "source": said.source if said else "",
    }  # fmt: skip


def _unit(content: Content) -> str:
    return "" if content.unit in ("", "1") else f" {content.unit}"


def _why(standing: Standing, lang: Language) -> str:
    """The gateway's reason: its own English words, or the catalogue's sentence where it is a reader's."""
    said = standing.last
    if said is None:
        return ""
    return f"{said.text} [{said.code}]" if said.code else said.text or word(said.state, lang)
