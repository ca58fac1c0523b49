"""A bureau: an office over a real state database and a ledger that is a list, with people in it; tests damage it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gateway.acts import Actor, Office, Permissions, Steward
from gateway.acts import access as access_acts
from gateway.acts import customers as customer_acts
from gateway.acts import tickets as ticket_acts
from gateway.catalog import Customer
from gateway.clock import SECOND_US
from gateway.errors import LedgerUnavailable
from gateway.justification import AccessRequest, Authorization, Grant, Ticket, TicketEvent, TicketKind, Usage
from gateway.ledger.entry import encode
from gateway.letters import folded
from gateway.notification import Notice
from gateway.policy import default_directory
from gateway.policy.roles import load_roles
from gateway.storage import Replay, StateStore
from gateway.support import SupportWindow
from tests.world.clock import FakeClock

WORKDAY_S = 1_768_320_000
"""Tuesday, January 13, 2026, 16:00 UTC, which is 11:00 in New York: support is open."""

DATA_CLASSES = frozenset({"crm_account", "case", "conversation", "ftp_upload"})
COUNTRIES = {"sam": "US", "priya": "IN", "raj": "IN", "liam": "IE", "erin": "US"}

ENGINEER = Actor("priya", frozenset({"engineer"}))
APPROVER = Actor("dana", frozenset({"approver"}))
SECOND_APPROVER = Actor("dave", frozenset({"approver"}))
SUPPORT = Actor("sam", frozenset({"support"}))
INFOSEC = Actor("liam", frozenset({"infosec"}))
MANAGER = Actor("maria", frozenset({"account_manager"}))
AUDITOR = Actor("otto", frozenset({"auditor"}))
ADMIN = Actor("root", frozenset({"admin"}))
ADA = Actor("ada@acme", frozenset({"customer"}), customer="acme")
BO = Actor("bo@globex", frozenset({"customer"}), customer="globex")
OPERATOR = Actor("olga", operator=True)
EVERYBODY = (ENGINEER, APPROVER, SUPPORT, INFOSEC, MANAGER, AUDITOR, ADMIN, ADA)


@dataclass
class Bureau:
    """An office, its state, its ledger, its clock.

    Attributes:
        entries: what the ledger holds.
        refuses: raised by the ledger while set.
        also: done at each entry, as it is about to be written.
    """

    office: Office
    state: StateStore
    clock: FakeClock
    entries: list[dict[str, Any]] = field(default_factory=list)
    refuses: Exception | None = None
    also: Callable[[], object] = lambda: None
    usage: dict[str, Usage] = field(default_factory=dict)

    @property
    def now_us(self) -> int:
        return self.clock.now_us()

    @property
    def steward(self) -> Steward:
        return Steward(self.office, lambda grant: self.usage.get(grant) or Usage(grant))

    def write(self, entry: Mapping[str, object]) -> int:
        encode(entry)  # what the ledger could not hold is refused as it would refuse it
        self.also()
        if self.refuses:
            raise self.refuses
        self.entries.append(dict(entry))
        return len(self.entries) - 1

    def acts(self, since: int = 0) -> list[tuple[str, str, str]]:
        """Who did what to what, in the order of the ledger."""
        return [(entry["actor"], entry["act"], entry["object"]) for entry in self.entries[since:]]

    def notices(self) -> list[tuple[str, str]]:
        """What was told of, about what, in the order in which it was."""
        return [(told.type, told.subject) for told in sorted(self.state.all(Notice), key=lambda told: told.id)]

    def history(self, ticket: str) -> list[tuple[str, str]]:
        """Who did what to a ticket."""
        events = sorted(self.state.all(TicketEvent), key=lambda event: event.id)
        return [(event.actor, event.act) for event in events if event.ticket == ticket]

    def snapshot(self) -> list[Any]:
        """Everything that the state holds, for telling whether anything changed."""
        kinds = (Customer, Ticket, TicketEvent, AccessRequest, Grant, Authorization, Notice, Replay)
        return [noun for kind in kinds for noun in self.state.all(kind)]

    # The usual beginnings.

    def customer(self, id_: str = "acme", *, plan: bool = True) -> None:
        name = "us-only" if plan else ""
        customer_acts.add_customer(self.office, OPERATOR, id=id_, name=id_.title(), plan=name, is_new=plan)

    def bug(self, id_: str = "BUG-9", *customers: str, holder: str = "") -> Ticket:
        named = customers or ("acme",)
        return ticket_acts.open_ticket(
            self.office, OPERATOR, id=id_, kind=TicketKind.BUG, customers=named, title="Crash in export", holder=holder
        )

    def case(self, id_: str = "CASE-5", *customers: str, severity: int = 3, **more: Any) -> Ticket:
        named = customers or ("acme",)
        return ticket_acts.open_ticket(
            self.office,
            OPERATOR,
            id=id_,
            kind=TicketKind.SUPPORT,
            customers=named,
            title="No sound",
            severity=severity,
            **more,
        )

    def incident(self, id_: str = "INC-7", *customers: str) -> Ticket:
        named = customers or ("acme",)
        return ticket_acts.open_ticket(
            self.office, OPERATOR, id=id_, kind=TicketKind.SECURITY, customers=named, title="Odd sign-ins"
        )

    def ask(self, actor: Actor = ENGINEER, **changes: Any) -> AccessRequest:
        """Priya asks for acme's conversations for BUG-9, four hours, unless told otherwise."""
        given: dict[str, Any] = {
            "ticket": "BUG-9",
            "customer": "acme",
            "data_classes": ["conversation"],
            "actions": ["read"],
            "reason": "the stack trace needs the recording",
            "duration_s": 4 * 3_600,
        }
        return access_acts.request_access(self.office, actor, **given | changes)

    def granted(self, actor: Actor = ENGINEER, by: Actor = APPROVER, **changes: Any) -> Grant:
        """The same, approved."""
        grant = access_acts.approve_access(self.office, by, self.ask(actor, **changes).id)
        assert isinstance(grant, Grant)
        return grant


