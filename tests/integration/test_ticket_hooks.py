"""Webhooks of ticket systems on a running gateway: signed ones open and close tickets at once."""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from gateway.clock import SECOND_US, SystemClock
from gateway.demo.stores import Addresses
from gateway.demo.world import LIAM, PRIYA
from gateway.errors import LedgerUnavailable
from gateway.justification import AccessRequest, Authorization, Grant, Ticket, TicketKind
from gateway.ledger.reader import LedgerReader, Query
from gateway.notification import Notice
from gateway.settings import Settings, TrackerSettings
from tests.integration.conftest import Running, running
from tests.integration.test_continuous import endless as endless
from tests.integration.test_continuous import is_cut, streaming
from tests.world.trackers import issue, jira, status

SECRET = "canary-webhook-secret"
PAGER = TrackerSettings.model_validate(
    {
        "name": "pager",
        "kind": "webhook",
        "pattern": "PAGE-[0-9]+",
        "webhook_secret": SECRET,
        "home_queues": ["us-queue"],
    }
)
PATH = "/conversations/acme/7"
TICKET = {"id": "PAGE-7", "kind": "security", "customers": ["acme"], "title": "Odd sign-ins", "status": "open"}


def with_trackers(*trackers: TrackerSettings) -> Callable[[Settings], Settings]:
    return lambda settings: settings.model_copy(update={"tracker": trackers})


def body_of(event: str, **ticket: Any) -> bytes:
    return json.dumps({"event": event, "ticket": TICKET | ticket}).encode()


def signed(body: bytes, *, sent_s: int | None = None, secret: str = SECRET) -> dict[str, str]:
    sent = str(int(time.time()) if sent_s is None else sent_s)
    digest = hmac.new(secret.encode(), sent.encode() + b"." + body, sha256).hexdigest()
    return {"Residency-Signature": f"t={sent},v1={digest}"}


async def push(
    site: Running, body: bytes, headers: dict[str, str] | None = None, *, tracker: str = "pager"
) -> tuple[int, dict[str, Any]]:
    url = f"{site.control}/hooks/tickets/{tracker}"
    async with site.client.post(url, data=body, headers=signed(body) if headers is None else headers) as response:
        text = await response.text()
        return response.status, json.loads(text) if text.startswith("{") else {}


def acts(site: Running) -> list[tuple[str, str, dict[str, Any]]]:
    """What the ledger says that trackers did: act, actor, details."""
    with LedgerReader(site.world.settings.ledger.path) as reader:
        found = reader.search(Query(kind="administrative"))
        return [(one["act"], one["actor"], one["details"]) for one in found if one["act"].startswith("ticket.")]


async def metrics(site: Running) -> str:
    async with site.client.get(f"{site.control}/metrics") as response:
        return await response.text()


@pytest.fixture
async def pushed(tmp_path: Path, stores: Addresses) -> AsyncIterator[Running]:
    """A gateway to which a pager pushes."""
    async with running(tmp_path / "world", stores, change=with_trackers(PAGER)) as site:
        yield site


async def test_pushed_ticket_opens_at_once_and_closes_at_once(tmp_path: Path, endless: Addresses) -> None:
    """The request after the answer is judged by it, a stream in flight is cut, and each push is on record."""
    async with running(tmp_path / "world", endless, change=with_trackers(PAGER)) as site:
        assert (await site.ask(LIAM, PATH, ticket="PAGE-7"))[0] == 403
        assert await push(site, body_of("e-1")) == (200, {"ticket": "PAGE-7", "act": "ticket.open"})
        async with streaming(site, LIAM, PATH, ticket="PAGE-7") as response:
            assert (await push(site, body_of("e-2", status="resolved")))[1]["act"] == "ticket.close"
            assert (await is_cut(site, response))["outcome"] == "ended"
        assert (await site.ask(LIAM, PATH, ticket="PAGE-7"))[0] == 403
        found = acts(site)
        assert [(act, actor) for act, actor, _ in found] == [
            ("ticket.open", "tracker:pager"),
            ("ticket.close", "tracker:pager"),
        ]
        assert found[0][2]["customers"] == ["acme"]
        assert found[0][2]["event"] == "e-1"
        assert 'residency_webhooks_total{status="200",tracker="pager"} 2.0' in await metrics(site)


