"""Tickets as acts: opened, assigned at home, queued, of another severity, handed off, widened, closed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from gateway.acts import Actor, Office
from gateway.acts.access import approve_access
from gateway.acts.customers import enable_plan, order_plan
from gateway.acts.tickets import (
    assign_ticket,
    change_severity,
    close_ticket,
    hand_off_ticket,
    open_ticket,
    widen_incident,
)
from gateway.catalog import Customer
from gateway.clock import SECOND_US, parse_rfc3339
from gateway.errors import Contradicted, NotFound, UsageError
from gateway.justification import (
    QUEUE_AT_HOME,
    AccessRequest,
    Authorization,
    Grant,
    RequestState,
    Ticket,
    TicketKind,
)
from gateway.notification import Notice
from tests.world.office import ADMIN, APPROVER, INFOSEC, MANAGER, OPERATOR, SUPPORT, Bureau


def refused(bureau: Bureau, act: Callable[[], object], said: str, kind: type[Exception] = UsageError) -> None:
    """That an act is refused in these words, and that nothing came of it."""
    before, since = bureau.snapshot(), len(bureau.entries)
    with pytest.raises(kind, match=said):
        act()
    assert (bureau.snapshot(), len(bureau.entries)) == (before, since)


def at(bureau: Bureau, moment: str) -> None:
    """It is now this moment."""
    bureau.clock.advance((parse_rfc3339(moment) - bureau.now_us) / SECOND_US)


def opened(office: Office, **changes: Any) -> Ticket:
    given: dict[str, Any] = {"id": "T-1", "kind": TicketKind.BUG, "customers": ["acme"], "title": "Crash"}
    return open_ticket(office, OPERATOR, **given | changes)


@pytest.mark.parametrize(
    ("changes", "said", "kind"),
    [
        ({"id": ""}, "got the ticket id ''", UsageError),
        ({"id": " T-1"}, "without blanks around it", UsageError),
        ({"id": "T-1 "}, "without blanks around it", UsageError),
        ({"id": "T\n1"}, "one line", UsageError),
        ({"id": "T" * 129}, "at most 128 characters", UsageError),
        ({"id": "TAKEN"}, "there is a ticket TAKEN already", Contradicted),
        ({"customers": []}, "no customer is named", UsageError),
        ({"customers": ["acme", "nobody"]}, "no customer 'nobody'", NotFound),
        ({"customers": ["*"]}, "a bug ticket cannot concern every customer", UsageError),
        ({"severity": 1}, "severity of 1 to 4, and no other kind has one", UsageError),
        ({"severity": 5}, "severity of 1 to 4", UsageError),
        ({"severity": -1}, "severity of 1 to 4", UsageError),
        ({"kind": TicketKind.SUPPORT}, "severity of 1 to 4", UsageError),
        ({"kind": TicketKind.SUPPORT, "severity": 5}, "severity of 1 to 4", UsageError),
        ({"kind": TicketKind.SUPPORT, "severity": 1, "customers": ["*"]}, "cannot concern every customer", UsageError),
        ({"nature": "incident"}, "only a security ticket is an incident or an investigation", UsageError),
        ({"kind": TicketKind.SECURITY, "nature": "hunch"}, "got 'hunch'", UsageError),
    ],
)
def test_ticket_that_cannot_be_is_not_opened(
    bureau: Bureau, changes: dict[str, Any], said: str, kind: type[Exception]
) -> None:
    """With the reason, and no trace."""
    opened(bureau.office, id="TAKEN")
    refused(bureau, lambda: opened(bureau.office, **changes), said, kind)


def test_opened_ticket_is_written_down_and_has_a_history(bureau: Bureau) -> None:
    """Its customers, once each, and who opened it."""
    ticket = opened(bureau.office, customers=["acme", "globex", "acme"])
    assert ticket.customers == ("acme", "globex")
    assert bureau.acts() == [("olga", "ticket.open", "T-1")]
    assert bureau.entries[0]["details"]["customers"] == ["acme", "globex"]
    assert bureau.history("T-1") == [("olga", "ticket.open")]
    assert bureau.state.get(Ticket, "T-1") == ticket


def test_incident_of_every_customer_names_nobody_beside(bureau: Bureau) -> None:
    """Whoever reads it does not wonder what the others are for."""
    ticket = opened(bureau.office, kind=TicketKind.SECURITY, customers=["acme", "*"])
    assert (ticket.customers, ticket.nature) == (("*",), "incident")
    assert bureau.notices() == [*bureau.notices()[:-1], ("incident.opened", "T-1")]


# A case arrives (New York; in January it is UTC-5): who has it, and until when it waits.
@pytest.mark.parametrize(
    ("moment", "severity", "customer", "waits_until"),
    [
        ("2026-01-13T16:00:00Z", 3, "acme", ""),  # Tuesday 11:00, open
        ("2026-01-13T16:00:00Z", 1, "acme", ""),
        ("2026-01-14T00:59:59.999999Z", 2, "acme", ""),  # 19:59:59.999999, just open
        ("2026-01-14T01:00:00Z", 2, "acme", "2026-01-14T13:00:00Z"),  # 20:00, closed: Wednesday 08:00
        ("2026-01-14T01:00:00Z", 1, "acme", ""),  # critical: at once
        ("2026-01-14T12:59:59.999999Z", 4, "acme", "2026-01-14T13:00:00Z"),  # just before 08:00
        ("2026-01-17T02:00:00Z", 4, "acme", "2026-01-19T13:00:00Z"),  # Friday 21:00: Monday 08:00
        ("2026-01-17T16:00:00Z", 3, "acme", "2026-01-19T13:00:00Z"),  # Saturday: Monday
    ],
)
def test_protected_customers_case_is_queued_at_home(
    bureau: Bureau, moment: str, severity: int, customer: str, waits_until: str
) -> None:
    """At once where support is open or it is critical, else for the next opening (``next-business-day``)."""
    at(bureau, moment)
    case = bureau.case("CASE-1", customer, severity=severity)
    assert case.holder == QUEUE_AT_HOME
    assert case.queued_until_us == (parse_rfc3339(waits_until) if waits_until else 0)
    assert bureau.notices()[-1] == ("ticket.queued", "CASE-1")


def test_case_that_arrives_outside_the_window_waits_whoever_has_it(bureau: Bureau) -> None:
    """An analyst at home who is named at once need not work at night either; without a plan nothing waits."""
    at(bureau, "2026-01-14T02:00:00Z")
    waits = bureau.case("CASE-1", "acme", holder="sam")
    assert (waits.holder, waits.state(bureau.now_us)) == ("sam", "assigned")
    assert waits.queued_until_us == parse_rfc3339("2026-01-14T13:00:00Z")
    free = bureau.case("CASE-2", "globex", holder="raj")
    assert (free.holder, free.state(bureau.now_us)) == ("raj", "assigned")
    assert bureau.case("CASE-3", "globex").state(bureau.now_us) == "open"


@pytest.mark.parametrize(
    ("customers", "holder", "country", "said"),
    [
        (("acme",), "sam", "", ""),  # the directory says US
        (("acme",), "sam", "US", ""),
        (("acme",), "neil", "US", ""),  # unknown to the directory; whoever assigns says so
        (("acme",), "neil", "", "neil has no known work country"),
        (("acme",), "neil", "CA", "neil works in CA"),
        (("acme",), "neil", "us", "neil works in us"),
        (("acme",), "neil", "PR", "neil works in PR"),  # a territory is not home unless the plan lists it
        (("acme",), "raj", "", "raj works in IN"),
        (("acme",), "raj", "US", "raj works in IN, as the workforce directory says, and not in US"),
        (("globex",), "raj", "", ""),  # no plan, no matter
        (("globex", "acme"), "raj", "", "raj works in IN"),  # one protected customer is enough
        (("globex", "acme"), "sam", "", ""),
        (("acme", "north"), "sam", "", "no country: the plans share no home"),
        (("acme", "isles"), "sam", "", ""),
        (("acme", "isles"), "pia", "PR", "assign it to an analyst in US"),
        (("acme",), "", "US", "expected somebody's subject"),
        (("acme",), " ", "US", "expected somebody's subject"),
        (("acme",), "US-Queue", "US", "hand the ticket off"),
    ],
)
def test_case_of_a_protected_customer_is_assigned_at_home_only(
    bureau: Bureau, customers: tuple[str, ...], holder: str, country: str, said: str
) -> None:
    """``us-assignment``, with several customers and homes: the analyst is at home for each of them."""
    for other, home in (("north", ("CA",)), ("isles", ("PR", "US"))):
        bureau.customer(other)
        known = bureau.state.get(Customer, other)
        bureau.state.put(replace(known, plans=tuple(replace(plan, home=home) for plan in known.plans)))
    bureau.case("CASE-1", *customers)

    def act() -> Ticket:
        return assign_ticket(bureau.office, SUPPORT, "CASE-1", holder=holder, country=country)

    if said:
        refused(bureau, act, said)
    else:
        assert act().holder == holder
        assert bureau.acts()[-1] == ("sam", "ticket.assign", "CASE-1")
        assert bureau.notices()[-1] == ("ticket.assigned", "CASE-1")
        since = len(bureau.entries)
        act()  # to the same person again: nothing
        assert len(bureau.entries) == since


@pytest.mark.parametrize("kind", [TicketKind.BUG, TicketKind.SECURITY])
def test_bugs_and_incidents_may_be_held_abroad(bureau: Bureau, kind: TicketKind) -> None:
    """Consents 2 and 4 are for people outside the United States."""
    opened(bureau.office, kind=kind)
    assert assign_ticket(bureau.office, OPERATOR, "T-1", holder="raj").holder_country == "IN"


def test_who_no_longer_holds_a_ticket_loses_what_was_granted_for_it(bureau: Bureau) -> None:
    """Theirs for this ticket, however their name is spelled; nobody else's, and none for another ticket."""
    bureau.bug(holder="PRIYA"), bureau.bug("BUG-8")
    first, second = bureau.granted(), bureau.granted(ticket="BUG-8")
    assign_ticket(bureau.office, OPERATOR, "BUG-9", holder="erin")
    assert bureau.state.get(Grant, first.id).why == "BUG-9 went to somebody else"
    assert bureau.state.get(Grant, second.id) == second
    assert bureau.entries[-1]["details"]["ended"] == [first.id]
    assert bureau.acts()[-2:] == [("olga", "access.revoke", first.id), ("olga", "ticket.assign", "BUG-9")]
    assert ("grant.revoked", first.id) in bureau.notices()


