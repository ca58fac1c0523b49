"""Access requests and grants as acts: who may, what is refused and in which words, what is written, what is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from gateway.acts import Actor
from gateway.acts.access import (
    approve_access,
    consent_to_access,
    deny_access,
    revoke_grant,
    withdraw_access,
)
from gateway.acts.customers import set_conditions
from gateway.acts.tickets import assign_ticket, close_ticket, hand_off_ticket
from gateway.clock import SECOND_US
from gateway.errors import Contradicted, Forbidden, NotFound, UsageError
from gateway.justification import AccessRequest, Grant, RequestState, Usage, requests
from tests.world.office import (
    ADA,
    APPROVER,
    BO,
    ENGINEER,
    HOUR_US,
    INFOSEC,
    OPERATOR,
    SECOND_APPROVER,
    Bureau,
)

Act = Callable[[], object]


def refused(bureau: Bureau, act: Act, said: str, kind: type[Exception] = UsageError) -> None:
    """That an act is refused in these words, and that nothing came of it."""
    before, since = bureau.snapshot(), len(bureau.entries)
    with pytest.raises(kind, match=said):
        act()
    assert (bureau.snapshot(), len(bureau.entries)) == (before, since)


def conditions(bureau: Bureau, *, approvers: int = 1, consent: bool = False) -> None:
    set_conditions(bureau.office, OPERATOR, "acme", approvers=approvers, consent=consent)


def test_request_is_written_down_with_everything_it_asks_for(bureau: Bureau) -> None:
    """Who, for whom, for what, why and for how long; and approvers are told."""
    bureau.bug()
    asked = bureau.ask(max_bytes=5_000, max_requests=7)
    entry = bureau.entries[-1]
    assert (entry["actor"], entry["act"], entry["object"]) == ("priya", "access.request", asked.id)
    assert entry["details"] == {
        "ticket": "BUG-9",
        "customer": "acme",
        "data_classes": ["conversation"],
        "actions": ["read"],
        "duration_s": 4 * 3_600,
        "max_bytes": 5_000,
        "max_requests": 7,
        "reason": "the stack trace needs the recording",
        "actor_kind": "personnel",
    }
    assert ("access.requested", asked.id) in bureau.notices()
    assert bureau.state.get(AccessRequest, asked.id) == asked
    assert asked.answer_by_us == bureau.now_us + 3 * 24 * HOUR_US


@pytest.mark.parametrize(
    ("changes", "said", "kind"),
    [
        ({"ticket": "BUG-none"}, "no ticket 'BUG-none'", NotFound),
        ({"customer": "nobody"}, "no customer 'nobody'", NotFound),
        ({"ticket": "CASE-5"}, "CASE-5 is a support ticket; access is requested for a bug", UsageError),
        ({"ticket": "INC-7"}, "INC-7 is a security ticket", UsageError),
        ({"ticket": "BUG-8"}, "BUG-8 is closed; name another bug ticket", Contradicted),
        ({"customer": "globex"}, "BUG-9 does not name globex; it names acme", UsageError),
        ({"ticket": "BUG-1", "customer": "globex"}, "globex has no plan in effect, so that nobody needs", Contradicted),
        (
            {"data_classes": ["case", "crm_account"], "actions": ["read", "write"]},
            "engineer may never read crm_account, write crm_account, so that",
            UsageError,
        ),
        ({"data_classes": ["gossip"]}, "unknown data class gossip; expected among", UsageError),
        ({"data_classes": []}, "at least one data class", UsageError),
        ({"actions": ["peek"]}, "got peek", UsageError),
        ({"duration_s": 7 * 86_400 + 1}, "to 7 days; 604801 seconds were asked for", UsageError),
        ({"duration_s": 59}, "59 seconds were asked for", UsageError),
        ({"reason": " "}, "a reason is needed", UsageError),
        ({"max_bytes": -1}, "got the caps -1 bytes and 0 requests", UsageError),
        ({"max_requests": -7}, "0 bytes and -7 requests", UsageError),
    ],
)
def test_request_that_could_never_be_granted_is_refused_at_once(
    bureau: Bureau, changes: dict[str, Any], said: str, kind: type[Exception]
) -> None:
    """With a clear reason, and no trace."""
    bureau.bug(), bureau.bug("BUG-1", "globex"), bureau.bug("BUG-8"), bureau.case(), bureau.incident()
    close_ticket(bureau.office, OPERATOR, "BUG-8")
    refused(bureau, lambda: bureau.ask(**changes), said, kind)


def test_what_the_role_may_by_grant_only_is_asked_for_without_a_plan_too(bureau: Bureau) -> None:
    """Least privilege is no part of the plan: nobody changes a customer's data without a grant that says so."""
    bureau.bug("BUG-1", "globex")
    asked = bureau.ask(ticket="BUG-1", customer="globex", actions=["read", "write"])
    assert asked.state is RequestState.REQUESTED


