"""Verifying a token (RFC 7519, with the advice of RFC 8725).

The steps, in this order:

1. its size is bounded before anything is decoded;
2. it is three canonical segments holding two strict JSON objects;
3. its issuer, exactly as spelled, is one of ours; everything below is pinned to that issuer;
4. its header names an allowed algorithm and type, and nothing this gateway does not implement;
5. its signature verifies with the one key that the header means;
6. it is for us, and valid now;
7. it names a principal.

Invariants: every failure is :class:`Unauthenticated` with a reason that is safe to show, or
:class:`KeySetUnavailable`; no key, and no address of a key, is ever taken from a token.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from jwt import PyJWS
from jwt.exceptions import PyJWTError

from gateway.clock import SECOND_US, Clock
from gateway.errors import Unauthenticated
from gateway.identity.claims import check_audience, check_times, establish
from gateway.identity.jose import read_compact
from gateway.identity.keysets import PublicKey
from gateway.identity.keysource import Fetcher, KeySetSource
from gateway.identity.principal import Principal
from gateway.settings import IssuerSettings

Header = Mapping[str, Any]

_REFUSED = ("crit", "cty", "zip", "jwk", "x5c", "b64")
"""Extensions, nesting, compression, and keys that the token brings along."""

_MAX_KID = 256


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who may vouch, by which rules, with which keys."""

    settings: IssuerSettings
    keys: KeySetSource

    @classmethod
    def of(cls, settings: IssuerSettings, *, fetcher: Fetcher, clock: Clock) -> Issuer:
        """The issuer of these settings; see :class:`KeySetSource`."""
        return cls(settings, KeySetSource(settings, fetcher=fetcher, clock=clock))


@dataclass(frozen=True, slots=True)
class Verified:
    """A principal, and what its being believed rests on.

    Attributes:
        principal: who.
        key: the key that verified the signature.
        source: the key set that must go on holding it.
        reusable_until_s: until when the result may be remembered, seconds since the epoch: the leeway is not in it.
        refused_from_s: when the token is over, leeway and all.
    """

    principal: Principal
    key: PublicKey
    source: KeySetSource
    reusable_until_s: float
    refused_from_s: float


class TokenVerifier:
    """Turns the text of a token into a principal; see the steps above."""

    def __init__(self, issuers: Iterable[Issuer], *, clock: Clock, max_token_bytes: int = 8_192) -> None:
        self.issuers = {issuer.settings.issuer: issuer for issuer in issuers}
        self.max_token_bytes = max_token_bytes
        self._clock = clock
        self._signatures = PyJWS()

    async def verify(self, token: str) -> Verified:
        """Verify a token; it waits only where :meth:`KeySetSource.find` does.

        Raises:
            Unauthenticated: the token does not establish a principal.
            KeySetUnavailable: its issuer's keys cannot be had.
        """
        if len(token) > self.max_token_bytes:
            raise Unauthenticated(f"the token is too long; expected at most {self.max_token_bytes} bytes")
        try:
            parts = read_compact(token)
        except ValueError as error:
            raise Unauthenticated("the token cannot be read; expected a signed JWT in compact form") from error
        issuer = self._issuer(parts.claims)
        algorithm = _check_header(parts.header, issuer.settings)
        key = await issuer.keys.find(_kid(parts.header), algorithm)
        if key is None:
            raise Unauthenticated("the token is signed with a key that its issuer does not publish; sign in again")
        self._check_signature(token, key, issuer.settings)
        check_audience(parts.claims, issuer.settings.audience)
        validity = check_times(parts.claims, issuer.settings, self._clock.now_us() / SECOND_US)
        principal = establish(parts.claims, issuer.settings, validity)
        return _verified(principal, key, issuer)

    def _issuer(self, claims: Mapping[str, Any]) -> Issuer:
        named = claims.get("iss")
        issuer = self.issuers.get(named) if isinstance(named, str) else None
        if issuer is None:
            raise Unauthenticated("the token's issuer is not one that this gateway believes")
        return issuer

    def _check_signature(self, token: str, key: PublicKey, settings: IssuerSettings) -> None:
        try:
            self._signatures.decode(token, key.key, algorithms=list(settings.algorithms))
        except (PyJWTError, TypeError, ValueError) as error:
            raise Unauthenticated("the token's signature does not verify") from error


def _check_header(header: Header, settings: IssuerSettings) -> str:
    """The token's algorithm, once its header holds nothing but what is understood (RFC 8725 §3.1, §3.11)."""
    refused = [name for name in _REFUSED if name in header]
    if refused:
        raise Unauthenticated(f"the token's header has {refused[0]}, which is not accepted")
    if "typ" in header and _media_type(header["typ"]) not in {_media_type(one) for one in settings.types}:
        raise Unauthenticated("the token is of another type (typ); expected an access token")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in settings.algorithms:
        raise Unauthenticated("the token's algorithm (alg) is not one that its issuer may use")
    return algorithm


def _media_type(value: Any) -> str:
    """RFC 7515 §4.1.9: case does not count, nor does a leading "application/"."""
    return value.lower().removeprefix("application/") if isinstance(value, str) else ""


def _kid(header: Header) -> str | None:
    if "kid" not in header:
        return None
    kid = header["kid"]
    if not isinstance(kid, str) or not 0 < len(kid) <= _MAX_KID:
        raise Unauthenticated("the token's kid is not a name")
    return kid


def _verified(principal: Principal, key: PublicKey, issuer: Issuer) -> Verified:
    ends_s = float(principal.expires_at_s)
    refused_from_s = ends_s + issuer.settings.leeway_s
    return Verified(principal, key, issuer.keys, reusable_until_s=ends_s, refused_from_s=refused_from_s)