def test_severity_is_changed_with_a_reason_and_the_queue_follows(bureau: Bureau) -> None:
    """At night a case that turns critical is to be taken at once, and one that is critical no longer waits."""
    at(bureau, "2026-01-14T02:00:00Z")
    opening = parse_rfc3339("2026-01-14T13:00:00Z")
    assert bureau.case(severity=3).queued_until_us == opening
    since = len(bureau.entries)
    critical = change_severity(bureau.office, SUPPORT, "CASE-5", severity=1, why="all lines down")
    assert (critical.severity, critical.queued_until_us, critical.holder) == (1, 0, QUEUE_AT_HOME)
    assert bureau.acts(since) == [("sam", "ticket.severity", "CASE-5")]
    details = bureau.entries[-1]["details"]
    assert (details["previous"], details["severity"], details["why"]) == (3, 1, "all lines down")
    assert bureau.history("CASE-5")[-1] == ("sam", "ticket.severity")
    assert change_severity(bureau.office, SUPPORT, "CASE-5", severity=1, why="again") == critical
    assert len(bureau.entries) == since + 1
    assert change_severity(bureau.office, SUPPORT, "CASE-5", severity=2, why="half").queued_until_us == opening


@pytest.mark.parametrize(
    ("ticket", "severity", "why", "said"),
    [
        ("CASE-5", 0, "x", "got severity 0"),
        ("CASE-5", 5, "x", "got severity 5"),
        ("CASE-5", 1, " ", "expected 1 to 4, and a reason"),
        ("BUG-9", 1, "x", "BUG-9 is a bug ticket; only a support ticket has a severity"),
        ("CASE-0", 1, "x", "CASE-0 is closed"),
    ],
)
def test_severity_that_cannot_be_is_refused(bureau: Bureau, ticket: str, severity: int, why: str, said: str) -> None:
    """With the reason, and no trace."""
    bureau.case(), bureau.bug(), bureau.case("CASE-0")
    close_ticket(bureau.office, OPERATOR, "CASE-0")
    refused(bureau, lambda: change_severity(bureau.office, SUPPORT, ticket, severity=severity, why=why), said)


