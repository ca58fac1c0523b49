"""Send to US Analyst for a ticket of Jira or ServiceNow: access ends here, the ticket moves there, and it stays so."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.clock import SystemClock
from gateway.demo.stores import Addresses
from gateway.demo.world import LIAM, PRIYA, RAJ, SAM
from gateway.errors import LedgerUnavailable, TrackerUnavailable
from gateway.justification import Authorization, Grant, HandOff, Ticket
from gateway.settings import Settings
from gateway.trackers import JiraTracker, ServiceNowTracker
from tests.integration.conftest import Running, running
from tests.integration.console.callers import ANN, Api
from tests.integration.test_continuous import endless as endless
from tests.integration.test_continuous import is_cut, streaming
from tests.integration.test_ticket_hooks import SECRET, acts, push
from tests.integration.test_tracked_access import PATH, tracking
from tests.integration.test_tracked_endings import BUG, hang, revoked
from tests.integration.test_trackers import UNAVAILABLE, settings
from tests.world.trackers import Served, issue, jira, record, servicenow, sys_id
from tests.world.waiting import until

FIELDS = {"assignee": {"accountId": "us-desk"}, "labels": ["us", 1]}
CASE = {"issuetype": {"name": "Case"}, "priority": {"name": "Highest"}}
OF_CASES = {"kinds": {"Case": "support"}, "severities": {"Highest": 1}}
OF_BOTH = OF_CASES | {"kinds": {"Case": "support", "Bug": "bug"}}
WRITTEN = ("PUT", "/rest/api/3/issue/BUG-1", {"fields": FIELDS})


def handing_off(served: Served, **changes: Any) -> Callable[[Settings], Settings]:
    given = {"home_queues": ["us-desk"], "handoff": {"fields": FIELDS}, "webhook_secret": SECRET, "max_age_s": 3_600}
    return tracking(served, **given | changes)


async def authorized(site: Running) -> None:
    """Acme has authorised reading for SEC-7."""
    given = Authorization("A-20", "acme", "Ada of Acme", "SEC-7", ("conversation",), ("read",), 1, 0)
    await asyncio.to_thread(site.world.state.put, given)
    await site.gateway.rooms.follower.poll()


async def test_hand_off_by_api_ends_access_and_moves_the_ticket(tmp_path: Path, endless: Addresses) -> None:
    """The stream is cut, the next request denied, Jira told, and once is enough."""
    async with (
        jira(issue("BUG-1", **BUG, assignee={"accountId": "priya"})) as served,
        running(tmp_path / "world", endless, change=handing_off(served)) as site,
    ):
        await hang(site, "BUG-1")
        api = Api(site)
        async with streaming(site, PRIYA, PATH, ticket="BUG-1") as response:
            moved = await api.done(SAM, "POST", "/tickets/BUG-1/handoff", {})
            assert (await is_cut(site, response))["outcome"] == "ended"
        assert (moved.body["state"], moved.body["holder"]) == ("queued", "us-queue")
        assert [line["act"] for line in moved.body["history"]] == ["ticket.handoff"]
        assert served.written == [WRITTEN]
        assert (await site.ask(PRIYA, PATH, ticket="BUG-1"))[0] == 403
        [(act, by, details)] = acts(site)
        assert (act, by, details["previous"]) == ("ticket.handoff", "sam", "priya")
        assert "G-19" in details["ended"]
        again = await api.done(SAM, "POST", "/tickets/BUG-1/handoff", {})
        assert again.body["handed_off_at"] == moved.body["handed_off_at"]
        assert (served.written, len(acts(site))) == ([WRITTEN], 1)
        assert site.world.state.find(Ticket, "BUG-1") is None


async def test_hand_off_outlasts_what_jira_says_later_and_a_restart(tmp_path: Path, stores: Addresses) -> None:
    """A case that goes back to somebody abroad there lets nobody abroad in, whatever the customer authorised."""
    async with jira(issue("SEC-7", **CASE)) as served:
        change = handing_off(served, **OF_CASES)
        async with running(tmp_path / "world", stores, change=change) as site:
            await authorized(site)
            assert (await site.ask(RAJ, PATH, ticket="SEC-7"))[0] == 200
            await Api(site).done(RAJ, "POST", "/tickets/SEC-7/handoff", {})
            assert (await site.ask(RAJ, PATH, ticket="SEC-7"))[0] == 403
            served.tickets["SEC-7"] = issue("SEC-7", **CASE, assignee={"accountId": "raj"})
            body = json.dumps({"event": "e-1", "ticket": {"id": "SEC-7"}}).encode()
            assert (await push(site, body, tracker="jira"))[0] == 200
            assert (await site.ask(RAJ, PATH, ticket="SEC-7"))[0] == 403
            assert (await site.ask(SAM, PATH, ticket="SEC-7"))[0] == 200
        async with running(tmp_path / "world", stores, change=change) as site:
            assert (await site.ask(RAJ, PATH, ticket="SEC-7"))[0] == 403


async def test_incident_that_is_handed_off_is_still_looked_into(tmp_path: Path, stores: Addresses) -> None:
    """Whoever's business it is, wherever they are."""
    async with (
        jira(issue("SEC-7")) as served,
        running(tmp_path / "world", stores, change=handing_off(served)) as site,
    ):
        await Api(site).done(LIAM, "POST", "/tickets/SEC-7/handoff", {})
        assert served.tickets["SEC-7"]["fields"]["assignee"] == {"accountId": "us-desk"}
        assert (await site.ask(LIAM, PATH, ticket="SEC-7"))[0] == 200


