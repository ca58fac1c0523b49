"""What the first page of a search costs in a ledger of a million entries, and what that costs whoever writes.

Absolute figures are the machine's. Writing is measured by turns, with the lists that searches read and
without them, in one run: the ratio is theirs.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext
from itertools import islice
from pathlib import Path
from typing import Any
from unittest.mock import patch

from gateway.ledger import index, schema
from gateway.ledger.entry import Entry
from gateway.ledger.file import LedgerFile
from gateway.ledger.reader import LedgerReader, Query
from tests.bench.ledgers import entries

ENTRIES = int(os.environ.get("BENCH_ENTRIES", "1000000"))
WRITTEN = 50_000  # by turns
TURNS = 5
PAGE = 50


def write(path: Path, source: Iterator[Entry], count: int) -> tuple[float, float]:
    """Microseconds an entry, by the clock and of the processor, in full batches with the index kept up as a gateway
    keeps it; making entries does not count."""
    by_clock = of_processor = 0.0
    with closing(LedgerFile(path)) as file:
        file.open()
        for _ in range(0, count, schema.MAX_ROWS):
            batch = list(islice(source, schema.MAX_ROWS))
            begun, spent = time.perf_counter(), time.thread_time()
            file.commit(batch)
            file.tidy()
            by_clock += time.perf_counter() - begun
            of_processor += time.thread_time() - spent
    return by_clock / count * 1e6, of_processor / count * 1e6


def weigh_writing(folder: Path, source: Iterator[Entry]) -> None:
    """By turns into two ledgers, so that what else the machine does falls on both."""
    taken: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for turn in range(2 * TURNS):
        posting = bool(turn & 1) ^ bool(turn & 2)
        with nullcontext() if posting else patch.object(index, "post", lambda _connection: None):
            taken[posting].append(write(folder / f"{posting}.db", source, WRITTEN))
    for at, what in enumerate(("by the clock", "of the processor")):
        there, without = (statistics.median(each[at] for each in taken[posting]) for posting in (True, False))
        print(f"an entry, {what:18} {there:6.1f} us with lists   x {there / without:.3f} of {without:.1f} without")


def searches(some: Sequence[dict[str, Any]]) -> Iterator[tuple[str, Query]]:
    """The newest page and one far back, by what is common and by what is rare."""
    common = next(entry for entry in some if entry["kind"] == "decision" and entry["ticket"])
    values = {name: common[name] for name in ("customer", "subject", "rule", "ticket")}
    values["country"] = common["location"]["country"]
    rare = {"customer": "rare", "subject": "rare@example.com", "rule": "security-incident"}
    rare |= {"ticket": "INC-rare", "country": "NZ"}
    for kind, asked in (("common", values), ("rare", rare), ("absent", dict.fromkeys(values, "absent"))):
        for name, value in asked.items():
            yield f"{name}, {kind}", Query(**{name: value}, newest_first=True, limit=PAGE)
    yield "decision", Query(decision=common["id"], newest_first=True, limit=PAGE)
    yield "customer and effect", Query(customer=values["customer"], effect="deny", newest_first=True, limit=PAGE)
    yield "customer, far back", Query(customer="customer0", before=ENTRIES // 2, newest_first=True, limit=PAGE)
    yield "customer, oldest first", Query(customer="customer0", after=ENTRIES // 2, limit=PAGE)
    yield "everything", Query(newest_first=True, limit=PAGE)


def weigh_searching(path: Path) -> None:
    """The slowest of five, each by a reader of its own."""
    with LedgerReader(path) as reader:
        some = reader.tail(200)
    for name, query in searches(some):
        spent = []
        for _ in range(5):
            with LedgerReader(path) as reader:
                begun = time.perf_counter()
                found = len(list(reader.search(query)))
                spent.append((time.perf_counter() - begun) * 1e3)
        print(f"{name:24} {max(spent):8.1f} ms   {found} entries")


def main() -> None:
    """Measure and print."""
    source = entries()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as directory:  # /tmp may be memory, where a sync costs nothing
        weigh_writing(Path(directory), source)
        path = Path(directory, "ledger.db")
        taken_us, _ = write(path, entries(1), ENTRIES)
        print(f"{ENTRIES} entries, {path.stat().st_size / 2**20:.0f} MiB, {taken_us:.1f} us an entry")
        weigh_searching(path)


if __name__ == "__main__":
    main()
