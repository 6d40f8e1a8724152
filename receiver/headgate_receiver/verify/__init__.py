"""What devices really said, compared with what was stored: nothing missing, doubled or changed?

`truth` reads the devices' own file, `stored` what a receiver keeps, `compare` and `account` judge
(pure), `report` says it as text, JSON or JUnit, `cli` is `headgate verify`.
"""