def test_request_for_what_is_granted_already_is_refused(bureau: Bureau) -> None:
    """But not one for more of anything: longer, another class, another action, a higher cap or none."""
    bureau.bug()
    grant = bureau.granted(max_requests=7)
    refused(bureau, lambda: bureau.ask(max_requests=7), f"{grant.id} grants all of this already", Contradicted)
    refused(bureau, lambda: bureau.ask(max_requests=3, duration_s=60), "grants all of this already", Contradicted)
    for more in (
        {"max_requests": 7, "duration_s": 5 * 3_600},
        {"max_requests": 7, "data_classes": ["case"]},
        {"max_requests": 7, "actions": ["read", "export"]},
        {"max_requests": 8},
        {"max_requests": 0},
    ):
        withdraw_access(bureau.office, ENGINEER, bureau.ask(**more).id)


def test_request_for_what_is_used_up_is_a_new_one(bureau: Bureau) -> None:
    """A grant that nothing is left of grants nothing, even before anybody has ended it."""
    bureau.bug()
    grant = bureau.granted(max_requests=1)
    bureau.state.put(Usage(grant.id, requests=1))
    assert bureau.ask(max_requests=1).state is RequestState.REQUESTED


def test_same_request_waits_once(bureau: Bureau) -> None:
    """Until it is withdrawn, or nobody answered in time."""
    bureau.bug()
    asked = bureau.ask()
    refused(bureau, bureau.ask, f"{asked.id} asks for the same and waits for its answer", Contradicted)
    bureau.clock.advance(3 * 86_400)
    assert bureau.ask().id != asked.id


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("priya", "made R-.* and cannot decide on it"),
        ("PRIYA", "made R-"),
        (" priya\t", "made R-"),
        ("\uff50riya", "made R-"),  # FULLWIDTH LATIN SMALL LETTER P
        ("pri\u200bya", "made R-"),  # a blank of no width
        ("pri\u00adya", "made R-"),  # a hyphen that does not show
        ("priya\u2060\ufeff", "made R-"),
        ("priya\ufe0f", "made R-"),  # a variation selector
        ("pri\u034fya", "made R-"),  # a combining grapheme joiner
        ("pri\u180bya", "made R-"),  # a selector of Mongolian variants
        ("priya\U000e0100", "made R-"),  # a variation selector beyond the first sixteen
        ("priya\u2065", "made R-"),  # unassigned, and ignored by default all the same
        ("priya\ufff0\U000e0fff", "made R-"),
        ("priya\u2800", "made R-"),  # a Braille pattern without dots
        ("pri\u0345ya", "made R-"),  # an iota below a letter that has no place for one
        ("priya\U0001d173", "made R-"),  # the beginning of a beam
        ("hans", "holds BUG-9"),
        ("HANS\u200d", "holds BUG-9"),
        ("", "nobody is named"),
        ("\u200b \u00ad", "nobody is named"),
    ],
)
def test_nobody_approves_their_own_request_or_one_for_a_ticket_they_hold(bureau: Bureau, name: str, said: str) -> None:
    """However they spell themselves, and whatever else they may do."""
    bureau.bug(holder="hans")
    asked = bureau.ask()
    approver = Actor(name, frozenset({"approver", "engineer", "admin"}))
    refused(bureau, lambda: approve_access(bureau.office, approver, asked.id), said)
    refused(bureau, lambda: approve_access(bureau.office, Actor(name, operator=True), asked.id), said)


