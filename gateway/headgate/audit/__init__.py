"""What the box writes down of its own security: an append-only log, chained by SM3."""

from headgate.audit.entry import Audit, Entry

__all__ = ["Audit", "Entry"]
