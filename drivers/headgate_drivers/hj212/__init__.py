"""HJ 212-2017 and HJ/T 212-2005, the environmental loggers' protocol: packets as text and nothing else.

There is no driver here yet: nothing in this package listens, and no plugin is registered. Of HJ
212-2025 only what `editions` names is known; the rest of it is not claimed.

crc       the check of a packet
frames    one packet: its fields, how it is read and written
codec     packets out of a stream of bytes, whatever comes
data      what stands in CP: values of factors, times, marks
parts     packets that are parts of one (PNUM, PNO)
commands  commands (CN), systems (ST), return codes
replies   the flow of requests, uploads and notices, and what is answered
editions  what the editions have in common, and what is not known of the newest
factors   factors with units: water, air, noise (annex B.1 to B.3)
process   factors of processes and equipment (annex B.4 to B.10)
"""
