"""DL/T 645-2007 and -1997, electricity meters on RS-485.

frames       one frame: its fields, how it is read and written
codec        frames out of a stream of bytes, whatever comes
messages     what the data of a frame say
identifiers  what stands behind an identifier: names, sizes, decimals, units
values       BCD, signs, times
neighbours   frames of DL/T 698.45 on the same pair, told apart
"""
