"""Who signs in at a transfer door: what the doors ask, and what they get."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class NotSignedIn(Exception):
    """Nobody is known by this; the message is the same whatever was wrong."""


class SignedIn(NamedTuple):
    """A client of a transfer door.

    Attributes:
        account: as the authenticator knows them (:meth:`gateway.identity.Authenticator.accounted`).
        customer: whose tree they see.
        ticket, reason: why, as cited when the credential was made; "" for a customer's own account.
    """

    account: str
    customer: str
    ticket: str = ""
    reason: str = ""


class SigningIn(Protocol):
    """Checks credentials; each try is on record, and who fails too often waits."""

    async def by_password(self, door: str, user: str, password: str, peer: str) -> SignedIn:
        """Raises: NotSignedIn: no; Unavailable: it cannot be told, or not be recorded."""
        ...

    async def by_key(self, door: str, user: str, key: str, peer: str) -> SignedIn:
        """Whoever proved to hold a key.

        Args:
            key: an SSH public key or user certificate, as a line of OpenSSH's format.

        Raises:
            NotSignedIn: it is nobody's key, or the certificate does not hold.
            Unavailable: it cannot be told, or not be recorded.
        """
        ...