@pytest.mark.parametrize("again", ["dana", "Dana ", "DANA", "da\u200dna"])
def test_nobodys_approval_counts_twice(bureau: Bureau, again: str) -> None:
    """However they spell themselves."""
    bureau.bug()
    conditions(bureau, approvers=2)
    asked = bureau.ask()
    approve_access(bureau.office, APPROVER, asked.id)
    same = replace(APPROVER, name=again)
    refused(bureau, lambda: approve_access(bureau.office, same, asked.id), "approved R-", Contradicted)


def test_names_that_differ_are_two_people() -> None:
    """Folding the spelling makes nobody somebody else."""
    names = ("dana", "dan", "dana b", "danab", "dána", "ԁana", "d-ana", "d.ana", "dana@acme")
    assert all(requests.is_same(one, two) is (one == two) for one in names for two in names)
    assert requests.is_same("Straße", "STRASSE")
    assert requests.is_same("e\u0301va", "\u00c9VA")
    assert requests.is_same("\u1fb3", "\u1fbc")  # alpha with an iota below, small and capital
    assert not requests.is_same("\u1fb3", "\u03b1")


def test_approval_makes_a_grant_that_is_written_down_and_told(bureau: Bureau) -> None:
    """One entry names all of it; two notices: the request was approved, the grant began."""
    bureau.bug()
    asked, since = bureau.ask(), len(bureau.entries)
    bureau.clock.advance(60)
    grant = approve_access(bureau.office, APPROVER, asked.id)
    assert isinstance(grant, Grant)
    assert bureau.acts(since) == [("dana", "access.approve", grant.id)]
    details = bureau.entries[-1]["details"]
    assert details == {
        "request": asked.id,
        "grant": grant.id,
        "grantee": "priya",
        "ticket": "BUG-9",
        "customer": "acme",
        "data_classes": ["conversation"],
        "actions": ["read"],
        "approved_by": "dana",
        "consented_by": "",
        "ends_us": bureau.now_us + 4 * HOUR_US,
        "why": "",
        "actor_kind": "personnel",
    }
    assert bureau.notices()[-2:] == [("access.approved", asked.id), ("grant.began", grant.id)]
    assert bureau.state.get(Grant, grant.id) == grant


def test_grant_waits_for_two_approvers_and_the_consent_where_both_are_demanded(bureau: Bureau) -> None:
    """In any order; each step is written down with what is missing, and no grant is there before the last."""
    bureau.bug()
    conditions(bureau, approvers=2, consent=True)
    asked, since = bureau.ask(), len(bureau.entries)
    approve_access(bureau.office, APPROVER, asked.id)
    consent_to_access(bureau.office, ADA, asked.id)
    assert not list(bureau.state.all(Grant))
    grant = approve_access(bureau.office, SECOND_APPROVER, asked.id)
    assert isinstance(grant, Grant)
    assert grant.approved_by == "dana, dave"
    assert [(act, entry["details"].get("missing")) for (_, act, _), entry in zip(
        bureau.acts(since), bureau.entries[since:], strict=True
    )] == [
        ("access.approve", "1 more approver and the consent of acme"),
        ("access.consent", "1 more approver"),
        ("access.approve", None),
    ]  # fmt: skip
    assert bureau.entries[-1]["details"]["consented_by"] == "ada@acme"


def test_condition_that_came_after_the_request_counts_too(bureau: Bureau) -> None:
    """A customer that demands more before the grant is there gets it."""
    bureau.bug()
    asked = bureau.ask()
    conditions(bureau, approvers=2, consent=True)
    approve_access(bureau.office, APPROVER, asked.id)
    approve_access(bureau.office, SECOND_APPROVER, asked.id)
    assert not list(bureau.state.all(Grant))
    assert isinstance(consent_to_access(bureau.office, ADA, asked.id), Grant)


def test_condition_that_was_dropped_after_the_request_counts_still(bureau: Bureau) -> None:
    """Nobody gets a request through by lowering what it was made under."""
    bureau.bug()
    conditions(bureau, approvers=2, consent=True)
    asked = bureau.ask()
    conditions(bureau)
    waits = approve_access(bureau.office, APPROVER, asked.id)
    assert isinstance(waits, AccessRequest)
    assert requests.missing(waits) == "1 more approver and the consent of acme"