def make_bureau(directory: Path, *, now_s: float = WORKDAY_S) -> Bureau:
    """A bureau without customers, on a workday."""
    clock = FakeClock(now_s)
    path = directory / "gateway.db"
    path.write_bytes(_empty_database())
    state = StateStore(f"sqlite:///{path}", clock)
    office = Office(
        state=state,
        record=lambda entry: bureau.write(entry),
        clock=clock,
        node="node-1",
        permissions=Permissions.load(default_directory()),
        window=SupportWindow(),
        home=frozenset({"US"}),
        roles=replace(load_roles(default_directory() / "roles.toml"), known_data_classes=DATA_CLASSES),
        country_of=lambda subject: COUNTRIES.get(folded(subject), ""),
        longest_grant_s=7 * 86_400,
        answer_within_s=3 * 86_400,
    )
    bureau = Bureau(office, state, clock)
    return bureau


@cache
def _empty_database() -> bytes:
    """A state database that holds nothing: making one anew for every test takes longer than the tests."""
    with TemporaryDirectory() as directory:
        path = Path(directory) / "gateway.db"
        StateStore(f"sqlite:///{path}", FakeClock()).close()
        return path.read_bytes()


REFUSAL = LedgerUnavailable("the ledger is full")
HOUR_US = 3_600 * SECOND_US


def together(*acts: Callable[[], object]) -> list[object]:
    """What several threads got that did these at once: a result, or the exception."""
    barrier = threading.Barrier(len(acts))
    results: list[object] = [None] * len(acts)

    def run(place: int, act: Callable[[], object]) -> None:
        barrier.wait(10)
        try:
            results[place] = act()
        except Exception as error:
            results[place] = error

    threads = [threading.Thread(target=run, args=(place, act)) for place, act in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return results