async def test_what_a_push_says_takes_the_place_of_what_was(pushed: Running) -> None:
    """Customers that it no longer names are out at once; a reopened ticket is open; when it opened does not change."""
    await push(pushed, body_of("e-1", opened="2027-01-14T00:00:00Z"))
    assert (await push(pushed, body_of("e-2", customers=["borealis"])))[1]["act"] == "ticket.update"
    assert (await pushed.ask(LIAM, PATH, ticket="PAGE-7"))[0] == 403
    later = int(time.time()) + 1
    for event, words, act in (("e-3", "closed", "ticket.close"), ("e-4", "open", "ticket.reopen")):
        body = body_of(event, status=words)
        later += 1
        assert (await push(pushed, body, signed(body, sent_s=later)))[1]["act"] == act
    assert (await pushed.ask(LIAM, PATH, ticket="PAGE-7"))[0] == 200
    kept = pushed.world.state.get(Ticket, "PAGE-7")
    assert kept.opened_us == 1_799_884_800 * SECOND_US


async def test_ticket_that_can_no_longer_be_used_is_closed(pushed: Running) -> None:
    """It is not what it was; one that never could be used is refused."""
    assert (await push(pushed, body_of("e-1", kind="task")))[0] == 400
    await push(pushed, body_of("e-2"))
    assert (await push(pushed, body_of("e-3", kind="task")))[1]["act"] == "ticket.close"
    assert (await pushed.ask(LIAM, PATH, ticket="PAGE-7"))[0] == 403


async def test_two_in_one_second_do_not_reopen(pushed: Running) -> None:
    """Which came first cannot be told, so the ticket stays closed."""
    now_s = int(time.time())
    for event, words, expected in (("e-1", "open", 200), ("e-2", "closed", 200), ("e-3", "open", 400)):
        body = body_of(event, status=words)
        assert (await push(pushed, body, signed(body, sent_s=now_s)))[0] == expected
    assert not pushed.world.state.get(Ticket, "PAGE-7").is_open


async def test_push_to_the_queue_at_home_ends_grants(pushed: Running) -> None:
    """As a hand-off here does; a later push does not undo it."""
    await push(pushed, body_of("e-1", kind="bug"))
    now_us = SystemClock().now_us()
    grant = Grant("G-9", "R-9", "priya", "PAGE-7", "acme", ("conversation",), ("read",), 0, now_us * 2, "dana")
    await asyncio.to_thread(pushed.world.state.put, grant)
    await pushed.gateway.rooms.follower.poll()
    assert (await pushed.ask(PRIYA, PATH, ticket="PAGE-7"))[0] == 200
    await push(pushed, body_of("e-2", kind="bug", holder="us-queue"))
    assert (await pushed.ask(PRIYA, PATH, ticket="PAGE-7"))[0] == 403
    assert pushed.world.state.get(Grant, "G-9").revoked_us
    await push(pushed, body_of("e-3", kind="bug", holder="priya"))
    assert pushed.world.state.get(Ticket, "PAGE-7").handed_off_us


async def hang(site: Running, *, ticket: str = "PAGE-7") -> None:
    """A grant of priya's, a request and an authorization hang on a ticket."""
    now_us = SystemClock().now_us()
    about = ("acme", ("conversation",), ("read",))
    await asyncio.to_thread(
        site.world.state.put,
        Grant("G-19", "R-19", "priya", ticket, *about, 0, now_us * 2, "dana"),
        AccessRequest("R-20", "raj", ticket, *about, "why", 60, now_us),
        Authorization("A-20", "acme", "Ada of Acme", ticket, ("case",), ("read",), 1, 0),
    )
    await site.gateway.rooms.follower.poll()


@pytest.mark.parametrize(
    ("change", "act", "kept", "news"),
    [
        ({"status": "closed"}, "ticket.close", set(), set()),
        ({"kind": "task"}, "ticket.close", set(), set()),
        ({"customers": ["borealis"]}, "ticket.update", set(), set()),
        ({"kind": "support", "severity": 1}, "ticket.update", {"A-20"}, set()),
        ({"holder": "us-queue"}, "ticket.update", {"A-20"}, {"ticket.handed_off"}),
    ],
    ids=["closed", "unusable", "other customer", "no bug", "home"],
)
async def test_push_ends_what_the_ticket_no_longer_carries(
    pushed: Running, change: dict[str, Any], act: str, kept: set[str], news: set[str]
) -> None:
    """For good, in the entry of the push: the ticket as it was before brings none of it back."""
    await push(pushed, body_of("e-1", kind="bug"))
    await hang(pushed)
    assert (await pushed.ask(PRIYA, PATH, ticket="PAGE-7"))[0] == 200
    assert (await push(pushed, body_of("e-2", **{"kind": "bug"} | change)))[1]["act"] == act
    assert (await pushed.ask(PRIYA, PATH, ticket="PAGE-7"))[0] == 403
    again = body_of("e-3", kind="bug")
    assert (await push(pushed, again, signed(again, sent_s=int(time.time()) + 1)))[0] == 200
    assert (await pushed.ask(PRIYA, PATH, ticket="PAGE-7"))[0] == 403
    assert acts(pushed)[1][1] == "tracker:pager"
    assert set(acts(pushed)[1][2]["ended"]) == {"G-19", "R-20", "A-20"} - kept
    ended = (
        {"grant.revoked", "access.withdrawn"}
        if kept
        else {"grant.revoked", "access.withdrawn", "authorization.withdrawn"}
    )
    assert told(pushed) == ended | news


