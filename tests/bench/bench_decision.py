"""How long it takes to judge what was established: ``python tests/bench/bench_decision.py`` from the project's root.

Prints microseconds of facts and verdict, for facts that were seen before and for first ones, and of a whole decision
with its entry sealed, over the sample world with a ledger that keeps nothing; and what pseudonyms add to that, in
processor time, for somebody met before and for somebody new.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import uvloop

from gateway.attempt import Approach
from gateway.checkpoint import Checkpoint
from gateway.clock import SystemClock
from gateway.demo.stores import Addresses
from gateway.demo.world import SAM, make_world
from gateway.identity import Authenticator, Revocations
from gateway.ledger.entry import Entry, seal
from gateway.ledger.pseudonyms import Pseudonyms
from gateway.ledger.subject_keys import SubjectKeys
from gateway.proxy.key_fetcher import KeyFetcher
from gateway.rooms import checkpoint_of, open_rooms

SEEN_US, FIRST_US = 5, 150


class NoLedger:
    """Seals what it is given, and keeps nothing."""

    async def append(self, entry: object, *, permit: bool = False, unclaimed: object = None) -> int:
        self.submit(entry)
        return 0

    def submit(self, entry: object) -> None:
        if not isinstance(entry, Entry):
            seal(entry)  # type: ignore[arg-type]


def best_us(work: Callable[[], object], *, times: int, rounds: int = 7) -> float:
    """Microseconds of one call, in the best round."""

    def one_round() -> float:
        start = time.perf_counter()
        for _ in range(times):
            work()
        return (time.perf_counter() - start) / times * 1e6

    return min(one_round() for _ in range(rounds))


async def decision_us(checkpoint: Checkpoint, approach: Approach, *, times: int = 5_000) -> float:
    """Microseconds of a whole decision, without the ledger's commit."""
    found = []
    for _ in range(7):
        start = time.perf_counter()
        for _ in range(times):
            await checkpoint.decide(approach)
        found.append((time.perf_counter() - start) / times * 1e6)
    return min(found)


async def pseudonyms_cost(plain: Checkpoint, folder: Path, approach: Approach) -> tuple[float, float, float]:
    """Processor microseconds of a decision: in names, in pseudonyms, and with a reason that was never given before.

    The first two in turns, so that both meet the same machine; the best of each.
    """
    keys = SubjectKeys(folder / "subject-keys" / "keys.db")
    keys.begin()
    other = replace(plain, pseudonyms=Pseudonyms(keys))
    await other.decide(approach)
    named, unnamed = [], []
    for _ in range(15):
        for checkpoint, taken in ((plain, named), (other, unnamed)):
            taken.append(await processor_us(checkpoint, approach, times=2_000))
    start = time.process_time()
    for number in range(200):
        await other.decide(approach._replace(reason=f"reason {number}"))
    first = (time.process_time() - start) / 200 * 1e6
    return min(named), min(unnamed), first


async def processor_us(checkpoint: Checkpoint, approach: Approach, *, times: int) -> float:
    """The same in processor time of this process."""
    start = time.process_time()
    for _ in range(times):
        await checkpoint.decide(approach)
    return (time.process_time() - start) / times * 1e6


async def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        unused = "http://127.0.0.1:1"
        world = make_world(
            Path(folder), Addresses(unused, unused, unused, "ftp://127.0.0.1:1/"), clock=SystemClock(), ports=(0, 0)
        )
        rooms = open_rooms(world.settings)
        async with KeyFetcher() as fetcher:
            authenticator = Authenticator.of(
                world.settings.identity, fetcher=fetcher, clock=rooms.clock, revocations=Revocations()
            )
            await authenticator.refresh_if_due()
            checkpoint = checkpoint_of(rooms, authenticator=authenticator, ledger=NoLedger())
            approach = Approach(
                door="http",
                method="GET",
                target="/conversations/acme/7",
                host="127.0.0.1:8080",
                peer="127.0.0.1",
                authorization=[f"Bearer {world.token(SAM)}"],
                x_forwarded_for=["10.20.0.5"],
            )
            decision = await checkpoint.decide(approach)
            assert decision.facts is not None, decision
            attempt, facts, policy = decision.attempt, decision.facts, rooms.policy
            seen = best_us(lambda: policy.decide(checkpoint._facts(attempt)), times=20_000)
            first = best_us(lambda: policy.decide_all([checkpoint._facts(attempt)]), times=300)
            whole = await decision_us(checkpoint, approach)
            named, unnamed, new = await pseudonyms_cost(checkpoint, Path(folder), approach)
            await authenticator.close()
        print(f"facts seen before {seen:7.2f} µs   (to reach: {SEEN_US})    verdict {decision.verdict.rule}")
        print(f"first facts       {first:7.1f} µs   (to reach: {FIRST_US})  of {len(facts.__slots__)} facts")
        print(f"whole decision    {whole:7.1f} µs   who, where, what, why, verdict and sealed entry")
        told = f"of processor time; by names {named:.1f}, ratio {unnamed / named:.3f}"
        print(f"by pseudonyms     {unnamed:7.1f} µs   {told}")
        print(f"  a new reason    {new:7.1f} µs   of processor time, beside what the disk takes")


if __name__ == "__main__":
    uvloop.run(main())
