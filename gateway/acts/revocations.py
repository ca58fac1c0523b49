"""Acts on whom and what the gateway believes: people, services and tokens that no longer count."""

from __future__ import annotations

from dataclasses import replace

from gateway.acts.actor import Actor
from gateway.acts.office import Office
from gateway.errors import UsageError
from gateway.identity import Revocation, Revoked


def revoke_identity(
    office: Office, actor: Actor, kind: Revoked, value: str, *, issuer: str = "", sign_in_again: bool = False
) -> Revocation:
    """Stop believing tokens: those about somebody, or a single one. It takes the permission ``access.revoke``.

    Args:
        value: the subject, or the token's ``jti``.
        issuer: only as this issuer vouches for it; "" for all.
        sign_in_again: of a subject, tokens issued from now on are believed again.

    Raises:
        UsageError: nobody and nothing is named.
    """
    if not value.strip():
        raise UsageError(f"no {kind} is named; expected whose tokens, or which one, no longer count")
    with office.change(actor, "access.revoke") as change:
        until_us = change.now_us if sign_in_again else 0
        revoked = Revocation(
            id=f"{kind}:{value}:{issuer}:{until_us}",  # a weaker one later does not take the place of a stronger
            kind=kind,
            value=value,
            issuer=issuer,
            revoked_us=change.now_us,
            issued_until_us=until_us,
        )
        change.put(revoked)
        change.note(value, act=f"access.revoke-{kind}", issuer=issuer, issued_until_us=until_us)
        change.result = revoked
        return revoked


def end_revocation(office: Office, actor: Actor, id: str) -> Revocation:
    """Take a revocation back: what it alone kept from being believed is believed again. Idempotent.

    It takes the permission ``access.revoke``.

    Raises:
        NotFound: there is none with this id.
    """
    with office.change(actor, "access.revoke") as change:
        revoked = change.get(Revocation, id)
        if not revoked.revoked_us:
            return revoked
        ended = replace(revoked, revoked_us=0)
        change.put(ended)
        change.note(revoked.value, act="access.end-revocation", revocation=id, issuer=revoked.issuer)
        change.result = ended
        return ended
