"""`headgate devices`: device lists in and out of the site, and a dead unit replaced.

The rooms: `table` and `sheet` make rows of CSV and xlsx, `headings` and `entries` make site entries of
rows, `importing` checks the whole and says what changes, `owned` is the file it becomes.
"""

from headgate.cli.devices.commands import app

__all__ = ["app"]
