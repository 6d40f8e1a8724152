"""What a simulated logger says to a platform's requests (6.1, 6.5.1, annex C), as segments to send."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

#: What it does when it is told, and has nothing to say back.
_DOES = ("1000", "1062", "1064", "2011", "2021", "3011", "3012", "3013", "3014", "3016", "3021")
_NOTICES = ("2012", "2022")


@dataclass(slots=True)
class Set:
    """What it was set to: clock, intervals, whether it uploads real time data, what it was commanded."""

    clock_off: timedelta = timedelta()
    intervals: dict[str, str] = field(
        default_factory=lambda: {"RtdInterval": "30", "MinInterval": "10"}
    )
    real_time: bool = True
    commanded: list[tuple[str, str]] = field(default_factory=list)


def items_of(cp: str) -> dict[str, str]:
    """The items of a request's CP."""
    return dict(each.partition("=")[::2] for each in cp.replace(",", ";").split(";") if each)


def answers(
    request: dict[str, str], now: datetime, st: str, kept: Iterable[tuple[str, str]], is_set: Set
) -> Iterator[tuple[str, str, str, str]]:
    """(QN or empty for one of its own, ST, CN, CP) of what it says.

    Args:
        kept: DataTime and CP of minute data that it still has.
    """
    qn, cn, cp = request["QN"], request["CN"], request["CP"]
    items = items_of(cp)
    if cn in _NOTICES:
        is_set.real_time = cn != "2012" and is_set.real_time
        yield qn, "91", "9013", ""
        return
    said: list[tuple[str, str, str, str]] = []
    result = "1"
    if cn == "1011":
        said.append((qn, st, cn, f"SystemTime={now:%Y%m%d%H%M%S}"))
    elif cn == "1012":
        shown = datetime.strptime(items["SystemTime"], "%Y%m%d%H%M%S").replace(tzinfo=now.tzinfo)
        is_set.clock_off += shown - now
    elif cn in ("1061", "1063"):
        name = "RtdInterval" if cn == "1061" else "MinInterval"
        said.append((qn, st, cn, f"{name}={is_set.intervals[name]}"))
    elif cn == "2051":
        wanted = [cp for at, cp in kept if items["BeginTime"] <= at <= items["EndTime"]]
        said += [("", st, cn, cp) for cp in wanted]
        result = "1" if wanted else "100"
    elif cn in ("3017", "3018", "3019", "3020"):
        tail = {
            "3017": "CstartTime=000000;Ctime=2", "3018": "Stime=40",
            "3019": "w01018-SN=010000A8900016F000169DC1", "3020": "i12001-Info=1",
        }  # fmt: skip
        factor = items.get("PolId", "w01018")
        said.append((qn, st, cn, f"DataTime={now:%Y%m%d%H%M%S};PolId={factor};{tail[cn]}"))
    elif cn in _DOES:
        is_set.commanded.append((cn, cp))
        is_set.real_time = is_set.real_time or cn == "2011"
        is_set.intervals.update({k: v for k, v in items.items() if k in is_set.intervals})
    else:
        yield qn, "91", "9011", "QnRtn=8"
        return
    yield qn, "91", "9011", "QnRtn=1"
    yield from said
    yield qn, "91", "9012", f"ExeRtn={result}"
