"""DL/T 698.45, the object-oriented successor of DL/T 645: its link layer, and nothing above it.

frames  one frame: addresses, both checks, how it is read and written
codec   frames out of a stream of bytes, whatever comes

What stands in a frame (its APDU) is not read: no meter can be polled with this.
"""
