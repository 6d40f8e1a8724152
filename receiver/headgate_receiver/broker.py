"""The receiver's own link to its broker: the same links as a gateway has, from a command line's words."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

import msgspec

from headgate.crypto.x509 import Role
from headgate.env import Env
from headgate.errors import ConfigError, Problem
from headgate.link import Context, Terms, open_context, stays_here
from headgate.mqtt import Settings


class LinkKind(Enum):
    """What protects the link to the broker."""

    TLS = "tls"
    RFC8998 = "rfc8998"
    SIDECAR = "sidecar"


class TlsVersion(Enum):
    """The oldest that is taken."""

    NEW = "1.3"
    OLD = "1.2"


class BrokerLink(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line says of it. `system`: trust this machine's authorities too."""

    kind: LinkKind | None = None
    ca: Path | None = None
    system: bool = False
    certificate: Path | None = None
    key: Path | None = None
    crl: Path | None = None
    server_name: str | None = None
    minimum: TlsVersion = TlsVersion.NEW
    sidecar_user: str | None = None

    def context(self, env: Env, broker: Settings) -> Context | None:
        """The link; None for a plain one.

        Raises:
            ConfigError: the files are not usable, or kind and URL do not go together.
        """
        kind = self._kind(broker)
        if kind is None:
            return None
        terms = Terms(
            kind=kind.value,
            ca_pem=_text(env, self.ca),
            trust="system" if self.system else "pinned",
            certificate=self.certificate,
            key=self.key,
            crl=self.crl,
            server_name=self.server_name,
            minimum=self.minimum.value,
            roles=(Role.PLATFORM_LINK,),
            user=self.sidecar_user,
        )
        return open_context(terms, where="--broker", env=env)

    def _kind(self, broker: Settings) -> LinkKind | None:
        kind = self.kind
        wanted = None
        if kind is LinkKind.SIDECAR:
            if broker.tls:
                wanted = "mqtt://127.0.0.1:1884 | mqtt+unix:///run/..."
            elif broker.unix is None and not stays_here(broker.host):
                raise ConfigError([Problem("--broker", "HG-5082", {"address": broker.host})])
        elif broker.unix is not None:
            wanted = "--link sidecar"
        elif kind is not None and not broker.tls:
            wanted = "mqtts://"
        if wanted is not None:
            said = kind.value if kind is not None else "-"
            raise ConfigError([Problem("--link", "HG-5080", {"link": said, "wanted": wanted})])
        return kind or (LinkKind.TLS if broker.tls else None)


def _text(env: Env, path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return env.files.read(path).decode("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Problem(str(path), "HG-5031", {"reason": str(error)})]) from None
