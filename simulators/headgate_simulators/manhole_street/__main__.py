"""`python -m headgate_simulators.manhole_street`."""

import typer

from headgate_simulators.manhole_street.command import manhole_street

if __name__ == "__main__":
    typer.run(manhole_street)
