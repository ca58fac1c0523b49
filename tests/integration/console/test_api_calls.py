"""What holds for every call: the record, pages, keys, versions, and what is refused before anything is done."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.catalog.customers import Customer
from gateway.console import reading
from gateway.demo.stores import Addresses
from gateway.demo.world import ADA, DANA, LIAM, PRIYA, SAM, Person
from gateway.errors import LedgerUnavailable
from gateway.identity import Revocation
from gateway.identity.revocation import Revoked
from gateway.justification import Grant, Ticket, TicketKind
from gateway.settings import Settings
from tests.integration.conftest import running
from tests.integration.console.callers import ANN, ASKED, AUDREY, Answered, Api
from tests.integration.console.conftest import NOWHERE

GIVEN = {"customer": "acme", "given_by": "Ada", "received": "letter", "data_classes": ["case"]}
BUG = {"id": "BUG-70", "kind": "bug", "customers": ["acme"], "title": "Odd"}


def kind_of(answered: Answered) -> str:
    """The last part of a problem's type; that of every problem."""
    assert answered.headers["Content-Type"] == "application/problem+json"
    assert answered.body["status"] == answered.status
    return str(answered.body["type"]).rpartition("/")[2]


async def test_an_act_says_from_where_it_was_called_and_is_one_entry(api: Api) -> None:
    """Its own entry is the record of the call; nothing is said twice."""
    before = len(api.entries())
    await api.done(ANN, "POST", "/tickets", BUG)
    [entry] = api.entries(before)
    assert (entry["act"], entry["actor"], entry["object"]) == ("ticket.open", "ann", "BUG-70")
    assert entry["details"]["client_address"] == ANN.address


async def test_what_is_read_is_recorded_by_its_id(api: Api) -> None:
    """Who looked at what, so that a search for a customer finds it."""
    await api.done(AUDREY, "GET", "/grants/G-1")
    entry = api.last()
    assert (entry["act"], entry["actor"], entry["object"]) == ("api.grants.show", "audrey", "G-1")
    await api.done(AUDREY, "GET", "/tickets?customer=acme&limit=2")
    entry = api.last()
    assert (entry["act"], entry["details"]["customer"], entry["details"]["count"]) == ("api.tickets.list", "acme", 2)


async def test_no_token_and_no_body_is_recorded(api: Api) -> None:
    """Not even where a token stands in a path or a body is refused."""
    token = api.site.world.token(PRIYA)
    await api(ANN, "GET", f"/tickets/{token}")
    await api(ANN, "GET", f"/nowhere/{token}?token={token}")
    await api(ANN, "POST", "/tickets", {**BUG, "title": "", token: "a secret"})
    await api(None, "GET", "/me", Authorization=f"Bearer {token}x")
    written = str(api.entries())
    assert token[:20] not in written
    assert "a secret" not in written


@pytest.mark.parametrize(
    ("method", "path", "status", "act"),
    [
        ("GET", "/me", 401, "api.me"),
        ("POST", "/tickets", 401, "api.tickets.open"),
        ("GET", "/nowhere", 404, "api.unknown"),
        ("GET", "", 404, "api.unknown"),
        ("DELETE", "/tickets", 405, "api.unknown"),
        ("OPTIONS", "/tickets", 405, "api.unknown"),
        ("GET", "/openapi.json", 200, "api.document"),
    ],
)
async def test_whatever_nobody_calls_is_recorded(api: Api, method: str, path: str, status: int, act: str) -> None:
    """Without a token, without a path, without a method: each leaves an entry, with the address and no actor."""
    before = len(api.entries())
    answered = await api(None, method, path)
    assert answered.status == status
    [entry] = api.entries(before)
    assert (entry["act"], entry["actor"]) == (act, "")
    assert (entry["details"]["status"], entry["details"]["client_address"]) == (status, "127.0.0.1")


