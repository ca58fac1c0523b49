"""``access``: requests for access to troubleshoot a bug, and the grants that come of them."""

from __future__ import annotations

import dataclasses

import click

from gateway.acts.access import (
    approve_access,
    consent_to_access,
    deny_access,
    request_access,
    revoke_grant,
    withdraw_access,
)
from gateway.acts.revocations import end_revocation, revoke_identity
from gateway.catalog.customers import Customer
from gateway.cli.completion import ids
from gateway.cli.context import Operation, acting, as_json, later_us
from gateway.cli.output import chosen, show_many, show_one, tell
from gateway.cli.scope import scope_options
from gateway.cli.values import LINE, TEXT
from gateway.clock import SECOND_US, rfc3339
from gateway.errors import NotFound, UsageError
from gateway.identity import Revocation, Revoked
from gateway.identity.authenticator import CERTIFICATE
from gateway.identity.revocation import ANY_ISSUER
from gateway.justification import AccessRequest, Grant, GrantState, RequestState, Ticket, Usage, requests

REQUESTS = ("id", "subject", "ticket", "customer", "data_classes", "actions", "state", "missing", "requested")
GRANTS = ("id", "subject", "ticket", "customer", "data_classes", "actions", "state", "ends", "used_requests")
STATES = [state.value for state in (*RequestState, *GrantState)]
REVOCATIONS = ("id", "kind", "value", "issuer", "revoked", "issued_until")

_request = click.argument("request", shell_complete=ids(AccessRequest))
_why = click.option("--why", type=TEXT, default="", help="Why; needed, and recorded.")
_maybe_why = click.option("--why", type=TEXT, default="", help="Why, if there is more to say; it is recorded.")


@click.group()
def access() -> None:
    """Access requests and grants."""


@access.command()
@click.option("--ticket", required=True, help="The bug ticket.", shell_complete=ids(Ticket, kind="bug", closed_us=0))
@click.option("--customer", required=True, help="Whose data.", shell_complete=ids(Customer))
@scope_options
@click.option(
    "--for", "span", default="4h", show_default=True, help="How long, such as 30m, 4h or 2d; or a time, until when."
)
@click.option("--reason", type=TEXT, required=True, help="What the bug needs of this data, and why.")
@click.option("--max-bytes", type=click.IntRange(min=1), help="End the grant after this many bytes.")
@click.option("--max-requests", type=click.IntRange(min=1), help="End the grant after this many requests.")
@acting
@as_json
@click.pass_obj
def request(
    operation: Operation,
    ticket: str,
    customer: str,
    data_classes: tuple[str, ...],
    actions: tuple[str, ...],
    span: str,
    reason: str,
    max_bytes: int | None,
    max_requests: int | None,
    actor: str,
    as_json: bool,
) -> None:
    """Ask for access; somebody else has to approve it."""
    now_us = operation.clock.now_us()
    asked = request_access(
        operation.office,
        operation.actor(actor),
        ticket=ticket,
        customer=customer,
        data_classes=data_classes,
        actions=actions,
        reason=reason,
        duration_s=(later_us(span, now_us) - now_us) // SECOND_US,
        max_bytes=max_bytes or 0,
        max_requests=max_requests or 0,
    )
    tell(f"{asked.id} waits for {requests.missing(asked)}", as_json=as_json)
    _show(operation, asked, as_json=as_json)


@access.command(name="list")
@click.option("--all", "ended_too", is_flag=True, help="Decided requests, or ended grants, too.")
@click.option("--grants", is_flag=True, help="Grants in place of requests.")
@click.option("--mine", is_flag=True, help="Only of the one for whom you act (--as).")
@click.option("--ticket", help="Only for this ticket.", shell_complete=ids(Ticket))
@click.option("--customer", help="Only of this customer.", shell_complete=ids(Customer))
@click.option("--state", type=click.Choice(STATES), help="Only in this state.")
@click.option("--limit", type=click.IntRange(min=1), help="The newest, at most so many.")
@acting
@as_json
@click.pass_obj
def list_(
    operation: Operation,
    ended_too: bool,
    grants: bool,
    mine: bool,
    ticket: str | None,
    customer: str | None,
    state: str | None,
    limit: int | None,
    actor: str,
    as_json: bool,
) -> None:
    """Requests that wait for an answer; or the grants that are active."""
    states = [state.value for state in (GrantState if grants else RequestState)]
    if state and state not in states:
        raise UsageError(f"--state: got {state}; expected one of {', '.join(states)}")
    only = {"subject": actor if mine else None, "ticket": ticket, "customer": customer}
    wanted = {state} if state else set(states) if ended_too else {states[0]}
    if grants:
        begun = sorted(operation.state.all(Grant), key=lambda grant: grant.starts_us)
        held = (_grant_row(operation, grant) for grant in begun)
        show_many(chosen(held, only, wanted, limit), GRANTS, as_json=as_json, empty="no grant is active")
        return
    made = sorted(operation.state.all(AccessRequest), key=lambda asked: asked.requested_us)
    asked = (_request_row(operation, each) for each in made)
    show_many(chosen(asked, only, wanted, limit), REQUESTS, as_json=as_json, empty="no request waits for an answer")


