"""What trackers said: believed for a stated time and no longer, asked for once, and denied when it cannot be had."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.catalog import Action, Resource, Scope
from gateway.errors import NotFound, TrackerUnavailable
from gateway.justification import (
    Answer,
    Desk,
    Grant,
    Justification,
    Ticket,
    TicketKind,
    TrackedTickets,
    is_id,
    tracking,
)
from tests.world.clock import FakeClock
from tests.world.trackers import FakeTracker

SEC = Ticket("SEC-7", TicketKind.SECURITY, ("acme",), "Odd sign-ins", 1)
BUG = Ticket("SEC-9", TicketKind.BUG, ("acme",), "Crash", 1)
OPEN = Answer(SEC)
CLOSED = Answer(replace(SEC, closed_us=2))
DOWN = TrackerUnavailable("the tracker jira answered 500")
DATA = Resource(store="crm", data_class="case", customer="acme", action=Action.READ, scope=Scope.ONE)


class Site:
    """A tracker, a clock, and what is remembered."""

    def __init__(self, **settings: float) -> None:
        self.clock = FakeClock()
        self.jira = FakeTracker("jira", r"SEC-[0-9]+", **settings)
        self.jira.answers["SEC-7"] = OPEN
        self.heard: list[tuple[str, str]] = []
        self.tracked = TrackedTickets(
            [self.jira], clock=self.clock, heard=lambda name, problem: self.heard.append((name, problem))
        )
        self.desk = Desk()
        self.desk.tracked = self.tracked

    async def cite(self, ticket: str = "SEC-7", subject: str = "liam") -> Justification:
        """As the checkpoint does."""
        asking = self.desk.ask(ticket)
        if asking is not None:
            await asking
        return self.justify(ticket, subject)

    def justify(self, ticket: str = "SEC-7", subject: str = "liam", resource: Resource = DATA) -> Justification:
        now_us = self.clock.now_us()
        return self.desk.justify(subject=subject, resource=resource, cited=ticket, reason="", now_us=now_us)

    async def settle(self) -> None:
        """Let the look-ups behind the answers end."""
        for _ in range(10):
            await asyncio.sleep(0)


@pytest.fixture
def site() -> Site:
    return Site()


async def test_open_security_ticket_of_a_tracker_is_an_incident(site: Site) -> None:
    """It justifies as one of the embedded desk does, and only what it names."""
    assert (await site.cite()).incident
    assert site.heard == [("jira", "")]
    assert not site.justify(resource=DATA._replace(customer="borealis")).incident


async def test_what_is_fresh_is_not_asked_for_again(site: Site) -> None:
    """The hot path has nothing to wait for."""
    await site.cite()
    assert site.desk.ask("SEC-7") is None
    assert site.jira.asked == ["SEC-7"]


async def test_answer_past_half_its_time_is_renewed_behind_the_request(site: Site) -> None:
    """Nobody waits, and the next one has the newer answer."""
    await site.cite()
    site.clock.advance(31)
    site.jira.answers["SEC-7"] = CLOSED
    assert site.desk.ask("SEC-7") is None
    assert site.justify().incident
    await site.settle()
    assert not site.justify().incident
    assert site.jira.asked == ["SEC-7"] * 2


@pytest.mark.parametrize("passes", [FakeClock.advance, FakeClock.jump], ids=["time", "wall clock"])
async def test_answer_that_is_too_old_is_never_used(site: Site, passes: Callable[[FakeClock, float], None]) -> None:
    """By whichever clock says more; unless the tracker says it anew, there is no ticket."""
    await site.cite()
    passes(site.clock, 60.1)
    assert not site.justify().incident
    site.jira.answers["SEC-7"] = DOWN
    found = await site.cite()
    assert (found.ticket, found.problem) == (None, "SEC-7 is not known now: the tracker jira answered 500")


async def test_age_counts_from_the_question(site: Site) -> None:
    """An answer that took its time is that much older."""
    site.jira.open.clear()
    asking = site.desk.ask("SEC-7")
    await site.settle()
    site.clock.advance(59)
    site.jira.open.set()
    assert asking is not None
    await asking
    assert site.justify().incident
    site.clock.advance(2)
    assert not site.justify().incident


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (DOWN, "the tracker jira answered 500"),
        (RuntimeError("a bug"), "the tracker jira could not be asked"),
        (OSError("a cable"), "the tracker jira could not be asked"),
    ],
)
async def test_tracker_that_cannot_be_asked_means_no_ticket(site: Site, failure: Exception, said: str) -> None:
    """Whatever went wrong: no ticket, the reason to be shown, and the tracker among those with a problem."""
    site.jira.answers["SEC-7"] = failure
    found = await site.cite()
    assert found == Justification(cited="SEC-7", problem=f"SEC-7 is not known now: {said}")
    assert site.tracked.problems == {"jira": said}
    assert site.heard == [("jira", said)]
    site.jira.answers["SEC-7"] = OPEN
    assert not (await site.cite()).incident, "it is not tried again at once"
    site.clock.advance(1.1)
    assert (await site.cite()).incident
    assert site.tracked.problems == {}


async def test_tracker_that_does_not_answer_in_time_means_no_ticket() -> None:
    """The deadline is the tracker's own."""
    site = Site(timeout_s=0.01)
    site.jira.open.clear()
    found = await site.cite()
    assert found.problem == "SEC-7 is not known now: the tracker jira did not answer within 0.01 s"


