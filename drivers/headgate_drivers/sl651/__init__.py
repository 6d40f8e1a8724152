"""SL 651-2014, the hydrological stations' protocol: frames and bodies as bytes and nothing else.

There is no driver here yet: nothing in this package listens, and no plugin is registered.

crc         the check of a frame
frames      one frame: its head, its ends, how it is written
codec       frames out of a stream of bytes, whatever comes
values      BCD numbers and times
items       what stands in a body, as data
fields      which body a function has
body        bodies in HEX/BCD coding, read and written
text        bodies in ASCII coding, read
spelling    bodies in ASCII coding, written
control     pumps, valves, gates, quota, version, event counters
packets     bodies sent in several packets (mode M3)
replies     what a centre says: confirmations, questions, settings, commands
elements    the table of elements (annex C)
parameters  the tables of parameters (annex D)
"""
