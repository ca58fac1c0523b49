"""When support is given, and where: severity 1 around the clock, the others in the window, all of it in the US."""

from __future__ import annotations

import json

from gateway.acts.tickets import change_severity, open_ticket
from gateway.clock import parse_rfc3339
from gateway.demo.world import RAJ, SAM
from gateway.justification import QUEUE_AT_HOME, Ticket, TicketKind
from gateway.notification import Notice
from gateway.settings import NoticeSettings
from gateway.storage import StateOutbox
from tests.story.conftest import Story, new_york

SUPPORT = TicketKind.SUPPORT


async def opened(story: Story, key: str, severity: int) -> Ticket:
    """Borealis Bank submits an issue."""
    ticket: Ticket = await story.does(
        open_ticket, id=key, kind=SUPPORT, customers=["borealis"], title="Calls drop (sample)", severity=severity
    )
    return ticket


async def test_critical_issues_are_supported_at_night_and_only_in_the_united_states(story: Story) -> None:
    """ "… support for all Critical Severity 1 issues 24 hours a day in the United States only"."""
    await story.it_is("2027-01-17 03:00")  # Sunday
    case = await opened(story, "CASE-20", severity=1)
    assert (case.holder, case.queued_until_us) == (QUEUE_AT_HOME, 0)
    assert await story.asks(SAM, "/crm/borealis/cases/20", ticket="CASE-20") == (200, "home-personnel")
    assert await story.asks(RAJ, "/crm/borealis/cases/20", ticket="CASE-20") == (403, "outside-home")


async def test_other_issues_wait_on_saturday_and_the_denial_says_until_when(story: Story) -> None:
    """ "Support for all non-Critical Severity issues … from 8:00am to 8:00pm … (Monday-Friday)"."""
    await story.it_is("2027-01-16 10:00")  # Saturday
    status, headers, body = await story.site.ask(SAM, "/crm/acme/cases/5", ticket="CASE-5")
    denial = json.loads(body)
    assert (status, denial["rule"]) == (403, "support-hours")
    assert "it opens at 2027-01-18T13:00:00.000000Z" in denial["detail"]  # Monday, 8:00 in New York
    assert story.site.entry(headers["Residency-Decision"])["support_window"] == "closed"

    await story.it_is("2027-01-18 08:00", off_by_us=-1)
    assert await story.asks(SAM, "/crm/acme/cases/5", ticket="CASE-5") == (403, "support-hours")
    await story.it_is("2027-01-18 08:00")
    assert await story.asks(SAM, "/crm/acme/cases/5", ticket="CASE-5") == (200, "home-personnel")
    assert await story.asks(RAJ, "/crm/acme/cases/5", ticket="CASE-5") == (403, "outside-home")


async def test_an_issue_that_becomes_critical_at_night_waits_no_longer(story: Story) -> None:
    """What was to be addressed in the morning is supported "24 hours a day" once it is critical."""
    await story.it_is("2027-01-12 23:00")  # Tuesday
    case = await opened(story, "CASE-25", severity=3)
    assert (case.holder, case.queued_until_us) == (QUEUE_AT_HOME, new_york("2027-01-13 08:00"))
    assert await story.asks(SAM, "/crm/borealis/cases/25", ticket="CASE-25") == (403, "support-hours")

    await story.it_is("2027-01-13 02:00")
    critical = await story.does(change_severity, "CASE-25", severity=1, why="every line is down by now")
    assert (critical.holder, critical.queued_until_us) == (QUEUE_AT_HOME, 0)
    assert await story.asks(SAM, "/crm/borealis/cases/25", ticket="CASE-25") == (200, "home-personnel")
    assert await story.asks(RAJ, "/crm/borealis/cases/25", ticket="CASE-25") == (403, "outside-home")


async def test_the_window_closes_at_eight_in_the_evening(story: Story) -> None:
    """ "from 8:00 AM to 8:00 PM EST": the last moment before eight is in it, eight is not."""
    await story.it_is("2027-01-12 20:00", off_by_us=-1)
    assert await story.asks(SAM, "/crm/acme/cases/5", ticket="CASE-5") == (200, "home-personnel")
    await story.it_is("2027-01-12 20:00")
    assert await story.asks(SAM, "/crm/acme/cases/5", ticket="CASE-5") == (403, "support-hours")
    assert await story.asks(SAM, "/crm/acme/cases/1", ticket="CASE-1") == (200, "home-personnel")


async def test_an_issue_submitted_after_eight_is_addressed_the_next_business_day(story: Story) -> None:
    """ "After 8pm … you can submit non-emergency issues … to be addressed the next business day"."""
    await story.it_is("2027-01-12 19:59")  # Tuesday
    assert (await opened(story, "CASE-21", severity=3)).queued_until_us == 0
    await story.it_is("2027-01-12 20:00")
    late = await opened(story, "CASE-22", severity=3)
    assert (late.holder, late.queued_until_us) == (QUEUE_AT_HOME, new_york("2027-01-13 08:00"))
    assert (await opened(story, "CASE-23", severity=1)).queued_until_us == 0

    await story.it_is("2027-01-15 20:30")  # Friday
    weekend = await opened(story, "CASE-24", severity=4)
    assert weekend.queued_until_us == new_york("2027-01-18 08:00") == parse_rfc3339("2027-01-18T13:00:00Z")


async def test_a_case_that_nobody_takes_is_told_of(story: Story) -> None:
    """A critical one after a quarter of an hour, at night too; another one an hour after support has opened."""

    def told() -> list[str]:
        state = story.site.world.state
        StateOutbox(state).remind(NoticeSettings(), now_us=story.clock.now_us())
        return sorted(notice.subject for notice in state.all(Notice) if notice.type == "ticket.waiting")

    await story.it_is("2027-01-12 21:00")
    await opened(story, "CASE-25", severity=1), await opened(story, "CASE-26", severity=3)
    told_at = {}
    for wall in ("12 21:14", "12 21:15", "13 08:59", "13 09:00", "13 12:00"):
        await story.it_is(f"2027-01-{wall}")
        told_at[wall] = told()
    critical, both = ["CASE-25"], ["CASE-25", "CASE-26"]
    assert [*told_at.values()] == [[], critical, critical, both, both]