async def test_what_cannot_be_recorded_is_neither_shown_nor_done(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger is out of reach: 503 for reads, acts and refusals alike, and nothing has changed."""
    console_ledger = api.site.gateway.ledger

    def refuse(*_arguments: object, **_options: object) -> None:
        raise LedgerUnavailable("a full disk")

    monkeypatch.setattr(console_ledger, "enqueue", refuse)
    for who, method, path, body in (
        (AUDREY, "GET", "/tickets/CASE-5", None),
        (ANN, "POST", "/tickets", BUG),
        (None, "GET", "/me", None),
        (ANN, "GET", "/nowhere", None),
    ):
        answered = await api(who, method, path, body)
        assert answered.status == 503, path
        assert "could not be written down" in answered.body["detail"]
        assert b"No sound" not in answered.text
    assert api.site.world.state.find(Ticket, "BUG-70") is None


async def test_a_revoked_token_ends_at_once(api: Api) -> None:
    """As at the doors: by subject, whatever it was remembered as."""
    await api.done(ANN, "GET", "/me")
    api.site.world.state.put(Revocation("x", Revoked.SUBJECT, "ann", "", 1))
    await api.site.gateway.rooms.follower.poll()
    answered = await api(ANN, "GET", "/me")
    assert (answered.status, kind_of(answered)) == (401, "unauthenticated")
    assert answered.headers["WWW-Authenticate"].startswith("Bearer")


async def test_a_tool_that_acts_for_somebody_is_refused(api: Api) -> None:
    """People decide for themselves: neither an act claim nor On-Behalf-Of is taken."""
    token = api.site.world.provider.mint("dana", ["approver"], act={"sub": "helpdesk"})
    assert (await api(None, "GET", "/me", Authorization=f"Bearer {token}")).status == 403
    other = f"Bearer {api.site.world.token(DANA)}"
    assert (await api(DANA, "GET", "/me", On_Behalf_Of=other)).status == 403


async def test_pages_lead_through_all_of_a_list_once(api: Api) -> None:
    """By next, in the body and as a link; newest first; what is opened meanwhile moves nothing."""
    tickets = [Ticket(f"BUG-{n}", TicketKind.BUG, ("acme",), "Odd", 1_000 + n // 3) for n in range(100, 120)]
    api.site.world.state.put(*tickets)
    seen: list[str] = []
    path = "/tickets?kind=bug&limit=6"
    while path:
        answered = await api.done(AUDREY, "GET", path)
        seen += [ticket["id"] for ticket in answered.body["items"]]
        following = answered.body["next"]
        assert answered.headers.get("Link") == (f'<{following}>; rel="next"' if following else None)
        path = following.removeprefix("/api/v1") if following else ""
        if len(seen) == 6:
            await api.done(ANN, "POST", "/tickets", BUG)
    by_age = sorted(tickets, key=lambda ticket: (ticket.opened_us, ticket.id), reverse=True)
    assert seen == ["BUG-9", *(ticket.id for ticket in by_age)]


async def test_customers_are_listed_by_their_ids(api: Api) -> None:
    """However many there are: more than are read at a time."""
    api.site.world.state.put(*(Customer(f"z{number:03}", "Many") for number in range(450)))
    seen: list[str] = []
    path = "/customers?limit=200"
    while path:
        body = (await api.done(AUDREY, "GET", path)).body
        seen += [customer["id"] for customer in body["items"]]
        path = (body["next"] or "").removeprefix("/api/v1")
    assert seen == ["acme", "borealis", "cascade", "delta", *(f"z{number:03}" for number in range(450))]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/tickets?limit=0", "limit"),
        ("/tickets?limit=201", "limit"),
        ("/tickets?limit=1.0", "limit"),
        ("/tickets?after=BUG-none", "after"),
        ("/tickets?kind=rumour", "kind"),
        ("/tickets?sort=title", "sort"),
        ("/me?verbose=1", "verbose"),
        ("/quote", "seats"),
        ("/customers?overdue=yes", "overdue"),
    ],
)
async def test_a_wrong_query_is_refused_by_its_name(api: Api, path: str, field: str) -> None:
    """422, and a line for the parameter."""
    answered = await api(ANN, "GET", path)
    assert (answered.status, kind_of(answered)) == (422, "invalid")
    assert [fault["field"] for fault in answered.body["faults"]] == [field]


async def test_a_call_with_a_key_acts_once(api: Api) -> None:
    """The first answer again, to the byte, though things have moved on; the record says that it was a repetition."""
    first = await api.done(ANN, "POST", "/tickets", BUG, Idempotency_Key="k-1")
    assert "Idempotency-Replayed" not in first.headers
    await api.done(ANN, "POST", "/tickets/BUG-70/close", {})
    again = await api.done(ANN, "POST", "/tickets", BUG, Idempotency_Key="k-1")
    assert (again.status, again.text) == (first.status, first.text)
    for name in ("ETag", "Location"):
        assert again.headers[name] == first.headers[name]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (api.last()["act"], api.last()["details"]["outcome"]) == ("api.tickets.open", "replayed")


async def test_a_key_is_its_callers_and_for_one_call(api: Api) -> None:
    """Another body or path with it is a contradiction; another caller's same key is another key."""
    await api.done(ANN, "POST", "/tickets", BUG, Idempotency_Key="k-1")
    other = await api(ANN, "POST", "/tickets", {**BUG, "title": "Other"}, Idempotency_Key="k-1")
    assert (other.status, kind_of(other)) == (409, "contradicted")
    assert (await api(ANN, "POST", "/tickets/BUG-9/close", {}, Idempotency_Key="k-1")).status == 409
    mine = await api(SAM, "POST", "/tickets", {**BUG, "id": "BUG-71"}, Idempotency_Key="k-1")
    assert (mine.status, "Idempotency-Replayed" in mine.headers) == (201, False)


async def test_a_key_of_a_refused_call_may_be_used_again(api: Api) -> None:
    """Nothing was done, so nothing is remembered."""
    assert (await api(ANN, "POST", "/tickets", {**BUG, "customers": ["nobody"]}, Idempotency_Key="k")).status == 404
    assert (await api(ANN, "POST", "/tickets", BUG, Idempotency_Key="k")).status == 201


async def test_twenty_at_once_with_one_key_act_once(api: Api) -> None:
    """All are answered alike, and one ticket was opened."""
    answers = await asyncio.gather(*(api(ANN, "POST", "/tickets", BUG, Idempotency_Key="k") for _ in range(20)))
    assert {(answered.status, answered.text) for answered in answers} == {(201, answers[0].text)}
    assert sum("Idempotency-Replayed" in answered.headers for answered in answers) == 19
    assert [entry["act"] for entry in api.entries()].count("ticket.open") == 1


CHANGES: dict[str, tuple[str, str, Any]] = {
    "/customers/acme": ("PATCH", "/customers/acme", {"approvers": 2}),
    "/customers/delta": ("POST", "/customers/delta/plans", {"seats": 1}),
    "/customers/cascade": ("POST", "/customers/cascade/plans/enable", {}),
    "/tickets/BUG-9": ("POST", "/tickets/BUG-9/assign", {"holder": "eve"}),
    "/tickets/CASE-5": ("POST", "/tickets/CASE-5/handoff", {}),
    "/tickets/INC-7": ("POST", "/tickets/INC-7/widen", {"customers": ["delta"]}),
    "/tickets/CASE-1": ("POST", "/tickets/CASE-1/close", {}),
    "/grants/G-1": ("POST", "/grants/G-1/revoke", {"why": "over"}),
    "/authorizations/A-1": ("POST", "/authorizations/A-1/withdraw", {}),
}


@pytest.mark.parametrize("thing", CHANGES)
async def test_a_change_is_made_to_the_version_that_was_read(api: Api, thing: str) -> None:
    """The version as read, among others, or any; an old one, a weak one or another changes nothing."""
    method, path, body = CHANGES[thing]
    read = (await api.done(ANN, "GET", thing)).headers["ETag"]
    for tag in ('"0123456789abcdef01234567"', f"W/{read}", '""'):
        answered = await api(ANN, method, path, body, If_Match=tag)
        assert (answered.status, kind_of(answered)) == (412, "outdated"), tag
        assert (await api.done(ANN, "GET", thing)).headers["ETag"] == read
    changed = await api.done(ANN, method, path, body, If_Match=f'"other", {read}')
    assert changed.headers["ETag"] != read
    assert (await api.done(ANN, "GET", thing)).headers["ETag"] == changed.headers["ETag"]
    stale = await api(ANN, method, path, body, If_Match=read)
    assert stale.status == 412
    assert (await api(ANN, method, path, body, If_Match="*")).status != 412


async def test_a_severity_is_changed_once_and_of_the_version_that_was_read(api: Api) -> None:
    """A call with a key acts once; an old version changes nothing, nor does a case that is none or is closed."""
    path, critical = "/tickets/CASE-5/severity", {"severity": 1, "why": "all lines down"}
    read = (await api.done(SAM, "GET", "/tickets/CASE-5")).headers["ETag"]
    changed = await api.done(SAM, "POST", path, critical, If_Match=read, Idempotency_Key="k")
    assert (changed.body["severity"], changed.body["queued_until"], changed.headers["ETag"] != read) == (1, None, True)
    assert changed.body["history"][-1]["act"] == "ticket.severity"
    again = await api.done(SAM, "POST", path, critical, If_Match=read, Idempotency_Key="k")
    assert (again.text, again.headers["Idempotency-Replayed"]) == (changed.text, "true")
    assert (await api(SAM, "POST", path, {"severity": 2, "why": "half"}, If_Match=read)).status == 412
    assert [entry["act"] for entry in api.entries()].count("ticket.severity") == 1
    refused = await api(SAM, "POST", "/tickets/BUG-9/severity", critical)
    assert (refused.status, kind_of(refused)) == (409, "contradicted")
    await api.done(SAM, "POST", "/tickets/CASE-5/close", {})
    assert (await api(SAM, "POST", path, {"severity": 2, "why": "half"})).status == 409


async def test_what_is_over_already_contradicts_and_is_no_fault_of_the_call(api: Api) -> None:
    """409: decided, granted or closed already, or over by itself."""
    asked = (await api.done(PRIYA, "POST", "/access-requests", ASKED)).body["id"]
    await api.done(DANA, "POST", f"/access-requests/{asked}/approve", {})
    await api.done(ANN, "POST", "/tickets/CASE-5/close", {})
    contradictions: list[tuple[Person, str, Any]] = [
        (PRIYA, "/access-requests", ASKED | {"duration_s": 60}),
        (DANA, f"/access-requests/{asked}/approve", {}),
        (DANA, f"/access-requests/{asked}/deny", {"why": "late"}),
        (PRIYA, f"/access-requests/{asked}/withdraw", {}),
        (ANN, "/tickets/CASE-5/assign", {"holder": "sam"}),
        (ANN, "/tickets/CASE-5/handoff", {}),
        (ANN, "/authorizations", GIVEN | {"ticket": "CASE-5"}),
        (ANN, "/tickets", BUG | {"id": "CASE-5"}),
    ]
    for who, path, body in contradictions:
        answered = await api(who, "POST", path, body)
        assert (answered.status, kind_of(answered)) == (409, "contradicted"), (path, answered.text)
    await api.done(ANN, "POST", "/tickets/BUG-9/close", {})
    assert (await api(PRIYA, "POST", "/access-requests", ASKED)).status == 409


@pytest.mark.parametrize("tag", ["", "abc", '"a" "b"', '"a', "*, *"])
async def test_an_if_match_that_is_none_is_refused(api: Api, tag: str) -> None:
    """Never taken for no condition."""
    answered = await api(ANN, "POST", "/tickets/CASE-5/close", {}, If_Match=tag)
    assert (answered.status, kind_of(answered)) == (400, "malformed")
    assert api.site.world.state.get(Ticket, "CASE-5").is_open


BODIES: dict[str, tuple[bytes, dict[str, str], int]] = {
    "no JSON": (b"{", {}, 400),
    "nothing": (b"", {}, 400),
    "a list": (b"[]", {}, 400),
    "a name twice": (b'{"why": "a", "why": "b"}', {}, 400),
    "a name twice, within": (b'{"x": {"a": 1, "a": 2}}', {}, 400),
    "no UTF-8": (b'{"why": "\xff"}', {}, 400),
    "a lone surrogate": (b'{"why": "\\ud800"}', {}, 400),
    "not a number": (b'{"why": NaN}', {}, 400),
    "a long number": (b'{"why": ' + b"9" * 5_000 + b"}", {}, 400),
    "deep": (b"[" * 30_000, {}, 400),
    "unknown field": (b'{"because": ""}', {}, 422),
    "wrong type": (b'{"why": 1}', {}, 422),
    "no reason": (b"{}", {}, 422),
    "a blank for a reason": (b'{"why": " "}', {}, 422),
    "a form": (b"why=a", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
    "plain text": (b"{}", {"Content-Type": "text/plain"}, 415),
    "compressed": (b"{}", {"Content-Encoding": "gzip"}, 415),
    "another charset": (b"{}", {"Content-Type": "application/json; charset=utf-16"}, 415),
    "large": (b'{"why": "' + b"a" * 70_000 + b'"}', {}, 413),
}


@pytest.mark.parametrize("name", BODIES)
async def test_a_body_has_one_meaning_or_none(api: Api, name: str) -> None:
    """Whatever is wrong with it is said, and nothing is done."""
    data, headers, status = BODIES[name]
    answered = await api(ANN, "POST", "/grants/G-1/revoke", data, **headers)
    assert answered.status == status, answered.text
    kind_of(answered)
    assert api.last()["details"]["status"] == status
    assert api.site.world.state.get(Grant, "G-1").revoked_us == 0


async def test_a_body_that_nobody_asked_for_is_refused(api: Api) -> None:
    """A read has none."""
    answered = await api(ANN, "GET", "/tickets", {})
    assert (answered.status, kind_of(answered)) == (400, "malformed")


async def test_a_body_that_does_not_come_is_not_waited_for(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """408, on record, and the connection is closed."""
    monkeypatch.setattr(reading, "BODY_TIMEOUT_S", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", api.site.gateway.control_port)
    token = api.site.world.token(ANN)
    head = f"POST /api/v1/tickets HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
    writer.write(f"{head}Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{{".encode())
    said = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    writer.close()
    assert said.startswith(b"HTTP/1.1 408 ")
    assert b"Connection: close" in said
    assert api.last()["details"]["outcome"] == "too-slow"


async def test_every_fault_of_a_body_is_named(api: Api) -> None:
    """One for each field, with its path, and never with the value."""
    wrong = {"id": "", "kind": "hunch", "customers": ["acme", "A!"], "title": "secret" * 50, "severity": 9}
    answered = await api(ANN, "POST", "/tickets", wrong)
    assert answered.status == 422
    fields = [fault["field"] for fault in answered.body["faults"]]
    assert fields == ["id", "kind", "customers.1", "title", "severity"]
    assert b"secret" not in answered.text
    assert len(answered.body["detail"].splitlines()) == len(fields)


async def test_a_rule_of_the_contract_that_forbids_is_named(api: Api) -> None:
    """A protected customer's case cannot be given to somebody abroad: us-assignment."""
    answered = await api(SAM, "POST", "/tickets/CASE-5/assign", {"holder": "raj", "country": "IN"})
    assert (answered.status, answered.body["rule"]) == (409, "us-assignment")


@pytest.mark.parametrize(
    ("headers", "refusal"),
    [({}, 415), ({"Content_Type": "application/json"}, 400), ({"Content_Type": "text/plain"}, 415)],
)
async def test_where_there_is_nothing_to_say_no_body_will_do(api: Api, headers: dict[str, str], refusal: int) -> None:
    """As a denial's link is followed; a call that has something to say is not made without."""
    assert (await api.done(SAM, "POST", "/tickets/CASE-5/handoff", **headers)).body["holder"]
    assert (await api.done(SAM, "POST", "/tickets/CASE-5/handoff", b"", **headers)).status == 200
    assert (await api(ANN, "POST", "/grants/G-1/revoke", **headers)).status == refusal
    assert (await api(ANN, "POST", "/tickets/CASE-5/close", b"{}", Content_Type="text/plain")).status == 415


async def test_who_opens_an_act_is_told_how_it_is_done(api: Api) -> None:
    """A denial's link in a browser's address line: 405, what to send, and what comes of it."""
    answered = await api(SAM, "GET", "/decisions/019a/handoff")
    assert (answered.status, answered.headers["Allow"]) == (405, "POST")
    assert "got GET; expected POST: send POST, with no body or {} (Send to US Analyst" in answered.body["detail"]


async def test_methods_that_there_are_are_named(api: Api) -> None:
    """405 with Allow; HEAD is answered as GET, without a body."""
    answered = await api(ANN, "PUT", "/tickets/BUG-9")
    assert (answered.status, answered.headers["Allow"]) == (405, "GET, HEAD")
    answered = await api(ANN, "HEAD", "/tickets/BUG-9")
    assert (answered.status, answered.text) == (200, b"")
    assert answered.headers["ETag"]


@pytest.mark.parametrize("path", ["/me", "/nowhere", "/tickets", "/openapi.json"])
async def test_no_answer_may_be_kept_or_shared_with_another_site(api: Api, path: str) -> None:
    """no-store and nosniff, always; no CORS header, whatever Origin asks."""
    answered = await api(ANN, "GET", path, Origin="https://elsewhere.example")
    assert answered.headers["Cache-Control"] == "no-store"
    assert answered.headers["X-Content-Type-Options"] == "nosniff"
    assert answered.headers["Server"] == "residency-gateway"
    assert not [name for name in answered.headers if name.lower().startswith("access-control-")]


async def test_a_ticket_that_is_opened_can_be_read_where_it_is_said_to_be(api: Api) -> None:
    """Its id has no letter that would mean something there."""
    opened = await api.done(ANN, "POST", "/tickets", {**BUG, "id": "BUG_7.a-b"})
    assert (await api.done(ANN, "GET", opened.headers["Location"].removeprefix("/api/v1"))).body["id"] == "BUG_7.a-b"


async def test_a_change_counts_at_the_doors_before_its_answer_is_out(api: Api) -> None:
    """What the doors judge by has it already, with no wait in between."""
    body = {**ASKED, "data_classes": ["conversation"]}
    await api.done(LIAM, "POST", "/grants/G-1/revoke", {"why": "found it"})
    for _ in range(10):
        asked = await api.done(PRIYA, "POST", "/access-requests", body)
        assert await _at_the_door(api) == 403
        granted = (await api.done(DANA, "POST", f"/access-requests/{asked.body['id']}/approve", {})).body["grant"]
        assert await _at_the_door(api) in (502, 503), "permitted: only the store is not there"
        await api.done(LIAM, "POST", f"/grants/{granted}/revoke", {"why": "found it"})


async def _at_the_door(api: Api) -> int:
    """What the person whose grants come and go is answered."""
    status, _, _ = await api.site.ask(PRIYA, "/conversations/acme/7", ticket="BUG-9")
    return status


async def test_the_loop_is_not_held_up_by_a_database_that_is(api: Api) -> None:
    """While another process holds the state's lock, reads and the rest of the gateway go on."""
    state = api.site.world.state
    with state.transaction(exclusive=True) as transaction:
        transaction.put(Customer("held", "Held"))
        waiting = asyncio.ensure_future(api(ANN, "POST", "/tickets", BUG))
        await asyncio.sleep(0.05)
        began = time.monotonic()
        await api.done(AUDREY, "GET", "/tickets")
        assert not waiting.done()
        assert time.monotonic() - began < 4, "a read waited for the lock"
    assert (await waiting).status == 201


def one_a_second(settings: Settings) -> Settings:
    limits = settings.gateway.limits.model_copy(update={"subject_rate_per_s": 0.01, "subject_burst": 2})
    return settings.model_copy(update={"gateway": settings.gateway.model_copy(update={"limits": limits})})


async def test_who_calls_too_often_waits_and_nobody_else(tmp_path: Path) -> None:
    """429 with Retry-After, on record; somebody else is not kept waiting."""
    addresses = Addresses(NOWHERE, NOWHERE, NOWHERE, "ftp://127.0.0.1:9/")
    async with running(tmp_path / "world", addresses, change=one_a_second) as site:
        api = Api(site)
        answers = [await api(ANN, "GET", "/me") for _ in range(3)]
        assert [answered.status for answered in answers] == [200, 200, 429]
        assert int(answers[2].headers["Retry-After"]) > 0
        assert (api.last()["details"]["outcome"], api.last()["actor"]) == ("too-many-requests", "ann")
        assert (await api(AUDREY, "GET", "/me")).status == 200


async def test_what_goes_wrong_within_is_a_503_on_record(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of what went wrong is shown; nothing was done."""

    def break_(*_arguments: object) -> None:
        raise RuntimeError("the innermost secret")

    monkeypatch.setattr("gateway.console.views.ticket_with_history", break_)
    for method, path, body in (("GET", "/tickets/BUG-9", None), ("POST", "/tickets", BUG)):
        with capture_logs() as said:
            answered = await api(ANN, method, path, body)
        assert "call_failed" in [line["event"] for line in said]
        assert (answered.status, kind_of(answered)) == (503, "unavailable")
        assert b"secret" not in answered.text
        assert api.last()["details"]["status"] == 503
    assert api.site.world.state.find(Ticket, "BUG-70") is None
    assert "ticket.open" not in [entry["act"] for entry in api.entries()]


@pytest.mark.parametrize("forwarded", ["203.0.113.9", "what, ever"])
async def test_the_address_is_established_as_at_the_doors(api: Api, forwarded: str) -> None:
    """From the forwarding header of a trusted proxy; the peer's own where that cannot be read."""
    await api.done(replace(ANN, address=forwarded), "GET", "/me")
    expected = forwarded if "," not in forwarded else "127.0.0.1"
    assert api.last()["details"]["client_address"] == expected


async def test_a_customers_user_consents_and_the_grant_begins(api: Api) -> None:
    """The way of a request through a customer that wants to be asked and wants two approvers."""
    await api.done(ANN, "PATCH", "/customers/acme", {"consent": True, "approvers": 2})
    asked = (await api.done(PRIYA, "POST", "/access-requests", ASKED)).body
    assert asked["missing"] == "2 more approvers and the consent of acme"
    path = f"/access-requests/{asked['id']}"
    await api.done(DANA, "POST", f"{path}/approve", {})
    assert (await api(DANA, "POST", f"{path}/approve", {})).status == 409
    consented = (await api.done(ADA, "POST", f"{path}/consent", {})).body
    assert (consented["state"], consented["consented_by"]) == ("requested", "ada@acme")
    told = api.last()["details"]
    assert (told["actor_kind"], told["actor_customer"]) == ("customer", "acme")
    assert told["actor_issuer"] == api.site.world.settings.identity.issuer[0].issuer
    granted = (await api.done(replace(DANA, name="dee"), "POST", f"{path}/approve", {})).body
    assert (granted["state"], granted["approved_by"], granted["missing"]) == ("approved", ["dana", "dee"], "")
    assert (await api.done(PRIYA, "GET", f"/grants/{granted['grant']}")).body["state"] == "active"