async def test_grant_that_was_given_since_the_hand_off_outlasts_a_push(pushed: Running) -> None:
    """It is new access; the ticket was handed off before."""
    await push(pushed, body_of("e-1", kind="bug", holder="us-queue"))
    await hang(pushed)
    assert (await push(pushed, body_of("e-2", kind="bug", holder="us-queue")))[0] == 200
    assert not pushed.world.state.get(Grant, "G-19").revoked_us
    assert (await push(pushed, body_of("e-3", kind="bug", status="closed")))[0] == 200
    assert pushed.world.state.get(Grant, "G-19").revoked_us


def told(site: Running) -> set[str]:
    return {notice.type for notice in site.world.state.all(Notice)}


@pytest.mark.parametrize("by", ["", "another"])
async def test_push_takes_over_no_ticket_of_others(pushed: Running, by: str) -> None:
    """One that was opened here, or that another tracker pushed, stays as it is: 409, counted, and no entry."""
    here = Ticket("PAGE-7", TicketKind.BUG, ("acme",), "Opened here", 1, pushed_by=by)
    await asyncio.to_thread(pushed.world.state.put, here)
    for event, words in (("e-1", "open"), ("e-2", "closed")):
        status_, said = await push(pushed, body_of(event, status=words))
        assert (status_, said["title"]) == (409, "Not taken")
        assert f"of the tracker {by}" in said["detail"] if by else "opened here" in said["detail"]
    assert pushed.world.state.get(Ticket, "PAGE-7") == here
    assert acts(pushed) == []
    assert 'residency_webhooks_total{status="409",tracker="pager"} 2.0' in await metrics(pushed)


BODY = body_of("e-1")


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        (BODY, {}, 401),
        (BODY, signed(BODY, secret="another-secret-of-16"), 401),
        (BODY, signed(body_of("e-2")), 401),
        (BODY, {"X-Hub-Signature": "sha256=" + hmac.new(SECRET.encode(), BODY, sha256).hexdigest()}, 401),
        (b"", {}, 401),
        (b"x" * 300_000, {}, 400),
    ],
    ids=["unsigned", "another secret", "another body", "Jira's form", "empty", "giant"],
)
async def test_push_without_a_good_signature_changes_nothing(
    pushed: Running, body: bytes, headers: dict[str, str], expected: int
) -> None:
    """It is refused and counted, and leaves no entry."""
    status_, said = await push(pushed, body, headers)
    assert (status_, said["title"]) == (expected, "Not taken")
    assert SECRET not in json.dumps(said)
    assert acts(pushed) == []
    assert pushed.world.state.find(Ticket, "PAGE-7") is None
    assert f'residency_webhooks_total{{status="{expected}",tracker="pager"}} 1.0' in await metrics(pushed)


@pytest.mark.parametrize("seconds", [-400, 400])
async def test_push_of_another_time_is_refused(pushed: Running, seconds: int) -> None:
    """Kept back, or from a clock that is wrong."""
    assert (await push(pushed, BODY, signed(BODY, sent_s=int(time.time()) + seconds)))[0] == 401


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{",
        b"\xff",
        b"[" * 100_000,
        json.dumps({"ticket": TICKET}).encode(),
        json.dumps({"event": "e" * 129, "ticket": TICKET}).encode(),
        json.dumps({"event": "e\n1", "ticket": TICKET}).encode(),
        json.dumps({"event": 1, "ticket": TICKET}).encode(),
        json.dumps({"event": "e-1"}).encode(),
        json.dumps({"event": "e-1", "ticket": "PAGE-7"}).encode(),
        body_of("e-1", id=7),
        body_of("e-1", id="INC-7"),
        body_of("e-1", id="PAGE-7\n"),
        body_of("e-1", customers=["*"]),
        body_of("e-1", customers=[]),
        body_of("e-1", kind="support", severity=9),
    ],
)
async def test_signed_nonsense_is_refused(pushed: Running, body: bytes) -> None:
    """A tracker writes about its own tickets, in words that are known."""
    assert (await push(pushed, body))[0] == 400
    assert acts(pushed) == []


