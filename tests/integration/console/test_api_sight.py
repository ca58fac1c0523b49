"""Who sees what: a customer's own users their customer's things, engineers their own, security tickets few."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.demo.world import ADA, DANA, LIAM, MARIA, PRIYA, RAJ, SAM, Person
from gateway.justification import Ticket, TicketKind
from tests.integration.console.callers import ANN, ASKED, AUDREY, BO, EVE, Api


async def ids(api: Api, who: Person, path: str) -> list[str]:
    return [item["id"] for item in (await api.done(who, "GET", path)).body["items"]]


@pytest.fixture
async def request_id(api: Api) -> str:
    """A request of Priya's for Acme's data, which waits for Acme's consent too."""
    await api.done(ANN, "PATCH", "/customers/acme", {"consent": True})
    return str((await api.done(PRIYA, "POST", "/access-requests", ASKED)).body["id"])


async def test_a_customers_user_sees_its_own_customer_alone(api: Api, request_id: str) -> None:
    """In every list, whatever is filtered for."""
    assert await ids(api, ADA, "/customers") == ["acme"]
    assert await ids(api, BO, "/customers") == ["borealis"]
    assert await ids(api, ADA, "/access-requests") == [request_id]
    assert await ids(api, ADA, "/grants") == ["G-1"]
    assert await ids(api, ADA, "/authorizations") == ["A-1"]
    for path in ("/access-requests", "/grants", "/authorizations"):
        assert await ids(api, BO, path) == []
        assert await ids(api, BO, f"{path}?customer=acme") == []
    assert await ids(api, ADA, "/customers?overdue=true") == []
    assert await ids(api, ADA, "/customers?after=acme") == []


CALLS: list[tuple[str, str, Any]] = [
    ("GET", "/customers/acme", None),
    ("GET", "/access-requests/{request}", None),
    ("POST", "/access-requests/{request}/consent", {}),
    ("GET", "/grants/G-1", None),
    ("GET", "/authorizations/A-1", None),
    ("POST", "/authorizations/A-1/withdraw", {}),
]


@pytest.mark.parametrize(("method", "path", "body"), CALLS, ids=[path for _, path, _ in CALLS])
async def test_another_customers_things_are_not_there(
    api: Api, request_id: str, method: str, path: str, body: Any
) -> None:
    """Read or acted on, the answer is the one for what there is not, to the byte but for the id."""
    there = path.replace("{request}", request_id)
    id_ = next(part for part in there.split("/")[2:] if part)
    other = await api(BO, method, there, body)
    nothing = await api(BO, method, there.replace(id_, "x" * len(id_)), body)
    assert other.status == nothing.status == 404
    assert other.text.replace(id_.encode(), b"") == nothing.text.replace(b"x" * len(id_), b"")
    assert (await api(ADA, method, there, body)).status == 200


async def test_nothing_of_another_customer_begins_a_page(api: Api) -> None:
    """Not even its place in the list can be asked for."""
    for path in ("/customers?after=acme", "/grants?after=G-1", "/authorizations?after=A-1"):
        assert (await api(BO, "GET", path)).status == 422
    assert (await api(EVE, "GET", "/grants?after=G-1")).status == 422
    assert (await api(EVE, "GET", "/tickets?after=INC-7")).status == 422


async def test_an_engineer_sees_requests_and_grants_of_their_own(api: Api, request_id: str) -> None:
    """Not a colleague's, be it by list, by filter or by id; who decides on them or watches over them sees all."""
    for path, own in (("/access-requests", request_id), ("/grants", "G-1")):
        assert await ids(api, PRIYA, path) == [own]
        assert await ids(api, EVE, path) == []
        assert await ids(api, EVE, f"{path}?subject=priya") == []
        assert (await api(EVE, "GET", f"{path}/{own}")).status == 404
        for watcher in (DANA, LIAM, AUDREY, ANN):
            assert await ids(api, watcher, f"{path}?subject=priya") == [own]
            assert (await api(watcher, "GET", f"{path}/{own}")).status == 200
    assert (await api(EVE, "POST", f"/access-requests/{request_id}/withdraw", {})).status == 404
    assert (await api.done(PRIYA, "POST", f"/access-requests/{request_id}/withdraw", {})).body["state"] == "withdrawn"


