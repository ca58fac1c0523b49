"""What customers themselves authorised."""

from __future__ import annotations

from typing import Any

from gateway.acts.authorizations import record_authorization, withdraw_authorization
from gateway.console import asked, shown, views
from gateway.console.call import Call
from gateway.console.operation import Answer, Operation
from gateway.console.views import Snapshot
from gateway.errors import NotFound
from gateway.justification import Authorization


def _list(call: Call) -> Answer:
    query: asked.AuthorizationsQuery = call.query
    now_us = call.now_us

    def is_asked_for(given: Authorization) -> bool:
        return call.sight.authorization(given) and query.state in (None, views.authorization_state(given, now_us))

    equal = {name: value for name in ("customer", "ticket") if (value := getattr(query, name)) is not None}
    with call.snapshot() as snapshot:
        after = call.after(snapshot, Authorization, call.sight.authorization)
        found = filter(is_asked_for, snapshot.newest(Authorization, by="starts_us", after=after, equal=equal))
        return call.page(shown.Authorizations, found, lambda given: views.authorization(given, now_us))


def _show(call: Call) -> Answer:
    given = _seen(call)
    return Answer.of(views.authorization(given, call.now_us), etag=call.version(given))


def _record(call: Call) -> Answer:
    body: asked.NewAuthorization = call.body
    if call.actor.customer not in ("", body.customer):
        raise NotFound(f"there is nothing with the id {body.customer!r} here that you may see")
    return call.act(
        lambda office: record_authorization(
            office,
            call.actor,
            customer=body.customer,
            given_by=body.given_by,
            received=body.received,
            data_classes=body.data_classes,
            actions=body.actions,
            ticket=body.ticket,
            starts_us=int(body.starts_at or 0),
            ends_us=int(body.ends_at or 0),
            document_sha256=body.document_sha256,
            any_severity=body.any_severity,
            sees=call.sight.ticket,
        ),
        _view,
    )


def _withdraw(call: Call) -> Answer:
    body: asked.Withdrawal = call.body
    given = _seen(call)
    return call.act(
        lambda office: withdraw_authorization(office, call.actor, given.id, by=body.by, expected=call.expected(given)),
        _view,
    )


def _seen(call: Call) -> Authorization:
    with call.snapshot() as snapshot:
        return call.seen(snapshot, Authorization, call.id, call.sight.authorization)


def _view(_snapshot: Snapshot, given: Authorization, now_us: int) -> tuple[Any, shown.Shown]:
    return given, views.authorization(given, now_us)


OPERATIONS = (
    Operation(
        "authorizations.list", "GET", "/authorizations", "What customers authorised", "authorization.read", _list,
        shown.Authorizations, query=asked.AuthorizationsQuery,
    ),
    Operation(
        "authorizations.record", "POST", "/authorizations", "Record that a customer authorised access",
        "authorization.record", _record, shown.Authorization, body=asked.NewAuthorization, status=201,
        cites=lambda call: call.body.ticket or "",
    ),
    Operation(
        "authorizations.show", "GET", "/authorizations/{authorization}", "An authorization", "authorization.read",
        _show, shown.Authorization,
    ),
    Operation(
        "authorizations.withdraw", "POST", "/authorizations/{authorization}/withdraw", "End it at once",
        "authorization.withdraw", _withdraw, shown.Authorization, body=asked.Withdrawal,
    ),
)  # fmt: skip
