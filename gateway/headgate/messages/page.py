"""`docs/reference/messages.md`: every message with what to do, made when the documentation is built."""

from __future__ import annotations

from collections.abc import Iterator

from headgate.messages.catalogue import entries

_ROOMS = {
    "1": "The site file · 站点文件",
    "2": "Plugins · 插件",
    "3": "Channels and devices · 通道与设备",
    "4": "Spool and disk · 本地缓存与磁盘",
    "5": "Uplinks · 上行",
    "6": "Keys, certificates, envelope · 密钥、证书与封装",
    "7": "Receiver and verification · 接收与核对",
    "8": "Device profiles · 设备 profile",
    "9": "Runtime and command line · 运行与命令行",
}


def reference_page() -> str:
    """The page as Markdown."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Messages"
    yield ""
    yield "Every message that Headgate says to a person, by its code. `headgate explain HG-1203` says the"
    yield "same at the terminal. Words in braces stand for what the message fills in."
    yield ""
    yield "Headgate 的全部提示信息。终端里可用 `headgate explain 编号` 查看；花括号中为会填入的内容。"
    room = ""
    for code, entry in entries().items():
        if entry.reserved:
            continue
        if code[3] != room:
            room = code[3]
            yield f"\n## {_ROOMS[room]}"
        yield f"\n### {code}\n"
        yield f"{_plain(entry.en)}\\\n{_plain(entry.zh)}"
        if entry.fix_en:
            yield f"\n{_plain(entry.fix_en)}\\\n{_plain(entry.fix_zh)}"


def _plain(text: str) -> str:
    """A text that Markdown shows as it is."""
    for mark in "\\*_[]<>#$|`":
        text = text.replace(mark, f"\\{mark}")
    return "\\\n".join(line.strip() for line in text.splitlines())
