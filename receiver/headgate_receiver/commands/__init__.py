"""Commands from the platform's side: signed, remembered, watched until something was read back.

keys       who signs: a key in a file, or the city's HSM, behind one Protocol
wish       what somebody wants moved, as the content that everybody signs (pure)
journal    what was sent and what came back, on disk before and after it mattered
standing   where a command stands, by both sides' word (pure)
approvals  the second person's word, as a file that can be mailed
road       a connection of its own to the broker
results    command results as the receiver's store takes them in
commander  all of it together: select, operate, renew, cancel, ask, watch
desk_file  the operator's file: key, broker, journal, store
cli        `headgate command`, with `session` and `telling`

Source: docs/reference/commands.md.
"""

from headgate_receiver.commands.commander import Commands
from headgate_receiver.commands.errors import (
    AlreadySent,
    CommandError,
    CommandRefused,
    InDoubt,
    NoAnswer,
    NobodyThere,
)
from headgate_receiver.commands.journal import Journal
from headgate_receiver.commands.keys import OperatorFile, OperatorKeys, load_operator
from headgate_receiver.commands.road import BrokerRoad
from headgate_receiver.commands.standing import Stage, Standing
from headgate_receiver.commands.wish import Wish, content_of

__all__ = [
    "AlreadySent",
    "BrokerRoad",
    "CommandError",
    "CommandRefused",
    "Commands",
    "InDoubt",
    "Journal",
    "NoAnswer",
    "NobodyThere",
    "OperatorFile",
    "OperatorKeys",
    "Stage",
    "Standing",
    "Wish",
    "content_of",
    "load_operator",
]
