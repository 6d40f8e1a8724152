"""Simulated hardware: it answers on real sockets, obeys one small world, and keeps the truth.

Nothing here imports `headgate`: a device that shared the gateway's codec would share its mistakes.
The devices are written from the pages in `docs/reference/simulators.md`, on other people's
libraries.
"""
