"""What a site file says, as frozen types. The TOML keys are the field names.

The types are also the rules: `headgate.config.decode` checks a file by their annotations, and the
JSON Schema and the reference page are made from them. `doc` holds what a person reads there.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from headgate.config.audit import Audit
from headgate.config.box import Api, Gateway, Log, Metrics, Plugins
from headgate.config.controls import Control, Controls, Heartbeat
from headgate.config.field import Channel, Device, Stage
from headgate.config.identity import Identity
from headgate.config.state import State
from headgate.config.uplink import Uplink
from headgate.config.values import Duration
from headgate.config.words import doc

#: The layout of site files that this code reads.
SCHEMA = 1


class Site(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A whole site: what this gateway reads, keeps and sends."""

    schema: Annotated[int, doc("Layout of this file.", "文件格式版本。")] = SCHEMA
    gateway: Annotated[Gateway, doc("Who this gateway is.", "网关自身。")]
    state: Annotated[State, doc("Where readings lie.", "数据与状态的存放。")] = State()
    identity: Annotated[Identity, doc("Certificates and keys.", "证书与密钥。")] = Identity()
    audit: Annotated[Audit, doc("The log of security events.", "安全审计日志。")] = Audit()
    metrics: Annotated[Metrics, doc("Prometheus metrics.", "Prometheus 指标。")] = Metrics()
    log: Annotated[Log, doc("The log.", "日志。")] = Log()
    api: Annotated[Api, doc("The local API.", "本地接口。")] = Api()
    plugins: Annotated[Plugins, doc("Code of other people.", "第三方插件。")] = Plugins()
    channel: Annotated[tuple[Channel, ...], doc("Lines to devices.", "到设备的通道。")] = ()
    device: Annotated[tuple[Device, ...], doc("Devices.", "设备。")] = ()
    stage: Annotated[
        tuple[Stage, ...], doc("Steps between reading and sending.", "采集与发送之间的处理环节。")
    ] = ()
    uplink: Annotated[tuple[Uplink, ...], doc("Platforms.", "上行平台。")] = ()
    controls: Annotated[Controls, doc("What goes for every control.", "控制的总体规定。")] = (
        Controls()
    )
    control: Annotated[
        tuple[Control, ...], doc("Points that may be commanded.", "允许下达命令的测点。")
    ] = ()
    heartbeat: Annotated[
        tuple[Heartbeat, ...], doc("Registers that are counted up.", "心跳寄存器。")
    ] = ()
    #: Where the file lies: what relative paths in it start from. Not a key of the file.
    base: Annotated[str, Meta(extra={"hidden": True})] = "."

    @cached_property
    def channels(self) -> dict[str, Channel]:
        """Channels by id."""
        return {channel.id: channel for channel in self.channel}

    @cached_property
    def devices(self) -> dict[str, Device]:
        """Devices by id."""
        return {device.id: device for device in self.device}

    @cached_property
    def uplinks(self) -> dict[str, Uplink]:
        """Uplinks by id."""
        return {uplink.id: uplink for uplink in self.uplink}

    def path(self, written: str) -> Path:
        """A path of the file, made whole: relative ones start at the site file's folder."""
        return Path(self.base) / written

    @property
    def state_folder(self) -> Path:
        """The state folder."""
        return self.path(self.state.folder)

    @property
    def api_socket(self) -> Path:
        """The local API's socket."""
        return (
            self.path(self.api.socket) if self.api.socket else self.state_folder / "headgate.sock"
        )

    def timeout(self, device: Device) -> Duration:
        """Longest wait for one answer of a device: its own, else its channel's."""
        return device.timeout or self.channels[device.channel].timeout

    def retries(self, device: Device) -> int:
        """Further tries of a device: its own, else its channel's."""
        return self.channels[device.channel].retries if device.retries is None else device.retries