async def test_failed_renewal_keeps_what_is_not_too_old(site: Site) -> None:
    """Until its time is over, and not a moment longer."""
    await site.cite()
    site.jira.answers["SEC-7"] = DOWN
    site.clock.advance(40)
    site.desk.renew("SEC-7")
    await site.settle()
    assert site.justify().incident
    site.desk.renew("SEC-7")
    await site.settle()
    assert site.jira.asked == ["SEC-7"] * 2, "not again within a second"
    site.clock.advance(20.1)
    assert not site.justify().incident


async def test_many_who_wait_cause_one_look_up(site: Site) -> None:
    """And one who leaves does not end it for the others."""
    site.jira.open.clear()
    waiting = [asyncio.ensure_future(site.cite()) for _ in range(20)]
    await site.settle()
    waiting.pop().cancel()
    await site.settle()
    site.jira.open.set()
    assert all(found.incident for found in await asyncio.gather(*waiting))
    assert site.jira.asked == ["SEC-7"]


async def test_tickets_of_no_use_are_remembered_shortly(site: Site) -> None:
    """One that is unknown or closed may be there soon."""
    assert (await site.cite("SEC-8")).problem == "jira knows no SEC-8"
    site.jira.answers["SEC-8"] = Answer(replace(SEC, id="SEC-8"))
    assert not (await site.cite("SEC-8")).incident
    site.clock.advance(10.1)
    assert (await site.cite("SEC-8")).incident


async def test_a_tracker_that_asks_for_it_is_left_alone(site: Site) -> None:
    """Retry-After holds for every id, and for a bounded time."""
    site.jira.answers["SEC-7"] = TrackerUnavailable("the tracker jira answered 429", retry_after_s=86_400)
    await site.cite()
    site.clock.advance(30)
    assert "429" in (await site.cite("SEC-8")).problem
    assert site.jira.asked == ["SEC-7"]
    site.clock.advance(31)
    await site.cite("SEC-8")
    assert site.jira.asked == ["SEC-7", "SEC-8"]


async def test_doubt_makes_the_next_one_wait(site: Site) -> None:
    """What was said before is good for nobody who comes later; those who rest on it hear of the change."""
    heard: list[bool] = []
    await site.cite()
    site.tracked.changed = lambda: heard.append(True)
    site.jira.answers["SEC-7"] = CLOSED
    site.tracked.doubt("SEC-7")
    assert not (await site.cite()).incident
    assert heard == [True]
    assert site.jira.asked == ["SEC-7"] * 2


async def test_doubt_that_cannot_be_settled_means_no_ticket(site: Site) -> None:
    """Even though the answer before is not old yet."""
    await site.cite()
    site.jira.answers["SEC-7"] = DOWN
    site.tracked.doubt("SEC-7")
    await site.settle()
    assert site.justify().ticket is None


async def test_look_up_that_began_before_the_doubt_is_not_believed(site: Site) -> None:
    """It may have read what was there before the change."""
    site.jira.open.clear()
    waiting = asyncio.ensure_future(site.cite())
    await site.settle()
    site.jira.answers["SEC-7"] = CLOSED
    site.tracked.doubt("SEC-7")
    site.jira.open.set()
    assert not (await waiting).incident
    assert site.jira.asked == ["SEC-7"] * 2


