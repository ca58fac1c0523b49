"""The tour: real requests through the gateway that walk through every rule of the contract."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import aiohttp
from yarl import URL

from gateway.acts import Office
from gateway.demo import scenes
from gateway.demo.scenes import Scene
from gateway.demo.world import ADA, DANA, LIAM, MARIA, PRIYA, RAJ, SAM, VIC, Person, World


@dataclass(frozen=True, slots=True)
class Step:
    """One request, and the rule that must come of it.

    ``before`` is what people do first; ``expected`` is any of these rules.
    """

    title: str
    person: Person
    method: str
    path: str
    expected: tuple[str, ...]
    ticket: str = ""
    signed_in: bool = True
    before: Scene | None = None
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step was answered, and what the ledger says about it."""

    step: Step
    status: int
    bytes: int
    decision: str
    entry: dict[str, object] = field(default_factory=dict)

    @property
    def rule(self) -> str:
        return str(self.entry.get("rule", "?"))

    @property
    def as_expected(self) -> bool:
        return self.rule in self.step.expected


STEPS = (
    Step("US analyst reads a transcript", SAM, "GET", "/conversations/acme/7", ("home-personnel",)),
    Step("US analyst hears a recording", SAM, "GET", "/recordings/acme/7.wav", ("home-personnel",)),
    Step(
        "… for a case of severity 3",
        SAM,
        "GET",
        "/crm/acme/cases/5",
        ("home-personnel", "support-hours"),
        ticket="CASE-5",
    ),
    Step("… for a case of severity 1", SAM, "GET", "/crm/acme/cases/1", ("home-personnel",), ticket="CASE-1"),
    Step("… searches all customers", SAM, "GET", "/crm/search?q=sound", ("home-personnel",)),
    Step("account manager abroad reads contacts", MARIA, "GET", "/crm/acme/accounts/7", ("crm-account",)),
    Step("… and the same customer's cases", MARIA, "GET", "/crm/acme/cases/5", ("outside-home",)),
    Step("… changes the contact", MARIA, "PUT", "/crm/acme/accounts/7", ("outside-home",), body=b"{}"),
    Step("… searches all customers", MARIA, "GET", "/crm/search?q=sound", ("outside-home",)),
    Step("engineer abroad without a grant", PRIYA, "GET", "/conversations/borealis/7", ("outside-home",)),
    Step("… with a single grant, not cited", PRIYA, "GET", "/conversations/acme/7", ("code-level-bug",)),
    Step("… citing the bug of the grant", PRIYA, "GET", "/conversations/acme/7", ("code-level-bug",), ticket="BUG-9"),
    Step(
        "… citing it for another customer", PRIYA, "GET", "/conversations/borealis/7", ("outside-home",), ticket="BUG-9"
    ),
    Step("… citing it to delete", PRIYA, "DELETE", "/conversations/acme/7", ("role",), ticket="BUG-9"),
    Step("… reads contacts", PRIYA, "GET", "/crm/acme/accounts/7", ("role",)),
    Step(
        "… once the grant is revoked",
        PRIYA,
        "GET",
        "/conversations/acme/7",
        ("outside-home",),
        ticket="BUG-9",
        before=scenes.revoked,
    ),
    Step(
        "… asked anew, one of two approved",
        PRIYA,
        "GET",
        "/conversations/borealis/7",
        ("outside-home",),
        ticket="BUG-11",
        before=scenes.asked_and_approved_once,
    ),
    Step(
        "… once both have approved",
        PRIYA,
        "GET",
        "/conversations/borealis/7",
        ("code-level-bug",),
        ticket="BUG-11",
        before=scenes.approved_twice,
    ),
    Step(
        "security staff abroad on an incident",
        LIAM,
        "GET",
        "/conversations/acme/7",
        ("security-incident",),
        ticket="INC-7",
    ),
    Step("… that names another customer", LIAM, "GET", "/conversations/borealis/7", ("outside-home",), ticket="INC-7"),
    Step(
        "… that names all customers", LIAM, "GET", "/conversations/borealis/7", ("security-incident",), ticket="INC-8"
    ),
    Step("… without any", LIAM, "GET", "/conversations/acme/7", ("outside-home",)),
    Step("analyst behind a VPN", VIC, "GET", "/conversations/acme/7", ("location-unassured",)),
    Step("… fetches what was uploaded by FTP", VIC, "GET", "/uploads/acme/call-log.csv", ("ftp-upload",)),
    Step(
        "analyst abroad, authorised by the customer",
        RAJ,
        "GET",
        "/crm/acme/cases/1",
        ("customer-authorized",),
        ticket="CASE-1",
    ),
    Step(
        "… for a case that was not", RAJ, "GET", "/crm/acme/cases/5", ("outside-home", "support-hours"), ticket="CASE-5"
    ),
    Step(
        "… changes the case that was", RAJ, "PUT", "/crm/acme/cases/1", ("outside-home",), ticket="CASE-1", body=b"{}"
    ),
    Step(
        "… which he then sends to a US analyst",
        RAJ,
        "GET",
        "/crm/acme/cases/1",
        ("outside-home",),
        ticket="CASE-1",
        before=scenes.handed_off,
    ),
    Step(
        "US analyst reads a case in the queue",
        SAM,
        "GET",
        "/crm/acme/cases/12",
        ("home-personnel", "support-hours"),
        ticket="CASE-12",
        before=scenes.queued,
    ),
    Step("customer's own user abroad", ADA, "GET", "/recordings/acme/7.wav", ("customer-own-data",)),
    Step("… uploads a file", ADA, "PUT", "/uploads/acme/new.csv", ("customer-own-data",), body=b"sample,data\n"),
    Step("… reaches for another customer", ADA, "GET", "/crm/borealis/accounts/1", ("other-customer",)),
    Step("engineer abroad, no plan", PRIYA, "GET", "/conversations/delta/7", ("no-plan",)),
    Step("… a plan ordered, not in effect", PRIYA, "GET", "/conversations/cascade/7", ("no-plan",)),
    Step(
        "… the moment it is enabled", PRIYA, "GET", "/conversations/cascade/7", ("outside-home",), before=scenes.enabled
    ),
    Step("US analyst writes to a store abroad", SAM, "POST", "/archive/2026", ("storage-home",), body=b"{}"),
    Step("engineer abroad, unknown customer", PRIYA, "GET", "/conversations/nobody/7", ("unclassified",)),
    Step("approver asks for data", DANA, "GET", "/conversations/acme/7", ("role",)),
    Step("an encoded slash in the path", PRIYA, "GET", "/crm/acme/accounts/..%2fcases/5", ("malformed",)),
    Step("nobody signed in", SAM, "GET", "/conversations/acme/7", ("unauthenticated",), signed_in=False),
    Step("once the plan has ended", PRIYA, "GET", "/conversations/cascade/7", ("no-plan",), before=scenes.ended),
)


