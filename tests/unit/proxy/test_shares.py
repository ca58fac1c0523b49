"""Places that several share: whoever holds many leaves some for the others."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.proxy.shares import Shares


def taken(shares: Shares, owner: str, wanted: int) -> int:
    """How many of so many wanted an owner gets now."""
    return sum(shares.take_now(owner) for _ in range(wanted))


@pytest.mark.parametrize(("total", "most"), [(1, 1), (2, 2), (3, 2), (4, 3), (8, 5), (256, 129)])
def test_one_owner_gets_about_half(total: int, most: int) -> None:
    """And the only place, where there is but one."""
    assert taken(Shares(total), "sam", total) == most


def test_many_who_want_all_leave_some() -> None:
    """Four who want 64 of 256 each would have had all of them."""
    shares = Shares(256)
    assert [taken(shares, owner, 64) for owner in "abcd"] == [64, 64, 64, 33]
    assert taken(shares, "e", 1) == 1


async def test_who_waits_gets_what_is_given_back_in_the_order_of_coming() -> None:
    """But those who hold many wait until there is enough for others."""
    shares, order = Shares(3), []

    async def wait(owner: str) -> None:
        await shares.take(owner)
        order.append(owner)

    for owner in ("sam", "sam", "priya"):
        assert shares.take_now(owner)
    waiting = [asyncio.ensure_future(wait(owner)) for owner in ("sam", "dana", "raj")]
    await asyncio.sleep(0)
    for owner in ("priya", "sam", "dana"):
        shares.give_back(owner)
        await asyncio.sleep(0)
    assert order == ["dana", "sam", "raj"]
    await asyncio.gather(*waiting)


@pytest.mark.parametrize("given_first", [False, True])
async def test_who_stops_waiting_has_no_place(given_first: bool) -> None:
    """Even where it was given one at the same moment."""
    shares = Shares(1)
    assert shares.take_now("sam")
    waiting = asyncio.ensure_future(shares.take("priya"))
    await asyncio.sleep(0)
    if given_first:
        shares.give_back("sam")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    if not given_first:
        shares.give_back("sam")
    assert not shares._waiting
    assert shares.take_now("dana")


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abc"))), st.integers(1, 6))
@settings(max_examples=100)
def test_no_more_than_there_are_and_none_is_lost(steps: list[tuple[bool, str]], total: int) -> None:
    """Whatever is taken and given back, and never more to one than would be left."""
    shares, held = Shares(total), Counter[str]()
    for take, owner in steps:
        free = total - held.total()
        if take:
            got = shares.take_now(owner)
            assert got == (free > 0 and held[owner] <= free)
            held[owner] += got
        elif held[owner]:
            shares.give_back(owner)
            held[owner] -= 1
    assert shares._free == total - held.total()
