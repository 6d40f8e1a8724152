"""Point tables: learnt when they are announced, kept with everything else, used to read blocks."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from headgate.crypto.provider import CryptoProvider
from headgate.envelope.payload import Payload, Unknown, decode_table
from headgate.model import Block, Item
from headgate_receiver.looks import TableReader
from headgate_receiver.store import Batch, Look, NewTable, Sink

_REMEMBERED: Final = 20_000


class Wants(Exception):
    """A record needs a table that is not here."""

    def __init__(self, table: bytes) -> None:
        super().__init__(table.hex())
        self.table = table


class Tables:
    """Every table that is stored or will be with this turn.

    `batch` is set at the beginning of each turn.
    """

    def __init__(self, provider: CryptoProvider, sink: Sink, batch: Batch) -> None:
        self._provider = provider
        self._sink = sink
        self.batch = batch
        self._readers: OrderedDict[bytes, TableReader] = OrderedDict()

    def begin(self, batch: Batch) -> None:
        """A new turn: everything known is committed."""
        self.batch = batch
        while len(self._readers) > _REMEMBERED:
            self._readers.popitem(last=False)

    def learn(self, payload: Payload) -> list[bytes]:
        """Keep every table announced; the names of the new ones.

        Raises:
            EnvelopeError: one that is no table.
        """
        fresh = []
        for body in payload.announced:
            digest = self._provider.sm3(body)
            if digest in self._readers or self._sink.table(digest) is not None:
                continue
            table = decode_table(body)
            self._readers[digest] = TableReader(digest, table)
            self.batch.tables.append(NewTable(digest, body, table))
            fresh.append(digest)
        return fresh

    def read(self, payload: Payload) -> tuple[list[Look], list[Item], list[Unknown]]:
        """The looks of a payload, its other items, and what nobody knows.

        Raises:
            Wants: a table is not here.
            EnvelopeError: a block that does not fit its table.
        """
        looks: list[Look] = []
        items: list[Item] = []
        unknown: list[Unknown] = []
        readers: dict[int, TableReader] = {}
        for item in payload.items:
            if type(item) is Block:
                index = item.table
                assert type(index) is int
                reader = readers.get(index)
                if reader is None:
                    reader = readers[index] = self._reader(payload.tables[index])
                looks.append(reader.read(item))
            elif isinstance(item, Unknown):
                unknown.append(item)
            else:
                items.append(item)
        return looks, items, unknown

    def _reader(self, digest: bytes) -> TableReader:
        reader = self._readers.get(digest)
        if reader is None:
            body = self._sink.table(digest)
            if body is None:
                raise Wants(digest)
            reader = self._readers[digest] = TableReader(digest, decode_table(body))
        return reader
