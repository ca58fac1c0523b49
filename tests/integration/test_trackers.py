"""Jira and ServiceNow over the line: what they say is a ticket, whatever else they do is none, no id goes astray."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from gateway.clock import SystemClock
from gateway.errors import ConfigurationError, TrackerUnavailable
from gateway.justification import Answer, TicketKind, TrackedTickets, Tracker
from gateway.settings import CredentialSettings, Secret, TrackerSettings
from gateway.trackers import JiraTracker, ServiceNowTracker
from tests.world.trackers import MISDEEDS, Served, both, issue, jira, record, servicenow, status

TIMEOUT_S = 0.5
KINDS = {"Security Incident": "security", "Bug": "bug", "incident": "support"}
UNAVAILABLE = sorted(set(MISDEEDS) - {"error beside result", "slow"})


def settings(served: Served, kind: str, **changes: Any) -> TrackerSettings:
    fields = {"customers": "customfield_10050" if kind == "jira" else "u_customer"}
    given: dict[str, Any] = {
        "name": kind,
        "kind": kind,
        "pattern": "(SEC|INC)-?[0-9]+",
        "url": served.url,
        "credential": {"basic": "gateway@example.com:canary-token"},
        "fields": fields,
        "kinds": KINDS,
        "severities": {"1": 1, "High": 2},
        "max_age_s": 60.0,
        "timeout_s": TIMEOUT_S,
    }
    return TrackerSettings(**given | changes)


async def said(tracker: Tracker, ticket: str) -> Answer:
    """What the gateway makes of it."""
    tracked = TrackedTickets([tracker], clock=SystemClock())
    try:
        asking = tracked.ask(ticket)
        if asking is not None:
            await asking
        return tracked.answer(ticket) or Answer()
    finally:
        await tracked.close()


async def test_jira_issue_is_a_ticket() -> None:
    """Asked for by its key, with the fields that are mapped and the credential."""
    async with jira(issue("SEC-7")) as served:
        found = await said(JiraTracker(settings(served, "jira"), SystemClock()), "SEC-7")
    assert found.ticket is not None
    assert (found.ticket.kind, found.ticket.customers, found.ticket.is_open) == (TicketKind.SECURITY, ("acme",), True)
    fields = "assignee%2Ccreated%2Ccustomfield_10050%2Cissuetype%2Cpriority%2Cresolutiondate%2Cstatus%2Csummary"
    assert served.asked == [f"/rest/api/3/issue/SEC-7?fields={fields}"]
    assert served.credentials == ["Basic " + base64.b64encode(b"gateway@example.com:canary-token").decode()]


async def test_servicenow_record_is_a_ticket() -> None:
    """Asked for by its number alone; values count, and not what people see."""
    async with servicenow(record("INC0010001")) as served:
        tracker = ServiceNowTracker(settings(served, "servicenow", credential={"bearer": "canary"}), SystemClock())
        found = (await said(tracker, "INC0010001")).ticket
    assert found is not None
    assert (found.kind, found.customers, found.severity) == (TicketKind.SUPPORT, ("acme",), 1)
    [target] = served.asked
    assert target.startswith("/api/now/table/incident?sysparm_query=number%3DINC0010001&sysparm_fields=")
    assert target.endswith("&sysparm_display_value=all&sysparm_exclude_reference_link=true&sysparm_limit=2")
    assert served.credentials == ["Bearer canary"]


async def test_closed_ones_are_closed() -> None:
    """By the status category, and by the state."""
    async with jira(issue("SEC-7", status=status("done"))) as served:
        found = (await said(JiraTracker(settings(served, "jira"), SystemClock()), "SEC-7")).ticket
        assert found is not None
        assert not found.is_open
    for state in ("6", "7", "8", ""):
        async with servicenow(record("INC1", state=both(state))) as served:
            answer = await said(ServiceNowTracker(settings(served, "servicenow"), SystemClock()), "INC1")
            assert answer.ticket is None or not answer.ticket.is_open


@pytest.mark.parametrize(
    ("field", "path", "words", "customers"),
    [
        (both("acme,borealis", "Acme, Borealis"), "u_customer", {}, ("acme", "borealis")),
        (both("9a1b", "Acme, Inc."), "u_customer.display_value", {"Acme, Inc.": "acme"}, ("acme",)),
        ({"display_value": "Acme", "value": "9a1b", "link": "https://…"}, "u_customer", {"9a1b": "acme"}, ("acme",)),
        ("acme", "u_customer", {}, ("acme",)),
        (both(""), "u_customer", {}, ()),
        (None, "u_customer", {}, ()),
        ({"value": ["acme"]}, "u_customer", {}, ()),
    ],
)
async def test_servicenow_customers(field: Any, path: str, words: dict[str, str], customers: tuple[str, ...]) -> None:
    """A reference, a list of them, or what people see of it."""
    async with servicenow(record("INC1", u_customer=field)) as served:
        chosen = settings(served, "servicenow", fields={"customers": path}, customers=words)
        answer = await said(ServiceNowTracker(chosen, SystemClock()), "INC1")
    assert (answer.ticket.customers if answer.ticket else ()) == customers


@pytest.mark.parametrize("kind", ["jira", "servicenow"])
async def test_unknown_ticket_is_none(kind: str) -> None:
    """Which is no problem of the tracker's."""
    serving, tracker = (jira, JiraTracker) if kind == "jira" else (servicenow, ServiceNowTracker)
    async with serving() as served:
        answer = await said(tracker(settings(served, kind), SystemClock()), "SEC-8")
    assert answer == Answer(problem=f"the tracker {kind} knows no SEC-8, or does not show it to the gateway")


