"""Water resources stations (SL/T 427-2021, SZY 206-2016) that dial a centre, written from the standard.

wire         frames as they go, both ways
instruments  what a station measures, out of the world
answers      what a station answers to a centre
station      one station: reports, counts down, hangs up, dials again
farm         many of them, one world, one truth
command      `headgate sim szy206`
"""
