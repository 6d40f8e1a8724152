"""Sewage pump stations on OPC UA: wet wells that fill with run-off, and pumps that empty them.

hydraulics  a wet well with its pumps, stepped through time (pure)
tree        what its server shows: a vendor's own tree, and one after OPC 40223
station     one server on one port
farm        several stations in one world, with one truth
"""
