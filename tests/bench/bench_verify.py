"""What verifying costs: a ledger as a gateway writes it, re-read by one process and by one for each processor.

Sizes are arguments (``python -m tests.bench.bench_verify 10000 100000``), and so may be the path of a ledger that is
there already (``python -m tests.bench.ledgers PATH 10000000`` makes one). The clock depends on what else the machine
does; the processor's time for an entry stays the same, or it is not constant.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

from gateway.ledger.reader import LedgerReader
from gateway.ledger.receipt import prove
from gateway.ledger.verification import verify
from tests.bench.ledgers import build

SIZES = (10_000, 100_000, 1_000_000)
WHO = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


def processors_s() -> float:
    """Processor time of this process and those that it waited for."""
    used = [resource.getrusage(who) for who in WHO]
    return sum(each.ru_utime + each.ru_stime for each in used)


def measure(path: Path, processes: int | None) -> None:
    """Verify once. The peak of memory is that of the largest process of all runs so far."""
    begun, before_s = time.perf_counter(), processors_s()
    report = verify(path, processes=processes)
    took_s, used_s = time.perf_counter() - begun, processors_s() - before_s
    assert report.verified, report.problems[:3]
    size = report.entries
    peak = max(resource.getrusage(who).ru_maxrss for who in WHO) // 1024
    told = f"{size / took_s:8.0f} entries/s  {used_s / size * 1e6:6.1f} us of a processor each"
    by = "one process" if processes else "every processor"
    print(f"{size:9} entries, {by:15}  {took_s:7.2f} s  {told}  {peak} MiB at most", flush=True)


def prove_some(path: Path) -> None:
    """What a proof costs, and how long it is."""
    with LedgerReader(path) as reader:
        size = reader.newest_checkpoint()[0]
        begun = time.perf_counter()
        texts = [prove(reader, str(at)).text for at in range(0, size, size // 20)]
        took_ms = (time.perf_counter() - begun) / len(texts) * 1e3
    print(f"{size:9} entries, a proof          {took_ms:7.2f} ms  {max(map(len, texts))} bytes", flush=True)


def main() -> None:
    """Measure and print."""
    for asked in sys.argv[1:] or map(str, SIZES):
        with tempfile.TemporaryDirectory(dir=Path.cwd()) as directory:  # /tmp may be memory
            path = Path(directory, "ledger.db") if asked.isdecimal() else Path(asked)
            if asked.isdecimal():
                build(path, int(asked))
            for processes in (None, 1):
                measure(path, processes)
            prove_some(path)


if __name__ == "__main__":
    main()
