"""Loggers of HJ 212-2017 that dial a platform: dust and noise stations, water outfalls.

Written from the standard: retries and time-outs of its clause 6.5, packets of its clause 6.3.

packets  one packet, its check, and what an answer says
logger   one logger: what it measures, what it still has to get answered
farm     many of them, one world, one truth
site     the same as a site file's fragment
command  `headgate sim hj212`
"""
