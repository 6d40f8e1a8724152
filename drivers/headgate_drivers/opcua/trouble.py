"""What the library raises, as errors that say what happened and what to do about it.

All of them are errors of the line, which is tried again by itself: also a server that does not trust us
yet, because somebody is about to accept our certificate there.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from headgate.sdk import ChannelClosed, ChannelError, ChannelTimeout, HeadgateError

if TYPE_CHECKING:
    from headgate_drivers.opcua.settings import Settings

_CERTIFICATE = range(
    0x8012, 0x801E
)  # BadCertificateInvalid .. BadCertificateIssuerRevoked, and 8013
_SESSION = {0x8056: "HG-3314"}  # BadTooManySessions
_LOGIN = {0x801F, 0x8020, 0x8021, 0x8057}  # BadUserAccessDenied, BadIdentityToken..., ...Signature
#: BadSecurityChecksFailed, BadCertificateUntrusted: what a server says of a client that it does not know.
_REFUSED_US = {0x8013, 0x801A}


def quiet() -> None:
    """Silence the library's own log, of which we say all that matters, once, in sentences.

    While a server is away it writes a traceback a second, and one for each thing that was pending.
    `headgate` at debug level lets it speak.
    """
    speak = logging.getLogger("headgate").isEnabledFor(logging.DEBUG)
    for name in ("asyncua", "asyncuagds"):
        logging.getLogger(name).setLevel(logging.NOTSET if speak else logging.CRITICAL + 1)


@contextmanager
def translated(channel: str, settings: Settings, stage: str) -> Iterator[None]:
    """Run something of the library; what it raises leaves as one of our errors.

    Args:
        stage: what is being done: `connect`, `channel`, `session`, `login` or `work`.

    Raises:
        ChannelTimeout: no answer in time.
        ChannelClosed: everything else, by its own code.
    """
    try:
        yield
    except HeadgateError:
        raise
    except Exception as error:
        # First of all: the library's errors are of the kinds below as well.
        if isinstance(code := getattr(error, "code", None), int):
            raise _by_code(channel, settings, stage, code >> 16, _words(error)) from error
        if isinstance(error, TimeoutError):
            raise _timeout(channel, settings) from error
        if stage == "channel" and not isinstance(error, ValueError):
            # The server hung up while the secure channel was opened, which is how one says that our
            # certificate is not on its list; the library has a bare AssertionError for it.
            raise not_trusted(channel, settings, "") from error
        if isinstance(error, (OSError, AssertionError, EOFError, RuntimeError, ValueError)):
            raise _closed(channel, settings, _words(error)) from error
        raise


def _timeout(channel: str, settings: Settings) -> ChannelTimeout:
    return ChannelTimeout(
        f"channel {channel}: no answer from {settings.url}",
        channel=channel,
        url=settings.url,
        timeout_s=settings.timeout_s,
    )


def _by_code(channel: str, settings: Settings, stage: str, kind: int, words: str) -> ChannelError:
    fields = {"channel": channel, "url": settings.url, "reason": words}
    if kind == 0x800A:  # BadTimeout
        return _timeout(channel, settings)
    if kind in _LOGIN:
        return ChannelClosed(words, code="HG-3313", **fields, user=settings.username or "-")
    if kind in _SESSION:
        return ChannelClosed(words, code=_SESSION[kind], **fields)
    if kind in _REFUSED_US and stage in ("channel", "session"):
        return not_trusted(channel, settings, words)
    if kind in _CERTIFICATE:
        return ChannelClosed(words, code="HG-3312", **fields)
    return _closed(channel, settings, words)


def not_trusted(channel: str, settings: Settings, words: str) -> ChannelClosed:
    """The server does not trust us: the one message with everything that its keeper must be told."""
    where = settings.certificate or str(settings.folder / "own/certificate.der")
    return ChannelClosed(
        f"{settings.url} does not trust our certificate {where} {words}".rstrip(),
        code="HG-3311",
        channel=channel,
        url=settings.url,
        path=where,
        uri=settings.application_uri,
        reason=words or "-",
    )


def _closed(channel: str, settings: Settings, words: str) -> ChannelClosed:
    return ChannelClosed(
        f"channel {channel}: {settings.url}: {words}",
        code="HG-3001",
        channel=channel,
        url=settings.url,
        reason=words,
    )


def _words(error: BaseException) -> str:
    """The first line of an error, its name where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
