"""``token``: a token of the sample identity provider, for the demo and for nothing else."""

from __future__ import annotations

import click

from gateway.cli.context import Operation
from gateway.demo.identity_provider import ISSUER, SampleIdentityProvider
from gateway.errors import UsageError


@click.command()
@click.argument("subject")
@click.option("--roles", default="", help="Roles, separated by commas.")
@click.option("--customer", help="For a customer's own user: whose.")
@click.option("--country", help="The country claim.")
@click.option(
    "--for", "expires_in_s", type=click.IntRange(1, 86_400), default=3_600, show_default=True, help="Seconds."
)
@click.pass_obj
def token(
    operation: Operation, subject: str, roles: str, customer: str | None, country: str | None, expires_in_s: int
) -> None:
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
    held = [role.strip() for role in roles.split(",") if role.strip()]
    click.echo(provider.mint(subject, held, customer=customer, country=country, expires_in_s=expires_in_s))
