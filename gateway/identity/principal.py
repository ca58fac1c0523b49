"""Who: the principal that a verified token establishes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Whose person or program a principal is."""

    PERSONNEL = "personnel"
    SERVICE = "service"
    CUSTOMER = "customer"


@dataclass(frozen=True, slots=True)
class Principal:
    """One person or service, as an issuer vouched for it.

    Attributes:
        subject: the ``sub`` claim, in its one canonical form (NFC).
        issuer: the ``iss`` claim.
        kind: ``CUSTOMER`` when the issuer's customer claim is set, ``SERVICE`` when the roles hold ``service``.
        roles: what the issuer says this principal is; a customer's own user always has exactly ``{"customer"}``.
        customer: for a customer's own user, whose.
        country: the token's country claim (ISO 3166-1 alpha-2), or "".
        work_country: the workforce directory's country for this subject, or "".
        token_id: the ``jti`` claim, or "".
        issued_at_s, expires_at_s: the token's ``iat`` (0 without one) and end, seconds since the epoch: its ``exp``, or
            earlier where the issuer's tokens have a greatest age.
        actor: the service that acts for this person (RFC 8693 ``act``, or the bearer of ``On-Behalf-Of``), or "".
    """

    subject: str
    issuer: str
    kind: Kind
    roles: frozenset[str]
    customer: str = ""
    country: str = ""
    work_country: str = ""
    token_id: str = ""
    issued_at_s: int = 0
    expires_at_s: int = 0
    actor: str = ""
