"""SZY 206-2016 and SL/T 427-2021, water resources stations, at a centre that they dial.

crc       the check of a frame
frames    one frame: its head, its end, how it is written
items     what the data of a frame says
values    BCD numbers and time labels
quality   parameters of water quality
readings  values of each kind
body      data of frames, read and written
codec     frames out of a stream of bytes, whatever comes
"""
