"""Signing in at the transfer doors: passwords and keys of upload accounts, passes of personnel.

Invariants: nobody is signed in before that is on record; the answer to a wrong name, password or key is the same, and
so is about the time it takes; no password, secret or key is kept or recorded; a pass begins no more sessions than it
is for, at however many doors.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import replace

import argon2

from gateway.clock import Clock
from gateway.errors import NotFound, Unauthenticated, Unavailable
from gateway.identity import KeptAccounts, Principal, TransferPass
from gateway.identity.accounts import PASS, UPLOAD
from gateway.identity.passwords import HASHER
from gateway.identity.ssh_certificates import UserCa
from gateway.ledger.entry import administrative
from gateway.masking import masked
from gateway.proxy.limits import neighbourhood
from gateway.storage import StateStore
from gateway.transfer.patience import Patience
from gateway.transfer.signing_in import NotSignedIn, SignedIn

PASS_PREFIX = "pass-"  # noqa: S105 - begins the user name of whoever has a pass
HASHED_AT_ONCE = 2
MINUTE_S, RECORDED_A_MINUTE = 60, 6
PLACES = 10_000
_MAX_NAME = 128
_NO = "the name, the password or the key is wrong, or too many were; try again later"
_NOBODYS = HASHER.hash("nobody has this password")


class SignIn:
    """A :class:`gateway.transfer.signing_in.SigningIn`.

    Args:
        principal: who an account is now; raises Unauthenticated where it counts no longer. A reload sets another.
        record: writes an entry down, and returns once it is durable.
        user_ca: whose certificates are believed; without it nobody's.
    """

    def __init__(
        self,
        accounts: KeptAccounts,
        state: StateStore,
        *,
        principal: Callable[[str], Principal],
        record: Callable[[Mapping[str, object]], Awaitable[object]],
        clock: Clock,
        node: str,
        user_ca: UserCa | None = None,
    ) -> None:
        self._accounts, self._state = accounts, state
        self.principal, self._record = principal, record
        self._clock, self._node, self._user_ca = clock, node, user_ca
        self._patience = Patience(clock.monotonic_s)
        self._hashing = asyncio.Semaphore(HASHED_AT_ONCE)
        self._refusals: dict[object, tuple[float, int]] = {}

    async def by_password(self, door: str, user: str, password: str, peer: str) -> SignedIn:
        """See :class:`gateway.transfer.signing_in.SigningIn`."""
        if _is_pass(user):
            return await self._signed_in(door, user, peer, lambda: self._by_secret(user, password))
        return await self._signed_in(door, user, peer, lambda: self._by_hash(user, password, neighbourhood(peer)))

    async def by_key(self, door: str, user: str, key: str, peer: str) -> SignedIn:
        """See :class:`gateway.transfer.signing_in.SigningIn`."""
        if _is_pass(user):
            return await self._signed_in(door, user, peer, lambda: self._by_certificate(user, key, peer))
        return await self._signed_in(door, user, peer, lambda: self._by_public_key(user, key))

    async def _signed_in(
        self, door: str, user: str, peer: str, check: Callable[[], Awaitable[SignedIn | None]]
    ) -> SignedIn:
        place = neighbourhood(peer)
        found: SignedIn | None = None
        if not self._patience.wait_s((user, place), place):
            found = await check()
        who = self._known(found) if found else None
        if found is None or who is None:
            self._patience.failed((user, place), place)
            await self._tell_refusal(door, user, peer, place)
            raise NotSignedIn(_NO)
        await self._tell(
            "transfer.sign-in", who.subject, user, door, peer, customer=found.customer, ticket=found.ticket
        )
        self._patience.succeeded((user, place))
        return found

    def _known(self, found: SignedIn) -> Principal | None:
        try:
            return self.principal(found.account)
        except Unauthenticated:
            return None

    async def _by_hash(self, user: str, password: str, place: Hashable) -> SignedIn | None:
        account = self._accounts.uploads.get(user)
        kept = account.password if account and not account.closed_us else ""
        async with self._hashing:
            if self._patience.wait_s((user, place), place):
                return None  # others of the same burst failed while this one waited for its turn
            is_right = await asyncio.to_thread(_is_right, kept or _NOBODYS, password)
        return SignedIn(UPLOAD + account.id, account.customer) if account and kept and is_right else None

    async def _by_public_key(self, user: str, key: str) -> SignedIn | None:
        account = self._accounts.uploads.get(user)
        if account is None or account.closed_us or " ".join(key.split()[:2]) not in account.keys:
            return None
        return SignedIn(UPLOAD + account.id, account.customer)

    async def _by_secret(self, user: str, secret: str) -> SignedIn | None:
        kept = self._accounts.passes.get(user)
        digest = hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
        if not hmac.compare_digest(digest, kept.secret if kept else ""):
            return None
        return await self._by_pass(user)

    async def _by_certificate(self, user: str, line: str, peer: str) -> SignedIn | None:
        kept, ca = self._accounts.passes.get(user), self._user_ca
        if kept is None or ca is None or not ca.vouches_for(line, kept, peer, self._clock.now_us()):
            return None
        return await self._by_pass(user)

    async def _by_pass(self, user: str) -> SignedIn | None:
        used = await asyncio.to_thread(self._use, user)
        return SignedIn(PASS + used.id, used.customer, used.ticket, used.reason) if used else None

    def _use(self, id_: str) -> TransferPass | None:
        """Count a session of a pass that has one left; blocking."""
        with self._state.transaction(exclusive=True) as transaction:
            try:
                kept = transaction.get(TransferPass, id_)
            except NotFound:
                return None
            if kept.is_over(self._clock.now_us()) or kept.is_used_up:
                return None
            used = replace(kept, used=kept.used + 1)
            transaction.put(used)
            return used

    async def _tell_refusal(self, door: str, user: str, peer: str, place: object) -> None:
        """A few a minute from one place stand in the record, and how many more there were."""
        now_s, untold = self._clock.monotonic_s(), 0
        begun_s, count = self._refusals.pop(place, (now_s, 0))
        if now_s - begun_s >= MINUTE_S:
            begun_s, untold, count = now_s, max(0, count - RECORDED_A_MINUTE), 0
        self._refusals[place] = begun_s, count + 1
        if len(self._refusals) > PLACES:
            self._refusals.pop(next(iter(self._refusals)))
        if count < RECORDED_A_MINUTE:
            await self._tell("transfer.refused", "nobody", _shown(user), door, peer, count=untold)

    async def _tell(self, act: str, actor: str, object_: str, door: str, peer: str, **details: str | int) -> None:
        entry = administrative(
            clock=self._clock,
            node=self._node,
            actor=actor,
            act=act,
            subject=object_,
            details={"door": door, "client_address": peer, **details},
        )
        try:
            await self._record(entry)
        except Unavailable:
            raise
        except Exception as error:
            raise Unavailable("a sign-in cannot be written down, so nobody is signed in") from error


def _is_pass(user: str) -> bool:
    """Whether a pass may have this name; an account's has its customer's before a slash, whatever that begins with."""
    return user.startswith(PASS_PREFIX) and "/" not in user


def _is_right(kept: str, password: str) -> bool:
    try:
        return HASHER.verify(kept, password.encode("utf-8", "surrogateescape"))
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False


def _shown(user: str) -> str:
    """A name as it may stand in the record: whatever was typed there, also by mistake."""
    clipped = masked(user[:_MAX_NAME])
    return "".join(char if char.isprintable() else "?" for char in clipped) or "?"
