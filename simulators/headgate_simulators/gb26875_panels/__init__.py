"""Fire alarm transmitters (GB/T 26875.3-2011) that dial a centre, written from the standard.

wire      frames and objects as a transmitter writes them, questions as it reads them
building  what is true in a building: fires, gas, water pressure, levels
panel     one transmitter: it tells, waits, tells again, hangs up, answers
farm      many of them
command   `headgate sim gb26875`
"""
