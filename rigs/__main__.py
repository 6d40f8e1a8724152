"""`python -m rigs ble | usb | powercut | stations`: run one rig; exits 0 when all was as it should be."""

from __future__ import annotations

import argparse
import asyncio
import sys

from rigs import ble, powercut, stations, usb
from rigs.kernel import Missing


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="rigs", description=__doc__)
    rigs = parser.add_subparsers(dest="rig", required=True)
    one = rigs.add_parser("ble", help="the BLE driver on real BlueZ")
    one.add_argument(
        "--only",
        default="",
        help="heard,strangers,left,gone,off,still: some of them; the verdict is then WRONG",
    )
    rigs.add_parser("usb", help="Modbus RTU on a USB serial port")
    cuts = [
        rigs.add_parser("powercut", help="the spool on a disk that loses its power"),
        rigs.add_parser("stations", help="stations dial a gateway whose power is cut"),
    ]
    for cut, rounds in zip(cuts, (5, 2), strict=True):
        cut.add_argument("--rounds", type=int, default=rounds)
        cut.add_argument("--seed", type=int, default=1)
        cut.add_argument(
            "--flush", choices=("on", "off"), default="on", help="off: must end in WRONG"
        )
    asked = parser.parse_args()
    try:
        if asked.rig == "powercut":
            good = asyncio.run(powercut.run(asked.rounds, asked.seed, asked.flush))
        elif asked.rig == "stations":
            good = asyncio.run(stations.run(asked.rounds, asked.seed, asked.flush))
        else:
            good = asyncio.run(ble.run(asked.only) if asked.rig == "ble" else usb.run())
    except Missing as missing:
        print(f"this rig needs more than there is here: {missing}", file=sys.stderr)
        return 2
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
