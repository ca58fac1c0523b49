"""Who may sign in at the transfer doors without a token: customers' upload accounts, and passes of personnel.

Invariants: what is kept tells nobody's password or secret; whoever signed in is looked up again at every act and each
half second of a transfer, so that what is closed, revoked or over ends at once; a pass gives its holder what their
token gave them, and nothing for longer than that.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gateway.clock import SECOND_US, Clock
from gateway.errors import Unauthenticated, Unavailable
from gateway.identity.principal import Kind, Principal

UPLOADS = "uploads"
"""The issuer of customers' upload accounts."""
UPLOAD, PASS = "upload:", "pass:"


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


@dataclass(frozen=True, slots=True)
class TransferPass:
    """What one of the personnel signs in with instead of a token, for a while.

    Attributes:
        id: the user name.
        subject, issuer, roles, country, token_id, issued_at_s: as their token had them.
        customer: whose tree it opens.
        ticket, reason: why, as cited.
        secret: the SHA-256 of what they type, hexadecimal.
        sessions, used: how many sessions it is for, and how many began.
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

    def is_over(self, now_us: int) -> bool:
        """Whether nobody is known by it any more."""
        return bool(self.revoked_us) or now_us >= self.ends_us


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
        elif noun.is_over(self._clock.now_us()):
            self.passes.pop(noun.id, None)
        else:
            self.passes[noun.id] = noun

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
