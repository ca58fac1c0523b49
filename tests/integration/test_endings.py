"""What time does, in a running gateway: it is made final, written down, and no clock that is set back undoes it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.acts import Actor
from gateway.acts.decisions import hand_over_decision
from gateway.app import build
from gateway.clock import SECOND_US, SystemClock
from gateway.demo.stores import Addresses
from gateway.demo.world import PRIYA, RAJ, make_world
from gateway.errors import ConfigurationError, Contradicted, Forbidden
from gateway.justification import AccessRequest, Grant, RequestState, Ticket
from gateway.ledger.entry import administrative
from gateway.ledger.reader import LedgerReader, Query
from gateway.ledger.writer import LedgerWriter
from tests.integration.conftest import Running
from tests.world.clock import FakeClock
from tests.world.waiting import until


def acts(site: Running) -> list[tuple[object, object]]:
    """The administrative entries: what was done, and to what."""
    with LedgerReader(site.world.settings.ledger.path) as reader:
        found = list(reader.search(Query(kind="administrative")))
    return [(entry["act"], entry["object"]) for entry in found]


async def test_a_grant_whose_time_is_over_is_ended_for_good_and_written_down(site: Running) -> None:
    """The state says so, whatever a clock says later."""
    [grant] = site.world.state.all(Grant)
    site.world.state.put(replace(grant, ends_us=SystemClock().now_us() + 1))
    await until(lambda: bool(site.world.state.get(Grant, grant.id).ended_us))
    assert ("grant.expired", grant.id) in acts(site)
    site.world.state.put(replace(site.world.state.get(Grant, grant.id), ends_us=grant.ends_us))
    await until(lambda: any(held.ends_us == grant.ends_us for held in site.gateway.rooms.desk.grants()))
    assert (await site.ask(PRIYA, "/conversations/acme/7", ticket=grant.ticket))[0] == 403


async def test_a_request_that_nobody_answered_expires(site: Running) -> None:
    """And stays expired."""
    now_us = SystemClock().now_us()
    asked = AccessRequest("R-9", "priya", "BUG-9", "acme", ("case",), ("read",), "why", 60, now_us, answer_by_us=1)
    site.world.state.put(asked)
    await until(lambda: site.world.state.get(AccessRequest, "R-9").state is RequestState.EXPIRED)
    assert ("access.expire", "R-9") in acts(site)


async def test_the_link_of_a_denial_hands_it_to_an_analyst_at_home(site: Running) -> None:
    """With a ticket cited it is that ticket; without one a case is opened; a second press changes nothing."""
    _, _, body = await site.ask(RAJ, "/conversations/acme/7", headers={"Accept": "application/json"})
    assert b"/api/v1/decisions/" in body
    _, headers, _ = await site.ask(RAJ, "/conversations/acme/7")
    denied = site.entry(headers["Residency-Decision"])
    loop = asyncio.get_running_loop()

    def record(entry: object) -> int:
        return asyncio.run_coroutine_threadsafe(site.gateway.ledger.append(entry), loop).result(10)  # type: ignore[arg-type]

    office = site.gateway.rooms.office(record)
    raj = Actor("raj", frozenset({"support"}))
    case = await asyncio.to_thread(hand_over_decision, office, raj, denied)
    assert (case.holder, case.customers, case.severity) == ("us-queue", ("acme",), 3)
    assert await asyncio.to_thread(hand_over_decision, office, raj, denied) == case
    cited = denied | {"id": "another", "ticket": "CASE-5"}
    assert (await asyncio.to_thread(hand_over_decision, office, raj, cited)).id == "CASE-5"
    assert [act for act in acts(site) if act[0] == "ticket.handoff"] == [
        ("ticket.handoff", case.id),
        ("ticket.handoff", case.id),
        ("ticket.handoff", "CASE-5"),
    ]
    assert site.world.state.get(Ticket, "CASE-5").handed_off_us
    priya = Actor("priya", frozenset({"engineer", "account_manager"}) - {"engineer"})
    with pytest.raises(Forbidden):
        await asyncio.to_thread(hand_over_decision, office, priya, denied)
    with pytest.raises(Contradicted):
        await asyncio.to_thread(hand_over_decision, office, raj, denied | {"effect": "permit"})


async def test_a_clock_far_behind_the_ledger_stops_the_start(tmp_path: Path, stores: Addresses) -> None:
    """One of the two is wrong, and a grant must not come to life again by it."""
    world = make_world(tmp_path / "world", stores, clock=SystemClock(), ports=(0, 0))
    future = FakeClock(SystemClock().now_us() / SECOND_US + 3_600)
    entry = administrative(clock=future, node="n", actor="sam", act="test", subject="x", details={})
    with LedgerWriter(world.settings.ledger.path) as writer:
        writer.append(entry)
    with pytest.raises(ConfigurationError, match="behind the last entry"):
        async with build(world.settings):
            pass
    world.state.close()


async def test_after_a_start_time_goes_on_from_the_last_entry(tmp_path: Path, stores: Addresses) -> None:
    """A clock that is a little behind prolongs nothing."""
    world = make_world(tmp_path / "world", stores, clock=SystemClock(), ports=(0, 0))
    ahead = FakeClock(SystemClock().now_us() / SECOND_US + 30)
    with LedgerWriter(world.settings.ledger.path) as writer:
        writer.append(administrative(clock=ahead, node="n", actor="sam", act="test", subject="x", details={}))
    async with build(world.settings) as gateway:
        assert gateway.rooms.clock.now_us() >= ahead.now_us()
    world.state.close()
