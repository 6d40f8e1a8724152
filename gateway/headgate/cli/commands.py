"""The commands as data: a command's module is imported only when it is used."""

from __future__ import annotations

import importlib
from importlib.metadata import EntryPoint, distribution
from typing import Any, NamedTuple

from headgate.errors import HeadgateError


class Command(NamedTuple):
    """Where a command lives, and one line about it.

    `target` is `module:attribute` of a typer app; empty when it comes by entry point. `extra` is the
    part of the distribution that brings what it needs.
    """

    target: str
    en: str
    zh: str
    extra: str = "all"


COMMANDS: dict[str, Command] = {
    "init": Command("headgate.cli.init:app", "write a site file to start from", "生成站点文件"),
    "check": Command("headgate.cli.check:app", "find every mistake in a site file", "检查站点文件"),
    "run": Command("headgate.cli.run:app", "run the gateway", "运行网关"),
    "status": Command("headgate.cli.status:app", "how the running gateway is", "查看运行状态"),
    "reload": Command(
        "headgate.cli.reload:app", "take over a changed site file", "采用修改后的站点文件"
    ),
    "devices": Command(
        "headgate.cli.devices:app", "device lists: import, export", "设备清单导入导出"
    ),
    "stations": Command(
        "headgate.cli.stations:app", "who dialled in, who is a stranger", "查看拨入的测站"
    ),
    "read": Command("headgate.cli.read:app", "read one device now", "立即读取一台设备"),
    "write": Command("headgate.cli.write:app", "set one point of a device", "写入一个测点"),
    "control": Command("headgate.cli.control:app", "commands: list, lock, sign", "远方控制管理"),
    "discover": Command(
        "headgate.cli.discover:app", "find the devices on a line", "搜索线路上的设备"
    ),
    "trace": Command("headgate.cli.trace:app", "show the bytes of a line", "查看线路报文"),
    "decode": Command("headgate.cli.decode:app", "what bytes of a line say", "解读报文"),
    "uplink": Command("headgate.cli.uplink:app", "test the way to a platform", "测试上行链路"),
    "plugins": Command("headgate.cli.plugins:app", "what is installed", "列出插件"),
    "plugin": Command("headgate.cli.plugin:app", "sign and check packages", "插件签名与校验"),
    "profiles": Command("headgate.cli.profiles:app", "device profiles", "设备 profile"),
    "opcua": Command(
        "headgate.cli.opcua:app", "OPC UA: trust, browse", "OPC UA：证书互信、浏览", "opcua"
    ),
    "enroll": Command("headgate.cli.enroll:app", "this box's certificates", "本机证书的申请与导入"),
    "enrolment": Command(
        "headgate.cli.enrolment:app", "an enrolment service over a CA", "入网登记服务"
    ),
    "certs": Command("headgate.cli.certs:app", "keys and certificates", "密钥与证书"),
    "keys": Command("headgate.cli.keys:app", "change the record key", "更换数据密钥"),
    "spool": Command("headgate.cli.spool:app", "what waits on disk", "查看本地缓存"),
    "audit": Command("headgate.cli.audit:app", "the log of security events", "安全审计日志"),
    "wipe": Command("headgate.cli.wipe:app", "take a gateway out of service", "网关退役擦除"),
    "schema": Command("headgate.cli.schema:app", "JSON Schema of our files", "输出 JSON Schema"),
    "install": Command("headgate.cli.install:app", "install from a folder of wheels", "离线安装"),
    "uninstall": Command("headgate.cli.install:removal", "take it off again", "卸载"),
    "explain": Command("headgate.cli.explain:app", "what a message means", "解释消息编号"),
    "demo": Command(
        "headgate.cli.demo:app", "the whole road on this machine", "本机完整演示", "sim"
    ),
    "receive": Command("", "receive and store, as a platform", "作为平台接收并入库"),
    "command": Command("", "move something in the field, as a platform", "作为平台下发控制命令"),
    "verify": Command("", "compare what was stored with the truth", "核对入库数据与真值"),
    "sim": Command("", "simulated hardware", "模拟设备", "sim"),
}
GROUP = "headgate.cli"


def load(name: str) -> Any:
    """The typer app of a command.

    Raises:
        HeadgateError: this build has no such command, or a library it needs is not installed.
    """
    command = COMMANDS[name]
    entry = EntryPoint(name, command.target, GROUP) if command.target else _ours(name)
    if entry is None:
        raise HeadgateError(f"no command {name}", code="HG-9002", command=name)
    try:
        module = importlib.import_module(entry.module)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if entry.module == missing or entry.module.startswith(f"{missing}."):
            raise HeadgateError(f"no command {name}", code="HG-9002", command=name) from None
        fields = {"command": name, "module": missing, "extra": command.extra}
        raise HeadgateError(f"{name} needs {missing}", code="HG-9001", **fields) from error
    return getattr(module, entry.attr)


def _ours(name: str) -> EntryPoint | None:
    # Only what our own distribution brings: code of others is not imported into this process.
    entries = distribution("headgate").entry_points.select(group=GROUP, name=name)
    return next(iter(entries), None)
