"""The shell's end of the local API: one request, any number of answers, over the gateway's unix socket."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from headgate import config
from headgate.cli.terminal import site_path
from headgate.env import reachable, system_env
from headgate.errors import HeadgateError

#: Longest wait for the next answer: a read of a slow serial device with retries takes this long.
ANSWER_TIMEOUT_S = 60.0
_VERSION = 1


def socket_of(site: Path | None = None) -> Path:
    """Where the gateway of a site listens; HEADGATE_SOCKET says it without a site file.

    Raises:
        ConfigError: the site file cannot be read.
    """
    if named := os.environ.get("HEADGATE_SOCKET"):
        return Path(named)
    return config.load(system_env(), site_path(site)).api_socket


def call(path: Path, name: str, **arguments: Any) -> Iterator[Any]:
    """The answers of the running gateway, as they come.

    Raises:
        HeadgateError: no gateway there, or its own error with code and fields.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(ANSWER_TIMEOUT_S)
        try:
            with reachable(path) as short:
                line.connect(short)
        except OSError as error:
            raise HeadgateError(
                f"{path}: {error}", code="HG-9110", socket=str(path), reason=str(error)
            ) from None
        with line.makefile("rwb") as stream:
            request = {"v": _VERSION, "id": 1, "do": name, **arguments}
            stream.write(json.dumps(request).encode() + b"\n")
            stream.flush()
            for answer in stream:
                said = json.loads(answer)
                if "error" in said:
                    error_said = said["error"]
                    raise HeadgateError(
                        error_said["text"], code=error_said["code"], **error_said["fields"]
                    )
                if "data" in said:
                    yield said["data"]
                if not said.get("more"):
                    return
    raise HeadgateError("the gateway hung up", code="HG-9110", socket=str(path), reason="hung up")
