"""The verdict as text for a person, JSON for a program, JUnit for a test run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, tzinfo
from xml.sax.saxutils import quoteattr

import msgspec

from headgate.messages import Language, say
from headgate_receiver.verify.findings import Finding
from headgate_receiver.verify.judge import FAILURES, Verdict

#: Version of the JSON report: a key may be added, never changed.
SCHEMA = 1
_COLUMNS = ("due", "arrived", "bad", "in_time", "in_gaps", "unaccounted")
_HEADS = {
    "en": ("due", "arrived", "bad", "in time", "in gaps", "unaccounted"),
    "zh": ("应到", "实到", "坏值", "及时", "缺口", "去向不明"),
}
_EXAMPLES_SHOWN = 5


def as_text(verdict: Verdict, lang: Language, zone: tzinfo) -> str:
    """What a person reads."""
    return "\n".join(_lines(verdict, lang, zone))


def _lines(verdict: Verdict, lang: Language, zone: tzinfo) -> Iterator[str]:
    counts = verdict.counts
    yield from _days(verdict, lang)
    yield say("HG-7530", lang, **counts)
    yield say(
        "HG-7531",
        lang,
        **counts,
        late_s=f"{verdict.late_s:g}",
        worst=f"{verdict.worst_delay_s:.1f}",
    )
    if (stations := verdict.stations) is not None:
        waits = {key: f"{getattr(stations, key):.2f}" for key in ("p50_s", "p99_s", "longest_s")}
        open_ = stations.reports - stations.confirmed
        counted = stations._asdict() | waits | {"open": open_, "looks": counts["unconfirmed"]}
        yield say("HG-7536", lang, **counted)
    if verdict.gaps:
        said = ", ".join(f"{gap.reason} {gap.gaps} ({gap.looks})" for gap in verdict.gaps)
        yield say("HG-7532", lang, gaps=said)
    if verdict.faults:
        said = ", ".join(f"{kind} {count}" for kind, count in sorted(verdict.faults.items()))
        yield say("HG-7533", lang, faults=said)
    if verdict.truth_cut_off:
        yield say("HG-7534", lang)
    if counts["unplanned"]:
        yield say("HG-7535", lang, count=counts["unplanned"])
    for kind, found in verdict.examples.items():
        for finding in found[:_EXAMPLES_SHOWN]:
            at = "?" if finding.at_s is None else _clock(finding.at_s, zone)
            text = f": {finding.text}" if finding.text else ""
            yield f"  {kind}  {finding.device}  #{finding.sample}  {at}{text}"
        if counts[kind] > _EXAMPLES_SHOWN:
            yield f"  {kind}  ... {counts[kind] - _EXAMPLES_SHOWN}"
    yield sentence(verdict, lang)


def sentence(verdict: Verdict, lang: Language) -> str:
    """The verdict in one sentence."""
    if verdict.good:
        # Without a plan nobody knows what was due: then not every slot is accounted for.
        code = "HG-7542" if verdict.counts["unplanned"] else "HG-7540"
        return say(code, lang, **verdict.counts)
    wrong = {kind: verdict.counts[kind] for kind in FAILURES}
    return say("HG-7541", lang, **wrong)


def _days(verdict: Verdict, lang: Language) -> Iterator[str]:
    if not verdict.days:
        return
    wide = max(len(day.device) for day in verdict.days)
    # A Chinese character is two columns wide.
    heads = (f"{'':{max(0, 13 - _width(head))}}{head}" for head in _HEADS[lang])
    yield f"{'':10}  {'':{wide}}{''.join(heads)}"
    for day in verdict.days:
        numbers = "".join(f"{getattr(day, column):13}" for column in _COLUMNS)
        yield f"{day.day:10}  {day.device:{wide}}{numbers}"


def _width(text: str) -> int:
    return sum(2 if ord(letter) > 0x2E7F else 1 for letter in text)


def _clock(at_s: float, zone: tzinfo) -> str:
    return datetime.fromtimestamp(at_s, zone).isoformat(timespec="milliseconds")


def as_json(verdict: Verdict) -> str:
    """What a program reads; the schema is in docs/reference/verify.md."""
    return msgspec.json.encode(
        {
            "headgate_verify": SCHEMA,
            "good": verdict.good,
            "counts": verdict.counts,
            "late_s": verdict.late_s,
            "worst_delay_s": round(verdict.worst_delay_s, 3),
            "truth_cut_off": verdict.truth_cut_off,
            "gaps": [gap._asdict() for gap in verdict.gaps],
            "faults": verdict.faults,
            "stations": None if verdict.stations is None else verdict.stations._asdict(),
            "examples": {
                kind: [finding._asdict() for finding in found]
                for kind, found in verdict.examples.items()
            },
            "days": [{**day._asdict(), "arrived": day.arrived} for day in verdict.days],
        }
    ).decode()


def as_junit(verdict: Verdict, zone: tzinfo) -> str:
    """What a build server reads: one case for each thing that may be wrong."""
    failed = sum(1 for kind in FAILURES if verdict.counts[kind])
    out = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<testsuite name="headgate verify" tests="{len(FAILURES)}" failures="{failed}" errors="0">',
    ]
    for kind in FAILURES:
        count = verdict.counts[kind]
        case = f'  <testcase classname="headgate.verify" name="{kind}"'
        if not count:
            out.append(f"{case}/>")
            continue
        text = "&#10;".join(_attribute(each, zone) for each in verdict.examples.get(kind, []))
        out.append(f'{case}><failure message="{count} {kind}">{text}</failure></testcase>')
    out.append("</testsuite>")
    return "\n".join(out)


def _attribute(finding: Finding, zone: tzinfo) -> str:
    at = "?" if finding.at_s is None else _clock(finding.at_s, zone)
    return quoteattr(f"{finding.device} #{finding.sample} {at} {finding.text}".rstrip())[1:-1]
