"""One-time tokens: who may enrol which gateway, until when. What is kept does not open anything.

A token is 100 random bits in words a person can type. On disk lies SM3 of it, which gateway it is for,
until when, and for which key it was used: the same key may ask again (an answer can be lost on the
way), another one may not.
"""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from headgate.crypto.provider import CryptoProvider
from headgate.env import Env
from headgate.errors import SecurityError

FILE: Final = "tokens.json"
LIFE: Final = timedelta(days=7)
_RANDOM: Final = 15
#: Past their end, tokens are forgotten after this.
_KEPT: Final = timedelta(days=30)
_MOST: Final = 100_000


class Token(msgspec.Struct, frozen=True):
    """One token, by its digest."""

    digest: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    gateway: str
    until: datetime
    key: str = ""
    """SM3 of the signing key and the link key it was used for; empty until then."""
    used: datetime | None = None


class Tokens:
    """The tokens of one service, in a file of its folder. One owner at a time."""

    def __init__(self, env: Env, provider: CryptoProvider, folder: Path) -> None:
        self._env = env
        self._provider = provider
        self._path = folder / FILE

    def give(self, gateway: str, now: datetime, life: timedelta = LIFE) -> str:
        """A new token for one gateway; it is told once and kept nowhere.

        Raises:
            SecurityError: the file is damaged. OSError: it cannot be written.
        """
        digits = base64.b32encode(self._env.random.token(_RANDOM)).decode()[:20]
        token = "-".join(digits[at : at + 5] for at in range(0, 20, 5))
        found = [each for each in self._load() if each.until + _KEPT > now][-_MOST:]
        self._save([*found, Token(self._digest(token), gateway, now + life)])
        return token

    def use(self, token: str, gateway: str, key: str, now: datetime) -> bool:
        """Whether this token lets this gateway's key in; used, on disk, once this returns True.

        Which of the reasons it was not is told to nobody.
        """
        digest = self._digest(token)
        found = self._load()
        for number, each in enumerate(found):
            if each.digest != digest:
                continue
            if each.gateway != gateway or now > each.until:
                return False
            if each.key:
                return each.key == key
            found[number] = msgspec.structs.replace(each, key=key, used=now)
            self._save(found)
            return True
        return False

    def give_back(self, token: str, key: str) -> None:
        """Make a token unused again that this key used and nothing was issued for."""
        digest = self._digest(token)
        found = self._load()
        for number, each in enumerate(found):
            if each.digest == digest and each.key == key:
                found[number] = msgspec.structs.replace(each, key="", used=None)
                self._save(found)

    def _digest(self, token: str) -> str:
        plain = "".join(token.split()).replace("-", "").upper()
        # The digest is compared, not the token: what a comparison's time tells is of no use.
        return self._provider.sm3(b"headgate-enrolment-token-v1" + plain.encode()).hex()

    def _load(self) -> list[Token]:
        if self._env.files.size(self._path) is None:
            return []
        try:
            return msgspec.json.decode(self._env.files.read(self._path), type=list[Token])
        except msgspec.MsgspecError as error:
            raise SecurityError(
                f"{self._path} is damaged: {error}", code="HG-6150", file=str(self._path),
                reason=str(error),
            ) from None  # fmt: skip

    def _save(self, tokens: list[Token]) -> None:
        self._env.files.replace(self._path, msgspec.json.encode(tokens), 0o600)
