"""`headgate status`: how the running gateway is, on one page."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from headgate.cli.client import call, socket_of
from headgate.cli.states import chinese as state
from headgate.cli.states import reason
from headgate.cli.terminal import both, reader
from headgate.cli.wear import wear_lines
from headgate.messages import fix

app = typer.Typer(rich_markup_mode=None)

_WORDS: dict[str, tuple[str, str]] = {
    "gateway": ("Gateway", "网关"),
    "clock": ("Clock", "时钟"),
    "identity": ("Identity", "身份"),
    "spool": ("Spool", "缓存"),
    "writer": ("Writer", "写入"),
    "audit": ("Audit log", "审计日志"),
    "entries": ("entries", "条记录"),
    "signed": ("signed up to", "已签名至"),
    "days-fit": ("days fit", "天容量"),
    "channels": ("Channels", "通道"),
    "devices": ("Devices", "设备"),
    "uplinks": ("Uplinks", "上行"),
    "problems": ("Problems", "问题"),
    "forced": ("Forced", "强制"),
    "account": ("Due and arrived", "应到与实到"),
    "today": ("today", "今日"),
    "undated": ("day unknown", "日期未知"),
    "due": ("due", "应到"),
    "arrived": ("arrived", "实到"),
    "in-time": ("in time", "及时"),
    "bad": ("bad", "坏值"),
    "open": ("open", "待定"),
    "looks": ("looks", "次"),
    "readings": ("readings", "个读数"),
    "segments": ("segments", "个分段"),
    "free": ("free", "可用"),
    "commits": ("commits", "次提交"),
    "failures": ("failures", "次失败"),
    "records": ("records", "条记录"),
    "adverts": ("adverts", "广播"),
    "repeated": ("repeated", "重复"),
    "replay": ("replayed", "重放"),
    "bad_checksum": ("not opened", "无法解密"),
    "truncated": ("cut off", "截断"),
    "strangers": ("of strangers", "未知标签广播"),
    "stranger_senders": ("strangers about", "未知标签约"),
    "disconnects": ("disconnects", "断开"),
    "restarts": ("scans begun again", "重新扫描"),
    "dropped": ("dropped", "丢弃"),
    "synced": ("synced", "已同步"),
    "holdover": ("holdover", "守时"),
    "unsynced": ("unsynced", "未同步"),
    "enrolled": ("enrolled", "已入网"),
    "barred": (
        "its certificate counts no more: sealed and kept until there is a new one",
        "证书已失效：数据继续加密存储，直至更新证书",
    ),
    "until": ("certificates until", "证书有效期至"),
    "keys-file": ("keys sealed under a file of this box", "私钥由本机密钥文件加密"),
    "keys-secret": ("keys sealed under a secret of the site file", "私钥由站点指定的密钥加密"),
    "keys-systemd": ("keys sealed under a systemd credential", "私钥由 systemd 凭据加密"),
    "keys-module": ("keys in a module", "私钥在密码模块内"),
    "not-enrolled": ("no certificate yet: sealed for this box alone", "尚无证书：数据仅本机可解"),
    "unknown-stations": ("stations not in the site file", "站点文件中没有的测站"),
    "local-wrap": (
        "keeps a local wrap: whoever takes this box and its key file can open what it stores",
        "保留本机封装：拿到设备及其密钥文件者可解开存储的数据",
    ),
    "no-local-wrap": ("no local wrap: only the platform can open", "不保留本机封装：仅平台可解"),
}


def word(key: str) -> str:
    """A heading or a small word in the reader's language."""
    english, chinese = _WORDS.get(key) or (key, state(key))
    return chinese if reader() == "zh" else english


@app.command(help=both("How the running gateway is.", "查看运行中的网关状态。"))
def status(
    site: Annotated[Path | None, typer.Argument(help=both("Site.", "站点。"))] = None,
    form: Annotated[
        Literal["text", "json"], typer.Option("--format", help=both("Output form.", "输出格式。"))
    ] = "text",
    watch: Annotated[
        bool, typer.Option("--watch", help=both("Every second.", "每秒刷新。"))
    ] = False,
) -> None:
    """Print the status; with --watch again every second until interrupted."""
    socket = socket_of(site)
    while True:
        data = next(call(socket, "status", lang=reader()))
        typer.echo(json.dumps(data, indent=2) if form == "json" else page(data))
        if not watch:
            return
        time.sleep(1)


