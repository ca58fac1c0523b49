"""What comes after an attempt: delivered, due again later, or given up. Pure.

Invariants: the wait grows with each attempt and never beyond an hour; what a receiver asks for (``Retry-After``) is
waited for, at most an hour; a notice is given up only when its channel's settings say so, or when the
receiver is gone (410).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC
from email.utils import parsedate_to_datetime

from gateway.clock import SECOND_US
from gateway.notification.notice import Delivery
from gateway.settings import NotificationSettings

LONGEST_S = 3_600.0
GONE, TOO_MANY = 410, 429


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an attempt.

    Attributes:
        status: the receiver's, or 0 if there was no answer.
        retry_after: its header as it came, or "".
        problem: why there was no answer, in words that hold no address; or "".
    """

    status: int
    retry_after: str = ""
    problem: str = ""

    @property
    def arrived(self) -> bool:
        return 200 <= self.status < 300

    @property
    def about_channel(self) -> bool:
        """Whether another notice would fare no better now: no answer, too many, or the receiver's own trouble."""
        return self.status in (0, TOO_MANY) or self.status >= 500

    def __str__(self) -> str:
        if self.arrived:
            return ""
        return self.problem or f"the receiver answered {self.status}; expected 200 to 299"


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait: doubled with each attempt, up to ``cap_s``, less a random part of at most half.

    Args:
        base_s: after the first attempt.
        cap_s: the longest.
        random: gives numbers from 0 to 1.
    """

    base_s: float = 5.0
    cap_s: float = LONGEST_S
    random: Callable[[], float] = random.random

    def delay_s(self, attempts: int) -> float:
        """The wait after so many attempts; at least half of what it would be without chance."""
        full_s = min(self.cap_s, self.base_s * 2.0 ** min(max(attempts, 1) - 1, 64))
        return full_s * (1 - self.random() / 2)


def retry_after_s(text: str, *, now_us: int) -> float:
    """What ``Retry-After`` asks for in seconds, at most :data:`LONGEST_S` (RFC 9110 §10.2.3); 0 if it is not usable."""
    if text.isascii() and text.isdigit():
        return min(LONGEST_S, float(text[:9]))
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    wait_s = moment.timestamp() - now_us / SECOND_US
    return min(LONGEST_S, wait_s) if wait_s > 0 else 0.0


def settled(
    delivery: Delivery, answer: Answer, *, settings: NotificationSettings, backoff: Backoff, now_us: int
) -> Delivery:
    """The delivery after an attempt that ended now.

    Args:
        delivery: as it was claimed: the attempt is counted already.
        answer: what came of it.
        settings: of its channel.
        backoff: how long to wait before the next one.
        now_us: the instant.
    """
    if answer.arrived:
        return replace(delivery, next_us=0, delivered_us=now_us, last_problem="")
    failed = replace(delivery, last_problem=str(answer))
    waited_s = (now_us - delivery.since_us) / SECOND_US
    if answer.status == GONE or delivery.attempts >= settings.max_attempts or waited_s >= settings.give_up_after_s:
        return replace(failed, next_us=0, given_up_us=now_us)
    wait_s = max(backoff.delay_s(delivery.attempts), retry_after_s(answer.retry_after, now_us=now_us))
    return replace(failed, next_us=now_us + math.ceil(wait_s * SECOND_US))
