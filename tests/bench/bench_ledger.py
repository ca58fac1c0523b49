"""What the ledger costs: encoding, handing in, and durable entries for one and for many writers.

Absolute figures are the machine's; the ratios are the ledger's.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

import uuid_utils
import uvloop

from gateway.clock import SystemClock, rfc3339
from gateway.ledger.appender import Ledger
from gateway.ledger.entry import encode, seal
from gateway.ledger.merkle import leaf_hash
from gateway.ledger.reader import LedgerReader
from gateway.ledger.verification import verify

WRITERS = (1, 8, 64, 256)
SECONDS = 1.5


def decision() -> dict[str, object]:
    """A decision of the usual length."""
    now_us = SystemClock().now_us()
    return {
        "kind": "decision",
        "version": 1,
        "id": str(uuid_utils.uuid7()),
        "time": rfc3339(now_us),
        "time_us": now_us,
        "door": "http",
        "effect": "deny",
        "rule": "outside-home",
        "rules": ["location-unassured", "outside-home"],
        "clause": "Special terms: US personnel in the United States only",
        "obligations": [],
        "subject": "priya@example.com",
        "roles": ["engineer", "support"],
        "acting_for": "",
        "actor": "",
        "issuer": "https://login.example.com/",
        "location": {
            "country": "IN",
            "assured": False,
            "signals": [
                {"source": "network", "country": "IN", "detail": "49.36.0.0/14"},
                {"source": "anonymity", "country": "", "detail": "no record"},
                {"source": "workforce", "country": "IN", "detail": ""},
            ],
        },
        "client_address": "49.36.0.1",
        "customer": "acme",
        "plan": "P-0198f0",
        "store": "crm",
        "data_class": "conversation",
        "action": "read",
        "method": "GET",
        "path": "/conversations/acme/7",
        "ticket": "BUG-9",
        "grant": "",
        "reason": "stack trace needs the recording",
        "problem": "",
        "policy_version": "sha256:0f343b0931126a20f133d67c2b018a3b",
        "geo_version": "country 2026-11-01",
        "node": "gateway-1",
    }


def cost_us(act: object, times: int = 20_000) -> float:
    """Microseconds for one call."""
    assert callable(act)
    begun = time.perf_counter()
    for _ in range(times):
        act()
    return (time.perf_counter() - begun) / times * 1e6


async def rate(path: Path, writers: int) -> float:
    """Durable entries a second, all of these writers waiting for each of theirs."""
    prepared = decision()
    count = 0
    async with Ledger.open(path, minimum_free_bytes=0) as ledger:
        until = time.perf_counter() + SECONDS

        async def write() -> None:
            nonlocal count
            while time.perf_counter() < until:
                await ledger.append({**prepared, "id": str(uuid_utils.uuid7())})
                count += 1

        begun = time.perf_counter()
        await asyncio.gather(*(write() for _ in range(writers)))
        return count / (time.perf_counter() - begun)


async def handing_in_us(path: Path, times: int = 5_000) -> float:
    """Microseconds of the loop's thread for one submit."""
    entries = [decision() for _ in range(times)]
    async with Ledger.open(path, queue_entries=times, minimum_free_bytes=0) as ledger:
        begun = time.perf_counter()
        for entry in entries:
            ledger.submit(entry)
        return (time.perf_counter() - begun) / times * 1e6


def main() -> None:
    """Measure and print."""
    entry = decision()
    body = encode(entry)
    print(f"an entry of {len(body)} bytes")
    print(f"encode                {cost_us(lambda: encode(entry)):8.1f} us")
    print(f"leaf hash             {cost_us(lambda: leaf_hash(body)):8.1f} us")
    print(f"encode, hash, derive  {cost_us(lambda: seal(entry)):8.1f} us")
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as directory:  # /tmp may be memory, where a sync costs nothing
        print(f"submit                {uvloop.run(handing_in_us(Path(directory, 'submit.db'))):8.1f} us")
        path = Path(directory, "ledger.db")
        first = 0.0
        for writers in WRITERS:
            found = uvloop.run(rate(path, writers))
            first = first or found
            print(f"{writers:4} writers          {found:8.0f} durable entries/s   x {found / first:.1f}")
        begun = time.perf_counter()
        report = verify(path)
        assert report.verified, report.problems[:3]
        print(f"verify                {report.entries / (time.perf_counter() - begun):8.0f} entries/s")
        with LedgerReader(path) as reader:
            begun = time.perf_counter()
            count = sum(1 for _ in reader.bodies())
            print(f"read                  {count / (time.perf_counter() - begun):8.0f} entries/s")


if __name__ == "__main__":
    main()
