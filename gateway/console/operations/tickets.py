"""Tickets: cases, incidents and bugs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

from gateway.acts import Office
from gateway.acts.decisions import cited_by, hand_over_decision
from gateway.acts.history import who_did
from gateway.acts.homeward import send_home
from gateway.acts.tickets import (
    assign_ticket,
    change_severity,
    close_ticket,
    hand_off_ticket,
    open_ticket,
    widen_incident,
)
from gateway.console import asked, shown, views
from gateway.console.call import Call
from gateway.console.operation import Answer, Operation
from gateway.console.views import Snapshot
from gateway.errors import NotFound
from gateway.justification import EVERY_CUSTOMER, Ticket, TicketEvent
from gateway.ledger.reader import LedgerReader, Projection, Query


def _list(call: Call) -> Answer:
    query: asked.TicketsQuery = call.query
    now_us = call.now_us

    def is_asked_for(ticket: Ticket) -> bool:
        return call.sight.ticket(ticket) and query.state in (None, ticket.state(now_us))

    among = {"customers": (query.customer, EVERY_CUSTOMER)} if query.customer is not None else {}
    equal = {name: value for name in ("kind", "holder") if (value := getattr(query, name)) is not None}
    with call.snapshot() as snapshot:
        after = call.after(snapshot, Ticket, call.sight.ticket)
        found = filter(is_asked_for, snapshot.newest(Ticket, by="opened_us", after=after, among=among, equal=equal))
        return call.page(shown.Tickets, found, lambda ticket: views.ticket(ticket, now_us))


def _show(call: Call) -> Answer:
    with call.snapshot() as snapshot:
        ticket = call.seen(snapshot, Ticket, call.id, call.sight.ticket)
        words = views.ticket_with_history(ticket, call.now_us, snapshot)
        return Answer.of(words, etag=call.version(ticket))


def _open(call: Call) -> Answer:
    body: asked.NewTicket = call.body
    return call.act(
        lambda office: open_ticket(
            office,
            call.actor,
            id=body.id,
            kind=body.kind,
            customers=body.customers,
            title=body.title,
            severity=body.severity,
            nature=body.nature or "",
            holder=body.holder,
            holder_country=body.holder_country,
        ),
        _view,
    )


def _assign(call: Call) -> Answer:
    body: asked.Assignment = call.body
    return _change(
        call,
        lambda office, key, expected: assign_ticket(
            office, call.actor, key, holder=body.holder, country=body.country, expected=expected
        ),
    )


def _hand_off(call: Call) -> Answer:
    homeward = call.office.homeward(call.id)
    if homeward is None:
        return _change(call, lambda office, key, expected: hand_off_ticket(office, call.actor, key, expected=expected))
    there = homeward.find()
    if not call.sight.ticket(there):
        raise call.unseen(call.id)
    expected = call.expected(there)
    return call.act(lambda office: send_home(office, call.actor, there, homeward.send, expected=expected), _view)


def _hand_over(call: Call) -> Answer:
    with call.ledger() as ledger:
        found = _denial(call, ledger)
        earlier = partial(_entry, ledger, kind="decision")
        return call.act(
            lambda office: hand_over_decision(office, call.actor, found, sees=call.sight.ticket, earlier=earlier), _view
        )


def _cited_by_denial(call: Call) -> str:
    with call.ledger() as ledger:
        return cited_by(call.office, call.actor, _denial(call, ledger))


def _denial(call: Call, ledger: LedgerReader) -> Projection:
    found = _entry(ledger, call.id, "decision")
    if found is None or not call.sight.decision(found):
        raise NotFound(f"there is no decision {call.id!r} here that you may see")
    return found


def _change_severity(call: Call) -> Answer:
    body: asked.Severity = call.body
    return _change(
        call,
        lambda office, key, expected: change_severity(
            office, call.actor, key, severity=body.severity, why=body.why, expected=expected
        ),
    )


def _widen(call: Call) -> Answer:
    body: asked.Widening = call.body
    return _change(
        call,
        lambda office, key, expected: widen_incident(
            office, call.actor, key, customers=body.customers, expected=expected
        ),
    )


def _close(call: Call) -> Answer:
    return _change(call, lambda office, key, expected: close_ticket(office, call.actor, key, expected=expected))


def _report(call: Call) -> Answer:
    query: asked.ReportQuery = call.query
    there = call.office.elsewhere(call.id)
    if there is not None and not call.sight.ticket(there):
        raise call.unseen(call.id)
    with call.snapshot() as snapshot:
        ticket = there or call.seen(snapshot, Ticket, call.id, call.sight.ticket)
        events = snapshot.all(TicketEvent, ticket=ticket.id)
    opened_by, widened_by = next(iter(who_did("ticket.open", events)), None), who_did("ticket.widen", events)
    wanted = Query(
        kind="decision",
        effect="permit",
        ticket=ticket.id,
        before=query.after,
        limit=query.limit + 1,
        newest_first=True,
    )
    with call.ledger() as ledger:
        decisions: Iterator[Projection] = iter(list(ledger.search(wanted)))
        return call.page(
            partial(shown.Readings, opened_by=opened_by, widened_by=widened_by),
            decisions,
            lambda decision: views.reading(decision, _entry(ledger, decision["id"], "completion")),
            key=lambda decision: decision["sequence"],
        )


def _entry(ledger: LedgerReader, decision: str, kind: str) -> Projection | None:
    """Of a decision, the entry of this kind."""
    with suppress(NotFound):
        return next((entry for entry in ledger.show(decision) if entry["kind"] == kind), None)
    return None


def _change(call: Call, run: Callable[[Office, str, str], object]) -> Answer:
    with call.snapshot() as snapshot:
        ticket = call.seen(snapshot, Ticket, call.id, call.sight.ticket)
    return call.act(lambda office: run(office, ticket.id, call.expected(ticket)), _view)


def _view(snapshot: Snapshot, ticket: Ticket, now_us: int) -> tuple[Any, shown.Shown]:
    return ticket, views.ticket_with_history(ticket, now_us, snapshot)


OPERATIONS = (
    Operation(
        "tickets.list", "GET", "/tickets", "Tickets", "ticket.read", _list, shown.Tickets, query=asked.TicketsQuery
    ),
    Operation(
        "tickets.open", "POST", "/tickets", "Open a ticket", "ticket.open", _open, shown.TicketWithHistory,
        body=asked.NewTicket, status=201,
    ),
    Operation(
        "tickets.show", "GET", "/tickets/{ticket}", "A ticket and its history", "ticket.read", _show,
        shown.TicketWithHistory,
    ),
    Operation(
        "tickets.assign", "POST", "/tickets/{ticket}/assign", "Say who works on it, and from where", "ticket.assign",
        _assign, shown.TicketWithHistory, body=asked.Assignment,
    ),
    Operation(
        "tickets.handoff", "POST", "/tickets/{ticket}/handoff",
        "Send to US Analyst: into the queue at home; what it gave anybody outside ends", "ticket.handoff", _hand_off,
        shown.TicketWithHistory, body=asked.Nothing, sends=lambda call: call.id,
    ),
    Operation(
        "decisions.handoff", "POST", "/decisions/{decision}/handoff",
        "Send to US Analyst, from a denial: the support ticket that it cited, or a case that is opened for it",
        "ticket.handoff", _hand_over, shown.TicketWithHistory, body=asked.Nothing, sends=_cited_by_denial,
    ),
    Operation(
        "tickets.severity", "POST", "/tickets/{ticket}/severity",
        "Say how severe a case is now: one of severity 1 waits for no opening", "ticket.severity", _change_severity,
        shown.TicketWithHistory, body=asked.Severity,
    ),
    Operation(
        "tickets.widen", "POST", "/tickets/{ticket}/widen", "Let a security ticket name more customers",
        "ticket.widen", _widen, shown.TicketWithHistory, body=asked.Widening,
    ),
    Operation(
        "tickets.close", "POST", "/tickets/{ticket}/close", "Close it; all access that hangs on it ends",
        "ticket.close", _close, shown.TicketWithHistory, body=asked.Nothing,
    ),
    Operation(
        "tickets.report", "GET", "/tickets/{ticket}/report", "Who read what under it, from the ledger",
        "ticket.report", _report, shown.Readings, query=asked.ReportQuery, cites=lambda call: call.id,
    ),
)  # fmt: skip
