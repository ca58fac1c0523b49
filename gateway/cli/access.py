"""``access``: requests for access to troubleshoot a bug, and the grants that come of them."""

from __future__ import annotations

import click
import uuid_utils

from gateway.catalog import Action
from gateway.catalog.customers import Customer
from gateway.cli.context import Operation, acting, as_json, seconds
from gateway.cli.output import show_many, show_one
from gateway.errors import NotFound, UsageError
from gateway.identity import Revocation, Revoked
from gateway.justification import AccessRequest, Grant, RequestState, Ticket, requests
from gateway.policy import load as load_policy

COLUMNS = ("id", "subject", "ticket", "customer", "data_classes", "actions", "state", "requested", "decided_by")


@click.group()
def access() -> None:
    """Access requests and grants."""


@access.command()
@click.option("--ticket", required=True, help="The bug ticket.")
@click.option("--customer", required=True, help="Whose data.")
@click.option("--data-class", "data_classes", multiple=True, required=True, help="Which data; several may be given.")
@click.option(
    "--action",
    "actions",
    multiple=True,
    type=click.Choice([action.value for action in Action]),
    default=["read"],
    show_default=True,
    help="To do what; several may be given.",
)
@click.option("--for", "span", default="4h", show_default=True, help="How long, such as 30m, 4h or 2d.")
@click.option("--reason", required=True, help="What the bug needs of this data, and why.")
@click.option("--max-bytes", type=click.IntRange(min=0), default=0, help="End the grant after this many bytes.")
@click.option("--max-requests", type=click.IntRange(min=0), default=0, help="End the grant after this many requests.")
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
    max_bytes: int,
    max_requests: int,
    actor: str,
    as_json: bool,
) -> None:
    """Ask for access; somebody else has to approve it."""
    _require_known(operation, data_classes)
    operation.state.get(Customer, customer)
    asked = requests.request(
        id=f"R-{str(uuid_utils.uuid7())[-12:]}",
        subject=actor,
        ticket=operation.state.get(Ticket, ticket),
        customer=customer,
        data_classes=data_classes,
        actions=actions,
        reason=reason,
        duration_s=seconds(span),
        now_us=operation.clock.now_us(),
        max_bytes=max_bytes,
        max_requests=max_requests,
    )
    operation.record(
        "access.request",
        asked.id,
        actor=actor,
        ticket=ticket,
        customer=customer,
        data_classes=list(data_classes),
        actions=list(actions),
        duration_s=asked.duration_s,
        reason=reason,
    )
    operation.state.put(asked)
    show_one(asked, as_json=as_json)


@access.command(name="list")
@click.option("--all", "decided_too", is_flag=True, help="Decided ones too.")
@as_json
@click.pass_obj
def list_(operation: Operation, decided_too: bool, as_json: bool) -> None:
    """Requests that wait for an answer."""
    found = (
        asked for asked in operation.state.all(AccessRequest) if decided_too or asked.state is RequestState.REQUESTED
    )
    show_many(found, COLUMNS, as_json=as_json, empty="no request waits for an answer")


@access.command()
@click.argument("request_or_grant")
@as_json
@click.pass_obj
def show(operation: Operation, request_or_grant: str, as_json: bool) -> None:
    """One request or grant."""
    kind = Grant if request_or_grant.startswith("G-") else AccessRequest
    show_one(operation.state.get(kind, request_or_grant), as_json=as_json)


@access.command()
@click.argument("request")
@acting
@as_json
@click.pass_obj
def approve(operation: Operation, request: str, actor: str, as_json: bool) -> None:
    """Approve a request: the grant begins now."""
    asked = operation.state.get(AccessRequest, request)
    ticket = operation.state.get(Ticket, asked.ticket)
    decided, grant = requests.approve(asked, ticket=ticket, approver=actor, now_us=operation.clock.now_us())
    operation.record(
        "access.approve",
        grant.id,
        actor=actor,
        request=asked.id,
        grantee=grant.subject,
        ticket=grant.ticket,
        customer=grant.customer,
        ends_us=grant.ends_us,
    )
    operation.state.put(decided, grant)
    show_one(grant, as_json=as_json)


@access.command()
@click.argument("request")
@acting
@as_json
@click.pass_obj
def deny(operation: Operation, request: str, actor: str, as_json: bool) -> None:
    """Deny a request."""
    asked = operation.state.get(AccessRequest, request)
    decided = requests.deny(asked, approver=actor, now_us=operation.clock.now_us())
    operation.record("access.deny", asked.id, actor=actor, customer=asked.customer, ticket=asked.ticket)
    operation.state.put(decided)
    show_one(decided, as_json=as_json)


@access.command()
@click.argument("grant")
@acting
@as_json
@click.pass_obj
def revoke(operation: Operation, grant: str, actor: str, as_json: bool) -> None:
    """End a grant now. The id of the request that it came from will do."""
    held = _grant(operation, grant)
    ended = requests.revoke(held, now_us=operation.clock.now_us())
    if ended is not held:
        operation.record("access.revoke", held.id, actor=actor, grantee=held.subject, customer=held.customer)
        operation.state.put(ended)
    show_one(ended, as_json=as_json)


@access.command(name="revoke-subject")
@click.argument("subject")
@click.option("--issuer", default="", help="Only as this issuer vouches for them; all issuers unless given.")
@click.option("--sign-in-again", is_flag=True, help="Tokens issued from now on are believed again.")
@acting
@as_json
@click.pass_obj
def revoke_subject(
    operation: Operation, subject: str, issuer: str, sign_in_again: bool, actor: str, as_json: bool
) -> None:
    """Stop believing tokens about a person or service."""
    until_us = operation.clock.now_us() if sign_in_again else 0
    _revoke(operation, Revoked.SUBJECT, subject, issuer, until_us=until_us, actor=actor, as_json=as_json)


@access.command(name="revoke-token")
@click.argument("token_id", metavar="JTI")
@click.option("--issuer", default="", help="Only of this issuer; of all unless given.")
@acting
@as_json
@click.pass_obj
def revoke_token(operation: Operation, token_id: str, issuer: str, actor: str, as_json: bool) -> None:
    """Stop believing one token, named by its jti claim."""
    _revoke(operation, Revoked.TOKEN, token_id, issuer, until_us=0, actor=actor, as_json=as_json)


def _revoke(
    operation: Operation, kind: Revoked, value: str, issuer: str, *, until_us: int, actor: str, as_json: bool
) -> None:
    noun = Revocation(
        id=f"{kind}:{value}:{issuer}:{until_us}",  # a weaker one later does not take the place of a stronger
        kind=kind,
        value=value,
        issuer=issuer,
        revoked_us=operation.clock.now_us(),
        issued_until_us=until_us,
    )
    operation.record(f"access.revoke-{kind}", value, actor=actor, issuer=issuer, issued_until_us=until_us)
    operation.state.put(noun)
    show_one(noun, as_json=as_json)


def _grant(operation: Operation, key: str) -> Grant:
    found = operation.state.find(Grant, key)
    found = found or next((grant for grant in operation.state.all(Grant) if grant.request == key), None)
    if found is None:
        raise NotFound(f"there is no grant {key!r}, nor one that came of a request of that id")
    return found


def _require_known(operation: Operation, data_classes: tuple[str, ...]) -> None:
    known = load_policy(operation.settings.policy.directory).roles.known_data_classes
    unknown = [name for name in data_classes if name not in known]
    if unknown:
        raise UsageError(f"unknown data class {', '.join(unknown)}; expected among {', '.join(sorted(known))}")
