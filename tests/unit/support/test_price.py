"""What the plan costs, against figures worked out by hand."""

from __future__ import annotations

import pytest

from gateway.support import monthly_charge_cents, quote


@pytest.mark.parametrize(
    ("seats", "cents", "text", "minimum_applies"),
    [
        (1, 500_000, "$5,000.00", True),
        (332, 500_000, "$5,000.00", True),  # 332 × 15 = 4,980
        (333, 500_000, "$5,000.00", True),  # 333 × 15 = 4,995
        (334, 501_000, "$5,010.00", False),  # 334 × 15 = 5,010
        (400, 600_000, "$6,000.00", False),
        (100_000, 150_000_000, "$1,500,000.00", False),
    ],
)
def test_charge_is_the_larger_of_seats_and_minimum(seats: int, cents: int, text: str, minimum_applies: bool) -> None:
    """Fifteen dollars a seat, five thousand at least."""
    offer = quote(seats)
    assert monthly_charge_cents(seats) == offer.monthly_charge_cents == cents
    assert (offer.monthly_charge, offer.minimum_applies) == (text, minimum_applies)


def test_quote_says_where_the_minimum_ends() -> None:
    """333 seats as the offer says, and 334 as the first above the minimum."""
    offer = quote(400)
    assert (offer.per_seat_cents, offer.minimum_cents) == (1_500, 500_000)
    assert (offer.minimum_seats, offer.seats_where_minimum_ends) == (333, 334)


@pytest.mark.parametrize("seats", [0, -1])
def test_fewer_than_one_seat_is_refused(seats: int) -> None:
    """There is no price for nobody."""
    with pytest.raises(ValueError, match="at least one"):
        quote(seats)
