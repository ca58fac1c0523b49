"""Access requests, and the grants that come of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.acts import Office
from gateway.acts.access import (
    approve_access,
    consent_to_access,
    deny_access,
    request_access,
    revoke_grant,
    withdraw_access,
)
from gateway.console import asked, shown, views
from gateway.console.call import Call
from gateway.console.operation import Answer, Operation
from gateway.console.views import Snapshot
from gateway.justification import AccessRequest, Grant

_NOBODYS = "\x00"
"""Nobody's subject and no customer's id: what finds nothing."""


def _list_requests(call: Call) -> Answer:
    with call.snapshot() as snapshot:
        after = call.after(snapshot, AccessRequest, call.sight.access)
        equal = _equal(call, "state", "customer", "subject")
        found = snapshot.newest(AccessRequest, by="requested_us", after=after, equal=equal)
        return call.page(shown.AccessRequests, found, lambda request: _words(snapshot, request))


def _show_request(call: Call) -> Answer:
    with call.snapshot() as snapshot:
        request = call.seen(snapshot, AccessRequest, call.id, call.sight.access)
        return Answer.of(_words(snapshot, request), etag=call.version(request))


def _ask(call: Call) -> Answer:
    body: asked.NewAccessRequest = call.body
    return call.act(
        lambda office: request_access(office, call.actor, **dict(body), sees=call.sight.ticket), _view_request
    )


def _approve(call: Call) -> Answer:
    body: asked.Approval = call.body
    return _decide(
        call, lambda office, key, expected: approve_access(office, call.actor, key, why=body.why, expected=expected)
    )


def _consent(call: Call) -> Answer:
    body: asked.Consent = call.body
    return _decide(
        call,
        lambda office, key, expected: consent_to_access(
            office, call.actor, key, by=body.by, why=body.why, expected=expected
        ),
    )


def _deny(call: Call) -> Answer:
    body: asked.Reason = call.body
    return _decide(
        call, lambda office, key, expected: deny_access(office, call.actor, key, why=body.why, expected=expected)
    )


def _withdraw(call: Call) -> Answer:
    return _decide(call, lambda office, key, expected: withdraw_access(office, call.actor, key, expected=expected))


def _list_grants(call: Call) -> Answer:
    query: asked.GrantsQuery = call.query
    now_us = call.now_us
    with call.snapshot() as snapshot:
        after = call.after(snapshot, Grant, call.sight.access)
        equal = _equal(call, "customer", "subject", "ticket")
        found = (
            grant
            for grant in snapshot.newest(Grant, by="starts_us", after=after, equal=equal)
            if query.state in (None, grant.state(now_us, call.usage(grant.id)))
        )
        return call.page(shown.Grants, found, lambda grant: views.grant(grant, now_us, call.usage(grant.id)))


def _show_grant(call: Call) -> Answer:
    with call.snapshot() as snapshot:
        grant = call.seen(snapshot, Grant, call.id, call.sight.access)
    return Answer.of(views.grant(grant, call.now_us, call.usage(grant.id)), etag=call.version(grant))


def _revoke(call: Call) -> Answer:
    body: asked.Reason = call.body
    with call.snapshot() as snapshot:
        grant = call.seen(snapshot, Grant, call.id, call.sight.access)

    def view(_snapshot: Snapshot, ended: Grant, now_us: int) -> tuple[Any, shown.Shown]:
        return ended, views.grant(ended, now_us, call.usage(ended.id))

    return call.act(
        lambda office: revoke_grant(office, call.actor, grant.id, why=body.why, expected=call.expected(grant)), view
    )


def _cited_by_body(call: Call) -> str:
    body: asked.NewAccessRequest = call.body
    return body.ticket


def _cited_by_request(call: Call) -> str:
    with call.snapshot() as snapshot:
        return call.seen(snapshot, AccessRequest, call.id, call.sight.access).ticket


def _decide(call: Call, run: Callable[[Office, str, str], object]) -> Answer:
    with call.snapshot() as snapshot:
        request = call.seen(snapshot, AccessRequest, call.id, call.sight.access)
    return call.act(lambda office: run(office, request.id, call.expected(request)), _view_request)


def _view_request(snapshot: Snapshot, result: AccessRequest | Grant, _now_us: int) -> tuple[Any, shown.Shown]:
    request = snapshot.get(AccessRequest, result.request) if isinstance(result, Grant) else result
    return request, _words(snapshot, request)


def _words(snapshot: Snapshot, request: AccessRequest) -> shown.AccessRequest:
    return views.access_request(request, snapshot.all(Grant, request=request.id))


def _equal(call: Call, *names: str) -> dict[str, str]:
    """What is asked for, within what is seen."""
    asked_for = {name: value for name in names if (value := getattr(call.query, name)) is not None}
    limits = call.sight.access_limits()
    contradicting = {name: _NOBODYS for name in limits if asked_for.get(name, limits[name]) != limits[name]}
    return asked_for | limits | contradicting


OPERATIONS = (
    Operation(
        "access.list", "GET", "/access-requests", "Access requests", "access.read", _list_requests,
        shown.AccessRequests, query=asked.RequestsQuery,
    ),
    Operation(
        "access.request", "POST", "/access-requests", "Ask for access, for yourself", "access.request", _ask,
        shown.AccessRequest, body=asked.NewAccessRequest, status=201, cites=_cited_by_body,
    ),
    Operation(
        "access.show", "GET", "/access-requests/{request}", "An access request", "access.read", _show_request,
        shown.AccessRequest,
    ),
    Operation(
        "access.approve", "POST", "/access-requests/{request}/approve",
        "Approve it; the grant begins with the last approval and consent that it needs", "access.approve", _approve,
        shown.AccessRequest, body=asked.Approval, cites=_cited_by_request,
    ),
    Operation(
        "access.deny", "POST", "/access-requests/{request}/deny", "Deny it", "access.deny", _deny,
        shown.AccessRequest, body=asked.Reason,
    ),
    Operation(
        "access.withdraw", "POST", "/access-requests/{request}/withdraw", "Withdraw your own", "access.withdraw",
        _withdraw, shown.AccessRequest, body=asked.Nothing,
    ),
    Operation(
        "access.consent", "POST", "/access-requests/{request}/consent", "The customer's own yes", "access.consent",
        _consent, shown.AccessRequest, body=asked.Consent, cites=_cited_by_request,
    ),
    Operation(
        "grants.list", "GET", "/grants", "Grants, and how much of them is used", "access.read", _list_grants,
        shown.Grants, query=asked.GrantsQuery,
    ),
    Operation("grants.show", "GET", "/grants/{grant}", "A grant", "access.read", _show_grant, shown.Grant),
    Operation(
        "grants.revoke", "POST", "/grants/{grant}/revoke", "End it now", "access.revoke", _revoke, shown.Grant,
        body=asked.Reason,
    ),
)  # fmt: skip
