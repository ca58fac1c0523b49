"""A notice says that something happened, and nothing that it should not."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.notification import Notice, NoticeType, notice
from gateway.notification.notice import MAX_ITEMS, MAX_TEXT

CANARY = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJl"


def made(**given_: Any) -> Notice:
    values: dict[str, Any] = {"subject": "R-1", "customer": "acme", "summary": "priya asks", "at_us": 7}
    values |= given_
    return notice(values.pop("type", "access.requested"), **values)


def test_notice_is_what_was_said() -> None:
    """With an id of its own that sorts by time, and taken up by nobody yet."""
    found = made(data={"ticket": "BUG-9", "duration_s": 60, "actions": ["read"]})
    assert UUID(found.id).version == 7
    assert asdict(found) == {
        "id": found.id,
        "type": "access.requested",
        "subject": "R-1",
        "customer": "acme",
        "at_us": 7,
        "summary": "priya asks",
        "data": {"ticket": "BUG-9", "duration_s": 60, "actions": ["read"]},
        "planned_us": 0,
        "node": "",
    }


def test_every_type_can_be_told_of() -> None:
    """By its name or its text."""
    for kind in NoticeType:
        assert notice(kind, subject="", customer="", summary="", at_us=1).type == kind.value


def test_several_customers_are_each_one_of_them() -> None:
    """A ticket may name many."""
    assert made(customer=("acme", "globex")).customers == {"acme", "globex"}
    assert made(customer="").customers == frozenset()


def test_however_many_customers_none_is_left_out() -> None:
    """Who is told depends on it."""
    names = [f"customer-{number:03}" for number in range(200)]
    assert made(customer=names).customers == set(names)


@pytest.mark.parametrize("where", ["subject", "customer", "summary", "data", "list"])
@pytest.mark.parametrize("secret", [f"Bearer {CANARY}", CANARY, "https://u:canary-9@h/", f"see {CANARY}, please"])
def test_no_credential_gets_into_a_notice(where: str, secret: str) -> None:
    """Wherever somebody wrote one, by mistake or on purpose."""
    match where:
        case "data":
            found = made(data={"reason": secret})
        case "list":
            found = made(data={"reasons": [secret]})
        case _:
            found = made(**{where: secret})
    assert "canary" not in json.dumps(asdict(found))
    assert CANARY not in json.dumps(asdict(found))


@given(st.text(max_size=3 * MAX_TEXT))
def test_any_text_becomes_one_line_of_bounded_length(text: str) -> None:
    """No act fails for what somebody wrote in a title; what it says can be stored, sent and shown."""
    found = made(summary=text, data={"reason": text}).summary
    assert len(found) <= MAX_TEXT
    assert len(found.splitlines()) <= 1
    assert found == found.strip()
    found.encode("utf-8")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"reason": {"nested": 1}}, "got dict for 'reason'"),
        ({"ok": True}, "got bool for 'ok'"),
        ({"rate": 1.5}, "got float"),
        ({"body": b"x"}, "got bytes"),
        ({"list": [1]}, "got list"),
        ({"much": 2**63}, "got int"),
        ({"list": ["x"] * (MAX_ITEMS + 1)}, "got list"),
        ({"Ticket": "x"}, "got the name 'Ticket'"),
        ({"summary": "x"}, "got the name 'summary'"),
        ({f"k{number}": 1 for number in range(MAX_ITEMS + 1)}, "got 21 values"),
    ],
)
def test_what_a_notice_cannot_hold_is_a_mistake_of_the_program(data: dict[str, Any], said: str) -> None:
    """It is found by whoever writes the act, and names what came."""
    with pytest.raises(ValueError, match=said):
        made(data=data)


def test_unknown_type_is_refused() -> None:
    """Settings choose by type, and the documentation lists each."""
    with pytest.raises(ValueError, match=r"access\.pondered"):
        made(type="access.pondered")