async def test_who_held_an_incident_of_jira_reads_under_it_no_more_once_it_is_handed_off(
    tmp_path: Path, endless: Addresses
) -> None:
    """The stream is cut, the next request denied with why; nobody else is barred, and whoever holds it next is, too."""
    async with (
        jira(issue("SEC-7", assignee={"accountId": "Liam"})) as served,
        running(tmp_path / "world", endless, change=handing_off(served)) as site,
    ):
        api, lena = Api(site), replace(LIAM, name="lena")
        async with streaming(site, LIAM, PATH, ticket="SEC-7") as response:
            await api.done(ANN, "POST", "/tickets/SEC-7/handoff", {})
            assert (await is_cut(site, response))["outcome"] == "ended"
        code, _, body = await site.ask(LIAM, PATH, ticket="SEC-7")
        assert code == 403
        assert b"SEC-7 was handed to a US analyst while you held it" in body
        async with streaming(site, lena, PATH, ticket="SEC-7"):
            pass
        await api.done(ANN, "POST", "/tickets/SEC-7/handoff", {})
        assert [details["barred"] for _, _, details in acts(site)] == ["Liam"]
        served.tickets["SEC-7"] = issue("SEC-7", assignee={"accountId": "lena"})
        body = json.dumps({"event": "e-1", "ticket": {"id": "SEC-7"}}).encode()
        assert (await push(site, body, tracker="jira"))[0] == 200
        await api.done(ANN, "POST", "/tickets/SEC-7/handoff", {})
        assert (await site.ask(lena, PATH, ticket="SEC-7"))[0] == 403
        assert [details["barred"] for act, _, details in acts(site) if act == "ticket.handoff"] == ["Liam", "lena"]


async def test_incident_that_jira_itself_sends_home_bars_who_held_it(tmp_path: Path, stores: Addresses) -> None:
    """As a hand-off here; it is in the record, although nothing that was granted ends with it."""
    async with (
        jira(issue("SEC-7", assignee={"accountId": "liam"})) as served,
        running(tmp_path / "world", stores, change=handing_off(served)) as site,
    ):
        assert (await site.ask(LIAM, PATH, ticket="SEC-7"))[0] == 200
        served.tickets["SEC-7"] = issue("SEC-7", assignee={"accountId": "us-desk"})
        site.gateway.engine.tracked.doubt("SEC-7")
        bar = HandOff.of_holder("SEC-7", "liam", 1).id
        await until(lambda: site.world.state.find(HandOff, bar) is not None)
        [(act, by, details)] = acts(site)  # written before it is done
        assert act == "ticket.handoff"
        assert (by, details["barred"], details["customer"], details["ended"]) == ("gateway", "liam", "acme", [])
        await site.gateway.rooms.follower.poll()
        assert (await site.ask(LIAM, PATH, ticket="SEC-7"))[0] == 403
        assert (await site.ask(replace(LIAM, name="lena"), PATH, ticket="SEC-7"))[0] == 200


