"""Who may sign in at the transfer doors without a token: customers' upload accounts, and passes of personnel.

Invariants: what is kept tells nobody's password or secret; whoever signed in is looked up again at every act and each
half second of a transfer, so that what is closed, revoked or over ends at once; a pass gives its holder what their
token gave them, and nothing for longer than that.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from gateway.clock import SECOND_US, Clock
from gateway.errors import Unauthenticated, Unavailable
from gateway.identity.principal import Kind, Principal

UPLOADS = "uploads"
"""The issuer of customers' upload accounts."""
UPLOAD, PASS = "upload:", "pass:"
CERTIFICATE = "certificate:"
"""Begins what a pass keeps of its certificate, so that no password has it for a digest."""


@dataclass(frozen=True, slots=True)
class UploadAccount:
    """A customer's account at the transfer doors.

    Attributes:
        id: the user name, ``CUSTOMER/NAME``.
        password: its argon2id hash, or "" where there is none.
        keys: SSH public keys, each as OpenSSH writes it, without a comment.
        closed_us: since when nobody signs in with it; 0 while it is open.
    """

    id: str
    customer: str
    password: str
    keys: tuple[str, ...]
    made_us: int
    closed_us: int = 0

    @property
    def name(self) -> str:
        """Its name among its customer's."""
        return self.id.partition("/")[2]


class PassState(StrEnum):
    """Where a pass stands; of one that is used up the sessions that began go on."""

    OPEN = "open"
    USED_UP = "used-up"
    OVER = "over"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class TransferPass:
    """What one of the personnel signs in with instead of a token, for a while.

    Attributes:
        id: the user name.
        subject, issuer, roles, country, token_id, issued_at_s: as their token had them.
        customer: whose tree it opens.
        ticket, reason: why, as cited.
        secret: the SHA-256 of what they type, hexadecimal; or :data:`CERTIFICATE` and that of their certificate.
        sessions, used: how many sessions it is for (0, of a certificate: any number), and how many began.
    """

    id: str
    subject: str
    issuer: str
    roles: tuple[str, ...]
    country: str
    token_id: str
    issued_at_s: int
    customer: str
    ticket: str
    reason: str
    secret: str
    made_us: int
    ends_us: int
    sessions: int = 1
    used: int = 0
    revoked_us: int = 0

    @property
    def is_certificate(self) -> bool:
        """Whether its holder signs in with a certificate, and not with a password."""
        return self.secret.startswith(CERTIFICATE)

    @property
    def is_used_up(self) -> bool:
        """Whether no further session begins."""
        return self.used >= self.sessions and not (self.is_certificate and self.sessions == 0)

    def is_over(self, now_us: int) -> bool:
        """Whether nobody is known by it any more."""
        return bool(self.revoked_us) or now_us >= self.ends_us

    def state(self, now_us: int) -> PassState:
        """Where it stands."""
        if self.revoked_us:
            return PassState.REVOKED
        if self.is_over(now_us):
            return PassState.OVER
        return PassState.USED_UP if self.is_used_up else PassState.OPEN


class Accounts(Protocol):
    """What is known of them now."""

    def principal(self, account: str) -> Principal:
        """Who this is.

        Raises:
            Unauthenticated: nobody, or not any more.
        """
        ...


class NoAccounts:
    """Nobody has one."""

    def principal(self, account: str) -> Principal:
        """See :class:`Accounts`."""
        raise Unauthenticated(f"nobody signs in at the transfer doors here, {account} neither")


class KeptAccounts:
    """Accounts and passes in memory, as the state has them.

    Attributes:
        uploads, passes: by user name.
        fresh: whether they are known to be current; while they are not, nobody is known by them.
    """

    def __init__(self, clock: Clock) -> None:
        self.uploads: dict[str, UploadAccount] = {}
        self.passes: dict[str, TransferPass] = {}
        self.fresh: Callable[[], bool] = lambda: True
        self._clock = clock

    def put(self, noun: UploadAccount | TransferPass) -> None:
        """Take one in, in place of what was known of it."""
        if isinstance(noun, UploadAccount):
            self.uploads[noun.id] = noun
            return
        if noun.id not in self.passes:
            self._forget_what_is_over()
        self.passes[noun.id] = noun
        if noun.is_over(self._clock.now_us()):
            del self.passes[noun.id]

    def _forget_what_is_over(self) -> None:
        now_us = self._clock.now_us()
        for over in [id_ for id_, kept in self.passes.items() if kept.is_over(now_us)]:
            del self.passes[over]

    def principal(self, account: str) -> Principal:
        """See :class:`Accounts`.

        Raises:
            Unavailable: whether it was closed or revoked cannot be told.
        """
        if not self.fresh():
            raise Unavailable("whether what they signed in with still counts cannot be told; try again later")
        upload = self.uploads.get(account.removeprefix(UPLOAD)) if account.startswith(UPLOAD) else None
        if upload and not upload.closed_us:
            return Principal(upload.id, UPLOADS, Kind.CUSTOMER, frozenset({"customer"}), customer=upload.customer)
        found = self.passes.get(account.removeprefix(PASS)) if account.startswith(PASS) else None
        if found and not found.is_over(self._clock.now_us()):
            return Principal(
                subject=unicodedata.normalize("NFC", found.subject),
                issuer=found.issuer,
                kind=Kind.PERSONNEL,
                roles=frozenset(found.roles),
                country=found.country,
                token_id=found.token_id,
                issued_at_s=found.issued_at_s,
                expires_at_s=found.ends_us // SECOND_US,
            )
        raise Unauthenticated("what they signed in with is closed, revoked or over")