async def test_answer_about_another_id_is_not_believed() -> None:
    """Jira follows what moved and ignores case; ServiceNow ignores what it does not understand of a query."""
    async with jira(issue("SEC-7")) as served:
        served.tickets["SEC-6"] = issue("SEC-7")
        chosen = settings(served, "jira", pattern="[A-Za-z]+-[0-9]+")
        for cited in ("SEC-6", "sec-7"):
            answer = await said(JiraTracker(chosen, SystemClock()), cited)
            assert (answer.ticket, "has another key" in answer.problem) == (None, True)
    async with servicenow(record("INC1")) as served:
        for tickets in ({"INC2": record("INC1")}, {"INC2": {}}, {"INC2": "x"}):
            served.tickets = tickets
            answer = await said(ServiceNowTracker(settings(served, "servicenow"), SystemClock()), "INC2")
            assert (answer.ticket, "other tickets" in answer.problem) == (None, True)


@pytest.mark.parametrize("kind", ["jira", "servicenow"])
@pytest.mark.parametrize("misdeed", UNAVAILABLE)
async def test_tracker_that_misbehaves_means_no_ticket(kind: str, misdeed: str) -> None:
    """Whatever it does; the reason says what came, and neither a body nor a credential."""
    serving, tracker = (jira, JiraTracker) if kind == "jira" else (servicenow, ServiceNowTracker)
    ticket = issue("SEC-7") if kind == "jira" else record("SEC-7")
    async with serving(ticket) as served:
        served.misbehave = misdeed
        adapter = tracker(settings(served, kind), SystemClock())
        answer = await said(adapter, "SEC-7")
    assert answer.ticket is None
    assert answer.problem.startswith(f"SEC-7 is not known now: the tracker {kind} ")
    assert not any(secret in answer.problem for secret in ("canary", "Log in", "html", "/login"))
    assert len(served.asked) == 1, "nothing is followed, and nothing sent twice"


@pytest.mark.parametrize(
    ("misdeed", "reason"),
    [
        ("giant", "answered more than 262144 bytes"),
        ("redirect", "answered a redirect (302), which is not followed; check its url"),
        ("403", "answered 403; check its credential and what that may read"),
        ("sign-in page", "answered 200 that is not plain JSON: a page to sign in, or a wrong url?"),
        ("cut", "cannot be reached or broke off (ClientPayloadError)"),
    ],
)
async def test_reason_says_what_came_and_what_to_do(misdeed: str, reason: str) -> None:
    """For whoever operates it."""
    async with jira(issue("SEC-7")) as served:
        served.misbehave = misdeed
        answer = await said(JiraTracker(settings(served, "jira", timeout_s=20.0), SystemClock()), "SEC-7")
    assert answer.problem == f"SEC-7 is not known now: the tracker jira {reason}"


async def test_incomplete_answer_of_servicenow_is_none() -> None:
    """An error may come beside a result."""
    async with servicenow(record("INC1")) as served:
        served.misbehave = "error beside result"
        answer = await said(ServiceNowTracker(settings(served, "servicenow"), SystemClock()), "INC1")
    assert answer.ticket is None


async def test_issue_without_fields_is_none() -> None:
    """It is not one."""
    async with jira({"key": "SEC-7"}) as served:
        answer = await said(JiraTracker(settings(served, "jira"), SystemClock()), "SEC-7")
    assert "without fields" in answer.problem


async def test_slow_tracker_is_not_waited_for() -> None:
    """Longer than its time-out."""
    async with jira(issue("SEC-7")) as served:
        served.misbehave = "slow"
        answer = await said(JiraTracker(settings(served, "jira"), SystemClock()), "SEC-7")
    assert answer.problem == "SEC-7 is not known now: the tracker jira did not answer within 0.5 s"


async def test_tracker_that_is_not_there_means_no_ticket() -> None:
    """A refused connection."""
    async with jira() as served:
        pass
    answer = await said(JiraTracker(settings(served, "jira"), SystemClock()), "SEC-7")
    assert "cannot be reached" in answer.problem


async def test_retry_after_is_told() -> None:
    """In seconds; a date or nonsense counts as none."""
    async with jira(issue("SEC-7")) as served:
        served.misbehave = "429"
        tracker = JiraTracker(settings(served, "jira"), SystemClock())
        with pytest.raises(TrackerUnavailable) as refusal:
            await tracker.find("SEC-7")
        assert refusal.value.retry_after_s == 30
        await tracker.close()


@pytest.mark.parametrize("kind", ["jira", "servicenow"])
async def test_probe_tells_whether_it_would_answer(kind: str) -> None:
    """What doctor asks."""
    serving, tracker = (jira, JiraTracker) if kind == "jira" else (servicenow, ServiceNowTracker)
    async with serving() as served:
        adapter = tracker(settings(served, kind), SystemClock())
        await adapter.probe()
        for misdeed in ("401", "500", "sign-in page"):
            served.misbehave = misdeed
            with pytest.raises(TrackerUnavailable):
                await adapter.probe()
        await adapter.close()


async def test_credential_from_a_file_is_read_again(tmp_path: Path) -> None:
    """A token that was renewed is taken into use by itself."""
    file = tmp_path / "token"
    file.write_text("new-token\n")
    credential = CredentialSettings(bearer=Secret(SecretStr("old-token"), file))
    async with jira(issue("SEC-7")) as served:
        tracker = JiraTracker(settings(served, "jira").model_copy(update={"credential": credential}), SystemClock())
        await tracker.find("SEC-7")
        await asyncio.sleep(0)
        await tracker.close()
    assert served.credentials == ["Bearer new-token"]


async def test_authority_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    """One line with the key."""
    async with jira() as served:
        pass
    with pytest.raises(ConfigurationError, match=r"tracker jira: tls_ca .* cannot be used"):
        JiraTracker(settings(served, "jira", tls_ca=tmp_path / "none.pem"), SystemClock())
