"""Access under the ticket of another system, end to end: as long as it is open there, and can be asked for."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.demo.stores import Addresses
from gateway.demo.world import ADA, LIAM, PRIYA, RAJ, SAM, Person
from gateway.identity import Revocation, Revoked
from gateway.justification import Ticket, TicketKind
from gateway.settings import Settings, TrackerSettings
from tests.integration.conftest import Running, running
from tests.integration.console.callers import ANN, ASKED, Api
from tests.integration.test_continuous import endless as endless
from tests.integration.test_continuous import is_cut, now_us, streaming
from tests.world.trackers import Served, issue, jira, status

PATH = "/conversations/acme/7"
MAX_AGE_S = 3.0
NEAR = Person("neal", "Indianapolis", "10.20.0.7", ("engineer",))  # at home, and bound to no support window


def tracking(served: Served, **changes: Any) -> Callable[[Settings], Settings]:
    given = {
        "name": "jira",
        "kind": "jira",
        "url": served.url,
        "pattern": "(SEC|BUG)-[0-9]{1,9}",
        "fields": {"customers": "customfield_10050"},
        "kinds": {"Security Incident": "security", "Bug": "bug"},
        "max_age_s": MAX_AGE_S,
        "timeout_s": 0.5,
    }
    tracker = TrackerSettings.model_validate(given | changes)
    return lambda settings: settings.model_copy(update={"tracker": (tracker,)})


async def metrics(site: Running) -> str:
    async with site.client.get(f"{site.control}/metrics") as response:
        return await response.text()


async def ready(site: Running) -> int:
    async with site.client.get(f"{site.control}/readyz") as response:
        return response.status


async def test_incident_of_jira_lets_infosec_in_until_it_is_closed_there(tmp_path: Path, endless: Addresses) -> None:
    """Without a word from Jira: within the age limit the stream is cut and the next request denied."""
    async with jira(issue("SEC-7")) as served, running(tmp_path / "world", endless, change=tracking(served)) as site:
        async with streaming(site, LIAM, PATH, ticket="SEC-7") as response:
            began = time.monotonic()
            while time.monotonic() - began < 2 * MAX_AGE_S:  # it goes on for longer than one answer lasts
                assert await asyncio.wait_for(response.content.readany(), 5)
            assert len(served.asked) >= 2, "asked for anew in good time"
            served.tickets["SEC-7"] = issue("SEC-7", status=status("done"))
            done = await is_cut(site, response)
        assert done["outcome"] == "ended"
        assert "outside-home" in str(done["why"])
        code, headers, _ = await site.ask(LIAM, PATH, ticket="SEC-7")
        assert code == 403
        assert site.entry(headers["Residency-Decision"])["ticket"] == "SEC-7"


async def test_jira_that_cannot_be_asked_cuts_what_hangs_on_it_and_nothing_else(
    tmp_path: Path, endless: Addresses
) -> None:
    """Answers end with their age; the gateway stays ready; the denial, the record and the metrics say why."""
    async with jira(issue("SEC-7")) as served, running(tmp_path / "world", endless, change=tracking(served)) as site:
        async with (
            streaming(site, LIAM, PATH, ticket="SEC-7") as response,
            streaming(site, LIAM, PATH, ticket="INC-7") as embedded,
            streaming(site, NEAR, PATH, ticket="SEC-7") as at_home,
        ):
            served.misbehave = "500"
            assert (await is_cut(site, response))["outcome"] == "ended"
            for other in (embedded, at_home):
                for _ in range(50):
                    assert await asyncio.wait_for(other.content.readany(), 5)
        code, headers, body = await site.ask(LIAM, PATH, ticket="SEC-7")
        assert code == 403
        assert b"SEC-7 is not known now: the tracker jira answered 500." in body
        assert "the tracker jira answered 500" in str(site.entry(headers["Residency-Decision"])["problem"])
        assert (await ready(site)) == 200
        shown = await metrics(site)
        assert "residency_trackers_unavailable 1.0" in shown
        assert 'residency_tracker_lookups_total{outcome="failed",tracker="jira"}' in shown
        served.misbehave = ""
        await asyncio.sleep(1.1)
        async with streaming(site, LIAM, PATH, ticket="SEC-7"):
            assert "residency_trackers_unavailable 0.0" in await metrics(site)


async def test_slow_jira_holds_up_no_other_revocation(tmp_path: Path, endless: Addresses) -> None:
    """Streams are judged by what is known; the asking goes on behind them."""
    async with (
        jira(*(issue(f"SEC-{number}") for number in range(5))) as served,
        running(tmp_path / "world", endless, change=tracking(served, timeout_s=20, max_age_s=40)) as site,
        contextlib.AsyncExitStack() as streams,
    ):
        for number in range(5):
            await streams.enter_async_context(streaming(site, LIAM, PATH, ticket=f"SEC-{number}"))
        response = await streams.enter_async_context(streaming(site, SAM, PATH))
        served.misbehave = "slow"
        for number in range(5):
            site.gateway.engine.tracked.doubt(f"SEC-{number}")
        await asyncio.to_thread(site.world.state.put, Revocation("X-1", Revoked.SUBJECT, "sam", "", now_us()))
        await is_cut(site, response)  # within its own patience, and not within the tracker's time-outs
        assert len(site.gateway.checkpoint.admissions) == 5


@pytest.mark.parametrize(
    ("person", "path", "ticket"),
    [
        (LIAM, "/conversations/borealis/7", "SEC-7"),
        (RAJ, PATH, "SEC-7"),
        (LIAM, PATH, "SEC-8"),
        (LIAM, PATH, "SEC-9"),
        (LIAM, PATH, "BUG-1"),
        (LIAM, PATH, "sec-7"),
        (LIAM, PATH, "SEC-7/../SEC-7"),
    ],
    ids=["other customer", "not infosec", "unknown", "closed", "a bug", "other spelling", "hostile"],
)
async def test_ticket_of_jira_justifies_nothing_else(
    tmp_path: Path, stores: Addresses, person: Any, path: str, ticket: str
) -> None:
    """No other customer, no other role, no other kind, and nothing that is not there or not open."""
    issues = (
        issue("SEC-7"),
        issue("SEC-9", status=status("done")),
        issue("BUG-1", issuetype={"name": "Bug"}),
    )
    async with (
        jira(*issues) as served,
        running(tmp_path / "world", stores, change=tracking(served, timeout_s=10)) as site,
    ):
        assert (await site.ask(LIAM, PATH, ticket="SEC-7"))[0] == 200
        assert (await site.ask(person, path, ticket=ticket))[0] == 403
        assert all(target.startswith(("/rest/api/3/issue/SEC-", "/rest/api/3/issue/BUG-")) for target in served.asked)


async def test_only_personnel_have_tickets_looked_up(tmp_path: Path, stores: Addresses) -> None:
    """Neither nobody nor a customer's own user makes the gateway ask."""
    async with jira(issue("SEC-7")) as served, running(tmp_path / "world", stores, change=tracking(served)) as site:
        assert (await site.ask(None, PATH, ticket="SEC-7"))[0] == 401
        assert (await site.ask(ADA, PATH, ticket="SEC-7"))[0] == 200
        assert (await site.ask(LIAM, PATH, ticket="SEC-7", headers={"Authorization": "Bearer x"}))[0] == 401
        assert served.asked == []


