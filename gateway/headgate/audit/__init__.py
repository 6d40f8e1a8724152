"""What the box writes down of its own security: an append-only log, chained by SM3.

`entry` is the seam through which the rooms write; `log` keeps the log of a running gateway; `check` finds
what was changed in one, and `docs/reference/audit.md` specifies its bytes.
"""

from headgate.audit.entry import Audit, Entry
from headgate.audit.head import Head, Signer
from headgate.audit.log import AuditLog, AuditStatus

__all__ = ["Audit", "AuditLog", "AuditStatus", "Entry", "Head", "Signer"]
