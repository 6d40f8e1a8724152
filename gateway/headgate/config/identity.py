"""`[identity]`: certificates and keys."""

from __future__ import annotations

from typing import Annotated

import msgspec

from headgate.config.values import SecretRef
from headgate.config.words import FilePath, doc


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Certificates and keys. All may be absent before enrolment."""

    certificate: Annotated[
        FilePath | None, doc("This gateway's SM2 certificate (PEM).", "本网关的 SM2 证书（PEM）。")
    ] = None
    key: Annotated[SecretRef | None, doc("Its private key.", "对应的私钥。")] = None
    ca: Annotated[
        FilePath | None, doc("Root of the city's PKI (PEM).", "城市 PKI 根证书（PEM）。")
    ] = None
    platform_encryption: Annotated[
        FilePath | None,
        doc("Certificate that grants are wrapped for.", "平台加密证书，数据密钥用它封装。"),
    ] = None
    platform_receipt: Annotated[
        FilePath | None, doc("Certificate that signs receipts.", "平台回执签名证书。")
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
            "Key that local wraps are sealed with; made in the state folder when absent.",
            "本机封装所用密钥；不写则在状态目录生成。",
        ),
    ] = None
