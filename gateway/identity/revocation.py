"""Who and what is no longer believed, although the token still verifies.

Invariants: revocation goes by subject and token id, never by a token's text, so that another spelling of a signature
does not escape it; what is revoked never becomes less revoked, unless that very revocation is taken back; a revoked
actor acts for nobody.
"""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass
from enum import StrEnum

from gateway.clock import SECOND_US
from gateway.identity.principal import Principal

ANY_ISSUER = ""


class Revoked(StrEnum):
    """What a revocation names."""

    SUBJECT = "subject"
    TOKEN = "token"  # noqa: S105 - a kind, not a secret


@dataclass(frozen=True, slots=True)
class Revocation:
    """One revocation, as it is kept.

    Attributes:
        id: tells two revocations apart: what, whom, by whose word.
        kind, value: a subject, or a token by its ``jti``.
        issuer: only as this issuer vouches for it; "" for all.
        revoked_us: when; 0 once it was taken back.
        issued_until_us: of a subject, only tokens issued until then, so that signing in again works; 0 for all.
    """

    id: str
    kind: Revoked
    value: str
    issuer: str
    revoked_us: int
    issued_until_us: int = 0


class Revocations:
    """Revoked subjects and tokens, in memory; asked at every request, so that a miss costs one look-up each."""

    def __init__(self) -> None:
        self._subjects: dict[str, dict[str, float]] = {}  # subject → issuer → until when issued
        self._tokens: dict[str, set[str]] = {}  # token id → issuers
        self._kept: dict[str, Revocation] = {}

    def put(self, revocation: Revocation) -> None:
        """Take a kept revocation in, or one that was taken back out."""
        before = self._kept.pop(revocation.id, None)
        if revocation.revoked_us:
            self._kept[revocation.id] = revocation
            self._revoke(revocation)
        elif before:
            self._forget(before)

    def _forget(self, revocation: Revocation) -> None:
        """Whom or what it named is as revoked as the others that name it say."""
        about = unicodedata.normalize("NFC", revocation.value)
        if revocation.kind is Revoked.TOKEN:
            self._tokens.pop(about, None)
        else:
            self._subjects.pop(about, None)
        for other in self._kept.values():
            if other.kind is revocation.kind and unicodedata.normalize("NFC", other.value) == about:
                self._revoke(other)

    def _revoke(self, revocation: Revocation) -> None:
        if revocation.kind is Revoked.TOKEN:
            self.revoke_token(revocation.value, issuer=revocation.issuer)
            return
        until_s = revocation.issued_until_us / SECOND_US if revocation.issued_until_us else math.inf
        self.revoke_subject(revocation.value, issuer=revocation.issuer, issued_until_s=until_s)

    def revoke_subject(self, subject: str, *, issuer: str = ANY_ISSUER, issued_until_s: float = math.inf) -> None:
        """Stop believing tokens about (or carried by) a person or service.

        Args:
            subject: whom.
            issuer: only as this issuer vouches for them; by default whoever does.
            issued_until_s: only tokens issued at or before this instant, in seconds since the epoch, so that signing
                in again works; by default all of them. A token that does not say when it was issued is always hit.
        """
        untils_s = self._subjects.setdefault(unicodedata.normalize("NFC", subject), {})
        untils_s[issuer] = max(issued_until_s, untils_s.get(issuer, 0))

    def revoke_token(self, token_id: str, *, issuer: str = ANY_ISSUER) -> None:
        """Stop believing the token with this ``jti``, by default whoever issued it."""
        self._tokens.setdefault(unicodedata.normalize("NFC", token_id), set()).add(issuer)

    def is_revoked(self, principal: Principal) -> bool:
        """Whether this principal, its token or its actor is revoked."""
        issuers = self._tokens.get(principal.token_id)
        return (
            (issuers is not None and (principal.issuer in issuers or ANY_ISSUER in issuers))
            or self._hits(principal, principal.subject)
            or self._hits(principal, principal.actor)
        )

    def _hits(self, principal: Principal, subject: str) -> bool:
        untils_s = self._subjects.get(subject)
        if untils_s is None:
            return False
        return principal.issued_at_s <= max(untils_s.get(principal.issuer, -1), untils_s.get(ANY_ISSUER, -1))
