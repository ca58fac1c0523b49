"""What the plan costs (``price``): "$15 per seat with a minimum commitment of $5000/month, or 333 seats"."""

from __future__ import annotations

from dataclasses import dataclass

PER_SEAT_CENTS = 15_00
MINIMUM_CENTS = 5_000_00
MINIMUM_SEATS = 333
"""Where the per-seat price meets the minimum, as the offer says: 333 × $15 is $4,995, so 334 is the first above it."""


@dataclass(frozen=True, slots=True)
class Quote:
    """A monthly price, in cents.

    ``seats_where_minimum_ends`` is the first seat count whose per-seat price is above the minimum.
    """

    seats: int
    per_seat_cents: int
    minimum_cents: int
    monthly_charge_cents: int
    monthly_charge: str
    minimum_applies: bool
    minimum_seats: int
    seats_where_minimum_ends: int


def monthly_charge_cents(seats: int) -> int:
    """The larger of the price of the seats and the minimum commitment, in whole cents.

    Raises:
        ValueError: fewer than one seat.
    """
    if seats < 1:
        raise ValueError(f"got {seats} seats; expected at least one")
    return max(PER_SEAT_CENTS * seats, MINIMUM_CENTS)


def quote(seats: int) -> Quote:
    """The price of a number of seats."""
    charge = monthly_charge_cents(seats)
    return Quote(
        seats=seats,
        per_seat_cents=PER_SEAT_CENTS,
        minimum_cents=MINIMUM_CENTS,
        monthly_charge_cents=charge,
        monthly_charge=f"${charge // 100:,}.{charge % 100:02d}",
        minimum_applies=PER_SEAT_CENTS * seats <= MINIMUM_CENTS,
        minimum_seats=MINIMUM_SEATS,
        seats_where_minimum_ends=MINIMUM_CENTS // PER_SEAT_CENTS + 1,
    )