@access.command()
@click.argument("request_or_grant", shell_complete=ids(AccessRequest, Grant))
@as_json
@click.pass_obj
def show(operation: Operation, request_or_grant: str, as_json: bool) -> None:
    """One request with what it still lacks, or one grant with what was used of it."""
    found = operation.state.find(AccessRequest, request_or_grant) or operation.state.find(Grant, request_or_grant)
    if found is None:
        raise NotFound(f"there is no access request and no grant {request_or_grant!r}")
    _show(operation, found, as_json=as_json)


@access.command()
@_request
@_maybe_why
@acting
@as_json
@click.pass_obj
def approve(operation: Operation, request: str, why: str, actor: str, as_json: bool) -> None:
    """Approve a request: the grant begins now, or once what the customer's data needs beside is there."""
    _show_answered(operation, approve_access(operation.office, operation.actor(actor), request, why=why), as_json)


@access.command()
@_request
@click.option("--by", type=LINE, required=True, help="Who in the customer says yes.")
@_maybe_why
@acting
@as_json
@click.pass_obj
def consent(operation: Operation, request: str, by: str, why: str, actor: str, as_json: bool) -> None:
    """Record the customer's own yes to a request, where its data needs one."""
    answered = consent_to_access(operation.office, operation.actor(actor), request, by=by, why=why)
    _show_answered(operation, answered, as_json)


@access.command()
@_request
@_why
@acting
@as_json
@click.pass_obj
def deny(operation: Operation, request: str, why: str, actor: str, as_json: bool) -> None:
    """Deny a request."""
    denied = deny_access(operation.office, operation.actor(actor), request, why=why)
    tell(f"{request} is denied", as_json=as_json)
    _show(operation, denied, as_json=as_json)


@access.command()
@_request
@acting
@as_json
@click.pass_obj
def withdraw(operation: Operation, request: str, actor: str, as_json: bool) -> None:
    """Withdraw a request that nobody has answered."""
    withdrawn = withdraw_access(operation.office, operation.actor(actor), request)
    tell(f"{request} is withdrawn", as_json=as_json)
    _show(operation, withdrawn, as_json=as_json)


@access.command()
@click.argument("grant", shell_complete=ids(Grant))
@_why
@acting
@as_json
@click.pass_obj
def revoke(operation: Operation, grant: str, why: str, actor: str, as_json: bool) -> None:
    """End a grant now. The id of the request that it came from will do."""
    ended = revoke_grant(operation.office, operation.actor(actor), grant, why=why)
    how = "has ended" if operation.written else "had been revoked already; nothing changed"
    tell(f"{ended.id} of {ended.subject} for {ended.customer} {how}", as_json=as_json)
    _show(operation, ended, as_json=as_json)


@access.command(name="revoke-subject")
@click.argument("subject", type=LINE)
@click.option("--issuer", default="", help="Only as this issuer vouches for them; all issuers unless given.")
@click.option("--sign-in-again", is_flag=True, help="Tokens issued from now on are believed again.")
@acting
@as_json
@click.pass_obj
def revoke_subject(
    operation: Operation, subject: str, issuer: str, sign_in_again: bool, actor: str, as_json: bool
) -> None:
    """Stop believing tokens about a person or service."""
    office, who = operation.office, operation.actor(actor)
    _require_known(operation, issuer)
    revoked = revoke_identity(office, who, Revoked.SUBJECT, subject, issuer=issuer, sign_in_again=sign_in_again)
    until = f"tokens about {subject} that were issued until now are no longer believed; signing in again works"
    tell(until if sign_in_again else f"tokens about {subject} are no longer believed", as_json=as_json)
    show_one(_revocation_row(revoked), as_json=as_json)


