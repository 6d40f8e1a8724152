"""`python -m headgate_simulators ...`: the simulators without the gateway's own command."""

from headgate_simulators.cli import app

if __name__ == "__main__":
    app(prog_name="headgate_simulators")