def test_hand_off_moves_the_ticket_and_ends_what_its_holder_had(bureau: Bureau) -> None:
    """Every grant for it, and whatever else its holder was granted of its customers; written down and told, once."""
    bureau.bug("BUG-9", "acme", holder="priya"), bureau.bug("BUG-8", "acme", "globex")
    mine, also_mine = bureau.granted(), bureau.granted(ticket="BUG-8", data_classes=["case"])
    elsewhere = bureau.granted(ticket="BUG-8", customer="globex", actions=["write"])
    since = len(bureau.entries)
    moved = hand_off_ticket(bureau.office, MANAGER, "BUG-9", decision="019a")
    assert (moved.holder, moved.holder_country, moved.handed_off_us) == (QUEUE_AT_HOME, "", bureau.now_us)
    assert [bureau.state.get(Grant, one.id).is_active(bureau.now_us) for one in (mine, also_mine, elsewhere)] == [
        False,
        False,
        True,
    ]
    revoked = sorted([mine.id, also_mine.id])
    assert bureau.acts(since) == [
        *(("maria", "access.revoke", grant) for grant in revoked),
        ("maria", "ticket.handoff", "BUG-9"),
    ]
    assert {entry["details"]["why"] for entry in bureau.entries[since:-1]} == {"BUG-9 was handed to a US analyst"}
    details = bureau.entries[-1]["details"]
    assert (details["previous"], details["denial"]) == ("priya", "019a")
    assert set(details["ended"]) == {mine.id, also_mine.id}
    assert bureau.notices()[-3:] == [
        *(("grant.revoked", grant) for grant in revoked),
        ("ticket.handed_off", "BUG-9"),
    ]
    before = bureau.snapshot()
    assert hand_off_ticket(bureau.office, SUPPORT, "BUG-9") == moved
    assert (bureau.snapshot(), len(bureau.entries)) == (before, since + 3)


