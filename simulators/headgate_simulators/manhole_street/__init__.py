"""A street of manholes: covers behind a concentrator, a level probe, a gas head, a weather stick.

Each of the four is one serial line, on a pseudo-terminal or as a raw TCP serial server. Written from
the manuals in docs/reference/serial.md and the profiles' README files.
"""
