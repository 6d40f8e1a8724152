"""Modbus units of several makers on shared lines: RTU, ASCII, serial servers, datagrams, DTUs.

The register maps are the manuals in `docs/reference/simulators.md`; frames are pymodbus's.
"""
