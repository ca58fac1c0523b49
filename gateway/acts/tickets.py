"""Acts on tickets (contract reading, *Support*): opened, assigned, of another severity, handed off, widened, closed.

Rules kept here: ``us-assignment`` (a protected customer's case is assigned only to analysts at home),
``next-business-day`` (severity 2 to 4 outside the window waits for the next opening, severity 1 never) and
``send-to-us-analyst``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gateway.acts.actor import Actor
from gateway.acts.endings import bar_holder, end_hanging, ending_with
from gateway.acts.history import write_ticket
from gateway.acts.homeward import send_home
from gateway.acts.office import Change, Office
from gateway.acts.terminations import terminate
from gateway.catalog.customers import Customer
from gateway.errors import Contradicted, UsageError
from gateway.justification import (
    EVERY_CUSTOMER,
    QUEUE_AT_HOME,
    Grant,
    Nature,
    Ticket,
    TicketEvent,
    TicketKind,
    requests,
)
from gateway.justification.handoff import is_at_home, move_home, why_ended
from gateway.letters import is_unseen, shown

MAX_TITLE = 200
SEVERITIES = range(1, 5)


def open_ticket(
    office: Office,
    actor: Actor,
    *,
    id: str,
    kind: TicketKind,
    customers: Sequence[str],
    title: str,
    severity: int = 0,
    nature: str = "",
    holder: str = "",
    holder_country: str = "",
) -> Ticket:
    """Open a ticket; a protected customer's case goes to the queue at home at once.

    Args:
        id: not taken yet.
        customers: those that it names; ``"*"`` for a security ticket that concerns all of them.
        severity: of a support ticket, 1 to 4; 0 for the others.
        nature: of a security ticket; an incident unless given.
        holder, holder_country: who works on it, and from where; see :func:`assign_ticket`.

    Raises:
        Forbidden: the actor may open none, or no security ticket, or none about every customer.
        UsageError: it cannot be, for the reason said.
    """
    for act in _beside(kind, customers):
        office.permissions.require(actor, act)
    with office.change(actor, "ticket.open") as change:
        ticket = Ticket(
            id=id,
            kind=kind,
            customers=(EVERY_CUSTOMER,) if EVERY_CUSTOMER in customers else tuple(dict.fromkeys(customers)),
            title=title.strip()[:MAX_TITLE],
            opened_us=change.now_us,
            severity=severity,
            nature=nature or (Nature.INCIDENT if kind is TicketKind.SECURITY else ""),
        )
        _require_possible(change, ticket)
        held = _held(change, ticket, holder, holder_country) if holder else ticket
        if change.find(Ticket, id):  # last of all: who may open none is not told which there are
            raise Contradicted(f"there is a ticket {id} already; expected an id that is not taken")
        return opened(change, held, country_by=_stated_by(change, holder, held.holder_country) if holder else "")


def opened(change: Change, ticket: Ticket, *, country_by: str = "") -> Ticket:
    """Let a ticket be there, as part of a change."""
    ticket = _waiting(change, ticket)
    write_ticket(
        change,
        ticket,
        ticket_kind=ticket.kind.value,
        customers=list(ticket.customers),
        severity=ticket.severity,
        holder=ticket.holder,
        country=ticket.holder_country,
        country_by=country_by,
    )
    if ticket.kind is TicketKind.SECURITY:
        change.tell("incident.opened", ticket.id, ticket.customers, f"{ticket.id} was opened: {ticket.title}")
    if ticket.holder == QUEUE_AT_HOME:
        _tell_queued(change, ticket)
    return ticket


def assign_ticket(
    office: Office,
    actor: Actor,
    id: str,
    *,
    holder: str,
    country: str = "",
    expected: str = "",
) -> Ticket:
    """Say who works on a ticket.

    Args:
        holder: their subject.
        country: where they work; needed for a protected customer's case where the workforce directory does not say it.
            Nobody states their own, but for an operator at the keyboard.

    Raises:
        UsageError: ``us-assignment`` forbids it, they state themselves where they work, nobody is named, or the ticket
            is closed.
    """
    if not holder.strip() or requests.is_same(holder, QUEUE_AT_HOME):
        raise UsageError(f"got {holder!r}; expected somebody's subject (into the queue at home: hand the ticket off)")
    with office.change(actor, "ticket.assign") as change:
        ticket = _open(change, id, expected)
        moved = _held(change, ticket, holder, country)
        if (moved.holder, moved.holder_country) == (ticket.holder, ticket.holder_country):
            change.result = ticket
            return ticket
        goes_on = ticket.holder in ("", QUEUE_AT_HOME) or requests.is_same(ticket.holder, holder)
        ended = [] if goes_on else _ended_grants(change, ticket.holder, ticket)
        where, by = moved.holder_country, _stated_by(change, holder, moved.holder_country)
        write_ticket(change, moved, holder=holder, country=where, country_by=by, previous=ticket.holder, ended=ended)
        change.tell("ticket.assigned", id, ticket.customers, f"{id} was assigned to {holder}", holder=holder)
        return moved


def hand_off_ticket(office: Office, actor: Actor, id: str, *, decision: str = "", expected: str = "") -> Ticket:
    """Send to US Analyst: move a ticket to the queue at home, and end what it gave anybody outside. Idempotent.

    One that somebody at home works on stays with them.

    Args:
        decision: the denial from whose link this came, or "".

    Raises:
        UsageError: the ticket is closed, or of another system that is not told of hand-offs.
        HandOffUnfinished: see :func:`~gateway.acts.homeward.send_home`.
    """
    homeward = office.homeward(id)
    if homeward is not None:
        return send_home(office, actor, homeward.find(), homeward.send, decision=decision, expected=expected)
    with office.change(actor, "ticket.handoff") as change:
        return handed_off(change, change.get(Ticket, id, expected=expected), decision)


def handed_off(change: Change, ticket: Ticket, decision: str) -> Ticket:
    """Hand a ticket off, as part of a change; see :func:`hand_off_ticket`. A denial that led to it does so for ever."""
    change.result = ticket
    led_here = bool(decision) and was_led_to(change, ticket, decision)
    if led_here and not ticket.is_open:
        return ticket
    protected = change.home(ticket.customers)
    home = change.office.home if protected is None else protected
    moved = move_home(ticket, now_us=change.now_us, home=home)
    ending = ending_with(change, ticket, home)
    if moved == ticket and not ending and (led_here or not decision):
        return ticket
    if moved != ticket and not is_at_home(moved, home):
        moved = _waiting(change, moved)
    ended, barred = terminate(change, ending, why_ended(ticket)), bar_holder(change, ticket, home)
    write_ticket(change, moved, act=change.act, previous=ticket.holder, ended=ended, denial=decision, **barred)
    if moved != ticket or ended:
        change.tell("ticket.handed_off", ticket.id, ticket.customers, _news(moved), previous=ticket.holder)
    return moved


def was_led_to(change: Change, ticket: Ticket, decision: str) -> bool:
    """Whether a denial led to the hand-off of a ticket."""
    return decision in denials_of(change, ticket)


def denials_of(change: Change, ticket: Ticket) -> set[str]:
    """The denials that led to the hand-off of a ticket: its history says so."""
    details = (event.detail.split("; ") for event in change.all(TicketEvent, ticket=ticket.id))
    said = (part.partition("denial ") for parts in details for part in parts)
    return {id_ for before, word, id_ in said if word and not before}


def _news(moved: Ticket) -> str:
    if moved.holder == QUEUE_AT_HOME:
        return f"{moved.id} was sent to a US analyst"
    return f"{moved.id} stays with {moved.holder}, who works at home; what it gave anybody outside has ended"


def change_severity(
    office: Office,
    actor: Actor,
    id: str,
    *,
    severity: int,
    why: str,
    expected: str = "",
) -> Ticket:
    """Say that a case is more or less severe than it was: severity 1 is supported at any time, the others wait.

    What customers authorised for severity 1 counts from now on, or no longer.

    Raises:
        UsageError: it is no support ticket, or closed; no such severity; or no reason was given.
    """
    if severity not in SEVERITIES or not why.strip():
        raise UsageError(f"got severity {severity}, because {why!r}; expected 1 to 4, and a reason")
    with office.change(actor, "ticket.severity") as change:
        ticket = _open(change, id, expected)
        change.result = ticket
        if ticket.kind is not TicketKind.SUPPORT:
            raise Contradicted(f"{id} is a {ticket.kind} ticket; only a support ticket has a severity")
        if ticket.severity == severity:
            return ticket
        changed = _waiting(change, replace(ticket, severity=severity, queued_until_us=0))
        write_ticket(change, changed, severity=severity, previous=ticket.severity, why=why.strip())
        if changed.holder == QUEUE_AT_HOME:
            _tell_queued(change, changed)
        return changed


def widen_incident(
    office: Office,
    actor: Actor,
    id: str,
    *,
    customers: Sequence[str],
    expected: str = "",
) -> Ticket:
    """Let a security ticket name more customers.

    Raises:
        UsageError: it is none, or closed; or no customer is named.
    """
    with office.change(actor, "ticket.widen") as change:
        ticket = _open(change, id, expected)
        if ticket.kind is not TicketKind.SECURITY:
            raise Contradicted(f"{id} is a {ticket.kind} ticket; only a security ticket is widened")
        _require_known(change, customers)
        added = [customer for customer in dict.fromkeys(customers) if not ticket.covers(customer)]
        if not added:
            change.result = ticket
            return ticket
        wider = (EVERY_CUSTOMER,) if EVERY_CUSTOMER in added else (*ticket.customers, *added)
        widened = replace(ticket, customers=wider)
        write_ticket(change, widened, added=added)
        change.tell("incident.widened", id, widened.customers, f"{id} concerns {', '.join(added)}, too", added=added)
        return widened


def close_ticket(office: Office, actor: Actor, id: str, *, expected: str = "") -> Ticket:
    """Close a ticket; whatever hangs on it ends for good: grants, requests, the customer's authorization of it."""
    with office.change(actor, "ticket.close") as change:
        ticket = change.get(Ticket, id, expected=expected)
        change.result = ticket
        if not ticket.is_open:
            return ticket
        closed = replace(ticket, closed_us=change.now_us)
        ended = end_hanging(change, id, f"{id} was closed")
        write_ticket(change, closed, ended=[noun.id for noun in ended])
        if ticket.kind is TicketKind.SECURITY:
            change.tell("incident.closed", id, ticket.customers, f"{id} was closed")
        return closed


