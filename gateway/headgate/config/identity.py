"""`[identity]`: certificates and keys."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from headgate.config.values import Duration, SecretRef
from headgate.config.words import FilePath, Name, doc, span


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Certificates and keys. All may be absent: `headgate enroll` keeps them in the state folder."""

    certificate: Annotated[
        FilePath | None, doc("This gateway's SM2 certificate (PEM).", "本网关的 SM2 证书（PEM）。")
    ] = None
    key: Annotated[SecretRef | None, doc("Its private key.", "对应的私钥。")] = None
    ca: Annotated[
        FilePath | None, doc("Root of the city's PKI (PEM).", "城市 PKI 根证书（PEM）。")
    ] = None
    platform_encryption: Annotated[
        FilePath | None,
        doc(
            "Certificates that grants are wrapped for (PEM), one or more platforms; of one name the newest.",
            "平台加密证书（PEM，可含多个平台），数据密钥用它封装；同名证书取最新。",
        ),
    ] = None
    platform_receipt: Annotated[
        FilePath | None,
        doc(
            "Certificates that sign receipts (PEM): the old and the new while they change.",
            "平台回执签名证书（PEM）：更换期间新旧并存。",
        ),
    ] = None
    sign_records: Annotated[
        bool | None,
        doc(
            "Sign each record, so that its origin can be shown to others. Always with several platforms.",
            "对每条数据记录签名，可向第三方证明来源；有多个平台时必须签名。",
        ),
    ] = None
    keep_local_wrap: Annotated[
        bool,
        doc(
            "Keep a local wrap of data keys, so that other uplinks can open records.",
            "本机保留数据密钥的封装，供其他上行打开记录。",
        ),
    ] = True
    kek: Annotated[
        SecretRef | None,
        doc(
            "The box's own key, which seals private keys and local wraps. When absent: the systemd "
            "credential headgate-kek, else one made in the state folder.",
            "本机密钥，用于加密私钥与本机封装；不写则用 systemd 凭据 headgate-kek，再无则在状态目录生成。",
        ),
    ] = None
    module: Annotated[
        Name | None,
        doc(
            "Key module (SDF, SKF) that makes and keeps the private keys; stand-in is software, for trials.",
            "生成并保管私钥的密码模块（SDF、SKF）；stand-in 为试验用软件模块。",
        ),
    ] = None
    module_library: Annotated[
        FilePath | None, doc("The module's library file.", "密码模块的库文件。")
    ] = None
    module_device: Annotated[
        Name | None, doc("Which device or container of it.", "设备或容器名称。")
    ] = None
    module_pin: Annotated[SecretRef | None, doc("Its PIN, by reference.", "口令（引用）。")] = None
    revocation: Annotated[
        FilePath | None,
        doc("Revocation lists of the PKI (PEM).", "PKI 的证书吊销列表（PEM）。"),
    ] = None
    renew: Annotated[
        Literal["online", "by-hand"],
        doc(
            "How certificates are renewed: by themselves where the box was enrolled online, or by a person.",
            "证书更新方式：在线登记的设备自动更新，或由人工更新。",
        ),
    ] = "online"
    renew_before: Annotated[
        Duration,
        span("1d", "180d"),
        doc("How long before the end they are renewed.", "到期前多久开始更新。"),
    ] = Duration.parse("30d")
