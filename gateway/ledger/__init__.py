"""The record of what happened: append-only, whole, and evident.

An :class:`Entry` is one JSON object in canonical form (RFC 8785) and a leaf of a Merkle tree (RFC 6962). A
:class:`Ledger` is what a running gateway appends to: many wait, one sync serves them all. A :class:`LedgerWriter`
appends for a command, to the same file and in the same order. A :class:`LedgerReader` searches, :func:`verify` re-reads
everything and says what is wrong and where.

Promised: a sequence in hand means that the entry is on the disk; entries have one order without gaps; what was written
is never changed; no entry is cut; when an entry cannot be made durable, whoever waits for it is told, in bounded time.
"""

from __future__ import annotations

from gateway.ledger.appender import FreeSpace, Ledger
from gateway.ledger.entry import Entry, Template, administrative, encode, seal
from gateway.ledger.export import FORMATS
from gateway.ledger.file import LedgerFile
from gateway.ledger.merkle import Frontier, leaf_hash
from gateway.ledger.reader import LedgerReader, Projection, Query
from gateway.ledger.verification import Problem, Report, verify
from gateway.ledger.writer import LedgerWriter

__all__ = [
    "FORMATS",
    "Entry",
    "FreeSpace",
    "Frontier",
    "Ledger",
    "LedgerFile",
    "LedgerReader",
    "LedgerWriter",
    "Problem",
    "Projection",
    "Query",
    "Report",
    "Template",
    "administrative",
    "encode",
    "leaf_hash",
    "seal",
    "verify",
]