@access.command(name="revoke-token")
@click.argument("token_id", type=LINE, metavar="JTI")
@click.option("--issuer", default="", help="Only of this issuer; of all unless given.")
@acting
@as_json
@click.pass_obj
def revoke_token(operation: Operation, token_id: str, issuer: str, actor: str, as_json: bool) -> None:
    """Stop believing one token, named by its jti claim."""
    _require_known(operation, issuer)
    revoked = revoke_identity(operation.office, operation.actor(actor), Revoked.TOKEN, token_id, issuer=issuer)
    tell("the token is no longer believed", as_json=as_json)
    show_one(_revocation_row(revoked), as_json=as_json)


@access.group(invoke_without_command=True)
@as_json
@click.pass_context
def revocations(context: click.Context, as_json: bool) -> None:
    """Whose tokens, and which, are no longer believed."""
    if context.invoked_subcommand is None:
        operation: Operation = context.obj
        in_force = [revoked for revoked in operation.state.all(Revocation) if revoked.revoked_us]
        rows = map(_revocation_row, sorted(in_force, key=lambda revoked: revoked.revoked_us))
        show_many(rows, REVOCATIONS, as_json=as_json, empty="nobody and nothing is revoked")


@revocations.command()
@click.argument("revocation", metavar="ID", shell_complete=ids(Revocation))
@acting
@as_json
@click.pass_obj
def end(operation: Operation, revocation: str, actor: str, as_json: bool) -> None:
    """Take a revocation back: tokens that it alone kept from being believed are believed again."""
    ended = end_revocation(operation.office, operation.actor(actor), revocation)
    how = "is taken back" if operation.written else "had been taken back already; nothing changed"
    tell(f"the revocation of the {ended.kind} {ended.value} {how}", as_json=as_json)
    show_one(_revocation_row(ended), as_json=as_json)


def _require_known(operation: Operation, issuer: str) -> None:
    """
    Raises:
        UsageError: nobody is believed on this issuer's word, so that revoking would do nothing.
    """
    known = [each.issuer for each in operation.settings.identity.issuer]
    if issuer not in (ANY_ISSUER, CERTIFICATE, *known):
        raise UsageError(f"--issuer: got {issuer!r}; expected one of the configuration: {', '.join(known)}")


def _revocation_row(revoked: Revocation) -> dict[str, object]:
    return dataclasses.asdict(revoked) | {"state": "in force" if revoked.revoked_us else "taken back"}


def _show_answered(operation: Operation, noun: AccessRequest | Grant, as_json: bool) -> None:
    """A request after a yes: the grant that it became, or what it still lacks."""
    if isinstance(noun, Grant):
        told = f"{noun.id} of {noun.subject} for {noun.customer} has begun, and ends at {rfc3339(noun.ends_us)}"
    else:
        told = f"{noun.id} still waits for {requests.missing(noun)}"
    tell(told, as_json=as_json)
    _show(operation, noun, as_json=as_json)


def _show(operation: Operation, noun: AccessRequest | Grant, *, as_json: bool) -> None:
    row = _grant_row(operation, noun) if isinstance(noun, Grant) else _request_row(operation, noun)
    show_one(row, as_json=as_json)


def _request_row(operation: Operation, asked: AccessRequest) -> dict[str, object]:
    """A request as it stands now, whether or not somebody has yet written down that its time is over."""
    asked = requests.expire_unanswered(asked, now_us=operation.clock.now_us())
    waits = asked.state is RequestState.REQUESTED
    return dataclasses.asdict(asked) | {"missing": requests.missing(asked) if waits else ""}


def _grant_row(operation: Operation, grant: Grant) -> dict[str, object]:
    usage = operation.state.find(Usage, grant.id) or Usage(grant.id)
    asked = operation.state.find(AccessRequest, grant.request)
    via = {"approved_via": asked.approved_via if asked else ()}
    state = grant.state(operation.clock.now_us(), usage)
    return (
        dataclasses.asdict(grant) | {"state": state, "used_requests": usage.requests, "used_bytes": usage.bytes} | via
    )