async def test_ticket_in_both_denies(tmp_path: Path, stores: Addresses) -> None:
    """An id of the embedded desk is never sent anywhere."""
    async with jira(issue("SEC-7")) as served, running(tmp_path / "world", stores, change=tracking(served)) as site:
        site.world.state.put(Ticket("SEC-7", TicketKind.SECURITY, ("acme",), "Odd", now_us()))
        await site.gateway.rooms.follower.poll()
        code, _, body = await site.ask(LIAM, PATH, ticket="SEC-7")
        assert code == 403
        assert b"both here and of another system" in body
        assert served.asked == []


async def test_trackers_follow_a_reload(tmp_path: Path, stores: Addresses) -> None:
    """New ones count from then on; those that did not change keep what they know."""
    async with jira(issue("SEC-7")) as served, running(tmp_path / "world", stores, reloads=True) as site:
        assert (await site.ask(LIAM, PATH, ticket="SEC-7"))[0] == 403
        config = site.world.config
        table = f"""
[[tracker]]
name = "jira"
kind = "jira"
url = "{served.url}"
pattern = "SEC-[0-9]+"
fields.customers = "customfield_10050"
kinds = {{ "Security Incident" = "security" }}
"""
        config.write_text(config.read_text() + table)
        await site.gateway.reloader.reload()
        assert (await site.ask(LIAM, PATH, ticket="SEC-7"))[0] == 200
        before = site.gateway.engine.tracked
        config.write_text(config.read_text().replace('node = "demo"', 'node = "demo" # the same'))
        await site.gateway.reloader.reload()
        assert site.gateway.engine.tracked is before
        config.write_text(config.read_text().replace(table, ""))
        await site.gateway.reloader.reload()
        assert (await site.ask(LIAM, PATH, ticket="SEC-7"))[0] == 403
        assert len(served.asked) == 1


