"""The signatures of webhooks: one good one, over exactly this body, or none at all."""

from __future__ import annotations

import hmac
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Unauthenticated
from gateway.trackers.signature import signed_at, signed_by_jira

SECRET = b"0123456789abcdef"
BODY = b'{"event": "e-1"}'


def ours(sent: str = "1800000000", *, body: bytes = BODY, secret: bytes = SECRET) -> str:
    return f"t={sent},v1=" + hmac.new(secret, sent.encode() + b"." + body, sha256).hexdigest()


def test_good_signature_says_when_it_was_sent() -> None:
    """Of several, as while a secret is changed, one has to be good."""
    assert signed_at([ours()], BODY, SECRET) == 1_800_000_000
    assert signed_at([f"t=1800000000,v1={'0' * 64},{ours().partition(',')[2]}"], BODY, SECRET) == 1_800_000_000


GOOD = ours()


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [""],
        [GOOD, GOOD],
        [GOOD.replace("t=18", "t=19")],
        [GOOD[:-1]],
        [GOOD + "0"],
        [GOOD.upper()],
        [GOOD + " "],
        [GOOD + "\n"],
        ["t=1800000000"],
        ["t=1800000000,v1="],
        ["t=1800000000,v0=" + GOOD[-64:]],
        ["t=\u0661,v1=" + GOOD[-64:]],
        ["t=-1,v1=" + GOOD[-64:]],
        ["t=1800000000," + ",".join(["v1=" + "0" * 64] * 4 + [GOOD.partition(",")[2]])],
        [ours(secret=b"another-secret-16")],
        [ours(body=BODY + b" ")],
    ],
)
def test_any_other_signature_is_refused(lines: list[str]) -> None:
    """None, two, another time, another secret, another body, another spelling."""
    with pytest.raises(Unauthenticated):
        signed_at(lines, BODY, SECRET)


@given(st.binary(max_size=40), st.integers(0, 39), st.integers(1, 255))
def test_no_byte_of_the_body_can_change(body: bytes, place: int, flip: int) -> None:
    """Whatever the body."""
    line = ours(body=body)
    assert signed_at([line], body, SECRET)
    if place < len(body):
        changed = body[:place] + bytes([body[place] ^ flip]) + body[place + 1 :]
        with pytest.raises(Unauthenticated):
            signed_at([line], changed, SECRET)


def test_jiras_own_signature_is_over_the_body() -> None:
    """WebSub's form; it names the delivery."""
    digest = hmac.new(SECRET, BODY, sha256).hexdigest()
    assert signed_by_jira([f"sha256={digest}"], BODY, SECRET) == digest
    for lines in ([], [f"sha1={digest}"], [f"sha256={digest}"] * 2, [f"sha256={digest[:-1]}"], [f"sha256={'0' * 64}"]):
        with pytest.raises(Unauthenticated):
            signed_by_jira(lines, BODY, SECRET)