def test_consent_that_is_not_demanded_or_given_already_is_refused(bureau: Bureau) -> None:
    """Consent given in advance of a condition is not stored up for it, and nobody takes another's place."""
    bureau.bug()
    asked = bureau.ask()
    refused(bureau, lambda: consent_to_access(bureau.office, ADA, asked.id), "needs no consent", Contradicted)
    conditions(bureau, consent=True)
    consent_to_access(bureau.office, ADA, asked.id)
    other = replace(ADA, name="abe@acme")
    refused(bureau, lambda: consent_to_access(bureau.office, other, asked.id), "ada@acme consented", Contradicted)
    assert bureau.state.get(AccessRequest, asked.id).consented_by == "ada@acme"


@pytest.mark.parametrize("by", ["", " ", "priya", "PRIYA", "dana"])
def test_consent_is_somebody_elses_word(bureau: Bureau, by: str) -> None:
    """Neither nobody's, nor the requester's, nor an approver's."""
    bureau.bug()
    conditions(bureau, approvers=2, consent=True)
    asked = bureau.ask()
    approve_access(bureau.office, APPROVER, asked.id)
    refused(bureau, lambda: consent_to_access(bureau.office, OPERATOR, asked.id, by=by), "consent")


def test_who_consented_for_the_customer_does_not_approve(bureau: Bureau) -> None:
    """One person speaks once."""
    bureau.bug()
    conditions(bureau, consent=True)
    asked = bureau.ask()
    consent_to_access(bureau.office, OPERATOR, asked.id, by="Dave")
    refused(bureau, lambda: approve_access(bureau.office, SECOND_APPROVER, asked.id), "consented to")


def test_another_customers_user_does_not_consent(bureau: Bureau) -> None:
    """Each consents for its own customer."""
    bureau.bug()
    conditions(bureau, consent=True)
    asked = bureau.ask()
    refused(bureau, lambda: consent_to_access(bureau.office, BO, asked.id), "another customer", Forbidden)


def test_approval_of_who_came_to_hold_the_ticket_counts_no_longer(bureau: Bureau) -> None:
    """Dana approves, then takes the ticket over; Dave's approval alone is not two."""
    bureau.bug()
    conditions(bureau, approvers=2)
    asked = bureau.ask()
    approve_access(bureau.office, APPROVER, asked.id)
    assign_ticket(bureau.office, OPERATOR, "BUG-9", holder="Dana")
    waits = approve_access(bureau.office, SECOND_APPROVER, asked.id)
    assert isinstance(waits, AccessRequest)
    assert waits.approved_by == ("dave",)
    third = replace(APPROVER, name="drew")
    assert isinstance(approve_access(bureau.office, third, asked.id), Grant)


@pytest.mark.parametrize("name", ["dana", "DANA\u200d"])
def test_who_held_the_ticket_approves_nothing_for_it_after_a_hand_off(bureau: Bureau, name: str) -> None:
    """Neither who opened it in their own hands, nor who had it in between."""
    bureau.bug(holder="dana")
    assign_ticket(bureau.office, OPERATOR, "BUG-9", holder="dave")
    hand_off_ticket(bureau.office, SECOND_APPROVER, "BUG-9")
    asked = bureau.ask()
    dana = replace(APPROVER, name=name)
    refused(bureau, lambda: approve_access(bureau.office, dana, asked.id), f"{name} held BUG-9")
    refused(bureau, lambda: approve_access(bureau.office, SECOND_APPROVER, asked.id), "dave held BUG-9")
    assert isinstance(approve_access(bureau.office, replace(APPROVER, name="drew"), asked.id), Grant)


def test_approval_of_who_held_the_ticket_since_counts_no_longer(bureau: Bureau) -> None:
    """Dana approves, takes the ticket over and gives it away; Dave's approval alone is not two."""
    bureau.bug()
    conditions(bureau, approvers=2)
    asked = bureau.ask()
    approve_access(bureau.office, APPROVER, asked.id)
    for holder in ("Dana", "hans"):
        assign_ticket(bureau.office, OPERATOR, "BUG-9", holder=holder)
    waits = approve_access(bureau.office, SECOND_APPROVER, asked.id)
    assert isinstance(waits, AccessRequest)
    assert waits.approved_by == ("dave",)


