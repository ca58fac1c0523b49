"""Endings: what hangs on a ticket ends for good, because the ticket was closed, or no longer carries it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from gateway.acts.office import Change, Detail
from gateway.acts.terminations import terminate
from gateway.justification import (
    AccessRequest,
    Authorization,
    Grant,
    HandOff,
    Hanging,
    Lapse,
    RequestState,
    Ticket,
    requests,
)
from gateway.justification.handoff import NOWHERE, hangs_on, loser, why_ended


def end_hanging(
    change: Change, ticket: str, why: str, *, carried: Callable[[Hanging], bool] = lambda _noun: False
) -> list[Hanging]:
    """End what hangs on a ticket: grants, requests that wait, the customer's authorization of it.

    Args:
        why: in words, for whoever had it.
        carried: what goes on nevertheless; nothing does unless it is given.

    Returns:
        What ended.
    """
    going_on: list[Hanging] = [
        *(grant for grant in change.all(Grant, ticket=ticket) if requests.may_count(grant, change.now_us)),
        *waiting_requests(change, ticket=ticket),
        *(given for given in change.all(Authorization, ticket=ticket) if not given.withdrawn_us),
    ]
    ended = [noun for noun in going_on if not carried(noun)]
    terminate(change, ended, why)
    return ended


def ending_with(change: Change, ticket: Ticket, home: frozenset[str]) -> list[Grant | AccessRequest]:
    """The grants and the requests that end with the hand-off of a ticket."""
    grants = [grant for grant in change.all(Grant) if requests.may_count(grant, change.now_us)]
    going_on: list[Grant | AccessRequest] = [*grants, *waiting_requests(change)]
    return [noun for noun in going_on if hangs_on(noun, ticket, home=home)]


def bar_holder(change: Change, ticket: Ticket, home: frozenset[str]) -> dict[str, Detail]:
    """With the hand-off of a security ticket, let whoever held it abroad read under it no more.

    Returns:
        What the entry has to hold: who that is (``barred``); nothing where it is nobody, or they were barred before.
    """
    holder = loser(ticket, home)
    bar = HandOff.of_holder(ticket.id, holder, change.now_us)
    known = change.find(HandOff, bar.id)
    if not holder or known:
        return {}
    change.put(bar)
    return {"barred": holder}


def waiting_requests(change: Change, **equal: str) -> list[AccessRequest]:
    """The requests that nobody has decided on yet."""
    return [asked for asked in change.all(AccessRequest, **equal) if asked.state is RequestState.REQUESTED]


def end_lapsed(change: Change, lapse: Lapse) -> None:
    """End what another system's ticket no longer carries; a lapse that ends nothing leaves no trace."""
    barred = bar_by(change, lapse)
    ended = end_by(change, lapse)
    if ended or barred:
        ids, customers = [noun.id for noun in ended], _customers_of(ended)
        if barred and lapse.said is not None:
            customers = sorted({*customers, *lapse.said.customers})
        about: dict[str, Detail] = {"ticket": lapse.ticket, "customer": ",".join(customers), "why": lapse.why}
        change.note(lapse.ticket, act=lapse.act, ended=ids, **about, **barred)


def bar_by(change: Change, lapse: Lapse) -> dict[str, Detail]:
    """Bar who held a security ticket until its tracker sent it home; see :func:`bar_holder`."""
    if lapse.act != "ticket.handoff" or lapse.said is None:
        return {}
    return bar_holder(change, replace(lapse.said, holder=lapse.holder, holder_country=""), NOWHERE)


def end_by(change: Change, lapse: Lapse) -> list[Hanging]:
    """End what a ticket no longer carries, and tell of it; what ended."""
    home = _ended_by_going_home(change, lapse)
    if home:
        news = f"{lapse.why} by its tracker"
        change.tell("ticket.handed_off", lapse.ticket, _customers_of(home), news, previous=lapse.holder)
    return [*home, *end_hanging(change, lapse.ticket, lapse.why, carried=lapse.carries)]


def _ended_by_going_home(change: Change, lapse: Lapse) -> list[Grant | AccessRequest]:
    """As by a hand-off here: what waits for it is withdrawn, and whoever held it loses what else they were
    granted of its customers' data."""
    if lapse.act != "ticket.handoff" or lapse.said is None:
        return []
    was = replace(lapse.said, holder=lapse.holder, holder_country="")
    ended = ending_with(change, was, NOWHERE)
    terminate(change, ended, why_ended(was))
    return ended


def _customers_of(ended: Sequence[Hanging]) -> list[str]:
    return sorted({noun.customer for noun in ended})