def _ended_grants(change: Change, holder: str, ticket: Ticket) -> list[str]:
    """A case that goes to somebody else takes along what it gave whoever held it."""
    grants = [
        grant
        for grant in change.all(Grant, ticket=ticket.id)
        if requests.is_same(grant.subject, holder) and requests.may_count(grant, change.now_us)
    ]
    return terminate(change, grants, f"{ticket.id} went to somebody else")


def _beside(kind: TicketKind, customers: Sequence[str]) -> tuple[str, ...]:
    """What it takes beside ``ticket.open``: a security ticket lets people in from anywhere, to all that it names."""
    if kind is not TicketKind.SECURITY:
        return ()
    return ("ticket.open-security", "ticket.widen") if EVERY_CUSTOMER in customers else ("ticket.open-security",)


def _require_possible(change: Change, ticket: Ticket) -> None:
    id_, kind, severity = ticket.id, ticket.kind, ticket.severity
    if not id_ or id_ != id_.strip() or len(id_) > 128 or not id_.isprintable():
        expected = "one line of at most 128 characters, without blanks around it"
        raise UsageError(f"got the ticket id {id_[:128]!r}; expected {expected}")
    trackers = change.office.owners(id_)
    if trackers:
        raise UsageError(f"got {id_}, an id of the tracker {', '.join(trackers)}; open it there, or take another id")
    if EVERY_CUSTOMER in ticket.customers and kind is not TicketKind.SECURITY:
        raise UsageError(f"a {kind} ticket cannot concern every customer; only a security ticket may")
    if (severity != 0 and severity not in SEVERITIES) or (severity != 0) != (kind is TicketKind.SUPPORT):
        raise UsageError("a support ticket needs a severity of 1 to 4, and no other kind has one")
    if ticket.nature and (kind is not TicketKind.SECURITY or ticket.nature not in set(Nature)):
        raise UsageError(f"got {ticket.nature!r}; only a security ticket is an {' or an '.join(Nature)}")
    _require_known(change, ticket.customers)


