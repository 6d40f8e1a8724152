"""Hostile bytes for every pure decoder: `make fuzz`. `fuzz/README.md` says how to read what it finds.

target      what a target is, and what is asked of every decoder of a stream
lines       frames of serial lines and of Modbus
stations    frames of stations that dial in
adverts     Bluetooth advertisements
sealed      records, grants, receipts, payloads
stored      segments of the spool
texts       profiles, cases and site files
targets     all of them by name
one         one target under atheris
__main__    all of them, each in a process of its own
"""
