"""Who asks: from the credentials of a request to a principal.

Invariants: a remembered token is believed no longer than a fresh one would be (its end, its key, its revocation and the
workforce directory are looked at every time); nobody acts for a person unless the operator named them; who acts
lends the person nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import unicodedata
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, replace

from gateway.clock import SECOND_US, Clock
from gateway.errors import Malformed, Unauthenticated
from gateway.identity.accounts import Accounts, NoAccounts
from gateway.identity.keysource import Fetcher
from gateway.identity.principal import Kind, Principal
from gateway.identity.revocation import Revocations
from gateway.identity.tokens import Issuer, TokenVerifier, Verified
from gateway.identity.workforce import Workforce
from gateway.settings import IdentitySettings

CERTIFICATE = "certificate"
"""The issuer of principals that no token but a client's certificate names."""


@dataclass(frozen=True, slots=True)
class _Remembered:
    """A verified token. ``ends_s`` is on the monotonic clock and only ever shrinks: once it is over, the entry refuses
    the token for as long as it is remembered, so that setting the wall clock back revives nothing."""

    verified: Verified
    principal: Principal
    reusable_until_us: int
    ends_s: float
    workforce_version: int


class Authenticator:
    """Establishes the principal of each request."""

    def __init__(
        self,
        verifier: TokenVerifier,
        *,
        clock: Clock,
        revocations: Revocations,
        workforce: Workforce | None = None,
        trusted_actors: Collection[str] = (),
        cached_tokens: int = 10_000,
        accounts: Accounts | None = None,
    ) -> None:
        """Put the room together.

        Args:
            verifier: for tokens that are not remembered.
            clock: tells when a remembered token ends.
            revocations: asked every time.
            workforce: adds the work country, except for a customer's own users.
            trusted_actors: subjects of the services that may say whom they act for.
            cached_tokens: how many tokens are remembered; the least recently used goes first.
            accounts: knows who signed in at the transfer doors; without them nobody has.
        """
        self.revocations = revocations
        self._verifier = verifier
        self._clock = clock
        self._workforce = workforce
        self._trusted_actors = frozenset(trusted_actors)
        self._cached_tokens = cached_tokens
        self._accounts = accounts or NoAccounts()
        self._remembered: OrderedDict[bytes, _Remembered] = OrderedDict()

    @classmethod
    def of(
        cls,
        settings: IdentitySettings,
        *,
        fetcher: Fetcher,
        clock: Clock,
        revocations: Revocations,
        accounts: Accounts | None = None,
    ) -> Authenticator:
        """The authenticator of a configuration. No key is fetched before :meth:`refresh_if_due`.

        Raises:
            ConfigurationError: a place of keys that is not accepted, or an unusable workforce directory.
        """
        issuers = [Issuer.of(issuer, fetcher=fetcher, clock=clock) for issuer in settings.issuer]
        return cls(
            TokenVerifier(issuers, clock=clock, max_token_bytes=settings.max_token_bytes),
            clock=clock,
            revocations=revocations,
            workforce=Workforce(settings.workforce) if settings.workforce else None,
            trusted_actors=settings.trusted_actors,
            cached_tokens=settings.cached_tokens,
            accounts=accounts,
        )

    @property
    def ready(self) -> bool:
        """Whether the keys of every issuer are at hand."""
        return all(issuer.keys.ready for issuer in self._verifier.issuers.values())

    @property
    def problems(self) -> dict[str, str]:
        """What is wrong with each issuer's key set and the workforce directory, where something is."""
        problems = {name: issuer.keys.problem for name, issuer in self._verifier.issuers.items()}
        problems["workforce"] = self._workforce.problem if self._workforce else ""
        return {name: problem for name, problem in problems.items() if problem}

    def work_country(self, subject: str) -> str:
        """Where somebody works, however the name is spelled, as the workforce directory says, or ""."""
        return self._workforce.country_of(subject) if self._workforce else ""

    async def refresh_if_due(self) -> None:
        """Renew key sets and the workforce directory where they are due; call it every few seconds."""
        await asyncio.gather(*(issuer.keys.refresh_if_due() for issuer in self._verifier.issuers.values()))
        if self._workforce:
            await asyncio.to_thread(self._workforce.reload_if_changed)

    async def close(self) -> None:
        """End the fetches that are under way."""
        await asyncio.gather(*(issuer.keys.close() for issuer in self._verifier.issuers.values()))

    async def authenticate(self, authorization: str | None, on_behalf_of: str | None = None) -> Principal:
        """The principal that the credentials establish.

        Args:
            authorization: the value of ``Authorization``, or ``None`` without one.
            on_behalf_of: the value of ``On-Behalf-Of``: the credential of the person whom a service acts for.

        Returns:
            The bearer; or the person, with ``actor`` set, where a trusted service acts for one.

        Raises:
            Unauthenticated: no principal, or an actor that is not trusted.
            Malformed: several credentials in one header.
            KeySetUnavailable: the issuer's keys cannot be had.
        """
        bearer = await self._principal(_token(authorization, "Authorization"))
        if on_behalf_of is None:
            return bearer
        if bearer.kind is not Kind.SERVICE or bearer.actor:
            raise Unauthenticated("On-Behalf-Of came from somebody who is not a service; leave it out")
        self._check_actor(bearer.subject)
        person = await self._principal(_token(on_behalf_of, "On-Behalf-Of"))
        if person.kind is Kind.SERVICE or person.actor not in ("", bearer.subject):
            raise Unauthenticated("On-Behalf-Of does not name a person for this service; send the person's own token")
        return replace(person, actor=bearer.subject, expires_at_s=min(person.expires_at_s, bearer.expires_at_s))

    def certified(self, service: str) -> Principal:
        """The service that a client's verified certificate names, where nothing else was presented.

        Raises:
            Unauthenticated: it has been revoked.
        """
        subject = unicodedata.normalize("NFC", service)
        country = self.work_country(subject)
        principal = Principal(subject, CERTIFICATE, Kind.SERVICE, frozenset(), work_country=country)
        if self.revocations.is_revoked(principal):
            raise Unauthenticated(f"{subject} has been revoked; its certificate is no longer believed")
        return principal

    def accounted(self, account: str) -> Principal:
        """Who signed in at a transfer door, as they are now.

        Args:
            account: as :class:`gateway.transfer.signing_in.SignedIn` has it.

        Raises:
            Unauthenticated: the account is closed, the pass is over, its holder has been revoked, or who vouched for
                them is not believed any more.
        """
        principal = self._accounts.principal(account)
        if principal.kind is not Kind.CUSTOMER:
            self._require_vouched(principal)
            principal = replace(principal, work_country=self.work_country(principal.subject))
        if self.revocations.is_revoked(principal):
            raise Unauthenticated(
                f"{principal.subject} has been revoked; what they signed in with is no longer believed"
            )
        return principal

    def _require_vouched(self, principal: Principal) -> None:
        """Whoever vouched for the holder of a pass has to be believed still: a reload may have changed that."""
        issuer = self._verifier.issuers.get(principal.issuer)
        if issuer is None or principal.kind not in issuer.settings.vouches_for:
            raise Unauthenticated(f"{principal.subject}'s issuer is not believed any more; sign in again")

    async def _principal(self, token: str) -> Principal:
        if len(token) > self._verifier.max_token_bytes or not token.isascii():
            raise Unauthenticated(f"the token is not at most {self._verifier.max_token_bytes} plain characters")
        digest = hashlib.sha256(token.encode("ascii")).digest()
        principal = self._recall(digest) or await self._verify(token, digest)
        if self.revocations.is_revoked(principal):
            raise Unauthenticated("the token has been revoked; sign in again")
        return principal

    def _recall(self, digest: bytes) -> Principal | None:
        """The principal of a remembered token, if a fresh verification could only say the same."""
        entry = self._remembered.get(digest)
        if entry is None:
            return None
        if self._clock.monotonic_s() >= entry.ends_s:
            raise Unauthenticated("the token has expired; sign in again")
        keys = entry.verified.source.current()
        version = self._workforce.version if self._workforce else 0
        if (
            self._clock.now_us() >= entry.reusable_until_us
            or keys is None
            or entry.verified.key not in keys
            or version != entry.workforce_version
        ):
            return None
        self._remembered.move_to_end(digest)
        return entry.principal

    async def _verify(self, token: str, digest: bytes) -> Principal:
        verified = await self._verifier.verify(token)
        principal, version = verified.principal, 0
        if principal.actor:
            self._check_actor(principal.actor)
        if self._workforce:
            version = self._workforce.version
            if principal.kind is not Kind.CUSTOMER:
                principal = replace(principal, work_country=self._workforce.country(principal.subject))
        self._remember(digest, verified, principal, version)
        return principal

    def _remember(self, digest: bytes, verified: Verified, principal: Principal, workforce_version: int) -> None:
        remaining_s = verified.refused_from_s - self._clock.now_us() / SECOND_US
        ends_s = self._clock.monotonic_s() + remaining_s
        before = self._remembered.get(digest)
        self._remembered[digest] = _Remembered(
            verified=verified,
            principal=principal,
            reusable_until_us=int(verified.reusable_until_s * SECOND_US),
            ends_s=min(ends_s, before.ends_s) if before else ends_s,
            workforce_version=workforce_version,
        )
        self._remembered.move_to_end(digest)
        if len(self._remembered) > self._cached_tokens:
            self._remembered.popitem(last=False)

    def _check_actor(self, actor: str) -> None:
        if actor not in self._trusted_actors:
            raise Unauthenticated(f"{actor} may not act for others; add it to identity.trusted_actors if it should")


def _token(credential: str | None, header: str) -> str:
    """The one bearer token in a header (RFC 6750 §2.1); the scheme's case does not count (RFC 9110 §11.1)."""
    if credential is None:
        raise Unauthenticated(f"no {header} came; expected a bearer token")
    if "," in credential:
        raise Malformed(f"{header} holds several credentials; expected one")
    scheme, _, token = credential.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated(f"{header} is not a bearer token; expected one")
    return token.lstrip(" ")