def test_holder_hands_off_their_own_ticket(bureau: Bureau) -> None:
    """Whoever is denied abroad sends it on, and loses what it gave them."""
    bureau.bug(holder="priya")
    grant = bureau.granted()
    hand_off_ticket(bureau.office, replace(OPERATOR, name="priya"), "BUG-9")
    assert bureau.state.get(Grant, grant.id).revoked_us


def test_hand_off_ends_a_grant_by_a_clock_that_is_behind(bureau: Bureau) -> None:
    """One that did not begin yet, as this clock sees it, does not begin afterwards."""
    bureau.bug()
    grant = bureau.granted()
    bureau.clock.jump(-3_600)
    hand_off_ticket(bureau.office, SUPPORT, "BUG-9")
    bureau.clock.jump(3_600)
    assert not bureau.state.get(Grant, grant.id).is_active(bureau.now_us)


@pytest.mark.parametrize("second", [False, True])
def test_who_works_on_a_ticket_at_home_keeps_it(bureau: Bureau, second: bool) -> None:
    """At the first press and at the second; what it gave anybody outside ends, and nothing of theirs for another."""
    bureau.bug(), bureau.bug("BUG-8")
    if second:
        hand_off_ticket(bureau.office, MANAGER, "BUG-9")
    assign_ticket(bureau.office, OPERATOR, "BUG-9", holder="sam")
    abroad = bureau.granted()
    sams = bureau.granted(Actor("sam", frozenset({"engineer"})), ticket="BUG-8")
    kept = hand_off_ticket(bureau.office, MANAGER, "BUG-9")
    assert (kept.holder, kept.holder_country, kept.queued_until_us) == ("sam", "US", 0)
    assert bureau.state.get(Grant, abroad.id).revoked_us
    assert bureau.state.get(Grant, sams.id) == sams
    [*_, told] = sorted(bureau.state.all(Notice), key=lambda notice: notice.id)
    assert "stays with sam, who works at home" in told.summary
    before = bureau.snapshot()
    assert hand_off_ticket(bureau.office, MANAGER, "BUG-9") == kept
    assert bureau.snapshot() == before


def test_case_that_is_kept_at_home_at_night_does_not_wait(bureau: Bureau) -> None:
    """Whoever took it by day goes on with it."""
    bureau.case(severity=3, holder="sam")
    at(bureau, "2026-01-14T02:00:00Z")
    kept = hand_off_ticket(bureau.office, MANAGER, "CASE-5")
    assert (kept.holder, kept.queued_until_us) == ("sam", 0)


