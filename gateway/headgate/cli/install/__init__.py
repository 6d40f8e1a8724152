"""`headgate install` and `headgate uninstall`: from a folder of wheels to a service, and back.

`layout` says where things lie, `wheels` makes an environment, `steps` does it all in the safe order.
"""

from headgate.cli.install.commands import app, removal

__all__ = ["app", "removal"]
