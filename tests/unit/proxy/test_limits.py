"""What one client may hold: counted exactly, given back, and forgotten."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.identity import Kind, Principal
from gateway.proxy import limits
from gateway.proxy.limits import Places, SubjectLimits, Turn, neighbourhood
from gateway.settings import LimitSettings
from tests.world.clock import FakeClock

SAM, PRIYA = ("idp", "sam"), ("idp", "priya")


def subject_limits(clock: FakeClock, *, concurrency: int = 1_000, rate: float = 0, burst: int = 1) -> SubjectLimits:
    """Limits of subjects, the others out of the way."""
    return SubjectLimits(
        LimitSettings(subject_concurrency=concurrency, subject_rate_per_s=rate, subject_burst=burst), clock
    )


def test_places_are_counted_by_key_and_given_back() -> None:
    """One key's are not another's."""
    places = Places(2)
    assert [places.take("a"), places.take("a"), places.take("a"), places.take("b")] == [True, True, False, True]
    assert len(places) == 3
    places.give_back("a")
    assert places.take("a")


def test_places_remember_nobody_who_holds_none() -> None:
    """Neither who left nor who was turned away stays in memory."""
    places = Places(1)
    for key in range(100):
        places.take(key)
        places.take(key)
        places.give_back(key)
    assert len(places) == 0
    assert not places._taken


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2))), st.integers(1, 4))
@settings(max_examples=100)
def test_places_never_exceed_the_limit(steps: list[tuple[bool, int]], limit: int) -> None:
    """Whatever is taken and given back."""
    places, held = Places(limit), dict.fromkeys(range(3), 0)
    for take, key in steps:
        if take:
            taken = places.take(key)
            assert taken == (held[key] < limit)
            held[key] += taken
        elif held[key]:
            places.give_back(key)
            held[key] -= 1
        assert len(places) == sum(held.values())


def test_subject_with_all_its_requests_under_way_waits() -> None:
    """Until one of its own is over; another subject's do not count."""
    found = subject_limits(FakeClock(), concurrency=2)
    assert [found.enter(SAM), found.enter(SAM), found.enter(SAM), found.enter(PRIYA)] == [None, None, 1.0, None]
    found.leave(SAM)
    assert found.enter(SAM) is None


def test_same_name_from_two_issuers_is_two_subjects() -> None:
    """One does not use up what is the other's."""
    found = subject_limits(FakeClock(), concurrency=1)
    assert [found.enter(("one", "sam")), found.enter(("other", "sam"))] == [None, None]


def test_rate_lets_a_burst_through_and_then_one_at_a_time() -> None:
    """Two a second, three at once: the wait is what the next one takes."""
    clock = FakeClock()
    found = subject_limits(clock, rate=2, burst=3)
    assert [found.enter(SAM) for _ in range(4)] == [None, None, None, 0.5]
    assert found.enter(PRIYA) is None
    clock.advance(0.25)
    assert found.enter(SAM) == pytest.approx(0.25)
    clock.advance(0.25)
    assert [found.enter(SAM), found.enter(SAM)] == [None, 0.5]
    clock.advance(100)
    assert [found.enter(SAM) for _ in range(4)] == [None, None, None, 0.5]


def test_request_that_is_turned_away_holds_nothing() -> None:
    """Neither a place nor a part of the rate."""
    clock = FakeClock()
    found = subject_limits(clock, concurrency=2, rate=1, burst=1)
    assert found.enter(SAM) is None
    assert [found.enter(SAM) for _ in range(5)] == [1.0] * 5
    found.leave(SAM)
    clock.advance(1)
    assert found.enter(SAM) is None
    assert len(found._places) == 1


@given(st.floats(0.5, 50), st.integers(1, 10), st.lists(st.floats(0, 0.5, allow_nan=False), min_size=1, max_size=60))
@settings(max_examples=100)
def test_no_more_than_burst_and_rate_ever_enter(rate: float, burst: int, pauses: list[float]) -> None:
    """In any stretch of time from the first one on; and who waits as long as told enters."""
    clock = FakeClock()
    found = subject_limits(clock, rate=rate, burst=burst)
    entered, passed_s = 0, 0.0
    for pause_s in pauses:
        clock.advance(pause_s)
        passed_s += pause_s
        wait_s = found.enter(SAM)
        entered += wait_s is None
        assert entered <= burst + rate * passed_s + 1e-6
    if wait_s is not None:
        clock.advance(wait_s + 1e-6)
        assert found.enter(SAM) is None


def test_subjects_with_a_full_bucket_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded by who came lately."""
    monkeypatch.setattr(limits, "_SWEEP_AT", 10)
    clock = FakeClock()
    found = subject_limits(clock, rate=1, burst=1)
    for number in range(100):
        assert found.enter(number) is None
        clock.advance(0.5)
    assert len(found._rate._full_at_s) <= 11
    assert found.enter(99) is not None


def test_turn_is_given_back_at_the_end_whatever_happens() -> None:
    """Also where the request failed after it was let in."""
    found, sam = subject_limits(FakeClock(), concurrency=1), Principal("sam", "idp", Kind.PERSONNEL, frozenset())
    with pytest.raises(OSError, match="disk"), Turn(found) as turn:
        assert turn.take(sam) == ""
        raise OSError("the disk is full")
    assert len(found._places) == 0


def test_turn_that_is_not_to_be_had_says_when_to_come_back_and_takes_nothing() -> None:
    """Whole seconds, rounded up; the one that holds the place keeps it."""
    clock = FakeClock()
    found, sam = subject_limits(clock, rate=0.4, burst=1), Principal("sam", "idp", Kind.PERSONNEL, frozenset())
    with Turn(found) as first, Turn(found) as second:
        assert first.take(sam) == ""
        assert "try again in 3 s" in second.take(sam)
        assert (first.retry_after_s, second.retry_after_s) == (0, 3)
        assert len(found._places) == 1
    assert len(found._places) == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
    ],
)
def test_neighbourhood_is_an_address_or_a_64(one: str, other: str, same: bool) -> None:
    """Whoever has one IPv6 address has its /64."""
    assert (neighbourhood(one) == neighbourhood(other)) is same
