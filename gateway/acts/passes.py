"""Acts on passes: with what personnel sign in at the transfer doors, for a while.

Invariants: a pass is minted from its holder's own token and by nobody else; it gives what that token gave, for no
longer than that would have and than the settings let; its password stands nowhere, neither in the state nor in the
record.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_network

from gateway.acts.actor import Actor
from gateway.acts.office import Change, Office
from gateway.acts.transfers import SECRET_BYTES, public_key_line
from gateway.catalog.customers import Customer
from gateway.clock import SECOND_US
from gateway.errors import Contradicted, Forbidden, Unauthenticated, UsageError
from gateway.identity import Kind, Principal, TransferPass
from gateway.identity.ssh_certificates import UserCa, kept_form
from gateway.masking import masked

MINT, READ, REVOKE = "transfer.pass-mint", "transfer.pass-read", "transfer.pass-revoke"
ID_INITIAL = "pass"
SHORTEST_S = 60
MAX_SESSIONS = 100
MAX_TICKET, MAX_REASON, MAX_NETWORKS = 128, 200, 16


@dataclass(frozen=True, slots=True)
class Wish:
    """What a pass is asked for.

    Attributes:
        customer: whose tree it is to open.
        ticket, reason: why; cited at each act under it.
        lasts_s: for how long; 0: as long as may be.
        sessions: for how many; 0: one by password, any number by certificate.
        public_key: of the holder, for a certificate; "": a password.
        source_addresses: networks that the certificate is to be bound to.
    """

    customer: str
    ticket: str = ""
    reason: str = ""
    lasts_s: int = 0
    sessions: int = 0
    public_key: str = ""
    source_addresses: Sequence[str] = ()


def mint_pass(office: Office, actor: Actor, wish: Wish) -> tuple[TransferPass, str]:
    """Give somebody a pass, from their own token.

    Returns:
        The pass, and what its holder signs in with beside its id: a password, which nothing keeps, or the certificate.

    Raises:
        Forbidden: the actor may not, or is not one of the personnel.
        Unauthenticated: the token ends now.
        NotFound: there is no such customer.
        UsageError: what is wished for is not to be had, or the actor came without a token of their own.
    """
    _require_sound(office, wish)
    ca = UserCa.of(office.user_ca) if wish.public_key and office.user_ca else None
    public_key = public_key_line(wish.public_key) if ca else ""
    networks = [_network(text) for text in wish.source_addresses]
    with office.change(actor, MINT) as change:
        token = _own_token(actor)
        change.get(Customer, wish.customer)
        begun = _begun(change, token, wish)
        if ca:
            told = ca.sign(begun, public_key, networks)
            given = replace(begun, secret=kept_form(told), sessions=wish.sessions)
        else:
            told = secrets.token_urlsafe(SECRET_BYTES)
            digest = hashlib.sha256(told.encode("ascii")).hexdigest()
            given = replace(begun, secret=digest, sessions=wish.sessions or 1)
        change.put(given)
        _note(change, given, MINT)
        return given, told


def revoke_pass(office: Office, actor: Actor, id: str, *, why: str = "", expected: str = "") -> TransferPass:
    """End a pass: nobody signs in with it, and what is under way is cut.

    Raises:
        Forbidden: the actor may not, or it is somebody else's and they may not revoke access.
        NotFound: there is none.
        Contradicted: it is over, or revoked already.
        Outdated: it has changed since it was read.
    """
    with office.change(actor, REVOKE) as change:
        given = change.get(TransferPass, id, expected=expected)
        if not is_own(actor, given):
            office.permissions.require(actor, "access.revoke")
        if given.is_over(change.now_us):
            raise Contradicted(f"{id} is {given.state(change.now_us)} already")
        revoked = replace(given, revoked_us=change.now_us)
        change.put(revoked)
        _note(change, revoked, REVOKE, why=why)
        return revoked


def is_own(actor: Actor, given: TransferPass) -> bool:
    """Whether somebody holds this pass."""
    return not actor.customer and (actor.name, actor.issuer) == (given.subject, given.issuer)


def _own_token(actor: Actor) -> Principal:
    """
    Raises:
        UsageError: there is none.
        Forbidden: it is not of one of the personnel, or somebody else acts with it.
    """
    if actor.token is None:
        raise UsageError("a pass is minted from its holder's own token, and none came; nobody mints one for a name")
    if actor.token.kind is not Kind.PERSONNEL or actor.token.actor:
        raise Forbidden("passes are for personnel themselves; customers have upload accounts, services use HTTP")
    return actor.token


def _begun(change: Change, token: Principal, wish: Wish) -> TransferPass:
    """A pass as the token allows it; with what its holder signs in is not in it yet.

    Raises:
        Unauthenticated: the token ends now.
    """
    now_s = change.now_us // SECOND_US
    ends_s = min(now_s + (wish.lasts_s or change.office.longest_pass_s), token.expires_at_s)
    if ends_s <= now_s:
        raise Unauthenticated("the token has ended, and no pass outlives it; sign in again")
    return TransferPass(
        id=change.new_id(TransferPass, ID_INITIAL),
        subject=token.subject,
        issuer=token.issuer,
        roles=tuple(sorted(token.roles)),
        country=token.country,
        token_id=token.token_id,
        issued_at_s=token.issued_at_s,
        customer=wish.customer,
        ticket=masked(wish.ticket),
        reason=masked(wish.reason),
        secret="",
        made_us=change.now_us,
        ends_us=ends_s * SECOND_US,
    )


def _note(change: Change, given: TransferPass, act: str, **more: str) -> None:
    told = {"ticket": given.ticket, "reason": given.reason, **more}
    change.note(
        given.id,
        act=act,
        customer=given.customer,
        holder=given.subject,
        by="certificate" if given.is_certificate else "password",
        sessions=given.sessions,
        ends_us=given.ends_us,
        **{name: text for name, text in told.items() if text},
    )
    change.result = given


def _require_sound(office: Office, wish: Wish) -> None:
    """
    Raises:
        UsageError: what is wished for is not to be had.
    """
    longest_s = office.longest_pass_s
    if wish.lasts_s and not SHORTEST_S <= wish.lasts_s <= longest_s:
        raise UsageError(
            f"got a pass of {wish.lasts_s} s; expected {SHORTEST_S} to {longest_s} (access.longest_pass_s)"
        )
    if not 0 <= wish.sessions <= MAX_SESSIONS:
        raise UsageError(f"got {wish.sessions} sessions; expected 1 to {MAX_SESSIONS}")
    if len(wish.ticket) > MAX_TICKET or len(wish.reason) > MAX_REASON:
        raise UsageError(f"expected a ticket of at most {MAX_TICKET} characters, and a reason of at most {MAX_REASON}")
    if wish.public_key and office.user_ca is None:
        raise UsageError("there is no doors.sftp.user_ca to sign certificates with; leave the key out for a password")
    if wish.source_addresses and not wish.public_key:
        raise UsageError("only a certificate is bound to addresses; send a public key, or leave them out")
    if len(wish.source_addresses) > MAX_NETWORKS:
        raise UsageError(f"got {len(wish.source_addresses)} networks; expected at most {MAX_NETWORKS}")


def _network(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError:
        raise UsageError(f"got {text[:64]!r}; expected an address or a network such as 198.51.100.0/24") from None