async def test_security_tickets_are_for_few(api: Api) -> None:
    """For who guards and who watches; for others they are not there, to read or to act on, unless they hold one."""
    for who in (SAM, MARIA, PRIYA, DANA):
        assert not {"INC-7", "INC-8"} & set(await ids(api, who, "/tickets"))
        assert await ids(api, who, "/tickets?kind=security") == []
        assert (await api(who, "GET", "/tickets/INC-7")).status == 404
    assert (await api(SAM, "POST", "/tickets/INC-7/close", {})).status == 404
    for who in (LIAM, AUDREY, ANN):
        assert await ids(api, who, "/tickets?kind=security") == ["INC-8", "INC-7"]
    await api.done(LIAM, "POST", "/tickets/INC-7/assign", {"holder": "priya"})
    assert await ids(api, PRIYA, "/tickets?kind=security") == ["INC-7"]
    assert (await api(PRIYA, "GET", "/tickets/INC-7")).status == 200


async def test_lists_are_filtered(api: Api) -> None:
    """By kind, customer (one that a ticket about all covers, too), state and holder, each alone and together."""
    api.site.world.state.put(Ticket("BUG-1", TicketKind.BUG, ("delta",), "Old", 5, holder="eve", closed_us=9))
    assert await ids(api, AUDREY, "/tickets?kind=bug") == ["BUG-9", "BUG-1"]
    assert await ids(api, AUDREY, "/tickets?customer=delta") == ["INC-8", "BUG-1"]
    assert await ids(api, AUDREY, "/tickets?customer=delta&kind=bug") == ["BUG-1"]
    assert await ids(api, AUDREY, "/tickets?state=closed") == ["BUG-1"]
    assert await ids(api, AUDREY, "/tickets?holder=priya&state=assigned") == ["BUG-9"]
    assert await ids(api, AUDREY, "/grants?state=active&ticket=BUG-9") == ["G-1"]
    assert await ids(api, AUDREY, "/grants?state=revoked") == []
    assert await ids(api, AUDREY, "/authorizations?state=active&ticket=CASE-1") == ["A-1"]
    assert await ids(api, AUDREY, "/access-requests?state=requested") == []
    assert await ids(api, AUDREY, "/customers?overdue=true") == []
    assert await ids(api, AUDREY, "/customers?overdue=false&limit=1") == ["acme"]


async def test_a_report_says_who_read_what_under_a_ticket(api: Api) -> None:
    """From the ledger: permits that cite it, the newest first, page by page; denials are not in it."""
    for path in ("/conversations/acme/1", "/conversations/acme/2", "/conversations/acme/3"):
        await api.site.ask(LIAM, path, ticket="INC-7")
    status, _, _ = await api.site.ask(LIAM, "/conversations/borealis/4", ticket="INC-7")
    assert status == 403
    first = (await api.done(LIAM, "GET", "/tickets/INC-7/report?limit=2")).body
    assert [reading["path"] for reading in first["items"]] == ["/conversations/acme/3", "/conversations/acme/2"]
    rest = (await api.done(LIAM, "GET", first["next"].removeprefix("/api/v1"))).body
    assert [reading["path"] for reading in rest["items"]] == ["/conversations/acme/1"]
    assert rest["next"] is None
    reading = rest["items"][0]
    assert (reading["subject"], reading["country"], reading["rule"]) == ("liam", "IE", "security-incident")
    assert (reading["customer"], reading["data_class"], reading["action"]) == ("acme", "conversation", "read")
    incident = {"id": "INC-9", "kind": "security", "customers": ["acme"], "title": "Odd"}
    await api.done(ANN, "POST", "/tickets", incident)
    await api.done(LIAM, "POST", "/tickets/INC-9/widen", {"customers": ["borealis"]})
    report = (await api.done(AUDREY, "GET", "/tickets/INC-9/report")).body
    assert (report["opened_by"], report["widened_by"]) == ("ann", ["liam"])
    assert (await api.done(AUDREY, "GET", "/tickets/CASE-5/report")).body["items"] == []
    assert (await api(AUDREY, "GET", "/tickets/CASE-none/report")).status == 404


