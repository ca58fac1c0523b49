"""What time alone brings about, and nobody does: a request or a case that waits, a grant or a plan that nears its
instant. Pure.

Invariants: each is told once (its *mark* says that it was); nothing is told that has already been overtaken: no
reminder of a request that is decided, of a case that is taken, or of a grant that has ended or is used up; what lies
longer ago than :data:`LOOK_BACK_US` is not told any more, so that a first start does not tell of years.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from gateway.catalog.customers import CustomerPlan
from gateway.clock import SECOND_US, rfc3339
from gateway.justification import QUEUE_AT_HOME, AccessRequest, Grant, RequestState, Ticket, Usage
from gateway.notification.notice import Notice, NoticeType, Value, notice
from gateway.settings import NoticeSettings

LOOK_BACK_US = 3 * 86_400 * SECOND_US


@dataclass(frozen=True, slots=True)
class Outlook:
    """What may be about to happen. More may stand in it than is told of.

    Attributes:
        requests: access requests.
        grants: that have not ended long ago.
        usages: what has been read under them, by the grant's id.
        plans: that are not enabled, each with its customer's id.
        cases: that are in the queue at home, each with the instant since which it is there as it is.
        opens_us: the instant itself while support is open, else when it opens next.
    """

    requests: Iterable[AccessRequest] = ()
    grants: Iterable[Grant] = ()
    usages: Mapping[str, Usage] = field(default_factory=dict)
    plans: Iterable[tuple[str, CustomerPlan]] = ()
    cases: Iterable[tuple[Ticket, int]] = ()
    opens_us: Callable[[int], int] = lambda instant_us: instant_us


@dataclass(frozen=True, slots=True)
class Reminder:
    """Something to tell: the mark by which it is told once, the instant it came about, and how it is put into words.

    It is not told where ``instead`` was told. What may come about several times has a ``turn`` of its own each time.
    """

    type: NoticeType
    subject: str
    at_us: int
    until_us: int
    make: Callable[[], Notice]
    instead: NoticeType | None = None
    turn: int = 0

    @property
    def mark(self) -> str:
        return f"{self.type}:{self.subject}" + (f":{self.turn}" if self.turn else "")

    def is_due(self, now_us: int, given: Collection[str]) -> bool:
        told = self.mark in given or f"{self.instead}:{self.subject}" in given
        return not told and self.at_us <= now_us < self.until_us


def due(
    outlook: Outlook, *, settings: NoticeSettings, now_us: int, given: Collection[str]
) -> Iterator[tuple[str, Notice]]:
    """The notices to write now, each with its mark.

    Args:
        outlook: what may be about to happen.
        settings: how long before or after.
        now_us: the instant.
        given: marks of what was told already.
    """
    for reminder in _reminders(outlook, settings, now_us):
        if reminder.is_due(now_us, given):
            yield reminder.mark, reminder.make()


def _reminders(outlook: Outlook, settings: NoticeSettings, now_us: int) -> Iterator[Reminder]:
    for asked in outlook.requests:
        if asked.state is RequestState.REQUESTED and settings.request_reminder_after_s:
            yield _waiting(asked, _us(settings.request_reminder_after_s))
    for grant in outlook.grants:
        if not grant.revoked_us:
            yield from _of_grant(grant, outlook.usages.get(grant.id), settings, now_us)
    for customer, plan in outlook.plans:
        if not plan.enabled_us and plan.ever_begins():
            yield from _of_plan(customer, plan, settings)
    for case, since_us in outlook.cases:
        if case.is_open and case.holder == QUEUE_AT_HOME:
            yield from _of_case(case, since_us, outlook.opens_us, settings)


def _waiting(asked: AccessRequest, after_us: int) -> Reminder:
    at_us = asked.requested_us + after_us
    what = f"{', '.join(asked.actions)} {', '.join(asked.data_classes)}"
    summary = (
        f"{asked.subject}'s request {asked.id} to {what} of {asked.customer} for {asked.ticket} "
        f"has waited for an answer since {_spoken(asked.requested_us)}"
    )
    data: dict[str, Value] = {
        "requester": asked.subject,
        "ticket": asked.ticket,
        "data_classes": list(asked.data_classes),
        "actions": list(asked.actions),
        "requested": rfc3339(asked.requested_us),
    }
    kind = NoticeType.ACCESS_REMINDER

    def make() -> Notice:
        return notice(kind, subject=asked.id, customer=asked.customer, summary=summary, at_us=at_us, data=data)

    return Reminder(kind, asked.id, at_us, at_us + LOOK_BACK_US, make)


def _of_grant(grant: Grant, usage: Usage | None, settings: NoticeSettings, now_us: int) -> Iterator[Reminder]:
    def reminder(kind: NoticeType, at_us: int, until_us: int, what: str, instead: NoticeType | None = None) -> Reminder:
        summary = f"{grant.subject}'s grant {grant.id} to {grant.customer} for {grant.ticket} {what}"
        data = {"grantee": grant.subject, "ticket": grant.ticket, "ends": rfc3339(grant.ends_us)}

        def make() -> Notice:
            return notice(kind, subject=grant.id, customer=grant.customer, summary=summary, at_us=at_us, data=data)

        return Reminder(kind, grant.id, at_us, until_us, make, instead)

    told_until_us = grant.ends_us + LOOK_BACK_US
    if _is_used_up(grant, usage):
        yield reminder(NoticeType.GRANT_EXHAUSTED, now_us, told_until_us, "has been used up", NoticeType.GRANT_EXPIRED)
        return
    before_us = _us(settings.grant_reminder_before_s)
    if before_us and 2 * before_us <= grant.ends_us - grant.starts_us:  # a shorter one has only just begun
        yield reminder(
            NoticeType.GRANT_ENDING, grant.ends_us - before_us, grant.ends_us, f"ends at {_spoken(grant.ends_us)}"
        )
    yield reminder(NoticeType.GRANT_EXPIRED, grant.ends_us, told_until_us, "has expired")


def _is_used_up(grant: Grant, usage: Usage | None) -> bool:
    """What was read says so, or that it was seen to be over before its time, whose usage may be written later."""
    return 0 < grant.ended_us < grant.ends_us or (usage is not None and grant.is_exhausted(usage))


def _of_case(
    case: Ticket, since_us: int, opens_us: Callable[[int], int], settings: NoticeSettings
) -> Iterator[Reminder]:
    """Severity 1 at any time; the others once support has opened for them, and while it is open."""
    critical = case.severity == 1
    after_us = _us(settings.critical_case_reminder_after_s if critical else settings.case_reminder_after_s)
    if not after_us:
        return
    begins_us = since_us if critical else opens_us(max(since_us, case.queued_until_us))
    at_us = begins_us + after_us if critical else opens_us(begins_us + after_us)
    summary = f"{case.id}, of severity {case.severity}, has waited for a US analyst since {_spoken(begins_us)}"
    data: dict[str, Value] = {"severity": case.severity, "waits_since": rfc3339(begins_us)}
    kind = NoticeType.TICKET_WAITING

    def make() -> Notice:
        return notice(kind, subject=case.id, customer=case.customers, summary=summary, at_us=at_us, data=data)

    yield Reminder(kind, case.id, at_us, at_us + LOOK_BACK_US, make, turn=since_us)


def _of_plan(customer: str, plan: CustomerPlan, settings: NoticeSettings) -> Iterator[Reminder]:
    def reminder(kind: NoticeType, at_us: int, until_us: int, what: str) -> Reminder:
        summary = f"{customer}'s plan {plan.name} {what}; enable it: residency-gateway customers enable {customer}"
        data: dict[str, Value] = {"plan": plan.name, "due": rfc3339(plan.due_us), "seats": plan.seats}

        def make() -> Notice:
            return notice(kind, subject=plan.id, customer=customer, summary=summary, at_us=at_us, data=data)

        return Reminder(kind, plan.id, at_us, until_us, make)

    before_us = _us(settings.plan_reminder_before_s)
    if before_us:
        at_us = max(plan.ordered_us, plan.due_us - before_us)
        yield reminder(
            NoticeType.PLAN_REMINDER, at_us, plan.due_us, f"begins by itself at {_spoken(plan.due_us)} at the latest"
        )
    yield reminder(
        NoticeType.PLAN_DUE, plan.due_us, plan.due_us + LOOK_BACK_US, f"has been due since {_spoken(plan.due_us)}"
    )


def _us(seconds: float) -> int:
    return round(seconds * SECOND_US)


def _spoken(instant_us: int) -> str:
    return rfc3339(instant_us)[:16].replace("T", " ") + " UTC"
