"""Ledgers of any size to measure with, as a gateway writes them: ``python -m tests.bench.ledgers PATH ENTRIES``.

Many people decide about many customers; every permit has its completion, some values are rare, and a checkpoint is
signed every ten thousand entries. Entries are committed by the ledger's own file, in full batches, with its syncs.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

import uuid_utils
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.clock import SECOND_US, SystemClock, rfc3339
from gateway.ledger import schema
from gateway.ledger.entry import Entry, administrative, seal
from gateway.ledger.file import LedgerFile
from gateway.ledger.keys import ACT, details
from gateway.ledger.nodes import StoredNodes
from gateway.ledger.note import Checkpoint, Signer
from gateway.ledger.proof import root
from tests.bench.bench_ledger import decision

CHECKPOINT_ENTRIES = 10_000
SIGNER = Signer("bench/ledger", Ed25519PrivateKey.from_private_bytes(bytes(32)))
BEGUN_US = 1_767_225_600 * SECOND_US  # 2026-01-01
PEOPLE, CUSTOMERS, TICKETS = 2_000, 300, 5_000
COUNTRIES = ("US",) * 50 + ("IN",) * 20 + ("PH", "IE", "DE", "BR", "PL", "MX", "JP")
RULES = {"US": "home-personnel", "IN": "outside-home", "PH": "crm-account"}


def key() -> Entry:
    """That of the checkpoints."""
    key = {"actor": "gateway", "act": ACT, "subject": SIGNER.name, "details": details(SIGNER)}
    return seal(administrative(clock=SystemClock(), node="n", **key))  # type: ignore[arg-type]


def entries(seed: int = 0) -> Iterator[Entry]:
    """Decisions of many people about many customers, each permit with its completion; some values are rare."""
    chance = random.Random(seed)
    for number in range(10**9):
        time_us = BEGUN_US + number * SECOND_US
        head = {"id": str(uuid_utils.uuid7()), "time": rfc3339(time_us), "time_us": time_us}
        country = chance.choice(COUNTRIES)
        rare = number == 100
        fields = {
            **decision(),
            **head,
            "subject": "rare@example.com" if rare else f"person{chance.randrange(PEOPLE)}@example.com",
            "customer": "rare" if rare else f"customer{int(CUSTOMERS * chance.random() ** 3)}",
            "location": {"country": "NZ" if rare else country, "assured": country == "US", "signals": []},
            "rule": "security-incident" if rare else RULES.get(country, "location-unassured"),
            "effect": "permit" if country == "US" or rare else "deny",
            "ticket": "INC-rare" if rare else f"BUG-{chance.randrange(TICKETS)}" if number % 4 == 0 else "",
        }
        yield seal(fields)
        if fields["effect"] == "permit":
            done = {"kind": "completion", "version": 1, **head, "id": str(uuid_utils.uuid7()), "outcome": "whole"}
            yield seal({**done, "decision": head["id"], "status": 200, "bytes": 4_096, "duration_ms": 12})


def build(path: Path, size: int) -> None:
    """A ledger of so many entries, the first of them the key, with its checkpoints."""
    with closing(LedgerFile(path)) as file:
        file.open()
        file.commit([key()])
        fill(file, islice(entries(), size - 1))


def fill(file: LedgerFile, source: Iterable[Entry]) -> None:
    """Commit entries, and sign what is there every ten thousand and at the end."""
    rest = iter(source)
    while batch := list(islice(rest, min(schema.MAX_ROWS, CHECKPOINT_ENTRIES - file.size % CHECKPOINT_ENTRIES))):
        file.commit(batch)
        file.tidy()
        if file.size % CHECKPOINT_ENTRIES == 0:
            sign(file)
    sign(file)


def sign(file: LedgerFile) -> None:
    """A checkpoint over all that is there; none in place of one that is there already."""
    assert file._connection
    whole = Checkpoint(SIGNER.name, file.size, root(StoredNodes(file._connection), file.size))
    file.keep_checkpoint(file.size, whole.signed(SIGNER))


def main() -> None:
    """Build one and say what it took."""
    path, size = Path(sys.argv[1]), int(sys.argv[2])
    begun, spent = time.perf_counter(), time.process_time()
    build(path, size)
    took_s, used_s = time.perf_counter() - begun, time.process_time() - spent
    told = f"{took_s / size * 1e6:.1f} us an entry, {used_s / size * 1e6:.1f} us of a processor"
    print(f"{path}: {size} entries, {path.stat().st_size / 2**20:.0f} MiB, {told}")


if __name__ == "__main__":
    main()
