"""The record of what happened: append-only, whole, and evident.

An :class:`~.entry.Entry` is one JSON object in canonical form (RFC 8785) and a leaf of a Merkle tree (RFC 6962). A
:class:`~.appender.Ledger` is what a running gateway appends to: many wait, one sync serves them all, in a process of
its own, the :mod:`~.committer`. A :class:`~.writer.LedgerWriter` appends for a command, to the same file and in the
same order. A :class:`~.reader.LedgerReader` searches, :func:`~.verification.verify` re-reads everything and says what
is wrong and where; :func:`~.receipt.prove` and :func:`~.bundle.export_bundle` hand out what others can check by
themselves. An :class:`~.exporting.Export` writes entries in the formats of others, and :mod:`~.transparency` is what a
customer is owed. A :class:`~.notary.Notary` signs what the ledger is, and :class:`~.checkpoints.Checkpoints` has that
done while a gateway runs, and kept outside. :mod:`~.sealing` moves old entries into files of their own, which a
:mod:`~.sealer` has done while a gateway runs, and :mod:`~.retention` removes such a file when its time is over.

Nothing is imported here, so that the committer starts with what it needs and no more.

Promised: a sequence in hand means that the entry is on the disk; entries have one order without gaps; what was written
is never changed, and removed only by an act that is itself an entry; no entry is cut; when an entry cannot be made
durable, whoever waits for it is told, in bounded time.
"""
