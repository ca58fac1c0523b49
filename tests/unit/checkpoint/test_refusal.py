"""The verdict on what could not be established: whatever failed denies."""

import pytest

from gateway.errors import GatewayError, LedgerUnavailable, Malformed, Unauthenticated, Unavailable
from gateway.policy import Effect
from gateway.refusal import refusal


@pytest.mark.parametrize(
    ("failures", "rule", "why"),
    [
        ([Malformed("m")], "malformed", "m"),
        ([Unauthenticated("u")], "unauthenticated", "u"),
        ([Unavailable("a")], "unavailable", "a"),
        ([LedgerUnavailable("l")], "unavailable", "l"),
        ([GatewayError("g")], "unavailable", "g"),
        ([Unavailable("a"), Unauthenticated("u"), Malformed("m")], "malformed", "m"),
        ([Unavailable("a"), Unauthenticated("u")], "unauthenticated", "u"),
        ([Unavailable("a"), GatewayError("g")], "unavailable", "a"),
    ],
)
def test_whatever_failed_denies(failures: list[GatewayError], rule: str, why: str) -> None:
    verdict, problem = refusal(failures)
    assert verdict is not None
    assert (verdict.effect, verdict.rules, problem) == (Effect.DENY, (rule,), why)


def test_nothing_failed() -> None:
    assert refusal([]) == (None, "")
