"""The durable store-and-forward queue (`Spool`) and what the gateway remembers beside it (`State`).

    spool = Spool(env, folder)
    recovered = spool.open(state.noted())
    positions = spool.commit([record, ...])     # returns when they are on the medium
    sealed = spool.read(positions[0])

Formats in `docs/reference/spool.md`, promises in `docs/reference/guarantees.md`.
"""

from headgate.spool.records import Account, ClearIndex, Loss, Position, SealedRecord, Totals
from headgate.spool.rows import Rows
from headgate.spool.spool import ALARMS, DATA, Spool
from headgate.spool.state import State
from headgate.spool.status import Recovered, SpoolStatus

__all__ = [
    "ALARMS", "DATA", "Account", "ClearIndex", "Loss", "Position", "Recovered", "Rows",
    "SealedRecord", "Spool", "SpoolStatus", "State", "Totals",
]  # fmt: skip