def _require_known(change: Change, customers: Sequence[str]) -> None:
    if not customers:
        raise UsageError("no customer is named; name at least one")
    for customer in customers:
        if customer != EVERY_CUSTOMER:
            change.get(Customer, customer)


def _open(change: Change, key: str, expected: str) -> Ticket:
    ticket = change.get(Ticket, key, expected=expected)
    if not ticket.is_open:
        raise Contradicted(f"{key} is closed; expected an open ticket")
    return ticket


def _held(change: Change, ticket: Ticket, holder: str, country: str) -> Ticket:
    """The ticket in somebody's hands, if ``us-assignment`` lets them have it."""
    if any(is_unseen(letter) for letter in holder):
        raise UsageError(f"got the holder {shown(holder)}, which has letters that do not show; leave them out")
    known = change.office.country_of(holder)
    if country and not known and not change.actor.operator and requests.is_same(holder, change.actor.name):
        raise UsageError(
            f"us-assignment: got {country} as where {holder} works from {holder}; expected it from the workforce "
            f"directory or from somebody else, so ask one who assigns tickets"
        )
    if known and country and known != country:
        raise UsageError(f"{holder} works in {known}, as the workforce directory says, and not in {country}")
    country = known or country
    home = change.home(ticket.customers) if ticket.kind is TicketKind.SUPPORT else None
    if home is not None and country not in home:
        where = f"works in {country}" if country else "has no known work country"
        raise Contradicted(
            f"us-assignment: {ticket.id} is a case of a protected customer, and {holder} {where}; "
            f"assign it to an analyst in {', '.join(sorted(home)) or 'no country: the plans share no home'}",
            rule="us-assignment",
        )
    return replace(ticket, holder=holder, holder_country=country)