async def test_case_of_jira_is_authorised_and_reported_through_the_api(tmp_path: Path, stores: Addresses) -> None:
    """What the customer authorised for it counts, and who read what under it is told to whoever sees it."""
    words = {"kinds": {"Case": "support", "Security Incident": "security"}, "severities": {"Highest": 1}}
    async with (
        jira(issue("SEC-7", **CASE), issue("SEC-8")) as served,
        running(tmp_path / "world", stores, change=handing_off(served, **words)) as site,
    ):
        api = Api(site)
        given = {"customer": "acme", "given_by": "Ada", "received": "letter", "data_classes": ["conversation"]}
        refused = await api(ANN, "POST", "/authorizations", given | {"ticket": "SEC-8"})
        assert (refused.status, refused.body["detail"].partition(";")[0]) == (422, "SEC-8 is a security ticket")
        await api.done(ANN, "POST", "/authorizations", given | {"ticket": "SEC-7"})
        assert (await site.ask(RAJ, PATH, ticket="SEC-7"))[0] == 200
        [read] = (await api.done(ANN, "GET", "/tickets/SEC-7/report")).body["items"]
        assert read["subject"] == "raj"
        assert (await api(ANN, "GET", "/tickets/SEC-9/report")).status == 404


async def test_hand_off_on_another_node_counts_here(tmp_path: Path, endless: Addresses) -> None:
    """By the state alone, while this node still has the tracker's older answer: what is in flight is cut."""
    async with (
        jira(issue("SEC-7", **CASE)) as served,
        running(tmp_path / "world", endless, change=handing_off(served, **OF_CASES)) as site,
    ):
        await authorized(site)
        async with streaming(site, RAJ, PATH, ticket="SEC-7") as response:
            await asyncio.to_thread(site.world.state.put, HandOff("SEC-7", 1))
            assert (await is_cut(site, response))["outcome"] == "ended"
        assert (await site.ask(RAJ, PATH, ticket="SEC-7"))[0] == 403
        assert len(served.asked) == 1


@pytest.mark.parametrize("misdeed", ["500", "403", "slow", "redirect"])
async def test_jira_that_does_not_take_it_leaves_access_ended(tmp_path: Path, stores: Addresses, misdeed: str) -> None:
    """503 that says what happened and what to do; the second call moves the ticket, and is not recorded as another."""
    async with (
        jira(issue("BUG-1", **BUG)) as served,
        running(tmp_path / "world", stores, change=handing_off(served)) as site,
    ):
        await hang(site, "BUG-1")
        api = Api(site)
        assert (await site.ask(PRIYA, PATH, ticket="BUG-1"))[0] == 200
        served.misbehave_writing = misdeed
        for _ in range(2):
            failed = await api(SAM, "POST", "/tickets/BUG-1/handoff", {}, Idempotency_Key="one")
            assert failed.status == 503
            assert "BUG-1 is handed off here, and what it gave anybody outside has ended" in failed.body["detail"]
            assert "hand it off again" in failed.body["detail"]
            assert (await site.ask(PRIYA, PATH, ticket="BUG-1"))[0] == 403
        assert revoked(site)
        served.misbehave_writing = ""
        await api.done(SAM, "POST", "/tickets/BUG-1/handoff", {}, Idempotency_Key="one")
        assert served.tickets["BUG-1"]["fields"]["assignee"] == {"accountId": "us-desk"}
        assert served.written == [WRITTEN] * 3
        assert len(acts(site)) == 1


@pytest.mark.parametrize("writing", [False, True], ids=["to be asked", "to be written to"])
async def test_hand_off_that_waits_for_jira_holds_up_no_revocation(
    tmp_path: Path, stores: Addresses, writing: bool
) -> None:
    """Three tickets and a denial are sent home while Jira hangs; a grant is revoked meanwhile."""
    async with (
        jira(*(issue(f"BUG-{number}", **BUG) for number in range(1, 4)), issue("SEC-7", **CASE)) as served,
        running(tmp_path / "world", stores, change=handing_off(served, timeout_s=4.0, **OF_BOTH)) as site,
    ):
        api = Api(site)
        _, headers, _ = await site.ask(RAJ, PATH, ticket="SEC-7")
        site.gateway.engine.tracked.doubt("SEC-7")
        asked = len(served.asked)
        served.misbehave, served.misbehave_writing = ("", "slow") if writing else ("slow", "")
        paths = [*(f"/tickets/BUG-{number}/handoff" for number in range(1, 4))]
        waiting = [asyncio.ensure_future(api(SAM, "POST", path, {})) for path in paths]
        denial = f"/decisions/{headers['Residency-Decision']}/handoff"
        waiting.append(asyncio.ensure_future(api(RAJ, "POST", denial, {})))
        await until(lambda: len(served.written) == 4 if writing else len(served.asked) - asked >= 4)
        began = time.monotonic()
        await api.done(ANN, "POST", "/grants/G-1/revoke", {"why": "enough"})
        assert time.monotonic() - began < 2.0
        assert not any(one.done() for one in waiting), "and not because nobody waited"
        assert {answer.status for answer in await asyncio.gather(*waiting)} == {503}
        assert len(list(site.world.state.all(HandOff))) == (4 if writing else 0)


