"""What was delivered before is not taken again, and nothing overtakes what was sent later."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.errors import GatewayError, Malformed, Unauthenticated
from gateway.trackers.deliveries import Deliveries, Delivery

NOW_S = 1_000_000


def delivery(event: str = "e-1", *, sent_s: int = NOW_S, ticket: str = "PAGE-7", tracker: str = "pager") -> Delivery:
    return Delivery(tracker, event, ticket, sent_s)


def taken() -> Deliveries:
    deliveries = Deliveries()
    deliveries.take(delivery())
    return deliveries


def from_the_ledger() -> Deliveries:
    deliveries = Deliveries()
    entry = {"actor": "tracker:pager", "object": "PAGE-7", "details": {"event": "e-1", "sent_s": NOW_S}}
    others = [{"actor": "dana", "object": "G-1", "details": {}}, {"actor": "tracker:x", "details": {"sent_s": "y"}}, {}]
    deliveries.remember([entry, *others])
    return deliveries


@pytest.mark.parametrize("known", [taken, from_the_ledger])
@pytest.mark.parametrize(
    ("again", "refusal"),
    [
        (delivery(), Malformed),
        (delivery(sent_s=NOW_S + 5), Malformed),
        (delivery("e-0", sent_s=NOW_S - 1), Malformed),
        (delivery("e-2", sent_s=NOW_S - 301), Unauthenticated),
        (delivery("e-2", sent_s=NOW_S + 301), Unauthenticated),
    ],
    ids=["the same", "signed anew", "overtaken", "too old", "from the future"],
)
def test_delivery_that_is_not_new_is_refused(
    known: Callable[[], Deliveries], again: Delivery, refusal: type[GatewayError]
) -> None:
    """Whether it was taken by this process or by the one before."""
    with pytest.raises(refusal):
        known().require_new(again, now_s=NOW_S, max_skew_s=300)


def test_delivery_that_was_undone_may_come_again() -> None:
    """Its entry stands in the ledger, and another one that says that nothing came of it."""
    entry = {"actor": "tracker:pager", "object": "PAGE-7", "details": {"event": "e-1", "sent_s": NOW_S}, "id": "019a"}
    deliveries = Deliveries()
    deliveries.remember([entry, {"actor": "tracker:pager", "details": {"undone": "019a"}, "id": "019b"}])
    deliveries.require_new(delivery(), now_s=NOW_S, max_skew_s=300)


@pytest.mark.parametrize("known", [taken, from_the_ledger])
def test_others_are_taken(known: Callable[[], Deliveries]) -> None:
    """A later event, another ticket's, another tracker's."""
    for other in (
        delivery("e-2"),
        delivery("e-2", sent_s=NOW_S + 1),
        delivery("e-0", sent_s=NOW_S - 1, ticket="PAGE-8"),
        delivery(tracker="other"),
    ):
        known().require_new(other, now_s=NOW_S, max_skew_s=300)


def test_only_a_later_second_is_later() -> None:
    """Two in one second have no order."""
    deliveries = taken()
    assert not deliveries.is_later(delivery("e-2"))
    assert deliveries.is_later(delivery("e-2", sent_s=NOW_S + 1))


def test_memory_ends_with_what_would_be_refused_for_its_age() -> None:
    """It does not grow for ever."""
    deliveries = taken()
    for second in range(1, 2_000):
        one = delivery(f"e-{second}-later", sent_s=NOW_S + second, ticket=f"PAGE-{second}")
        deliveries.require_new(one, now_s=NOW_S + second, max_skew_s=300)
        deliveries.take(one)
    assert len(deliveries._taken) <= 302
    assert len(deliveries._latest) <= 302