def _stated_by(change: Change, holder: str, country: str) -> str:
    """Who says where the holder works."""
    if change.office.country_of(holder):
        return "workforce directory"
    return change.actor.name if country else ""


def _waiting(change: Change, ticket: Ticket) -> Ticket:
    """A protected customer's case that nobody holds is in the queue at home; outside the window it waits, whoever has
    it."""
    if ticket.kind is not TicketKind.SUPPORT:
        return ticket
    if ticket.holder != QUEUE_AT_HOME and change.home(ticket.customers) is None:
        return ticket
    bound = change.office.window.applies_to(ticket.severity)
    opens_us = change.office.window.next_opening_us(change.now_us) if bound else change.now_us
    until_us = opens_us if opens_us > change.now_us else 0
    return replace(ticket, holder=ticket.holder or QUEUE_AT_HOME, queued_until_us=until_us)


def send_cases_home(change: Change, customer: str) -> None:
    """A customer's plan is about to be in effect: its open cases go to the queue at home from whoever is elsewhere."""
    for ticket in change.all(Ticket):
        if ticket.kind is not TicketKind.SUPPORT or not ticket.is_open or not ticket.covers(customer):
            continue
        home = change.home(ticket.customers)
        if home is None or ticket.holder == QUEUE_AT_HOME or (ticket.holder and ticket.holder_country in home):
            continue
        ended = _ended_grants(change, ticket.holder, ticket) if ticket.holder else []
        moved = _waiting(change, replace(ticket, holder=QUEUE_AT_HOME, holder_country=""))
        write_ticket(change, moved, act="ticket.queue", previous=ticket.holder, ended=ended)
        _tell_queued(change, moved)


def _tell_queued(change: Change, ticket: Ticket) -> None:
    news, until_us = _queue_news(ticket), ticket.queued_until_us
    change.tell("ticket.queued", ticket.id, ticket.customers, news, queued_until_us=until_us)


def _queue_news(ticket: Ticket) -> str:
    when = "waits for the next opening" if ticket.queued_until_us else "is to be taken at once"
    return f"{ticket.id} is in the queue of US analysts and {when}"
