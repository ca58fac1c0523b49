"""What the claims of a verified token say: for whom, until when, about whom (RFC 7519 §4).

Invariants: a claim of the wrong type is refused, never coerced; a name has one canonical form; a principal with a
customer has exactly the role ``customer``, and nobody else can have it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.errors import Unauthenticated
from gateway.identity.principal import Kind, Principal
from gateway.letters import folded, is_pseudonym, is_unseen
from gateway.settings import IssuerSettings

Claims = Mapping[str, Any]

MAX_NAME = 256
_ABSENT = object()
MAX_INSTANT_S = 253_402_300_799
"""The end of the year 9999: later is not a time but an attack or a mistake."""

RESERVED = ("gateway", "us-queue")
RESERVED_PREFIXES = ("gateway:", "operator:", "tracker:")
"""What the record and tickets call the gateway itself, the operator, trackers and the queue at home."""

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class Validity:
    """When a token was issued (0: it does not say) and when it ends (``exp``, or its greatest age before that), in
    seconds since the epoch; the leeway is not in it."""

    issued_at_s: int
    expires_at_s: int


def check_audience(claims: Claims, audience: str) -> None:
    """RFC 7519 §4.1.3: the token is for us, alone or among others.

    Raises:
        Unauthenticated: it is for somebody else, or does not say.
    """
    named = claims.get("aud")
    listed = named if isinstance(named, list) else [named]
    if not all(isinstance(one, str) for one in listed) or audience not in listed:
        raise Unauthenticated("the token is for another audience; get one for this gateway")


def check_times(claims: Claims, settings: IssuerSettings, now_s: float) -> Validity:
    """RFC 7519 §4.1.4 to §4.1.6, with the issuer's leeway.

    Raises:
        Unauthenticated: expired, not yet valid, from the future, too old, or a time that is no whole number.
    """
    expires, begins, issued = (_instant(claims, name) for name in ("exp", "nbf", "iat"))
    leeway_s, max_age_s = settings.leeway_s, settings.max_age_s
    if expires is None:
        raise Unauthenticated("the token has no end (exp); expected one")
    if now_s >= expires + leeway_s:
        raise Unauthenticated("the token has expired; sign in again")
    if begins is not None and begins > now_s + leeway_s:
        raise Unauthenticated("the token is not valid yet (nbf)")
    if issued is not None and issued > now_s + leeway_s:
        raise Unauthenticated("the token was issued in the future (iat)")
    if max_age_s is not None and (issued is None or now_s >= issued + max_age_s + leeway_s):
        raise Unauthenticated("the token is too old, or does not say when it was issued (iat); sign in again")
    oldest_s = expires if max_age_s is None or issued is None else int(issued + max_age_s)
    return Validity(issued_at_s=issued or 0, expires_at_s=min(expires, oldest_s))


def establish(claims: Claims, settings: IssuerSettings, validity: Validity) -> Principal:
    """The principal that the claims describe.

    Raises:
        Unauthenticated: no usable subject, a claim that cannot be read, or somebody this issuer may not vouch for (a
            customer's own issuer makes nobody personnel by leaving the customer out, nor by a customer that is null,
            and nobody a user of another customer).
    """
    customer = claim(claims, settings.customer_claim, absent=_ABSENT)
    roles = read_roles(claim(claims, settings.roles_claim))
    kind = Kind.CUSTOMER if customer is not _ABSENT else Kind.SERVICE if "service" in roles else Kind.PERSONNEL
    if kind not in settings.vouches_for:
        raise Unauthenticated(f"the issuer may not vouch for {kind}; expected {' or '.join(settings.vouches_for)}")
    whose = "" if customer is _ABSENT else _own_customer(customer, settings)
    return Principal(
        subject=subject_of(claims.get("sub"), "sub"),
        issuer=settings.issuer,
        kind=kind,
        roles=frozenset({"customer"}) if kind is Kind.CUSTOMER else roles - {"customer"},
        customer=whose,
        country=read_country(claim(claims, settings.country_claim)),
        token_id=name_of(claims["jti"], "jti") if "jti" in claims else "",
        issued_at_s=validity.issued_at_s,
        expires_at_s=validity.expires_at_s,
        actor=read_actor(claims),
    )


def _own_customer(value: Any, settings: IssuerSettings) -> str:
    customer = name_of(value, "customer")
    if not {customer, "*"} & {*settings.customers}:
        raise Unauthenticated("the token names a customer whom its issuer may not vouch for; sign in where they do")
    return customer


def claim(claims: Claims, path: str | None, *, absent: Any = None) -> Any:
    """The claim of that literal name, else the one that the dotted path leads to, else ``absent``."""
    if path is None:
        return absent
    if path in claims:
        return claims[path]
    node: Any = claims
    for part in path.split("."):
        if not isinstance(node, dict) or part not in node:
            return absent
        node = node[part]
    return node


def name_of(value: Any, what: str) -> str:
    """A name in its one canonical form: NFC, visible characters, at most ``MAX_NAME`` of them.

    Raises:
        Unauthenticated: no text, empty, too long, blank at an end, or with characters that cannot be seen.
    """
    name = unicodedata.normalize("NFC", value) if isinstance(value, str) else ""
    hidden = any(unicodedata.category(letter) in _HIDDEN or is_unseen(letter) for letter in name)
    if not name or len(name) > MAX_NAME or name != name.strip() or hidden:
        raise Unauthenticated(f"the token's {what} is not a name; expected 1 to {MAX_NAME} visible characters")
    return name


def subject_of(value: Any, what: str) -> str:
    """The name of somebody, which nobody can take for the system itself.

    Raises:
        Unauthenticated: no name, or one that is reserved, however it is spelled.
    """
    name = name_of(value, what)
    plain = folded(name)
    if plain in RESERVED or plain.startswith(RESERVED_PREFIXES) or is_pseudonym(name):
        raise Unauthenticated(f"the token's {what} is a name that is reserved for the gateway; expected somebody's own")
    return name


def read_roles(value: Any) -> frozenset[str]:
    """Roles from a list of texts, or one text with spaces between them; none without the claim."""
    roles = value.split() if isinstance(value, str) else [] if value is None else value
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        raise Unauthenticated("the token's roles cannot be read; expected a list of names")
    return frozenset(roles) - {""}


def read_country(value: Any) -> str:
    """A country as ISO 3166-1 alpha-2 in capitals, or "" where the claim says nothing of the kind."""
    sound = isinstance(value, str) and len(value) == 2 and value.isascii() and value.isalpha()
    return value.upper() if sound else ""


def read_actor(claims: Claims) -> str:
    """Who acts for the subject now (RFC 8693 §4.1): the outermost ``act``; those within are history.

    Raises:
        Unauthenticated: an ``act`` that names nobody, or somebody of another issuer.
    """
    if "act" not in claims:
        return ""
    act = claims["act"]
    if not isinstance(act, dict) or act.get("iss", claims["iss"]) != claims["iss"]:
        raise Unauthenticated("the token's act claim cannot be read; expected an object with the sub of the actor")
    return subject_of(act.get("sub"), "act.sub")


def _instant(claims: Claims, name: str) -> int | None:
    if name not in claims:
        return None
    value = claims[name]
    if type(value) is not int or not 0 <= value <= MAX_INSTANT_S:
        raise Unauthenticated(f"the token's {name} is not a time; expected whole seconds since 1970")
    return value
