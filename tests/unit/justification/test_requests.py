"""From a request for access to a grant, and every refusal on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from gateway.catalog import Action
from gateway.errors import Contradicted, UsageError
from gateway.justification import AccessRequest, Grant, GrantState, RequestState, Ticket, TicketKind, Usage
from gateway.justification.requests import (
    LONGEST_S,
    State,
    approve,
    deny,
    end_if_over,
    expire_unanswered,
    request,
    require_transition,
    revoke,
    withdraw_unheld,
)

NOW = 1_000_000_000
BUG = Ticket("BUG-9", TicketKind.BUG, ("acme", "globex"), "Crash in export", 1)
GIVEN: dict[str, Any] = {
    "id": "R-1",
    "subject": "priya",
    "ticket": BUG,
    "customer": "acme",
    "data_classes": ["case", "conversation"],
    "actions": ["read", "export"],
    "reason": "the stack trace needs the recording",
    "duration_s": 4 * 3600,
    "now_us": NOW,
    "max_bytes": 5_000,
    "max_requests": 7,
}
ASKED = AccessRequest(
    id="R-1",
    subject="priya",
    ticket="BUG-9",
    customer="acme",
    data_classes=("case", "conversation"),
    actions=("read", "export"),
    reason="the stack trace needs the recording",
    duration_s=4 * 3600,
    requested_us=NOW,
    max_bytes=5_000,
    max_requests=7,
)
GRANT = Grant(
    id="G-1",
    request="R-1",
    subject="priya",
    ticket="BUG-9",
    customer="acme",
    data_classes=("case", "conversation"),
    actions=("read", "export"),
    starts_us=NOW + 60,
    ends_us=NOW + 60 + 4 * 3600 * 1_000_000,
    approved_by="dana",
    max_bytes=5_000,
    max_requests=7,
)


def test_request_holds_exactly_what_was_asked_for() -> None:
    """It waits for a decision, and says nothing more than its author did."""
    assert request(**GIVEN) == ASKED


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"ticket": replace(BUG, kind=TicketKind.SUPPORT)}, "is a support ticket; access is requested for a bug"),
        ({"ticket": replace(BUG, kind=TicketKind.SECURITY)}, "is a security ticket"),
        ({"customer": "initech"}, "BUG-9 does not name initech; it names acme, globex"),
        ({"customer": "*"}, "does not name"),
        ({"duration_s": 59}, "59 seconds"),
        ({"duration_s": 0}, "0 seconds"),
        ({"duration_s": -60}, "-60 seconds"),
        ({"duration_s": LONGEST_S + 1}, "7 days"),
        ({"reason": ""}, "a reason is needed"),
        ({"reason": " \t\n"}, "a reason is needed"),
        ({"data_classes": []}, "at least one data class"),
        ({"actions": []}, "got none"),
        ({"actions": ["read", "reed"]}, "got read, reed"),
        ({"actions": ["READ"]}, "among read, write, delete, export"),
    ],
)
def test_request_that_could_never_be_granted_is_refused(changed: dict[str, Any], said: str) -> None:
    """The message says what came and what was expected."""
    with pytest.raises(UsageError, match=said):
        request(**GIVEN | changed)


def test_request_for_a_closed_ticket_contradicts_what_is_there() -> None:
    """It could be made once the ticket is open again."""
    with pytest.raises(Contradicted, match="BUG-9 is closed"):
        request(**GIVEN | {"ticket": replace(BUG, closed_us=NOW)})


@pytest.mark.parametrize("duration_s", [60, LONGEST_S])
def test_shortest_and_longest_grant_may_be_asked_for(duration_s: int) -> None:
    """Both bounds belong to it."""
    assert request(**GIVEN | {"duration_s": duration_s}).duration_s == duration_s


def test_every_action_may_be_asked_for() -> None:
    """Whether it is granted is the approver's decision."""
    assert request(**GIVEN | {"actions": list(Action)}).actions == tuple(Action)


def test_incident_of_every_customer_covers_each_of_them() -> None:
    """A bug that concerns all customers names each."""
    assert request(**GIVEN | {"ticket": replace(BUG, customers=("*",))}).customer == "acme"


def test_approval_makes_a_grant_of_exactly_what_was_asked_for() -> None:
    """It begins now and ends when asked, and the request says who decided and when."""
    decided, grant = approve(ASKED, ticket=BUG, approver="dana", now_us=NOW + 60)
    assert decided == replace(
        ASKED,
        state=RequestState.APPROVED,
        decided_us=NOW + 60,
        decided_by="dana",
        approved_by=("dana",),
        approved_via=("",),
    )
    assert grant == GRANT


def test_denial_says_who_and_when() -> None:
    """No grant comes of it."""
    decided = deny(ASKED, approver="dana", now_us=NOW + 60)
    assert decided == replace(ASKED, state=RequestState.DENIED, decided_us=NOW + 60, decided_by="dana")


@pytest.mark.parametrize(
    ("subject", "approver"),
    [
        ("priya", "priya"),
        ("priya", "PRIYA"),
        ("priya", " priya "),
        ("ren\u00e9", "rene\u0301"),
        ("priya", "\uff50\uff52\uff49\uff59\uff41"),  # the same letters, full width
    ],
)
def test_nobody_decides_on_their_own_request(subject: str, approver: str) -> None:
    """However the name is spelled."""
    own = replace(ASKED, subject=subject)
    with pytest.raises(UsageError, match="cannot decide on it"):
        approve(own, ticket=BUG, approver=approver, now_us=NOW)
    with pytest.raises(UsageError, match="cannot decide on it"):
        deny(own, approver=approver, now_us=NOW)


