"""Commands: proved, allowed, carried out once, and let go of again.

`desk` takes messages and answers them; `allowed` is what may be done; `hands` does it; `leases` lets
go; `journal` remembers all of it across a power cut. `docs/reference/commands.md` is the specification.
"""
