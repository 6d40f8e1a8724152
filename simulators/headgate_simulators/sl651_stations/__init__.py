"""Stations of SL 651-2014 that dial a centre: written from the standard, on nobody's codec.

wire      frames as they go, both ways
coding    the two ways in which a body is written
plant     what a centre may move and read: pumps, valve, gate, quota, parameters
reports   what a station reports, out of the world
line      its connection, TCP or UDP
station   one station: reports, waits, resends, hangs up, dials again
faults    what can be wrong with one
farm      many of them, one world, one truth
site      the farm as a piece of a site file
command   `headgate sim sl651`
"""
