"""``token``: a token of the sample identity provider, for the demo and for nothing else."""

from __future__ import annotations

import click

from gateway.cli.context import Operation, seconds
from gateway.cli.roles import held_roles
from gateway.demo.identity_provider import ISSUER, SampleIdentityProvider
from gateway.errors import UsageError
from gateway.policy.roles import load_roles

LONGEST_S = 86_400


@click.command()
@click.argument("subject")
@click.option("--roles", default="", help="Roles, separated by commas.")
@click.option("--customer", help="For a customer's own user: whose.")
@click.option("--country", help="The country claim.")
@click.option("--for", "span", default="1h", show_default=True, help="How long, such as 30m or 8h, or in seconds.")
@click.pass_obj
def token(operation: Operation, subject: str, roles: str, customer: str | None, country: str | None, span: str) -> None:
    """Mint a token of the embedded sample identity provider (demo only; refuses otherwise)."""
    sample = next((issuer for issuer in operation.settings.identity.issuer if issuer.issuer == ISSUER), None)
    if sample is None:
        raise UsageError(
            "this configuration does not use the sample identity provider; get a token from your own issuer"
        )
    keys = operation.config_path.absolute().parent / "sample-identity-provider"
    if not (keys / "sample-identity-provider.pem").exists():
        raise UsageError(f"{keys} holds no key of the sample identity provider; `residency-gateway demo` makes one")
    provider = SampleIdentityProvider(keys, clock=operation.clock)
    held = held_roles(roles, load_roles(operation.settings.policy.directory / "roles.toml"))
    click.echo(provider.mint(subject, held, customer=customer, country=country, expires_in_s=_lasting_s(span)))


def _lasting_s(span: str) -> int:
    """
    Raises:
        UsageError: it is no span of a day at most.
    """
    lasting_s = int(span) if span.isascii() and span.isdigit() else seconds(span)
    if not 0 < lasting_s <= LONGEST_S:
        raise UsageError(f"--for: got {span}; expected a span from 1s to 1d, such as 30m or 8h")
    return lasting_s