async def test_ticket_that_changes_all_the_time_means_no_ticket(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look-up is begun anew a bounded number of times."""
    find = site.jira.find

    async def doubting(ticket: str) -> Answer:
        site.tracked.doubt(ticket)
        return await find(ticket)

    monkeypatch.setattr(site.jira, "find", doubting)
    assert (await site.cite()).ticket is None
    assert len(site.jira.asked) == tracking.ROUNDS


async def test_doubt_about_what_nobody_cited_asks_nothing(site: Site) -> None:
    """A chatty tracker costs no look-ups."""
    site.tracked.doubt("SEC-7")
    await site.settle()
    assert site.jira.asked == []


async def test_id_of_the_desk_is_never_sent_and_in_both_denies(site: Site) -> None:
    """A ticket that is here and belongs there is nobody's."""
    site.desk.put(SEC)
    assert site.desk.ask("SEC-7") is None
    site.desk.renew("SEC-7")
    found = await site.cite()
    assert found.ticket is None
    assert "both here and of another system" in found.problem
    assert site.jira.asked == []


async def test_id_of_two_trackers_is_of_none() -> None:
    """It is sent to neither; one that only pushes counts, too."""
    first, second = FakeTracker("a", "[A-Z]+-1"), FakeTracker("b", "SEC-[0-9]")
    tracked = TrackedTickets([first, second], clock=FakeClock())
    assert tracked.ask("SEC-1") is None
    assert "belongs to several trackers (a, b)" in tracked.answer("SEC-1").problem  # type: ignore[union-attr]
    pushed = TrackedTickets([first], clock=FakeClock(), pushed={"p": second.pattern})
    assert "several trackers" in pushed.answer("SEC-1").problem  # type: ignore[union-attr]
    assert pushed.answer("SEC-2") is None, "what is pushed is a ticket of the desk"
    assert first.asked == second.asked == []


async def test_ids_of_nobody_stay_with_the_desk(site: Site) -> None:
    """The desk answers as if there were no tracker."""
    site.desk.put(replace(SEC, id="INC-7"))
    assert (await site.cite("INC-7")).incident
    assert await site.cite("INC-8") == Justification(cited="INC-8")
    assert site.jira.asked == []


@given(st.text(max_size=80))
def test_only_short_and_plain_ids_are_ever_sent(text: str) -> None:
    """Whatever the pattern allows: no separator of a path, a query or an encoded query of ServiceNow."""
    if is_id(re.compile(r"(?s).*"), text):
        assert len(text) <= 64
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", text)


HOSTILE = [
    *("SEC-7^ORnumberSTARTSWITHINC", "SEC-7^NQactive=true", "SEC-7=", "javascript:gs.getUserID()", "SEC-7@", "SEC-7,"),
    *("SEC-7/../../../myself", "../SEC-7", "SEC-7?fields=", "SEC-7%2F", "SEC-7#", "SEC-7\\", ".", "..", "SEC-7;a"),
    *(
        "SEC-7 ",
        " SEC-7",
        "SEC-7\n",
        "SEC-7\r\nX: y",
        "SEC-7\0",
        "sec-7",
        "SEC-\u0667",
        "xSEC-7",
        "SEC-" + "7" * 61,
        "",
    ),
]


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_hostile_ids_are_never_sent(site: Site, hostile: str) -> None:
    """They are not the tracker's: there is nothing to ask for."""
    assert site.desk.ask(hostile) is None
    assert (await site.cite(hostile)).ticket is None
    assert site.jira.asked == []


async def test_memory_is_bounded_and_what_is_in_use_stays(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of ids drives out what nobody rests on."""
    monkeypatch.setattr(tracking, "MAX_REMEMBERED", 10)
    for number in range(7, 100):
        await site.cite(f"SEC-{number}")
        assert site.justify("SEC-7").incident
    assert len(site.tracked._remembered) == 10
    assert site.jira.asked.count("SEC-7") == 1


async def test_look_ups_at_a_time_are_bounded(site: Site) -> None:
    """A flood of ids is not a flood for the tracker."""
    site.jira.open.clear()
    waiting = [asyncio.ensure_future(site.cite(f"SEC-{number}")) for number in range(50)]
    await site.settle()
    assert len(site.jira.asked) == tracking.AT_ONCE
    site.jira.open.set()
    await asyncio.gather(*waiting)
    assert len(site.jira.asked) == 50


@pytest.mark.parametrize("later", [replace(BUG, handed_off_us=1), replace(BUG, closed_us=2)], ids=["home", "closed"])
async def test_grant_hangs_on_the_bug_of_a_tracker(site: Site, later: Ticket) -> None:
    """It ends with it, and does not hold while the ticket is with the analysts at home."""
    site.jira.answers["SEC-9"] = Answer(BUG)
    site.desk.put(Grant("G-1", "R-1", "priya", "SEC-9", "acme", ("case",), ("read",), 0, 2**62, "dana"))
    assert (await site.cite("SEC-9", "priya")).grant
    site.jira.answers["SEC-9"] = Answer(later)
    site.tracked.doubt("SEC-9")
    assert (await site.cite("SEC-9", "priya")).grant is None


async def test_closing_ends_look_ups_under_way(site: Site) -> None:
    """Nothing is left behind."""
    site.jira.open.clear()
    asking = site.desk.ask("SEC-7")
    await site.settle()
    await site.tracked.close()
    assert asking is not None
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_whether_there_is_a_ticket_is_told_of_that_ticket_alone() -> None:
    """What the tracker said last, of another one, makes neither an absence of silence nor silence of an absence."""
    site = Site()
    site.jira.answers["SEC-8"] = DOWN
    with pytest.raises(TrackerUnavailable, match="SEC-8 is not known now: the tracker jira answered 500"):
        await site.tracked.find("SEC-8")
    assert await site.tracked.find("SEC-7") == SEC
    assert not site.tracked.problems
    with pytest.raises(TrackerUnavailable):
        await site.tracked.find("SEC-8")
    assert not site.tracked.problems
    with pytest.raises(NotFound, match="knows no SEC-9"):
        await site.tracked.find("SEC-9")
    site.jira.answers["SEC-10"] = DOWN
    with pytest.raises(TrackerUnavailable):
        await site.tracked.find("SEC-10")
    assert site.tracked.problems
    with pytest.raises(NotFound, match="knows no SEC-9"):
        await site.tracked.find("SEC-9")
