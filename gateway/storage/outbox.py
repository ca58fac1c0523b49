"""The outbox: notices and where each stands with its channels, in the state database.

Invariants: what a courier takes is taken by one courier only, whatever others there are; an attempt is counted before
it is made; a mark and its notice are written together or not at all. Every method blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from sqlalchemy import ColumnElement, Connection, Select, and_, delete, exists, func, or_, select, true, update
from sqlalchemy.dialects.sqlite import insert

from gateway.catalog.customers import CustomerPlan
from gateway.clock import SECOND_US
from gateway.justification import QUEUE_AT_HOME, AccessRequest, Grant, RequestState, Ticket, TicketKind, Usage
from gateway.notification import Channel, Counts, Delivery, Notice, Outlook, reminders
from gateway.settings import NoticeSettings
from gateway.storage import tables
from gateway.storage.store import StateStore, Transaction
from gateway.support import SupportWindow

MOST_AT_ONCE = 500
MARKS_KEPT_US = 10 * reminders.LOOK_BACK_US
ORPHANED_US = 3 * 86_400 * SECOND_US
_notice, _delivery, _mark = tables.notice, tables.delivery, tables.mark
_waits = _delivery.c.next_us > 0


@dataclass(frozen=True, slots=True)
class Standing:
    """A notice, and where it stands with one channel; None before a courier took it up, or when none wants it."""

    notice: Notice
    delivery: Delivery | None

    @property
    def state(self) -> str:
        """``waiting``, ``delivered``, ``failed``; ``new`` before a courier saw it, ``unwanted`` when no channel is."""
        if self.delivery:
            return self.delivery.state
        return "unwanted" if self.notice.planned_us else "new"


class StateOutbox:
    """A :class:`gateway.notification.Outbox` in a :class:`StateStore`.

    Args:
        opens_us: see :class:`gateway.notification.Outlook`; of the usual support window unless given.
    """

    def __init__(self, store: StateStore, opens_us: Callable[[int], int] | None = None) -> None:
        self._store = store
        self._opens_us = opens_us or SupportWindow().next_opening_us

    def plan(self, channels: Sequence[Channel], *, now_us: int, node: str) -> None:
        """See :class:`gateway.notification.Outbox`."""
        unplanned = select(_notice).where(_notice.c.planned_us == 0).order_by(_notice.c.id).limit(MOST_AT_ONCE)
        if not self._any(unplanned):
            return
        with self._store.connection(writing=True) as connection:
            for row in connection.execute(unplanned).mappings().all():
                found: Notice = tables.noun_of(Notice, row)
                planned = update(_notice).where(_notice.c.id == found.id)
                connection.execute(planned.values(planned_us=now_us, node=node))
                for channel in channels:
                    if channel.wants(found):
                        due = Delivery(found.id, channel.name, attempts=0, since_us=now_us, next_us=now_us)
                        connection.execute(insert(_delivery).values(asdict(due)).on_conflict_do_nothing())

    def claim(
        self, free: Mapping[str, int], *, now_us: int, lease_us: Mapping[str, int]
    ) -> list[tuple[Delivery, Notice]]:
        """See :class:`gateway.notification.Outbox`."""
        due = and_(_waits, _delivery.c.next_us <= now_us)
        ready = [name for name, count in free.items() if count > 0]
        if not ready or not self._any(select(_delivery).where(due, _delivery.c.channel.in_(ready))):
            return []
        with self._store.connection(writing=True) as connection:
            claimed = []
            for name in ready:
                of_channel = _joined().where(due, _delivery.c.channel == name)
                for found in _read(connection, of_channel.order_by(_delivery.c.next_us).limit(free[name])):
                    assert found.delivery is not None  # noqa: S101 - the query names them
                    taken = replace(found.delivery, attempts=found.delivery.attempts + 1, next_us=lease_us[name])
                    _write(connection, taken)
                    claimed.append((taken, found.notice))
        return claimed

    def settle(self, delivery: Delivery) -> None:
        """See :class:`gateway.notification.Outbox`."""
        others = [] if delivery.delivered_us else [_delivery.c.attempts == delivery.attempts]
        with self._store.connection(writing=True) as connection:
            _write(connection, delivery, _delivery.c.delivered_us == 0, *others)

    def remind(self, settings: NoticeSettings, *, now_us: int) -> None:
        """See :class:`gateway.notification.Outbox`."""
        with self._store.connection() as connection:
            given = set(connection.scalars(select(_mark.c.id)))
            outlook = _outlook(connection, now_us, self._opens_us)
            due = list(reminders.due(outlook, settings=settings, now_us=now_us, given=given))
        if not due:
            return
        with self._store.connection(writing=True) as connection:
            transaction = Transaction(connection, self._store.clock)
            for mark, notice in due:
                marked = connection.execute(insert(_mark).values(id=mark, at_us=now_us).on_conflict_do_nothing())
                if marked.rowcount:  # else another node was first
                    transaction.put(notice)

    def prune(self, channels: Iterable[str], *, now_us: int, keep_us: int) -> None:
        """See :class:`gateway.notification.Outbox`."""
        orphaned = and_(_waits, _delivery.c.channel.not_in(list(channels)), _delivery.c.since_us < now_us - ORPHANED_US)
        waiting = exists().where(_delivery.c.notice == _notice.c.id, _waits)
        old = select(_notice.c.id).where(_notice.c.planned_us > 0, _notice.c.planned_us < now_us - keep_us, ~waiting)
        with self._store.connection(writing=True) as connection:
            gone = "there is no channel of this name any more"
            connection.execute(
                update(_delivery).where(orphaned).values(next_us=0, given_up_us=now_us, last_problem=gone)
            )
            connection.execute(delete(_delivery).where(_delivery.c.notice.in_(old)))
            connection.execute(delete(_notice).where(_notice.c.id.in_(old)))
            connection.execute(delete(_mark).where(_mark.c.at_us < now_us - MARKS_KEPT_US))

    def counts(self, channels: Iterable[str]) -> Counts:
        """See :class:`gateway.notification.Outbox`."""
        count = select(func.count()).select_from(_delivery)
        with self._store.connection() as connection:
            waiting = connection.scalar(count.where(_waits, _delivery.c.channel.in_(list(channels))))
            failed = connection.scalar(count.where(_delivery.c.given_up_us > 0))
        return Counts(waiting or 0, failed or 0)

    def standings(self, *, state: str = "", limit: int = 100) -> list[Standing]:
        """What there is, newest first.

        Args:
            state: only what is ``waiting``, ``delivered`` or ``failed``.
            limit: at most so many.
        """
        chosen: ColumnElement[bool] = {
            "": true(),
            "waiting": _waits,
            "delivered": _delivery.c.delivered_us > 0,
            "failed": _delivery.c.given_up_us > 0,
        }[state]
        query = _joined(outer=True).where(chosen).order_by(_notice.c.id.desc(), _delivery.c.channel).limit(limit)
        with self._store.connection() as connection:
            return list(_read(connection, query))

    def retry(self, notice: str, *, channel: str = "", now_us: int) -> int:
        """Let a notice be due now wherever it has not arrived, as if it were new; how many channels that is."""
        unsettled = and_(_delivery.c.notice == notice, _delivery.c.delivered_us == 0)
        wanted = and_(unsettled, _delivery.c.channel == channel) if channel else unsettled
        again = update(_delivery).where(wanted).values(attempts=0, since_us=now_us, next_us=now_us, given_up_us=0)
        with self._store.connection(writing=True) as connection:
            return connection.execute(again).rowcount

    def trouble(self, channel: str) -> str:
        """What is wrong with a channel, in words; "" if its last attempts arrived, or there were none."""
        last = select(func.max(_delivery.c.delivered_us)).where(_delivery.c.channel == channel)
        with self._store.connection() as connection:
            arrived_us = connection.scalar(last) or 0
            failing = and_(_delivery.c.channel == channel, _delivery.c.last_problem != "")
            query = select(_delivery).where(failing, or_(_waits, _delivery.c.given_up_us > arrived_us))
            found = [Delivery(**row) for row in connection.execute(query.order_by(_delivery.c.notice)).mappings()]
        if not found:
            return ""
        waiting = sum(delivery.state == "waiting" for delivery in found)
        newest = found[-1].last_problem
        told = (
            f"{_counted(waiting, 'notice waits', 'notices wait')} and {_counted(len(found) - waiting, 'was', 'were')}"
        )
        return f"{told} given up: {newest}; see `notifications list`"

    def _any(self, query: Select[tuple[object, ...]]) -> bool:
        with self._store.connection() as connection:
            return connection.execute(query.limit(1)).first() is not None


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _joined(*, outer: bool = False) -> Select[tuple[object, ...]]:
    found = [column.label(f"delivery_{column.name}") for column in _delivery.columns]
    joined = _notice.join(_delivery, _delivery.c.notice == _notice.c.id, isouter=outer)
    return select(*_notice.columns, *found).select_from(joined)


def _read(connection: Connection, query: Select[tuple[object, ...]]) -> Iterator[Standing]:
    for row in connection.execute(query).mappings().all():
        notice: Notice = tables.noun_of(Notice, row)
        fields = {column.name: row[f"delivery_{column.name}"] for column in _delivery.columns}
        yield Standing(notice, None if fields["channel"] is None else Delivery(**fields))


def _write(connection: Connection, after: Delivery, *conditions: ColumnElement[bool]) -> None:
    which = and_(_delivery.c.notice == after.notice, _delivery.c.channel == after.channel, *conditions)
    changed = {name: value for name, value in asdict(after).items() if name not in ("notice", "channel", "since_us")}
    connection.execute(update(_delivery).where(which).values(changed))


def _outlook(connection: Connection, now_us: int, opens_us: Callable[[int], int]) -> Outlook:
    """What may be about to happen: not every grant and plan that there ever was."""
    recent_us = now_us - reminders.LOOK_BACK_US
    requests = select(tables.access_request).where(tables.access_request.c.state == RequestState.REQUESTED.value)
    grants = select(tables.grant).where(tables.grant.c.revoked_us == 0, tables.grant.c.ends_us > recent_us)
    plan = tables.plan.c
    goes_on = or_(plan.ends_us == 0, plan.ends_us > plan.due_us)
    plans = select(tables.plan).where(plan.enabled_us == 0, goes_on, plan.due_us > recent_us)
    held = [tables.noun_of(Grant, row) for row in connection.execute(grants).mappings()]
    usages = select(tables.usage).where(tables.usage.c.grant.in_(grants.with_only_columns(tables.grant.c.id)))
    return Outlook(
        requests=[tables.noun_of(AccessRequest, row) for row in connection.execute(requests).mappings()],
        grants=held,
        usages={row["grant"]: tables.noun_of(Usage, row) for row in connection.execute(usages).mappings()},
        plans=[(row["customer"], tables.noun_of(CustomerPlan, row)) for row in connection.execute(plans).mappings()],
        cases=list(_waiting_cases(connection)),
        opens_us=opens_us,
    )


def _waiting_cases(connection: Connection) -> Iterator[tuple[Ticket, int]]:
    """The cases in the queue at home, each with when it was last changed, which is when it came there as it is."""
    ticket, event = tables.ticket, tables.ticket_event
    changed = select(func.max(event.c.at_us)).where(event.c.ticket == ticket.c.id).scalar_subquery()
    waiting = (ticket.c.kind == TicketKind.SUPPORT.value, ticket.c.holder == QUEUE_AT_HOME, ticket.c.closed_us == 0)
    for row in connection.execute(select(ticket, changed.label("changed_us")).where(*waiting)).mappings():
        case: Ticket = tables.noun_of(Ticket, row)
        yield case, row["changed_us"] or case.handed_off_us or case.opened_us
