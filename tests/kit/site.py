"""Pieces of site files, and what was told about one."""

from __future__ import annotations

from headgate.config import Loaded
from headgate.messages import entries

GATEWAY = 'schema = 1\n[gateway]\nid = "g"\n'
CHANNEL = '[[channel]]\nid = "bus"\nurl = "modbus+tcp://10.0.0.1:502"\n'
DEVICE = '[[device]]\nid = "d1"\nchannel = "bus"\naddress = 1\nprofile = "generic/radar-level"\n'
UPLINK = '[[uplink]]\nid = "up"\ntype = "mqtt"\nurl = "mqtts://platform.example:8883"\n'
WHOLE = GATEWAY + CHANNEL + DEVICE + UPLINK


def told(loaded: Loaded) -> list[str]:
    """`where code` of each problem, after making sure that its sentence has all its fields."""
    for problem in loaded.problems:
        wanted = entries()[problem.code].placeholders("en")
        assert wanted <= set(problem.fields), problem
    return [f"{p.where} {p.code}" for p in loaded.problems]
