"""Every kind of entry: what it means, what an auditor reads, and whether a stranger can cause it.

`docs/reference/audit.md` is made from this table, and a test holds the code to it.
"""

from __future__ import annotations

import msgspec


class Kind(msgspec.Struct, frozen=True):
    """One kind of entry.

    `en` and `zh` are what an auditor reads; `{who}`, `{what}` and the entry's own fields fill them.
    `limited`: somebody outside can cause any number of them, so a flood is counted.
    """

    en: str
    zh: str
    limited: bool = False


KINDS: dict[str, Kind] = {
    # --- the gateway
    "started": Kind("the gateway started, version {version}", "网关启动，版本 {version}"),
    "stopping": Kind("the gateway was told to stop", "网关收到停止指令"),
    "start-refused": Kind("the gateway did not start: {what}", "网关未能启动：{what}"),
    "config": Kind("configuration taken over, hash {hash}", "配置生效，摘要 {hash}"),
    "config-refused": Kind("a changed configuration was refused", "修改后的配置被拒绝"),
    "reload": Kind("{who} asked for the configuration to be read again", "{who} 要求重新读取配置"),
    "time-jump": Kind(
        "the wall clock was set by {seconds} s, trust {before} to {after}",
        "墙钟被调整 {seconds} 秒，可信度 {before} → {after}",
        limited=True,
    ),
    "state-rights": Kind(
        "others on this machine may reach {what}", "本机其他用户可访问 {what}"
    ),
    "wiped": Kind("{who} decommissioned the gateway", "{who} 执行了网关退役擦除"),
    # --- people on this machine
    "local-write": Kind("{who} is about to write {what}", "{who} 将写入 {what}"),
    "local-written": Kind("what {who} wrote was read back: {what}", "{who} 写入后的回读：{what}"),
    "local-trace": Kind("{who} looked at the bytes of {what}", "{who} 查看了 {what} 的报文"),
    "local-discover": Kind("{who} searched for devices: {what}", "{who} 搜索设备：{what}"),
    "local-ask": Kind("{who} asked a station: {what}", "{who} 召测测站：{what}"),
    "local-command": Kind("{who} used {what}", "{who} 使用了 {what}"),
    "local-refused": Kind(
        "{who} was refused {what}", "{who} 的请求 {what} 被拒绝", limited=True
    ),
    # --- peers
    "peer-connected": Kind(
        "connected with {what}", "已与 {what} 建立连接", limited=True
    ),
    "peer-refused": Kind("a connection with {what} was refused", "与 {what} 的连接被拒绝", limited=True),
    "receipt-refused": Kind(
        "a receipt that does not prove itself, from {what}", "来自 {what} 的回执未通过验证", limited=True
    ),
    "certificate-refused": Kind(
        "the certificate {what} was refused", "证书 {what} 未被接受", limited=True
    ),
    # --- code of others
    "plugin-loaded": Kind("plugin {what} was loaded", "已加载插件 {what}"),
    "plugin-refused": Kind("plugin {what} was refused", "插件 {what} 被拒绝"),
    "profile-refused": Kind("profile {what} was refused", "profile {what} 被拒绝"),
    # --- keys and certificates
    "identity-made": Kind("this box made its own key {what}", "本机生成了自己的密钥 {what}"),
    "enrolled": Kind("enrolled: {what}", "已入网：{what}"),
    "enrolment-refused": Kind("enrolment was refused: {what}", "入网被拒绝：{what}", limited=True),
    "renewed": Kind("certificate renewed: {what}", "证书已更新：{what}"),
    "certificate-expiry": Kind("certificate {what} runs out", "证书 {what} 即将到期"),
    "revoked": Kind("{what} is revoked", "{what} 已被吊销"),
    "key-rotated": Kind("a new key is used: {what}", "启用新密钥：{what}"),
    "keys-granted": Kind("keys granted to the platform: {what}", "已向平台授予密钥：{what}"),
    # --- commands
    "command-received": Kind("a command of {who} came: {what}", "收到 {who} 的命令：{what}"),
    "command-selected": Kind("{who} selected {what}", "{who} 选择 {what}"),
    "command-accepted": Kind("{who} may operate {what}", "接受 {who} 对 {what} 的操作"),
    "command-refused": Kind(
        "{who} was refused {what}", "{who} 对 {what} 的命令被拒绝", limited=True
    ),
    "command-unproved": Kind(
        "{times} messages that prove nobody, from {what}",
        "来自 {what} 的 {times} 条消息无法证明来源", limited=True,
    ),
    "command-executing": Kind("the output moves: {what}", "开始执行：{what}"),
    "command-confirmed": Kind("read back as asked: {what}", "回读确认：{what}"),
    "command-failed": Kind("it failed: {what}", "执行失败：{what}"),
    "command-unknown": Kind("nobody knows what became of {what}", "{what} 的执行结果未知"),
    "command-expired": Kind("it waited too long: {what}", "等待超时：{what}"),
    "command-cancelled": Kind("{who} took it back: {what}", "{who} 撤回：{what}"),
    "command-superseded": Kind("a later one took its place: {what}", "被后来的命令取代：{what}"),
    "lease-renewed": Kind("the lease of {what} was renewed", "{what} 的租约已续期"),
    "lease-ending": Kind("the lease of {what} is over, the point is let go", "{what} 租约到期，正在释放"),
    "lease-ended": Kind("the lease of {what} ended", "{what} 的租约已结束"),
    "controls-loaded": Kind(
        "{controls} controls are in force, digest {digest}", "{controls} 项控制已生效，摘要 {digest}"
    ),
    "controls-refused": Kind(
        "the controls are not in force: {reason}", "控制项未生效：{reason}"
    ),
    "local-switch": Kind("{who} at the box: {what}", "{who} 在现场：{what}"),
    # --- the log itself
    "log-opened": Kind("file {file} of this log begins", "日志文件 {file} 开始"),
    "log-torn": Kind(
        "the end of a write was cut off, {rest_bytes} bytes that nobody was told of",
        "断电截断了未确认的写入，共 {rest_bytes} 字节",
    ),
    "log-break": Kind(
        "the log could not be gone on with ({reason}: {text})", "日志无法接续（{reason}：{text}）"
    ),
    "log-head": Kind("everything up to {what} is signed", "已对 {what} 及之前的内容签名"),
    "log-dropped": Kind(
        "no room: entries {from_seq} to {to_seq} were given up",
        "空间不足：第 {from_seq} 至 {to_seq} 条被舍弃",
    ),
    "log-suppressed": Kind(
        "{count} more of {what} were counted, not written", "另有 {count} 条 {what} 仅计数未记录"
    ),
    "log-unwritten": Kind(
        "{count} entries could not be written while the disk refused",
        "磁盘拒绝写入期间有 {count} 条未能记录",
    ),
    "log-damaged": Kind(
        "earlier entries are not what was written: {what}", "此前的记录已非原样：{what}"
    ),
}  # fmt: skip
