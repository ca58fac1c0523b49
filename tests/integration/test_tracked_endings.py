"""What a tracker's ticket gave somebody ends for good with it, and not because the tracker is out of reach."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.clock import SystemClock
from gateway.demo.stores import Addresses
from gateway.demo.world import PRIYA
from gateway.justification import AccessRequest, Grant, RequestState
from tests.integration.conftest import Running, running
from tests.integration.test_ticket_hooks import SECRET, acts, push
from tests.integration.test_tracked_access import PATH, tracking
from tests.world.trackers import issue, jira, status
from tests.world.waiting import until

HOUR_US = 3_600_000_000
BUG = {"issuetype": {"name": "Bug"}}
HOME = {"assignee": {"accountId": "us-desk"}}


async def hang(site: Running, ticket: str) -> None:
    """Priya's grant, and a request that waits, hang on a ticket."""
    now_us = SystemClock().now_us()
    grant = Grant(
        "G-19", "R-19", "priya", ticket, "acme", ("conversation",), ("read",), now_us, now_us + HOUR_US, "dana"
    )
    asked = AccessRequest("R-20", "raj", ticket, "acme", ("conversation",), ("read",), "why", 60, now_us)
    await asyncio.to_thread(site.world.state.put, grant, asked)
    await site.gateway.rooms.follower.poll()


def revoked(site: Running) -> bool:
    return bool(site.world.state.get(Grant, "G-19").revoked_us)


def is_over(site: Running) -> bool:
    """Whether the gateway goes by that, too."""
    return all(grant.revoked_us for grant in site.gateway.rooms.desk.grants() if grant.id == "G-19")


async def changed(site: Running, event: str) -> None:
    assert (await push(site, json.dumps({"event": event, "ticket": {"id": "BUG-1"}}).encode(), tracker="jira"))[
        0
    ] == 200


@pytest.mark.parametrize(
    ("now", "act", "withdrawn"),
    [
        ({"status": status("done")}, "ticket.close", True),
        ({"customfield_10050": [{"value": "borealis"}]}, "ticket.update", True),
        ({"issuetype": {"name": "Task"}}, "ticket.close", True),
        (HOME, "ticket.handoff", True),
    ],
    ids=["closed", "other customer", "no bug", "home"],
)
async def test_what_hung_on_a_ticket_of_jira_does_not_come_back(
    tmp_path: Path, stores: Addresses, now: dict[str, Any], act: str, withdrawn: bool
) -> None:
    """The steward ends it, the record says so, and the ticket as it was before gives nobody anything."""
    async with jira(issue("BUG-1", **BUG)) as served:
        change = tracking(served, webhook_secret=SECRET, home_queues=["us-desk"])
        async with running(tmp_path / "world", stores, change=change) as site:
            await hang(site, "BUG-1")
            assert (await site.ask(PRIYA, PATH, ticket="BUG-1"))[0] == 200
            served.tickets["BUG-1"] = issue("BUG-1", **BUG | now)
            await changed(site, "e-1")
            assert (await site.ask(PRIYA, PATH, ticket="BUG-1"))[0] == 403
            await until(lambda: revoked(site) and is_over(site))
            served.tickets["BUG-1"] = issue("BUG-1", **BUG)
            await changed(site, "e-2")
            assert (await site.ask(PRIYA, PATH, ticket="BUG-1"))[0] == 403
            asked = site.world.state.get(AccessRequest, "R-20")
            assert (asked.state is RequestState.WITHDRAWN) == withdrawn
            [(by, details)] = [(by, details) for done, by, details in acts(site) if done == act]
            assert by == "gateway"
            assert "G-19" in details["ended"]


async def test_push_makes_the_gateway_ask_for_what_grants_hang_on(tmp_path: Path, stores: Addresses) -> None:
    """Nobody cites it: closed and opened again, it would never have been seen."""
    async with jira(issue("BUG-1", **BUG | {"status": status("done")})) as served:
        change = tracking(served, webhook_secret=SECRET)
        async with running(tmp_path / "world", stores, change=change) as site:
            await hang(site, "BUG-1")
            await changed(site, "e-1")
            await until(lambda: revoked(site))


@pytest.mark.parametrize("misdeed", ["500", "401", "redirect", "cut", "404 of nobody"])
async def test_tracker_that_does_not_say_ends_nothing_for_good(tmp_path: Path, stores: Addresses, misdeed: str) -> None:
    """Nor one that does not show the ticket: once it does, the grant counts as before."""
    async with jira(issue("BUG-1", **BUG)) as served:
        change = tracking(served, webhook_secret=SECRET)
        async with running(tmp_path / "world", stores, change=change) as site:
            await hang(site, "BUG-1")
            served.misbehave = misdeed
            await changed(site, "e-1")
            assert (await site.ask(PRIYA, PATH, ticket="BUG-1"))[0] == 403
            served.misbehave = ""
            found = served.tickets.pop("BUG-1")
            await changed(site, "e-2")
            assert (await site.ask(PRIYA, PATH, ticket="BUG-1"))[0] == 403
            await asyncio.sleep(1.2)  # the steward has been by
            served.tickets["BUG-1"] = found
            await changed(site, "e-3")
            assert (await site.ask(PRIYA, PATH, ticket="BUG-1"))[0] == 200
            assert not revoked(site)
