"""The record of what happened: append-only, whole, and evident.

An :class:`Entry` is one JSON object in canonical form (RFC 8785) and a leaf of a Merkle tree (RFC 6962). A
:class:`Ledger` is what a running gateway appends to: many wait, one sync serves them all. A :class:`LedgerWriter`
appends for a command, to the same file and in the same order. A :class:`LedgerReader` searches, :func:`verify` re-reads
everything and says what is wrong and where; :func:`prove` and :func:`export_bundle` hand out what others can check by
themselves. An :class:`Export` writes entries in the formats of others, and :mod:`gateway.ledger.transparency` is what a
customer is owed. A :class:`~gateway.ledger.notary.Notary` signs what the ledger is, and
:class:`~gateway.ledger.checkpoints.Checkpoints` has that done while a gateway runs, and kept outside.
:mod:`~gateway.ledger.sealing` moves old entries into files of their own, which a :mod:`~gateway.ledger.sealer` has
done while a gateway runs, and :mod:`~gateway.ledger.retention` removes such a file when its time is over.

Promised: a sequence in hand means that the entry is on the disk; entries have one order without gaps; what was written
is never changed, and removed only by an act that is itself an entry; no entry is cut; when an entry cannot be made
durable, whoever waits for it is told, in bounded time.
"""