def page(data: dict[str, Any]) -> str:
    """The status as text."""
    clock, identity, spool, writer = (
        data[part] for part in ("clock", "identity", "spool", "writer")
    )
    error = f" ±{clock['error_us'] / 1e6:.3f} s" if clock["error_us"] else ""
    enrolled = word("enrolled" if identity["enrolled"] else "not-enrolled")
    if identity.get("barred"):
        enrolled = word("barred")
    if ends := [each["ends"][:10] for each in identity.get("certificates", ())]:
        enrolled += f", {word('until')} {min(ends)}"
    if keeper := identity.get("keeper"):
        enrolled += f"; {word(f'keys-{keeper}')}"
    wrap = word("local-wrap" if identity["local_wrap"] else "no-local-wrap")
    refusal = f" ({writer['last_error']})" if writer["last_error"] else ""
    lines = [
        f"{word('gateway')}: {data['gateway']} {data['version']}  {_ago(data['uptime_s'])}",
        f"{word('clock')}: {word(clock['state'])}{error}",
        f"{word('identity')}: {enrolled}; {wrap}; {identity['sm2']}",
        f"{word('spool')}: {_size(spool['bytes'])} / {_size(spool['quota'])}, "  # noqa: ISC004 - one line
        f"{spool['segments']} {word('segments')}, {_size(spool['free'])} {word('free')}",
        f"{word('writer')}: {writer['commits']} {word('commits')}, "  # noqa: ISC004 - one line
        f"{writer['failures']} {word('failures')}{refusal}",
        *(f"  {line}" for line in wear_lines(data["disk"]["wear"] if "disk" in data else {})),
        *_audit(data.get("audit")),
        f"{word('uplinks')}:",
    ]
    for uplink in data["uplinks"]:
        waiting = uplink["outbox"]
        lines.append(
            f"  {uplink['id']:<12} {word(uplink['state']):<12} {waiting['records']} {word('records')}, "
            f"{_size(waiting['bytes'])}"
            + (f"  {uplink['code']} {uplink['error']}" if uplink["error"] else "")
        )
    lines.append(f"{word('channels')}:")
    for channel in data["channels"]:
        counters = channel["counters"]
        lines.append(
            f"  {channel['channel']:<16} {word(channel['state']):<8} {channel['url']}  "
            f"{counters['answers']}/{counters['requests']}"
            + (f"  {reason(channel['reason'])}" if channel["reason"] else "")
            + (f" [{code}]" if (code := channel.get("code")) else "")
        )
        if code and (advice := fix(code, reader(), channel=channel["channel"])):
            lines.append(f"  {'':<16} {advice}")
        if tally := channel.get("tally"):
            counted = (f"{word(name)} {count}" for name, count in sorted(tally.items()) if count)
            lines.append(f"  {'':<16} {', '.join(counted)}")
        if unknown := channel.get("strangers"):
            named = " ".join(each if each.isprintable() else "?" for each in unknown)
            lines.append(f"  {'':<16} {word('unknown-stations')}: {named}")
    lines.append(f"{word('devices')}:")
    today = data.get("account", {}).get("today", {})
    for device in data["devices"]:
        lines.append(
            f"  {device['device']:<16} {word(device['state']):<12} {device['good']}/{device['looks']}"
            + (
                f"  {device['latency_us'] / 1000:.0f} ms"
                if device["latency_us"] is not None
                else ""
            )
            + (f"  {reason(device['text'])}" if device["text"] else "")
        )
        if (counted := today.get(device["device"])) is not None:
            lines.append(f"  {'':<16} {word('today')}: {_account(counted)}")
    lines += _days(data.get("account", {}))
    if forced := data.get("commands", {}).get("leases"):
        lines.append(f"{word('forced')}:")
        lines += [
            f"  {each['device']}/{each['point']} = {each['value']}  {each['who']}  "
            f"{_ago(each['left_s'])}  -> {each['on_lease_end']}"
            for each in forced
        ]
    if data["problems"]:
        lines.append(f"{word('problems')}:")
        lines += [f"  {problem}" for problem in data["problems"]]
    return "\n".join(lines)


def _audit(audit: dict[str, Any] | None) -> list[str]:
    """How far the audit log goes, and how long its room will do."""
    if audit is None:
        return []
    fits = f", {audit['days']} {word('days-fit')}" if audit["days"] is not None else ""
    entries = f"{audit['seq']} {word('entries')}, {word('signed')} {audit['head_seq']}"
    room = f"{_size(audit['bytes'])} / {_size(audit['quota'])}{fits}"
    return [f"{word('audit')}: {entries}, {room}"]


def _days(account: dict[str, Any]) -> list[str]:
    """What was due, arrived and is missing on each day, of all devices together."""
    days = account.get("days", [])
    if not days:
        return []
    lines = [f"{word('account')} ({word('in-time')}: {account['late_s']:g} s):"]
    for day in reversed(days):
        # Counted while nobody knew what day it was: docs/operate/running.md.
        name = word("undated") if day["day"] == "?" else day["day"]
        lines.append(f"  {name:<12} {_account(day)}")
    return lines


def _account(counted: dict[str, Any]) -> str:
    due = "-" if counted["due"] is None else counted["due"]
    words = [
        f"{word('due')} {due}",
        f"{word('arrived')} {counted['arrived']}",
        f"{word('in-time')} {counted['in_time']}",
    ]
    words += [f"{word(name)} {counted[name]}" for name in ("bad", "open") if counted[name]]
    for why, gap in counted["gaps"].items():
        # Looks where they were counted, else readings, else how many gaps there were.
        if gap["looks"]:
            missing = f"{gap['looks']} {word('looks')}"
        elif gap["readings"]:
            missing = f"{gap['readings']} {word('readings')}"
        else:
            missing = f"{gap['gaps']}x"
        words.append(f"{word(why)} {missing}")
    return ", ".join(words)


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError


def _ago(seconds: float) -> str:
    minutes, left = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}"