async def walk(
    world: World,
    base_url: str,
    entry_of: Callable[[str], dict[str, object] | None],
    *,
    office: Office,
    changed: Callable[[], Awaitable[object]],
) -> AsyncIterator[Outcome]:
    """Make each request, one after the other.

    Args:
        world: whose people ask.
        base_url: of the door.
        entry_of: the ledger's entry of a decision.
        office: for what people do in between.
        changed: called after the state was changed, returns an awaitable that ends when the gateway has noticed.
    """
    decision = ""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        for step in STEPS:
            if step.before:
                await asyncio.to_thread(step.before, office, decision)
                await changed()
            outcome = await _take(step, world, base_url, session, entry_of)
            decision = outcome.decision
            yield outcome


async def _take(
    step: Step,
    world: World,
    base_url: str,
    session: aiohttp.ClientSession,
    entry_of: Callable[[str], dict[str, object] | None],
) -> Outcome:
    headers = {"X-Forwarded-For": step.person.address}
    if step.signed_in:
        headers["Authorization"] = f"Bearer {world.token(step.person)}"
    if step.ticket:
        headers["Access-Ticket"] = step.ticket
    url = URL(base_url + step.path, encoded=True)
    async with session.request(step.method, url, headers=headers, data=step.body, allow_redirects=False) as response:
        size = len(await response.read())
        decision = response.headers.get("Residency-Decision", "")
        return Outcome(step, response.status, size, decision, entry_of(decision) or {})