async def test_push_is_taken_once_even_after_a_restart(tmp_path: Path, stores: Addresses) -> None:
    """Who recorded the opening cannot open the ticket again once it is closed."""
    body = body_of("e-1")
    headers = signed(body)
    async with running(tmp_path / "world", stores, change=with_trackers(PAGER)) as site:
        assert (await push(site, body, headers))[0] == 200
        assert (await push(site, body, headers))[0] == 400
    async with running(tmp_path / "world", stores, change=with_trackers(PAGER)) as site:
        assert (await push(site, body, headers))[0] == 400
        assert (await push(site, body_of("e-2", status="closed")))[0] == 200


async def test_push_that_cannot_be_recorded_may_come_again(pushed: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """503, and nothing changed; the same one is taken once the record is there again."""
    hooks = pushed.gateway.engine.hooks

    async def full(_entry: object) -> int:
        raise LedgerUnavailable("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(hooks, "_record", full)
        assert (await push(pushed, BODY, signed(BODY)))[0] == 503
        assert pushed.world.state.find(Ticket, "PAGE-7") is None
    assert (await push(pushed, BODY, signed(BODY)))[0] == 200


async def test_trackers_without_a_secret_have_no_hook(pushed: Running) -> None:
    """Nor have those that are not configured, nor the doors."""
    assert (await push(pushed, BODY, tracker="jira"))[0] == 404
    assert (await push(pushed, BODY, tracker="..%2Fpager"))[0] == 404
    async with pushed.client.get(f"{pushed.control}/hooks/tickets/pager") as response:
        assert response.status == 405
    async with pushed.client.post(f"{pushed.url}/hooks/tickets/pager", data=BODY, headers=signed(BODY)) as response:
        assert response.status == 401


@pytest.mark.parametrize("native", [True, False], ids=["its own form", "signed as others do"])
async def test_push_of_jira_makes_the_gateway_ask_at_once(tmp_path: Path, endless: Addresses, native: bool) -> None:
    """The stream is cut long before the answer would be too old; a comment cuts nothing."""
    async with jira(issue("SEC-7")) as served:
        tracker = TrackerSettings.model_validate(
            {
                "name": "jira",
                "kind": "jira",
                "url": served.url,
                "pattern": "SEC-[0-9]+",
                "fields": {"customers": "customfield_10050"},
                "kinds": {"Security Incident": "security"},
                "max_age_s": 3_600,
                "webhook_secret": SECRET,
            }
        )

        async def changed(event: int) -> tuple[int, dict[str, Any]]:
            if not native:
                return await push(
                    site, json.dumps({"event": f"e-{event}", "ticket": {"id": "SEC-7"}}).encode(), tracker="jira"
                )
            said = {"timestamp": int(time.time() * 1_000) + event, "webhookEvent": "jira:issue_updated"}
            body = json.dumps(said | {"issue": {"id": "10421", "key": "SEC-7"}}).encode()
            digest = hmac.new(SECRET.encode(), body, sha256).hexdigest()
            return await push(site, body, {"X-Hub-Signature": f"sha256={digest}"}, tracker="jira")

        async with running(tmp_path / "world", endless, change=with_trackers(tracker)) as site:
            async with streaming(site, LIAM, PATH, ticket="SEC-7") as response:
                assert await changed(1) == (200, {"ticket": "SEC-7", "act": "ticket.refresh"})
                for _ in range(30):
                    assert await asyncio.wait_for(response.content.readany(), 5)
                served.tickets["SEC-7"] = issue("SEC-7", status=status("done"))
                assert (await changed(2))[0] == 200
                assert (await site.ask(LIAM, PATH, ticket="SEC-7"))[0] == 403
                assert (await is_cut(site, response))["outcome"] == "ended"
            assert [(act, actor) for act, actor, _ in acts(site)] == [("ticket.refresh", "tracker:jira")] * 2


async def test_push_that_sends_an_incident_home_bars_who_held_it(pushed: Running) -> None:
    """Each time that one does; nobody else is barred."""
    path, lena = PATH, replace(LIAM, name="lena")
    for number, holder in enumerate(("liam", "us-queue", "lena", "us-queue")):
        body = body_of(f"e-{number}", holder=holder)
        assert (await push(pushed, body))[0] == 200
        barred = {"liam": number >= 1, "lena": number >= 3}
        for person in (LIAM, lena):
            assert ((await pushed.ask(person, path, ticket="PAGE-7"))[0] == 403) == barred[person.name], number
    assert [details.get("barred") for _, _, details in acts(pushed)] == [None, "liam", None, "lena"]
