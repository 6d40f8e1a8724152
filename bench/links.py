"""What a link costs the gateway: `PYTHONPATH=tests python -m bench.links`.

One client of `headgate.mqtt` publishes records over each kind of link to one mosquitto, with 16 in
flight, in turns, so that a busy machine hurts all alike. CPU is this process's own: the far end is
another program. Beside it: how long a connection takes until the first record is acknowledged.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from kit.sm_links import LinkPki, sm_terms
from kit.tongsuo import HAD_HERE, babassl
from peers.mosquitto import Mosquitto, free_port

from headgate.link import Context, Terms, open_context
from headgate.mqtt import Link, Settings, connect

ROUNDS, SIZE, WINDOW = 9, 16 * 1024, 16
ENOUGH_S = 1.0


async def publish(link: Link, until: float) -> int:
    """Records acknowledged by then."""
    sent, record = 0, os.urandom(SIZE)

    async def one() -> None:
        nonlocal sent
        while time.perf_counter() < until:
            await link.publish("bench", record)
            sent += 1

    await asyncio.gather(*(one() for _ in range(WINDOW)))
    return sent


async def look(settings: Settings, tls: Context | None) -> dict[str, float]:
    """One connection: seconds to the first record, then CPU and records."""
    cpu_before, began = time.process_time(), time.perf_counter()
    async with connect(settings, tls=tls) as link:
        await link.publish("bench", b"first")
        first_ms = 1000 * (time.perf_counter() - began)
        connect_cpu_ms = 1000 * (time.process_time() - cpu_before)
        cpu, since = time.process_time(), time.perf_counter()
        records = await publish(link, since + ENOUGH_S)
        took, cpu = time.perf_counter() - since, time.process_time() - cpu
    mib = records * SIZE / 2**20
    return {
        "first_ms": first_ms,
        "connect_cpu_ms": connect_cpu_ms,
        "cpu_ms_per_mib": 1000 * cpu / mib,
        "mib_s": mib / took,
    }


async def main() -> None:
    """Prints one line a link: medians, and the ratio to the plain one."""
    folder = Path(tempfile.mkdtemp(prefix="headgate-links-"))
    pki = LinkPki(folder / "pki")
    # Without its option a broker waits for our acknowledgement in the middle of its own hello (40 ms).
    plain, tls = Mosquitto(folder, extra="set_tcp_nodelay true"), free_port()
    ca, key, request = folder / "ca.pem", folder / "s.key", ("openssl", "req", "-x509")
    subprocess.run(  # noqa: ASYNC221
        [*request, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
         "-subj", "/CN=broker", "-addext", "subjectAltName=IP:127.0.0.1", "-out", ca],
        check=True, capture_output=True,
    )  # fmt: skip
    with (plain.folder / "mosquitto.conf").open("a") as conf:
        conf.write(f"listener {tls} 127.0.0.1\ncertfile {ca}\nkeyfile {key}\n")
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(plain)
        ways: dict[str, tuple[Settings, Context | None]] = {
            "plain": (Settings(host="127.0.0.1", port=broker.port), None),
            "tls 1.3": (
                Settings(host="127.0.0.1", port=tls, tls=True),
                open_context(Terms(ca_pem=ca.read_text()), where="bench"),
            ),
        }
        if HAD_HERE:
            far = await stack.enter_async_context(
                babassl("rfc8998-server", pki.root.crt, pki.server(), broker.port)
            )
            context = open_context(sm_terms(pki, pki.gateway()), where="bench")
            ways["rfc8998"] = (Settings(host="127.0.0.1", port=far.port, tls=True), context)
        found: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, (settings, context) in ways.items():
                found[name].append(await look(settings, context))
    first = {
        key: statistics.median(each[key] for each in found["plain"]) for key in found["plain"][0]
    }
    print(f"{'link':9}" + "".join(f"{key:>24}" for key in first))
    for name, looks in found.items():
        middle = {key: statistics.median(each[key] for each in looks) for key in first}
        cells = (f"{middle[key]:10.2f} ({middle[key] / first[key]:.1f} x)" for key in first)
        print(f"{name:9}" + "".join(f"{cell:>24}" for cell in cells))


if __name__ == "__main__":
    asyncio.run(main())
