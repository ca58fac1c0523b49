"""Tickets go to analysts in the United States, and what met somebody abroad is sent there."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gateway.acts import Actor
from gateway.acts.decisions import hand_over_decision
from gateway.acts.tickets import assign_ticket, hand_off_ticket, open_ticket
from gateway.demo.world import LIAM, PRIYA, RAJ, SAM
from gateway.errors import Contradicted
from gateway.justification import QUEUE_AT_HOME, Ticket, TicketKind
from gateway.ledger.reader import LedgerReader, Query
from tests.story.conftest import SUPPORT_DESK, Story

BY_RAJ = Actor("raj", frozenset({"support"}))
BY_ANN = Actor("ann", frozenset({"admin"}))


async def test_a_protected_customers_case_is_assigned_to_nobody_abroad(story: Story) -> None:
    """ "… all product support tickets will be assigned to US based analysts"."""
    for holder, country in (("raj", "IN"), ("pat", "PR"), ("kim", "")):
        with pytest.raises(Contradicted, match="us-assignment"):
            await story.does(assign_ticket, "CASE-5", holder=holder, country=country)
    assert (await story.does(assign_ticket, "CASE-5", holder="sam", country="US")).holder == "sam"


async def test_a_protected_customers_case_is_not_opened_in_hands_abroad_either(story: Story) -> None:
    """Nor is there a way around it on the day on which the case is submitted; who has no plan is not held to it."""

    async def opened(customer: str) -> Ticket:
        said = {"id": f"CASE-{customer}", "kind": TicketKind.SUPPORT, "title": "No sound (sample)", "severity": 3}
        ticket: Ticket = await story.does(open_ticket, customers=[customer], holder="raj", holder_country="IN", **said)
        return ticket

    with pytest.raises(Contradicted, match="us-assignment"):
        await opened("acme")
    assert (await opened("delta")).holder == "raj"


async def test_a_case_that_reached_somebody_abroad_is_sent_to_a_us_analyst_with_one_press(story: Story) -> None:
    """ "If a US only call does get routed to non-US support personnel, … “Send to US Analyst”"."""
    status, headers, body = await story.site.ask(RAJ, "/crm/acme/cases/5", ticket="CASE-5")
    assert status == 403
    link = next(step for step in json.loads(body)["next"] if step["rel"] == "send-to-us-analyst")
    denial = headers["Residency-Decision"]
    assert link["href"].endswith(f"/api/v1/decisions/{denial}/handoff")
    assert link["command"] == f"residency-gateway tickets handoff --decision {denial}"

    case = await story.does(hand_over_decision, story.site.entry(denial), by=BY_RAJ)
    assert (case.id, case.holder, case.holder_country) == ("CASE-5", QUEUE_AT_HOME, "")
    assert case.queued_until_us == 0  # it is ten in the morning: somebody is there
    with LedgerReader(story.site.world.settings.ledger.path) as reader:
        [recorded] = [
            entry for entry in reader.search(Query(kind="administrative")) if entry["act"] == "ticket.handoff"
        ]
    assert (recorded["object"], recorded["actor"]) == ("CASE-5", "raj")
    assert await story.asks(SAM, "/crm/acme/cases/5", ticket="CASE-5") == (200, "home-personnel")


async def test_who_was_denied_without_a_case_has_one_opened_in_the_us_queue(story: Story) -> None:
    """At night it waits for the morning, since nobody said that it is critical."""
    await story.it_is("2027-01-12 22:00")
    entry, status = await story.recorded(RAJ, "/conversations/acme/7")
    assert status == 403
    case = await story.does(hand_over_decision, entry, by=BY_RAJ)
    assert (case.holder, case.customers, case.severity) == (QUEUE_AT_HOME, ("acme",), 3)
    assert case.state(story.clock.now_us()) == "queued"
    assert case.queued_until_us - story.clock.now_us() == 10 * 3_600_000_000


async def test_once_it_is_sent_home_it_opens_nothing_abroad_any_more(story: Story) -> None:
    """ "… to expedite transfer to US-based personnel": the bug and the case of those who held them."""
    held = (
        (PRIYA, "/conversations/acme/7", "BUG-9", "code-level-bug"),
        (RAJ, "/crm/acme/cases/1", "CASE-1", "customer-authorized"),
    )
    for person, path, ticket, rule in held:
        assert await story.asks(person, path, ticket=ticket) == (200, rule)
        assert (await story.does(hand_off_ticket, ticket, by=SUPPORT_DESK)).holder == QUEUE_AT_HOME
        assert await story.asks(person, path, ticket=ticket) == (403, "outside-home")
        assert await story.asks(SAM, path, ticket=ticket) == (200, "home-personnel")
    assert await story.asks(PRIYA, "/conversations/acme/7") == (403, "outside-home")


async def test_an_incident_that_is_sent_home_is_looked_into_abroad_all_the_same(story: Story) -> None:
    """Consent 2 is for "information security personnel" wherever they are, whoever holds the ticket."""
    await story.does(hand_off_ticket, "INC-7", by=SUPPORT_DESK)
    assert await story.asks(LIAM, "/conversations/acme/7", ticket="INC-7") == (200, "security-incident")


async def test_who_held_an_incident_abroad_reads_under_it_no_more_once_it_is_sent_home(story: Story) -> None:
    """ "The previous holder's access for that ticket ends": for good, and nobody else's; another ticket is another."""
    path = "/conversations/acme/7"
    await story.does(assign_ticket, "INC-7", by=SUPPORT_DESK, holder="Liam", country="IE")
    assert await story.asks(LIAM, path, ticket="INC-7") == (200, "security-incident")
    assert (await story.does(hand_off_ticket, "INC-7", by=SUPPORT_DESK)).holder == QUEUE_AT_HOME
    assert await story.asks(LIAM, path, ticket="INC-7") == (403, "outside-home")
    assert await story.asks(replace(LIAM, name="lena"), path, ticket="INC-7") == (200, "security-incident")
    await story.does(assign_ticket, "INC-7", by=SUPPORT_DESK, holder="Liam", country="IE")
    assert await story.asks(LIAM, path, ticket="INC-7") == (403, "outside-home")
    await story.does(
        open_ticket, id="INV-1", by=BY_ANN, kind=TicketKind.SECURITY, customers=["acme"], title="Odd again"
    )
    assert await story.asks(LIAM, path, ticket="INV-1") == (200, "security-incident")


async def test_nobody_abroad_shuts_off_an_incident_by_citing_it(story: Story) -> None:
    """Whoever is denied has a case opened for it; the incident stays as it was."""
    entry, status = await story.recorded(RAJ, "/conversations/acme/7", ticket="INC-7")
    assert status == 403
    case = await story.does(hand_over_decision, entry, by=BY_RAJ)
    assert (case.kind, case.holder, case.customers) == (TicketKind.SUPPORT, QUEUE_AT_HOME, ("acme",))
    assert await story.asks(LIAM, "/conversations/acme/7", ticket="INC-7") == (200, "security-incident")