async def test_access_has_ended_at_the_doors_when_jira_is_written_to(tmp_path: Path, stores: Addresses) -> None:
    """However long it takes to take it."""
    async with (
        jira(issue("BUG-1", **BUG)) as served,
        running(tmp_path / "world", stores, change=handing_off(served, timeout_s=20.0)) as site,
    ):
        await hang(site, "BUG-1")
        assert (await site.ask(PRIYA, PATH, ticket="BUG-1"))[0] == 200
        served.misbehave_writing = "slow"
        moving = asyncio.ensure_future(Api(site)(SAM, "POST", "/tickets/BUG-1/handoff", {}))
        await until(lambda: served.written == [WRITTEN])
        assert (await site.ask(PRIYA, PATH, ticket="BUG-1"))[0] == 403
        assert not moving.done()
        moving.cancel()


async def test_denial_under_a_ticket_that_jira_does_not_tell_of_opens_no_case(
    tmp_path: Path, stores: Addresses
) -> None:
    """503: there may be one. Another look-up that Jira answers meanwhile says nothing of this one."""
    async with (
        jira(issue("SEC-7", **CASE), issue("SEC-8", **CASE)) as served,
        running(tmp_path / "world", stores, change=handing_off(served, max_age_s=1.0, **OF_CASES)) as site,
    ):
        api, tracked = Api(site), site.gateway.engine.tracked
        _, headers, _ = await site.ask(RAJ, PATH, ticket="SEC-7")
        path = f"/decisions/{headers['Residency-Decision']}/handoff"
        before = len(list(site.world.state.all(Ticket)))
        await asyncio.sleep(1.1)
        served.misbehave = "500"
        assert (await site.ask(RAJ, PATH, ticket="SEC-7"))[0] == 403
        served.misbehave = ""
        await tracked.find("SEC-8")
        assert not tracked.problems
        assert (await api(RAJ, "POST", path, {})).status == 503
        assert len(list(site.world.state.all(Ticket))) == before
        await asyncio.sleep(1.1)
        assert (await api.done(RAJ, "POST", path, {})).body["id"] == "SEC-7"


