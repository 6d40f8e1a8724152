"""GB/T 26875.3-2011, fire alarm transmitters, at a centre that they dial.

frames   one frame: its head, its end, how it is written
items    what an application data unit holds, as data
layouts  which bytes the objects of each type have
objects  one object, read and written
adu      application data units, read and written
codec    frames out of a stream of bytes, whatever comes
"""
