"""How long a decision of the policy takes: ``python tests/bench/bench_policy.py`` from the project's root.

Prints microseconds for a remembered decision and for a first one, best of several rounds, by kind of answer.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from gateway.catalog.resource import Action, Scope
from gateway.identity.principal import Kind
from gateway.location.location import Assurance
from gateway.policy import DataKind, Facts, Plan, RoleScope, default_directory, load

HOME = Facts(
    principal=Kind.PERSONNEL,
    role=RoleScope.ALLOWED,
    infosec=False,
    engineer=False,
    own_customer=False,
    location=Assurance.HOME,
    scope=Scope.ONE,
    plan=Plan.IN_EFFECT,
    data=DataKind.OTHER,
    action=Action.READ,
    incident=False,
    grant=False,
    authorization=False,
    storage_home=True,
    support_closed=False,
)
CASES = {
    "permitted, at home": HOME,
    "permitted, with obligations": replace(HOME, location=Assurance.OUTSIDE, data=DataKind.CRM_ACCOUNT),
    "denied, nothing permits": replace(HOME, location=Assurance.OUTSIDE),
    "denied, a forbid": replace(HOME, role=RoleScope.DENIED),
}


def best_us(work: Callable[[], object], *, times: int, rounds: int = 7) -> float:
    """Microseconds of one call, in the best round."""

    def one_round() -> float:
        start = time.perf_counter()
        for _ in range(times):
            work()
        return (time.perf_counter() - start) / times * 1e6

    return min(one_round() for _ in range(rounds))


def main() -> None:
    start = time.perf_counter()
    policy = load(default_directory())
    print(f"{'load':32} {(time.perf_counter() - start) * 1e6:10.1f} µs")
    for name, facts in CASES.items():
        again = replace(facts)
        policy.decide(facts)
        first = best_us(lambda facts=facts: policy.decide_all([facts]), times=300)
        remembered = best_us(lambda again=again: policy.decide(again), times=20_000)
        print(f"{name:32} first {first:7.1f} µs   remembered {remembered:5.2f} µs")


if __name__ == "__main__":
    main()