def test_incident_that_is_handed_off_is_barred_to_nobody(bureau: Bureau) -> None:
    """Its holder loses what else they were granted of its customers' data; who looks into it goes on."""
    bureau.incident(), bureau.bug()
    assign_ticket(bureau.office, INFOSEC, "INC-7", holder="priya")
    grant = bureau.granted()
    moved = hand_off_ticket(bureau.office, INFOSEC, "INC-7")
    assert (moved.holder, moved.handed_off_us) == (QUEUE_AT_HOME, 0)
    assert bureau.state.get(Grant, grant.id).revoked_us
    before = bureau.snapshot()
    assert hand_off_ticket(bureau.office, INFOSEC, "INC-7") == moved
    assert bureau.snapshot() == before


def test_hand_off_withdraws_what_waits_for_an_answer(bureau: Bureau) -> None:
    """Requests for it, and its holder's for its customers: nobody approves them afterwards."""
    bureau.bug(holder="priya"), bureau.bug("BUG-8", "acme", "globex")
    pavel = Actor("pavel", frozenset({"engineer"}))
    theirs = [bureau.ask(), bureau.ask(pavel), bureau.ask(ticket="BUG-8")]
    others = [bureau.ask(pavel, ticket="BUG-8"), bureau.ask(ticket="BUG-8", customer="globex", actions=["write"])]
    hand_off_ticket(bureau.office, MANAGER, "BUG-9")
    for asked in theirs:
        found = bureau.state.get(AccessRequest, asked.id)
        assert (found.state, found.why) == (RequestState.WITHDRAWN, "BUG-9 was handed to a US analyst")
        assert ("maria", "access.withdraw", asked.id) in bureau.acts()
        assert ("access.withdrawn", asked.id) in bureau.notices()
        again = partial(approve_access, bureau.office, APPROVER, asked.id)
        refused(bureau, again, "was withdrawn", Contradicted)
    assert [bureau.state.get(AccessRequest, asked.id) for asked in others] == others


@pytest.mark.parametrize(
    ("holder", "said"),
    [
        ("Priya", "works in IN"),
        ("PRIYA", "works in IN"),
        ("priya\u200b", "do not show"),
        ("pri\u3164ya", "do not show"),
    ],
)
def test_who_works_abroad_gets_no_case_by_another_spelling(bureau: Bureau, holder: str, said: str) -> None:
    """``us-assignment``: whatever country somebody states, the workforce directory says it for every spelling."""
    bureau.case()
    refused(bureau, lambda: assign_ticket(bureau.office, SUPPORT, "CASE-5", holder=holder, country="US"), said)
    refused(bureau, lambda: bureau.case("CASE-6", holder=holder, holder_country="US"), said)


def test_nobody_states_their_own_work_country(bureau: Bureau) -> None:
    """However they spell themselves, as they assign a ticket or open it; the record says who stated it."""
    bureau.bug(), bureau.case()
    neil = Actor("neil", frozenset({"support"}))
    for ticket, holder in (("CASE-5", "neil"), ("BUG-9", "Neil ")):
        act = partial(assign_ticket, bureau.office, neil, ticket, holder=holder, country="US")
        refused(
            bureau, act, "us-assignment: got US as where .* works from .*; expected it from the workforce directory"
        )
    made = {"kind": TicketKind.BUG, "customers": ["acme"], "title": "Crash", "holder": "neil", "holder_country": "US"}
    refused(bureau, lambda: open_ticket(bureau.office, neil, id="BUG-1", **made), "us-assignment")
    stated = []
    for actor, holder, country in (
        (replace(OPERATOR, name="neil"), "neil", "US"),
        (neil, "erin", "US"),
        (SUPPORT, "neil", "US"),
        (SUPPORT, "sam", ""),
    ):
        assign_ticket(bureau.office, actor, "CASE-5", holder=holder, country=country)
        stated.append((bureau.entries[-1]["details"]["country_by"], bureau.entries[-1]["details"]["country"]))
    assert stated == [("neil", "US"), ("workforce directory", "US"), ("sam", "US"), ("workforce directory", "US")]
    open_ticket(bureau.office, SUPPORT, id="BUG-2", **made)
    details = bureau.entries[-1]["details"]
    assert (details["holder"], details["country"], details["country_by"]) == ("neil", "US", "sam")


