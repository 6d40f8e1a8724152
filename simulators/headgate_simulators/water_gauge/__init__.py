"""A farm of simulated water gauges: radar level, pressure probe and rain gauge on Modbus TCP.

The register maps are the manuals in `docs/reference/simulators.md`. The wire is pymodbus's server.
"""
