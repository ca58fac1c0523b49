"""What a call that may be made twice was answered the first time."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.clock import SECOND_US

KEPT_US = 48 * 3_600 * SECOND_US
"""How long a key means the call that it came with."""


@dataclass(frozen=True, slots=True)
class Replay:
    """The answer to a call with an idempotency key.

    Attributes:
        id: a digest of who called and with which key.
        fingerprint: a digest of what was asked for, so that a key is not taken for another call.
        answer: as JSON.
        at_us: when.
    """

    id: str
    fingerprint: str
    answer: str
    at_us: int
