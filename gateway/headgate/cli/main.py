"""The way into `headgate`, and the one place where errors meet a person.

A gateway goes past everything that a terminal needs: it starts sooner, and runs for years.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from headgate.errors import HeadgateError


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave the process.

    Exit status: 0 done, 1 it did not work, 2 it was asked for wrongly, 130 interrupted. A traceback
    only with HEADGATE_TRACEBACK=1.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        if given[:1] == ["run"] and _ran_plainly(given[1:]):
            sys.exit(0)
        from headgate.cli.root import command

        command(given)
    except KeyboardInterrupt:
        sys.exit(130)
    except HeadgateError as error:
        _leave(error, error)
    except Exception as error:  # noqa: BLE001 - the last place before a person; said as what it is
        _leave(error, HeadgateError(str(error), code="HG-9006", kind=type(error).__name__))
    sys.exit(1)  # a command always leaves by itself


def _ran_plainly(words: Sequence[str]) -> bool:
    """Whether `run` was asked for plainly, and has run."""
    from headgate.cli.service import plainly, serve

    asked = plainly(words)
    if asked is not None:
        serve(*asked)
    return asked is not None


def _leave(error: Exception, said: HeadgateError) -> NoReturn:
    if os.environ.get("HEADGATE_TRACEBACK") == "1":
        raise error
    from headgate.cli.terminal import failed

    sys.exit(failed(said))
