"""Pump stations with a sluice gate behind a PLC on Modbus TCP, that obey and keep a log of every write.

plc         the plant and its programme: automatic, commands, watchdog, protection (pure)
registers   the manual's tables: what stands where, what a write does (pure)
wire        Modbus TCP on a socket, after the standard
farm        several stations in one world, faults, the log of writes
"""
