"""Customers' authorizations as acts: "unless otherwise authorized by Customer"."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.acts.authorizations import record_authorization, withdraw_authorization
from gateway.acts.tickets import close_ticket, hand_off_ticket
from gateway.errors import Contradicted, Forbidden, NotFound, UsageError
from gateway.justification import Authorization
from tests.world.office import ADA, BO, HOUR_US, MANAGER, OPERATOR, Bureau

HASH = "0123456789abcdef" * 4


def record(bureau: Bureau, **changes: Any) -> Authorization:
    """Acme's Ada authorised, by letter, that its case be read for CASE-1, unless told otherwise."""
    given: dict[str, Any] = {
        "customer": "acme",
        "given_by": "Ada of Acme",
        "received": "letter",
        "data_classes": ["case"],
        "ticket": "CASE-1",
    }
    return record_authorization(bureau.office, MANAGER, **given | changes)


def test_authorization_says_who_gave_it_how_it_came_and_what_it_covers(bureau: Bureau) -> None:
    """In the state and in the record; and somebody is told."""
    bureau.case("CASE-1", severity=1)
    given = record(bureau, document_sha256=HASH.upper(), actions=["read", "write"], given_by=" Ada of Acme ")
    assert bureau.state.get(Authorization, given.id) == given
    assert (given.given_by, given.recorded_by, given.starts_us, given.ends_us) == (
        "Ada of Acme",
        "maria",
        bureau.now_us,
        0,
    )
    entry = bureau.entries[-1]
    assert (entry["actor"], entry["act"], entry["object"]) == ("maria", "authorization.record", given.id)
    assert entry["details"] == {
        "customer": "acme",
        "given_by": "Ada of Acme",
        "received": "letter",
        "document_sha256": HASH,
        "ticket": "CASE-1",
        "data_classes": ["case"],
        "actions": ["read", "write"],
        "starts_us": bureau.now_us,
        "ends_us": 0,
        "any_severity": False,
        "actor_kind": "personnel",
    }
    assert bureau.notices()[-1] == ("authorization.recorded", given.id)


@pytest.mark.parametrize(
    ("changes", "said", "kind"),
    [
        ({"given_by": " "}, "who in the customer gave it", UsageError),
        ({"received": ""}, "how it was received", UsageError),
        ({"data_classes": []}, "unknown data class none", UsageError),
        ({"data_classes": ["case", "gossip"]}, "unknown data class gossip", UsageError),
        ({"actions": []}, "got the actions none", UsageError),
        ({"actions": ["peek"]}, "got the actions peek", UsageError),
        ({"document_sha256": "abc"}, "no SHA-256", UsageError),
        ({"document_sha256": "g" * 64}, "no SHA-256", UsageError),
        ({"customer": "nobody"}, "no customer 'nobody'", NotFound),
        ({"ticket": "CASE-none"}, "no ticket 'CASE-none'", NotFound),
        ({"customer": "globex"}, "does not name globex", UsageError),
        ({"ticket": "CASE-0"}, "CASE-0 is closed", Contradicted),
        ({"ticket": "CASE-2"}, "CASE-2 was sent to a US analyst", Contradicted),
        ({"ticket": "BUG-9"}, "BUG-9 is a bug ticket; .* access request", UsageError),
        ({"ticket": "INC-7"}, "INC-7 is a security ticket; expected a support ticket", UsageError),
        ({"ticket": ""}, "a standing authorization needs an end", UsageError),
        ({"starts_us": 1}, "got the beginning 1970-.* which has passed", UsageError),
        ({"ends_us": 1}, "its end is not after its beginning and now", UsageError),
        ({"starts_us": 2 * 10**15, "ends_us": 2 * 10**15}, "its end is not after", UsageError),
    ],
)
def test_authorization_that_lacks_what_makes_it_one_is_refused(
    bureau: Bureau, changes: dict[str, Any], said: str, kind: type[Exception]
) -> None:
    """Of another customer's ticket, of a closed one, of a bug, of one that no authorization opens any more."""
    for case in ("CASE-0", "CASE-1", "CASE-2"):
        bureau.case(case, severity=1)
    bureau.bug(), bureau.incident()
    close_ticket(bureau.office, OPERATOR, "CASE-0")
    hand_off_ticket(bureau.office, OPERATOR, "CASE-2")
    before, since = bureau.snapshot(), len(bureau.entries)
    with pytest.raises(kind, match=said):
        record(bureau, **changes)
    assert (bureau.snapshot(), len(bureau.entries)) == (before, since)


def test_one_that_goes_further_than_severity_1_says_so(bureau: Bureau) -> None:
    """In the state and in the record."""
    bureau.case("CASE-1", severity=3)
    given = record(bureau, any_severity=True)
    assert bureau.state.get(Authorization, given.id).any_severity
    assert bureau.entries[-1]["details"]["any_severity"] is True


def test_standing_one_ends_when_it_says(bureau: Bureau) -> None:
    """The last microsecond belongs to it, its end does not."""
    given = record(bureau, ticket="", ends_us=bureau.now_us + HOUR_US)
    assert [given.is_active(bureau.now_us + at) for at in (-1, 0, HOUR_US - 1, HOUR_US)] == [False, True, True, False]


def test_withdrawn_one_is_over_at_once_for_good(bureau: Bureau) -> None:
    """By the customer itself, or for whoever in it asked; a second time changes nothing and is not written down."""
    bureau.case("CASE-1", severity=1)
    first, second = record(bureau), record(bureau, data_classes=["conversation"])
    since = len(bureau.entries)
    ended = withdraw_authorization(bureau.office, ADA, first.id)
    assert not ended.is_active(bureau.now_us)
    assert withdraw_authorization(bureau.office, MANAGER, first.id) == ended
    withdraw_authorization(bureau.office, MANAGER, second.id, by="Ada of Acme")
    assert bureau.acts(since) == [
        ("ada@acme", "authorization.withdraw", first.id),
        ("maria", "authorization.withdraw", second.id),
    ]
    assert bureau.entries[-1]["details"]["asked_by"] == "Ada of Acme"
    assert bureau.notices()[-1] == ("authorization.withdrawn", second.id)


def test_another_customers_user_does_not_withdraw_it(bureau: Bureau) -> None:
    """It stays as it is."""
    bureau.case("CASE-1", severity=1)
    given = record(bureau)
    with pytest.raises(Forbidden, match="another customer"):
        withdraw_authorization(bureau.office, BO, given.id)
    assert bureau.state.get(Authorization, given.id) == given