async def test_slow_jira_holds_up_no_revocation_over_the_api(tmp_path: Path, stores: Addresses) -> None:
    """A dozen people ask for access under tickets that it takes its time to look for; a grant is revoked meanwhile."""
    async with jira() as served, running(tmp_path / "world", stores, change=tracking(served, timeout_s=1.0)) as site:
        api = Api(site)
        served.misbehave = "slow"
        waiting = [
            asyncio.ensure_future(api(PRIYA, "POST", "/access-requests", ASKED | {"ticket": f"BUG-{9_000 + number}"}))
            for number in range(12)
        ]
        await asyncio.sleep(0.2)
        began = time.monotonic()
        await api.done(ANN, "POST", "/grants/G-1/revoke", {"why": "enough"})
        took_s = time.monotonic() - began
        answers = await asyncio.gather(*waiting)
        assert took_s < 1.0
        assert {answer.status for answer in answers} == {503}, "whether there are such tickets was not said"
        assert served.asked, "and not because nobody was asked"


async def test_ticket_that_jira_does_not_have_is_none_and_one_that_it_does_not_tell_of_is_unknown(
    tmp_path: Path, stores: Addresses
) -> None:
    """404 for the first, 503 for the second: nobody is told that there is none where that is not known."""
    async with jira() as served, running(tmp_path / "world", stores, change=tracking(served)) as site:
        api = Api(site)
        asked = ASKED | {"ticket": "BUG-9001"}
        assert (await api(PRIYA, "POST", "/access-requests", asked)).status == 404
        assert (await api(ANN, "GET", "/tickets/BUG-9001/report")).status == 404
        served.misbehave = "500"
        asked = ASKED | {"ticket": "BUG-9002"}
        assert (await api(PRIYA, "POST", "/access-requests", asked)).status == 503
        assert (await api(ANN, "GET", "/tickets/BUG-9002/report")).status == 503


async def test_jira_that_takes_longer_than_an_act_waits_is_unavailable(
    tmp_path: Path, stores: Addresses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 as well, by the gateway's own patience."""
    monkeypatch.setattr("gateway.engine.ELSEWHERE_TIMEOUT_S", 0.1)
    async with jira() as served, running(tmp_path / "world", stores, change=tracking(served, timeout_s=20)) as site:
        served.misbehave = "slow"
        refused = await Api(site)(PRIYA, "POST", "/access-requests", ASKED | {"ticket": "BUG-9001"})
        assert refused.status == 503
        assert "out of reach; try again" in refused.body["detail"]