def test_each_customer_that_a_ticket_names_is_told_and_nobody_else(bureau: Bureau) -> None:
    """In notices and in the record; the star stands for all of them alone."""
    opened(bureau.office, kind=TicketKind.SECURITY, customers=["acme", "globex"])
    [told] = [told for told in bureau.state.all(Notice) if told.type == "incident.opened"]
    assert told.customers == {"acme", "globex"}
    assert bureau.entries[-1]["details"]["customer"] == "acme,globex"
    widen_incident(bureau.office, INFOSEC, "T-1", customers=["*"])
    [told] = [told for told in bureau.state.all(Notice) if told.type == "incident.widened"]
    assert (told.customer, bureau.entries[-1]["details"]["customer"]) == ("*", "*")


def test_id_of_a_tracker_is_not_taken_here(bureau: Bureau) -> None:
    """Whoever opens it, and by whichever way: a ticket both here and there would speak for nobody."""
    office = replace(bureau.office, owners=lambda id_: ["jira"] if id_.startswith("SEC-") else [])
    refused(bureau, lambda: opened(office, id="SEC-9"), "got SEC-9, an id of the tracker jira; open it there")
    assert opened(office, id="BUG-9").id == "BUG-9"


def test_case_that_is_handed_off_at_night_waits_and_a_closed_one_stays(bureau: Bureau) -> None:
    """Its severity decides."""
    bureau.case("CASE-1", severity=1), bureau.case("CASE-2", severity=2)
    at(bureau, "2026-01-14T02:00:00Z")
    assert hand_off_ticket(bureau.office, SUPPORT, "CASE-1").queued_until_us == 0
    opening = parse_rfc3339("2026-01-14T13:00:00Z")
    assert hand_off_ticket(bureau.office, SUPPORT, "CASE-2").queued_until_us == opening
    close_ticket(bureau.office, SUPPORT, "CASE-1")
    refused(bureau, lambda: hand_off_ticket(bureau.office, SUPPORT, "CASE-1"), "CASE-1 is closed", Contradicted)


def test_incident_is_widened_by_those_it_does_not_name_yet(bureau: Bureau) -> None:
    """Written down and told with what was added; nothing new is nothing."""
    bureau.incident()
    since = len(bureau.entries)
    wider = widen_incident(bureau.office, INFOSEC, "INC-7", customers=["acme", "globex", "globex"])
    assert wider.customers == ("acme", "globex")
    assert widen_incident(bureau.office, INFOSEC, "INC-7", customers=["acme"]) == wider
    assert bureau.acts(since) == [("liam", "ticket.widen", "INC-7")]
    assert bureau.entries[-1]["details"]["added"] == ["globex"]
    assert bureau.notices()[-1] == ("incident.widened", "INC-7")
    assert widen_incident(bureau.office, INFOSEC, "INC-7", customers=["*"]).customers == ("*",)


def test_incident_is_widened_to_many_customers_at_once(bureau: Bureau) -> None:
    """The record names all of them; the notice as many as a notice holds."""
    bureau.incident()
    names = [f"customer-{number:02}" for number in range(30)]
    for name in names:
        bureau.customer(name, plan=False)
    widen_incident(bureau.office, INFOSEC, "INC-7", customers=names)
    assert bureau.entries[-1]["details"]["added"] == names
    [told] = [told for told in bureau.state.all(Notice) if told.type == "incident.widened"]
    assert told.data["added"] == names[:20]


@pytest.mark.parametrize(
    ("ticket", "customers", "said", "kind"),
    [
        ("BUG-9", ["globex"], "BUG-9 is a bug ticket; only a security ticket is widened", Contradicted),
        ("INC-7", [], "no customer is named", UsageError),
        ("INC-7", ["nobody"], "no customer 'nobody'", NotFound),
        ("INC-8", ["globex"], "INC-8 is closed", Contradicted),
        ("INC-9", ["globex"], "no ticket 'INC-9'", NotFound),
    ],
)
def test_widening_that_cannot_be_is_refused(
    bureau: Bureau, ticket: str, customers: list[str], said: str, kind: type[Exception]
) -> None:
    """A bug's customers stay those it was opened for: what was granted for it does not grow."""
    bureau.bug(), bureau.incident(), bureau.incident("INC-8")
    close_ticket(bureau.office, OPERATOR, "INC-8")
    refused(bureau, lambda: widen_incident(bureau.office, INFOSEC, ticket, customers=customers), said, kind)