DECIDED: dict[str, Callable[[Bureau, str], object]] = {
    "approved": lambda b, r: approve_access(b.office, APPROVER, r),
    "denied": lambda b, r: deny_access(b.office, APPROVER, r, why="no need"),
    "withdrawn": lambda b, r: withdraw_access(b.office, ENGINEER, r),
    "expired-unanswered": lambda b, r: (b.clock.advance(3 * 86_400), b.steward.attend()),
}


@pytest.mark.parametrize("how", DECIDED)
def test_decided_request_stays_decided(bureau: Bureau, how: str) -> None:
    """Whatever is tried afterwards is refused and says what became of it."""
    bureau.bug()
    asked = bureau.ask()
    DECIDED[how](bureau, asked.id)
    assert bureau.state.get(AccessRequest, asked.id).state == how
    said = f"{asked.id} was {how} by "
    refused(bureau, lambda: approve_access(bureau.office, SECOND_APPROVER, asked.id), said, Contradicted)
    refused(bureau, lambda: deny_access(bureau.office, SECOND_APPROVER, asked.id, why="no"), said, Contradicted)
    refused(bureau, lambda: withdraw_access(bureau.office, ENGINEER, asked.id), said, Contradicted)


def test_answer_counts_until_just_before_the_answer_by_time(bureau: Bureau) -> None:
    """At that time it is too late, whether or not anybody has written that down yet."""
    bureau.bug()
    asked = bureau.ask()
    bureau.clock.advance(3 * 86_400)
    for act in (approve_access, deny_access):
        late = partial(act, bureau.office, APPROVER, asked.id, why="the stack trace says so")
        refused(bureau, late, "not answered in time", Contradicted)
    bureau.clock.jump(-1e-6)
    assert isinstance(approve_access(bureau.office, APPROVER, asked.id), Grant)


def test_denial_and_withdrawal_say_why_and_are_told(bureau: Bureau) -> None:
    """One entry each."""
    bureau.bug()
    first = bureau.ask()
    deny_access(bureau.office, APPROVER, first.id, why="the log is enough")
    assert bureau.entries[-1]["details"]["why"] == "the log is enough"
    second = bureau.ask()
    withdraw_access(bureau.office, ENGINEER, second.id)
    assert bureau.acts()[-2:] == [("priya", "access.request", second.id), ("priya", "access.withdraw", second.id)]
    assert ("access.denied", first.id) in bureau.notices()
    assert bureau.notices()[-1] == ("access.withdrawn", second.id)


def test_nobody_denies_their_own_request_or_withdraws_anothers(bureau: Bureau) -> None:
    """Who does not want it any more withdraws it."""
    bureau.bug()
    asked = bureau.ask()
    own = Actor("Priya", frozenset({"approver"}))
    refused(bureau, lambda: deny_access(bureau.office, own, asked.id, why="no"), "made R-")
    other = replace(ENGINEER, name="pavel")
    refused(bureau, lambda: withdraw_access(bureau.office, other, asked.id), "only they withdraw it", Forbidden)


def test_request_of_a_ticket_that_has_closed_ends_with_it(bureau: Bureau) -> None:
    """It is withdrawn by the closing, and cannot be approved."""
    bureau.bug()
    asked = bureau.ask()
    close_ticket(bureau.office, ENGINEER, "BUG-9")
    assert bureau.state.get(AccessRequest, asked.id).state is RequestState.WITHDRAWN
    refused(bureau, lambda: approve_access(bureau.office, APPROVER, asked.id), "was withdrawn", Contradicted)


def test_request_longer_than_the_policy_allows_by_now_is_not_approved(bureau: Bureau) -> None:
    """The bound of the day of the approval counts, too."""
    bureau.bug()
    asked = bureau.ask()
    stricter = replace(bureau.office, longest_grant_s=3_600)
    refused(bureau, lambda: approve_access(stricter, APPROVER, asked.id), "longer than a grant may last", Contradicted)