async def test_hand_off_that_cannot_be_recorded_does_not_happen(
    tmp_path: Path, stores: Addresses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither here nor there."""

    def refuse(*_: object, **__: object) -> None:
        raise LedgerUnavailable("the disk is full")

    async with (
        jira(issue("BUG-1", **BUG)) as served,
        running(tmp_path / "world", stores, change=handing_off(served)) as site,
    ):
        await hang(site, "BUG-1")
        with monkeypatch.context() as broken:
            broken.setattr(site.gateway.ledger, "enqueue", refuse)
            assert (await Api(site)(SAM, "POST", "/tickets/BUG-1/handoff", {})).status == 503
        assert (served.written, revoked(site)) == ([], False)
        assert site.world.state.find(HandOff, "BUG-1") is None
        assert (await site.ask(PRIYA, PATH, ticket="BUG-1"))[0] == 200


async def test_without_handoff_it_is_refused_with_the_key_to_set(tmp_path: Path, stores: Addresses) -> None:
    """409, and nothing changed."""
    async with (
        jira(issue("BUG-1", **BUG)) as served,
        running(tmp_path / "world", stores, change=handing_off(served, handoff=None)) as site,
    ):
        await hang(site, "BUG-1")
        refused = await Api(site)(SAM, "POST", "/tickets/BUG-1/handoff", {})
        assert refused.status == 409
        assert "of the tracker jira; change it there, or set handoff.fields" in refused.body["detail"]
        assert (served.asked, revoked(site)) == ([], False)


async def test_ticket_that_may_not_be_seen_is_not_handed_off(tmp_path: Path, stores: Addresses) -> None:
    """An incident is for infosec; to others it is not there, nor is what Jira does not have."""
    async with (
        jira(issue("SEC-7")) as served,
        running(tmp_path / "world", stores, change=handing_off(served)) as site,
    ):
        api = Api(site)
        assert (await api(SAM, "POST", "/tickets/SEC-7/handoff", {})).status == 404
        assert (await api(LIAM, "POST", "/tickets/SEC-8/handoff", {})).status == 404
        assert (await api(LIAM, "POST", "/tickets/SEC-7/handoff", {}, If_Match='"another"')).status == 412
        served.misbehave = "500"
        assert (await api(LIAM, "POST", "/tickets/SEC-9/handoff", {})).status == 503
        assert (served.written, acts(site)) == ([], [])


async def test_link_of_a_denial_hands_off_the_ticket_that_it_cited(tmp_path: Path, stores: Addresses) -> None:
    """One press by whoever was denied."""
    async with (
        jira(issue("SEC-7", **CASE)) as served,
        running(tmp_path / "world", stores, change=handing_off(served, **OF_CASES)) as site,
    ):
        _, headers, _ = await site.ask(RAJ, PATH, ticket="SEC-7")
        path = f"/decisions/{headers['Residency-Decision']}/handoff"
        for _ in range(2):
            assert (await Api(site).done(RAJ, "POST", path, {})).body["id"] == "SEC-7"
        assert [written[1] for written in served.written] == ["/rest/api/3/issue/SEC-7"]
        [(_, by, details)] = acts(site)
        assert (by, details["denial"]) == ("raj", headers["Residency-Decision"])


async def test_grant_that_is_approved_after_it_counts_unless_jira_has_it_at_home(
    tmp_path: Path, stores: Addresses
) -> None:
    """As for a ticket of the embedded desk: it is new access."""
    async with (
        jira(issue("BUG-1", **BUG)) as served,
        running(tmp_path / "world", stores, change=handing_off(served)) as site,
    ):
        await Api(site).done(SAM, "POST", "/tickets/BUG-1/handoff", {})
        now_us = SystemClock().now_us()
        grant = Grant("G-20", "R", "priya", "BUG-1", "acme", ("conversation",), ("read",), now_us, now_us * 2, "dana")
        await asyncio.to_thread(site.world.state.put, grant)
        await site.gateway.rooms.follower.poll()
        served.tickets["BUG-1"] = issue("BUG-1", **BUG)
        body = json.dumps({"event": "e-1", "ticket": {"id": "BUG-1"}}).encode()
        assert (await push(site, body, tracker="jira"))[0] == 200
        assert (await site.ask(PRIYA, PATH, ticket="BUG-1"))[0] == 200


async def test_servicenow_writes_to_the_record_with_that_number() -> None:
    """Asked for its sys_id first; the values go as they are given."""
    fields = {"assignment_group": "d625", "assigned_to": ""}
    async with servicenow(record("INC2"), record("INC1")) as served:
        chosen = settings(served, "servicenow", handoff={"fields": fields}, home_queues=["d625"])
        tracker = ServiceNowTracker(chosen, SystemClock())
        try:
            await tracker.hand_off("INC1")
            assert served.written == [("PATCH", f"/api/now/table/incident/{sys_id('INC1')}", fields)]
            assert served.tickets["INC2"] == record("INC2")
            for damaged in ({"INC1": record("INC2")}, {}, {"INC1": record("INC1", sys_id="../../x")}):
                served.tickets = damaged
                with pytest.raises(TrackerUnavailable, match="does not say which record INC1 is"):
                    await tracker.hand_off("INC1")
        finally:
            await tracker.close()
    assert len(served.written) == 1


@pytest.mark.parametrize("misdeed", sorted({*UNAVAILABLE, "error beside result"}))
@pytest.mark.parametrize("kind", ["jira", "servicenow"])
async def test_tracker_that_misbehaves_when_it_is_to_write_has_not_written(kind: str, misdeed: str) -> None:
    """Whatever it does instead; the reason shows neither a body nor a credential, and nothing is followed."""
    serving, made = (jira, JiraTracker) if kind == "jira" else (servicenow, ServiceNowTracker)
    async with serving(issue("SEC-7") if kind == "jira" else record("SEC-7")) as served:
        served.misbehave_writing = misdeed
        tracker = made(settings(served, kind, handoff={"fields": {"a": "canary"}}), SystemClock())
        try:
            with pytest.raises(TrackerUnavailable) as failure:
                await tracker.hand_off("SEC-7")
        finally:
            await tracker.close()
    assert str(failure.value).startswith(f"the tracker {kind} ")
    assert not any(secret in str(failure.value) for secret in ("canary", "Log in", "html", "/login"))
    assert len(served.written) == 1