def test_closing_ends_what_hangs_on_the_ticket_for_good(bureau: Bureau) -> None:
    """Grants, requests, the customer's authorization of it; not what hangs on another. A second time is nothing."""
    bureau.bug(), bureau.bug("BUG-8")
    grant, other = bureau.granted(), bureau.granted(ticket="BUG-8")
    waits = bureau.ask(data_classes=["case"])
    given = Authorization("A-1", "acme", "Ada", "BUG-9", ("case",), ("read",), bureau.now_us, 0)
    bureau.state.put(given)
    since = len(bureau.entries)
    closed = close_ticket(bureau.office, SUPPORT, "BUG-9")
    assert closed.closed_us == bureau.now_us
    assert bureau.state.get(Grant, grant.id).revoked_us == bureau.now_us
    assert bureau.state.get(Grant, other.id) == other
    assert bureau.state.get(AccessRequest, waits.id).state is RequestState.WITHDRAWN
    assert bureau.state.get(Authorization, given.id).withdrawn_us == bureau.now_us
    assert bureau.acts(since) == [
        ("sam", "access.revoke", grant.id),
        ("sam", "access.withdraw", waits.id),
        ("sam", "authorization.withdraw", given.id),
        ("sam", "ticket.close", "BUG-9"),
    ]
    assert bureau.entries[-1]["details"]["ended"] == [grant.id, waits.id, given.id]
    assert {entry["details"]["why"] for entry in bureau.entries[since:-1]} == {"BUG-9 was closed"}
    assert {entry["details"]["ticket"] for entry in bureau.entries[since:]} == {"BUG-9"}
    assert bureau.notices()[-3:] == [
        ("grant.revoked", grant.id),
        ("access.withdrawn", waits.id),
        ("authorization.withdrawn", given.id),
    ]
    assert close_ticket(bureau.office, OPERATOR, "BUG-9") == closed
    assert len(bureau.entries) == since + 4


@pytest.mark.parametrize(
    "act",
    [
        lambda b: assign_ticket(b.office, OPERATOR, "INC-7", holder="liam"),
        lambda b: widen_incident(b.office, OPERATOR, "INC-7", customers=["globex"]),
        lambda b: hand_off_ticket(b.office, OPERATOR, "INC-7"),
    ],
)
def test_closed_ticket_is_never_open_again(bureau: Bureau, act: Callable[[Bureau], object]) -> None:
    """Whatever is done to it."""
    bureau.incident()
    close_ticket(bureau.office, INFOSEC, "INC-7")
    assert bureau.notices()[-1] == ("incident.closed", "INC-7")
    refused(bureau, lambda: act(bureau), "INC-7 is closed", Contradicted)


def test_plan_that_is_enabled_sends_open_cases_home(bureau: Bureau) -> None:
    """From whoever is not known to be at home, or from nobody; analysts at home keep theirs, bugs stay."""
    for id_, holder in (("CASE-1", "raj"), ("CASE-2", "sam"), ("CASE-3", ""), ("CASE-4", "neil")):
        bureau.case(id_, "globex", holder=holder)
    bureau.case("CASE-6", "acme", holder="sam")
    bureau.bug("BUG-9", "globex", holder="raj")
    bureau.case("CASE-0", "globex", holder="raj")
    close_ticket(bureau.office, OPERATOR, "CASE-0")
    order_plan(bureau.office, MANAGER, "globex", seats=400)
    since = len(bureau.entries)
    enable_plan(bureau.office, ADMIN, "globex")
    holders = {ticket.id: ticket.holder for ticket in bureau.state.all(Ticket)}
    queue = QUEUE_AT_HOME
    assert holders == {
        "BUG-9": "raj",
        "CASE-0": "raj",
        "CASE-1": queue,
        "CASE-2": "sam",
        "CASE-3": queue,
        "CASE-4": queue,
        "CASE-6": "sam",
    }
    assert bureau.acts(since) == [
        ("root", "plan.enable", "globex"),
        *(("root", "ticket.queue", case) for case in ("CASE-1", "CASE-3", "CASE-4")),
    ]
    assert bureau.entries[since + 1]["details"]["previous"] == "raj"
    assert bureau.history("CASE-1")[-1] == ("root", "ticket.queue")
    assert ("ticket.queued", "CASE-1") in bureau.notices()
