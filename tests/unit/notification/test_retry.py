"""What comes after an attempt."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.clock import SECOND_US
from gateway.notification import Answer, Backoff, Delivery
from gateway.notification.retry import LONGEST_S, retry_after_s, settled
from gateway.settings import NotificationSettings
from tests.unit.notification.samples import channel_settings

NOW_US = 1_800_000_000 * SECOND_US
CLAIMED = Delivery("n-1", "hook", attempts=1, since_us=NOW_US, next_us=NOW_US + 75 * SECOND_US)
NEVER_LESS = Backoff(base_s=4, random=lambda: 0.0)


def after(answer: Answer, claimed: Delivery = CLAIMED, *, now_us: int = NOW_US, **settings: Any) -> Delivery:
    chosen: NotificationSettings = channel_settings(**settings)
    return settled(claimed, answer, settings=chosen, backoff=NEVER_LESS, now_us=now_us)


@pytest.mark.parametrize("status", [200, 202, 204, 299])
def test_answer_of_success_settles_it(status: int) -> None:
    """Whatever the kind of success; an earlier problem is forgotten."""
    found = after(Answer(status), replace(CLAIMED, last_problem="the receiver answered 500"))
    assert (found.next_us, found.delivered_us, found.last_problem, found.state) == (0, NOW_US, "", "delivered")


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 429, 500, 503])
def test_any_other_answer_is_a_failure_that_comes_again(status: int) -> None:
    """Redirects too: they are not followed."""
    found = after(Answer(status))
    assert (found.state, found.next_us) == ("waiting", NOW_US + 4 * SECOND_US)
    assert found.last_problem == f"the receiver answered {status}; expected 200 to 299"


def test_receiver_that_is_gone_is_given_up() -> None:
    """410 says: do not come again."""
    assert after(Answer(410)).state == "failed"


def test_problem_without_an_answer_is_kept_in_words() -> None:
    """For `notifications list` and doctor."""
    assert after(Answer(0, problem="cannot connect: Connection refused")).last_problem.startswith("cannot connect")


def test_given_up_after_the_attempts_that_the_channel_allows() -> None:
    """And not one earlier."""
    assert after(Answer(500), replace(CLAIMED, attempts=2), max_attempts=3).state == "waiting"
    found = after(Answer(500), replace(CLAIMED, attempts=3), max_attempts=3)
    assert (found.state, found.given_up_us, found.next_us) == ("failed", NOW_US, 0)


def test_given_up_after_the_time_that_the_channel_allows() -> None:
    """Counted from when it was first due."""
    for waited_s, state in ((59, "waiting"), (60, "failed")):
        assert after(Answer(500), now_us=NOW_US + waited_s * SECOND_US, give_up_after_s=60).state == state


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", 0),
        ("120", 120),
        ("0", 0),
        ("99999999999999999999", LONGEST_S),
        ("-5", 0),
        ("1.5", 0),
        ("soon", 0),
        ("²", 0),
        ("Fri, 15 Jan 2027 08:01:00 GMT", 60),
        ("Fri, 15 Jan 2027 08:01:00", 60),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0),
        ("Fri, 15 Jan 2100 08:01:00 GMT", LONGEST_S),
        ("Fri, 99 Jan 2027 08:01:00 GMT", 0),
    ],
)
def test_retry_after_in_seconds_or_as_a_date(text: str, seconds: float) -> None:
    """RFC 9110; at most an hour, and nothing that cannot be read."""
    assert retry_after_s(text, now_us=NOW_US) == seconds


@given(st.text())
def test_retry_after_that_is_anything_is_bounded(text: str) -> None:
    """A receiver sends what it likes."""
    assert 0 <= retry_after_s(text, now_us=NOW_US) <= LONGEST_S


def test_retry_after_is_waited_for_when_it_is_longer() -> None:
    """And never shortens the wait."""
    assert after(Answer(429, "30")).next_us == NOW_US + 30 * SECOND_US
    assert after(Answer(429, "1")).next_us == NOW_US + 4 * SECOND_US


@given(attempts=st.integers(0, 10_000), chance=st.floats(0, 1))
def test_wait_grows_within_its_bounds(attempts: int, chance: float) -> None:
    """Doubled each time, up to the cap; chance takes off at most half."""
    backoff = Backoff(base_s=5, cap_s=3_600, random=lambda: chance)
    full = min(3_600.0, 5 * 2.0 ** min(max(attempts - 1, 0), 20))
    assert full / 2 <= backoff.delay_s(attempts) <= full
    assert backoff.delay_s(attempts) <= backoff.delay_s(attempts + 1)