def test_revoked_grant_is_over_at_once_for_good(bureau: Bureau) -> None:
    """By its own id or that of its request; a second time changes nothing and is not written down."""
    bureau.bug()
    grant = bureau.granted()
    since = len(bureau.entries)
    ended = revoke_grant(bureau.office, INFOSEC, grant.request, why="odd sign-ins")
    assert ended == replace(grant, revoked_us=bureau.now_us, why="odd sign-ins")
    assert revoke_grant(bureau.office, APPROVER, grant.id, why="again") == ended
    assert bureau.acts(since) == [("liam", "access.revoke", grant.id)]
    assert bureau.notices()[-1] == ("grant.revoked", grant.id)


def test_grant_that_is_over_is_not_revoked(bureau: Bureau) -> None:
    """The message says since when; an unknown one is not found."""
    bureau.bug()
    grant = bureau.granted()
    bureau.clock.advance(4 * 3_600)
    revoke = partial(revoke_grant, bureau.office, APPROVER, why="found it")
    refused(bureau, lambda: revoke(grant.id), "is over since 2026-01-13T20:00", Contradicted)
    refused(bureau, lambda: revoke("G-none"), "no grant 'G-none'", NotFound)


def test_grant_is_revoked_by_a_clock_that_is_behind_the_one_it_began_by(bureau: Bureau) -> None:
    """A command on a machine whose clock was set back ends what the gateway still honours."""
    bureau.bug()
    grant = bureau.granted()
    bureau.clock.jump(-3_600)
    ended = revoke_grant(bureau.office, APPROVER, grant.id, why="found it")
    assert ended.revoked_us == grant.starts_us - 3_600 * SECOND_US


@pytest.mark.parametrize("why", ["", " \n"])
def test_denial_and_revocation_need_a_reason(bureau: Bureau, why: str) -> None:
    """Without one nothing is done, and the message says what is missing."""
    bureau.bug()
    grant, asked = bureau.granted(), bureau.ask(data_classes=["case"])
    refused(bureau, lambda: deny_access(bureau.office, APPROVER, asked.id, why=why), "got no reason; expected why")
    refused(bureau, lambda: revoke_grant(bureau.office, APPROVER, grant.id, why=why), "got no reason; expected why")


def test_approval_and_consent_may_say_why(bureau: Bureau) -> None:
    """At each step, for the record."""
    bureau.bug()
    conditions(bureau, consent=True)
    asked = bureau.ask()
    approve_access(bureau.office, APPROVER, asked.id, why=" the trace is of no use without ")
    consent_to_access(bureau.office, ADA, asked.id, why="agreed by telephone")
    said = [entry["details"]["why"] for entry in bureau.entries[-2:]]
    assert said == ["the trace is of no use without", "agreed by telephone"]


def at_the_command_line(name: str, account: str = "root", node: str = "node-1") -> Actor:
    return Actor(name, operator=True, via=f"cli:{account}@{node}")


@pytest.mark.parametrize("node", ["node-1", "node-2"])
def test_one_account_at_the_command_line_is_one_approver_whoever_it_acts_for(bureau: Bureau, node: str) -> None:
    """``--as`` may name anybody: the second approval is of another account, or comes with a token."""
    bureau.bug()
    conditions(bureau, approvers=2)
    asked = bureau.ask(at_the_command_line("priya"))
    approve_access(bureau.office, at_the_command_line("dana"), asked.id)
    again = at_the_command_line("dave", node=node)
    refused(
        bureau,
        lambda: approve_access(bureau.office, again, asked.id),
        f"root approved {asked.id} at the command line already, as dana; .* another person's",
        Contradicted,
    )
    assert bureau.state.get(AccessRequest, asked.id).approved_via == ("cli:root@node-1",)
    grant = approve_access(bureau.office, at_the_command_line("dave", "olga"), asked.id)
    assert isinstance(grant, Grant)
    assert bureau.state.get(AccessRequest, asked.id).approved_via == ("cli:root@node-1", "cli:olga@node-1")
    assert bureau.entries[-1]["details"]["via"] == "cli:olga@node-1"


def test_two_tokens_and_an_account_are_three_people(bureau: Bureau) -> None:
    """A tool that acts for several people makes them no single one."""
    bureau.bug()
    conditions(bureau, approvers=2)
    asked = bureau.ask()
    approve_access(bureau.office, replace(APPROVER, via="helpdesk"), asked.id)
    assert isinstance(approve_access(bureau.office, replace(SECOND_APPROVER, via="helpdesk"), asked.id), Grant)
