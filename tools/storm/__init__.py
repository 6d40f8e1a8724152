"""A storm over a hundred devices on every kind of line, with faults all along, judged by the truth.

`make storm MINUTES=10`; docs/operate/storm.md says what it proves and what not.
"""
