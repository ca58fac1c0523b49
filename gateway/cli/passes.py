"""``customers uploads pass``: with what personnel sign in at the transfer doors."""

from __future__ import annotations

import asyncio
from typing import TextIO

import click

from gateway.acts import Actor
from gateway.acts.passes import MAX_SESSIONS, Wish, mint_pass, revoke_pass
from gateway.catalog import Customer
from gateway.cli.completion import ids
from gateway.cli.context import Operation, acting, as_json, seconds
from gateway.cli.output import show_many, show_one, tell
from gateway.cli.values import LINE, TEXT
from gateway.errors import UsageError
from gateway.identity import PassState, Principal, Revocation, Revocations, TransferPass

COLUMNS = ("id", "state", "subject", "customer", "ticket", "by", "sessions", "used", "ends")
LONGEST_KEY = 4_096


@click.group(name="pass")
def passes() -> None:
    """Passes of personnel: sign in at the transfer doors for a while, from a token."""


@passes.command()
@click.argument("customer", shell_complete=ids(Customer))
@click.option(
    "--token-file", "token", type=click.File("r"), default="-", show_default="standard input",
    help="Holds your token, which the pass is minted from.",
)  # fmt: skip
@click.option("--ticket", type=LINE, default="", help="Cited at each act under it.")
@click.option("--reason", type=LINE, default="", help="Likewise.")
@click.option("--for", "span", default="", help="How long, such as 30m; as long as may be unless given.")
@click.option(
    "--sessions",
    type=click.IntRange(1, MAX_SESSIONS),
    help="For how many; one by password, any number by certificate unless given.",
)
@click.option("--key", type=click.File("r"), help="Your SSH public key, a .pub file: a certificate, not a password.")
@click.option("--source-address", "networks", multiple=True, help="A network that the certificate is bound to.")
@as_json
@click.pass_obj
def mint(
    operation: Operation,
    customer: str,
    token: TextIO,
    ticket: str,
    reason: str,
    span: str,
    sessions: int | None,
    key: TextIO | None,
    networks: tuple[str, ...],
    as_json: bool,
) -> None:
    """Mint a pass for whoever's token it is; it ends with the token at the latest.

    What to sign in with is shown this once: a password, or with --key an SSH certificate.
    """
    wish = Wish(
        customer=customer,
        ticket=ticket,
        reason=reason,
        lasts_s=seconds(span) if span else 0,
        sessions=sessions or 0,
        public_key=key.read(LONGEST_KEY) if key else "",
        source_addresses=networks,
    )
    given, told = mint_pass(operation.office, _holder(operation, token), wish)
    what = "certificate" if given.is_certificate else "password"
    tell(f"{given.id} is minted; sign in as {given.id} with the {what}, which is shown this once", as_json=as_json)
    show_one(_row(given, given.made_us) | {what: told}, as_json=as_json)


@passes.command(name="list")
@click.argument("customer", default="", shell_complete=ids(Customer))
@click.option("--state", type=click.Choice([state.value for state in PassState]), help="Those that stand so.")
@click.option("--subject", type=LINE, default="", help="Those of one person.")
@as_json
@click.pass_obj
def list_(operation: Operation, customer: str, state: str | None, subject: str, as_json: bool) -> None:
    """Passes for a customer's files, or for all, the newest first."""
    now_us = operation.clock.now_us()
    equal = {name: value for name, value in (("customer", customer), ("subject", subject)) if value}
    with operation.state.transaction() as snapshot:
        rows = [_row(given, now_us) for given in snapshot.newest(TransferPass, by="made_us", equal=equal)]
    found = (row for row in rows if state in (None, row["state"]))
    show_many(found, COLUMNS, as_json=as_json, empty="no passes; mint one: customers uploads pass mint CUSTOMER")


@passes.command()
@click.argument("id", shell_complete=ids(TransferPass, revoked_us=0))
@click.option("--why", type=TEXT, default="", help="For the record.")
@acting
@as_json
@click.pass_obj
def revoke(operation: Operation, id: str, why: str, actor: str, as_json: bool) -> None:
    """End a pass: nobody signs in with it, and what is under way is cut."""
    revoked = revoke_pass(operation.office, operation.actor(actor), id, why=why)
    show_one(_row(revoked, operation.clock.now_us()), as_json=as_json)


def _holder(operation: Operation, token: TextIO) -> Actor:
    """Whose token this is, at the command line.

    Raises:
        Unauthenticated: nobody's.
        UsageError: there is none.
        KeySetUnavailable: its issuer's keys cannot be had.
    """
    text = token.read(operation.settings.identity.max_token_bytes + 2).strip()
    if not text:
        raise UsageError("no token came; expected one on standard input, or in --token-file")
    return Actor.of(asyncio.run(_principal(operation, text)), via=operation.via)


async def _principal(operation: Operation, token: str) -> Principal:
    """Whoever the doors would take the bearer of this token for."""
    from gateway.identity import Authenticator
    from gateway.proxy.key_fetcher import KeyFetcher

    revocations = Revocations()
    for revocation in operation.state.all(Revocation):
        revocations.put(revocation)
    async with KeyFetcher() as fetcher:
        authenticator = Authenticator.of(
            operation.settings.identity, fetcher=fetcher, clock=operation.clock, revocations=revocations
        )
        try:
            await authenticator.refresh_if_due()
            return await authenticator.authenticate(f"Bearer {token}")
        finally:
            await authenticator.close()


def _row(given: TransferPass, now_us: int) -> dict[str, object]:
    """A pass as it is shown: nothing of what its holder signs in with."""
    return {
        "id": given.id,
        "state": given.state(now_us).value,
        "by": "certificate" if given.is_certificate else "password",
        "subject": given.subject,
        "issuer": given.issuer,
        "customer": given.customer,
        "ticket": given.ticket,
        "reason": given.reason,
        "sessions": given.sessions or None,
        "used": given.used,
        "made_us": given.made_us,
        "ends_us": given.ends_us,
        "revoked_us": given.revoked_us,
    }