@pytest.mark.parametrize("approver", ["", " "])
def test_decision_by_nobody_is_refused(approver: str) -> None:
    """An approval without a name could not be answered for."""
    with pytest.raises(UsageError, match="expected an approver"):
        approve(ASKED, ticket=BUG, approver=approver, now_us=NOW)
    with pytest.raises(UsageError, match="expected an approver"):
        deny(ASKED, approver=approver, now_us=NOW)


@pytest.mark.parametrize("state", [RequestState.APPROVED, RequestState.DENIED])
def test_decided_request_stays_decided(state: RequestState) -> None:
    """A second decision is refused, whichever the first was."""
    decided = replace(ASKED, state=state, decided_by="dana")
    said = f"R-1 was {state} by dana"
    with pytest.raises(UsageError, match=said):
        approve(decided, ticket=BUG, approver="erin", now_us=NOW)
    with pytest.raises(UsageError, match=said):
        deny(decided, approver="erin", now_us=NOW)


def test_approval_for_a_closed_ticket_is_refused() -> None:
    """A ticket that closed meanwhile needs no access."""
    with pytest.raises(Contradicted, match="BUG-9 is closed"):
        approve(ASKED, ticket=replace(BUG, closed_us=NOW), approver="dana", now_us=NOW)


def test_approval_with_another_ticket_is_refused() -> None:
    """That another ticket is open says nothing of the one asked for."""
    with pytest.raises(UsageError, match="R-1 is for BUG-9"):
        approve(ASKED, ticket=replace(BUG, id="BUG-10"), approver="dana", now_us=NOW)


def test_revocation_ends_a_grant_at_once_and_for_good() -> None:
    """A second revocation does not change when it ended."""
    ended = revoke(GRANT, now_us=NOW + 100)
    assert GRANT.is_active(NOW + 100)
    assert not ended.is_active(NOW + 100)
    assert ended.revoked_us == NOW + 100
    assert revoke(ended, now_us=NOW + 200) is ended


FOLLOWS: dict[State, set[State]] = {
    RequestState.REQUESTED: {
        RequestState.APPROVED,
        RequestState.DENIED,
        RequestState.WITHDRAWN,
        RequestState.EXPIRED,
    },
    GrantState.ACTIVE: {GrantState.EXPIRED, GrantState.REVOKED, GrantState.EXHAUSTED},
}
STATES: tuple[State, ...] = (*RequestState, *GrantState)


@pytest.mark.parametrize(("before", "after"), list(product(STATES, STATES)))
def test_only_what_waits_or_is_active_becomes_anything_else(before: State, after: State) -> None:
    """Every pair: a request is answered once, a grant ends once, and neither becomes the other."""
    if after in FOLLOWS.get(before, set()):
        require_transition("X-1", before, after)
        return
    with pytest.raises(Contradicted, match=f"got X-1, which is {before}; it cannot become {after}"):
        require_transition("X-1", before, after)


ANSWERS: dict[RequestState, Callable[[AccessRequest], AccessRequest]] = {
    RequestState.APPROVED: lambda asked: approve(asked, ticket=BUG, approver="dana", now_us=NOW)[0],
    RequestState.DENIED: lambda asked: deny(asked, approver="dana", now_us=NOW),
    RequestState.WITHDRAWN: lambda asked: withdraw_unheld(asked, now_us=NOW, why="BUG-9 was closed"),
    RequestState.EXPIRED: lambda asked: expire_unanswered(replace(asked, answer_by_us=1), now_us=NOW),
}
ENDINGS: dict[GrantState, Callable[[Grant], Grant]] = {
    GrantState.REVOKED: lambda grant: revoke(grant, now_us=NOW),
    GrantState.EXPIRED: lambda grant: end_if_over(grant, Usage(grant.id), now_us=grant.ends_us),
    GrantState.EXHAUSTED: lambda grant: end_if_over(grant, Usage(grant.id, requests=7), now_us=NOW),
}


@pytest.mark.parametrize("after", ANSWERS)
@pytest.mark.parametrize("before", RequestState)
def test_request_is_answered_once(before: RequestState, after: RequestState) -> None:
    """Whatever answers it asks the same table: of one that is answered, it refuses, or leaves it so."""
    try:
        left = ANSWERS[after](replace(ASKED, state=before)).state
    except Contradicted:
        left = before
    assert left is (after if before is RequestState.REQUESTED else before)


@pytest.mark.parametrize("after", ENDINGS)
@pytest.mark.parametrize("over", [{}, {"revoked_us": NOW}, {"ended_us": NOW}], ids=["active", "revoked", "ended"])
def test_grant_ends_once(over: dict[str, int], after: GrantState) -> None:
    """And stays as it ended."""
    grant = replace(GRANT, **over)
    try:
        left = ENDINGS[after](grant)
    except Contradicted:
        left = grant
    if over:
        assert left == grant
    else:
        assert (bool(left.revoked_us), bool(left.ended_us)) == (
            after is GrantState.REVOKED,
            after is not GrantState.REVOKED,
        )