async def test_a_security_ticket_cited_by_who_may_not_see_it_stays_as_it_is(api: Api) -> None:
    """Send to US Analyst opens a case for the denial; at a second press the answer is the same case."""
    status, headers, _ = await api.site.ask(RAJ, "/conversations/acme/7", ticket="INC-7")
    assert status == 403
    before = api.site.world.state.get(Ticket, "INC-7")
    path = f"/decisions/{headers['Residency-Decision']}/handoff"
    case = (await api.done(RAJ, "POST", path, {})).body
    assert (case["id"].startswith("CASE-"), case["holder"], case["customers"]) == (True, "us-queue", ["acme"])
    assert (await api.done(RAJ, "POST", path, {})).body == case
    assert api.site.world.state.get(Ticket, "INC-7") == before


@pytest.mark.parametrize(
    ("who", "path", "body"),
    [
        (PRIYA, "/access-requests", {**ASKED, "ticket": "TICKET"}),
        (
            MARIA,
            "/authorizations",
            {
                "customer": "CUSTOMER",
                "given_by": "Ada",
                "received": "letter",
                "data_classes": ["case"],
                "ticket": "TICKET",
            },
        ),
    ],
)
async def test_nobody_is_told_of_a_security_ticket_that_they_do_not_see(
    api: Api, who: Person, path: str, body: dict[str, Any]
) -> None:
    """Open or closed, of that customer or of another: it is answered as one that is not there."""
    api.site.world.state.put(Ticket("INC-1", TicketKind.SECURITY, ("acme",), "Old", 5, closed_us=9))

    async def said(ticket: str, customer: str) -> tuple[int, str]:
        words = json.dumps(body).replace("TICKET", ticket).replace("CUSTOMER", customer)
        answered = await api(who, "POST", path, json.loads(words))
        return answered.status, answered.body["detail"].replace(ticket, "?")

    for customer in ("acme", "borealis"):
        none = await said("INC-none", customer)
        assert none[0] == 404
        assert {await said(ticket, customer) for ticket in ("INC-1", "INC-7", "INC-8")} == {none}


async def test_a_ticket_that_could_not_be_opened_says_nothing_of_another(api: Api) -> None:
    """Whatever else is wrong comes before whether the id is taken."""
    wrong = {"kind": "support", "severity": 3, "customers": ["acme"], "title": "Odd", "holder": "priya"}
    answers = [await api(SAM, "POST", "/tickets", {**wrong, "id": id_}) for id_ in ("CASE-5", "CASE-70")]
    assert [answered.body["rule"] for answered in answers] == ["us-assignment"] * 2
    security = {"id": "INC-7", "kind": "security", "customers": ["acme"], "title": "Odd"}
    assert (await api(SAM, "POST", "/tickets", security)).status == 403


async def test_two_denials_of_one_path_lead_to_one_case(api: Api) -> None:
    """As the ledger has their paths; its title tells nobody of them."""
    cases = []
    for path in ("/conversations/acme/7", "/conversations/acme/7", "/conversations/acme/8"):
        _, headers, _ = await api.site.ask(RAJ, path)
        cases.append((await api.done(RAJ, "POST", f"/decisions/{headers['Residency-Decision']}/handoff")).body)
    assert cases[0]["id"] == cases[1]["id"] != cases[2]["id"]
    assert {case["title"] for case in cases} == {"Handed over: read conversation that raj could not do"}
