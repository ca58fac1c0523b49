"""What the worlds of the transfer doors share: who signs in, what is judged by, what a test looks at.

``acme`` is a customer's account, ``sam`` works at home, and ``raj`` abroad; a password or a key signs each of them in.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gateway.demo.identity_provider import ISSUER
from gateway.demo.stores import Addresses
from gateway.errors import Unauthenticated, Unavailable
from gateway.identity import Kind, Principal
from gateway.ledger.reader import LedgerReader
from gateway.transfer.folder_site import FolderSite
from gateway.transfer.session import Gate
from gateway.transfer.signing_in import NotSignedIn, SignedIn
from gateway.transfer.site import Site
from gateway.transfer.uploads import Uploads
from tests.integration.conftest import Running, running

PASSWORD = "correct horse battery staple"
PRINCIPALS = {
    "acme": Principal("uploader@acme", "accounts", Kind.CUSTOMER, frozenset({"customer"}), customer="acme"),
    "sam": Principal("sam", ISSUER, Kind.PERSONNEL, frozenset({"support"}), country="US", work_country="US"),
    "raj": Principal("raj", ISSUER, Kind.PERSONNEL, frozenset({"support"}), country="IN", work_country="IN"),
}


@dataclass
class Everybody:
    """Accounts, and their signing in; ``gone`` are those who have been revoked."""

    keys: dict[str, str] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    tries: list[tuple[str, ...]] = field(default_factory=list)
    unavailable: bool = False

    def principal(self, account: str) -> Principal:
        if account in self.gone or account not in PRINCIPALS:
            raise Unauthenticated(f"{account} has been revoked")
        return PRINCIPALS[account]

    async def by_password(self, door: str, user: str, password: str, peer: str) -> SignedIn:
        return self._try(user, password == PASSWORD, "password", door, user, peer)

    async def by_key(self, door: str, user: str, key: str, peer: str) -> SignedIn:
        return self._try(user, key == self.keys.get(user), "key", door, user, peer, key)

    def _try(self, user: str, known: bool, *of: str) -> SignedIn:
        self.tries.append(of)
        if self.unavailable:
            raise Unavailable("the state cannot be read")
        if not known or user not in PRINCIPALS or user in self.gone:
            raise NotSignedIn("nobody is known by this")
        return SignedIn(user, "acme")


@dataclass
class Behind:
    """What is behind a door that is open.

    Attributes:
        root: the folder of the customer acme.
        gate: what is judged by; a test may put another in its place, as a reload does.
    """

    running: Running
    everybody: Everybody
    root: Path
    gate: Gate

    def entries(self, kind: str = "decision") -> list[Mapping[str, Any]]:
        """What the ledger holds, of one kind."""
        with LedgerReader(self.running.world.settings.ledger.path) as reader:
            return [entry for entry in reader.after(-1) if entry.get("kind") == kind]

    def revoke(self, user: str = "acme") -> None:
        """Whoever signed in as this may do nothing any more."""
        self.everybody.gone.add(user)
        self.running.gateway.checkpoint.admissions.nudge()


@asynccontextmanager
async def behind(directory: Path, stores: Addresses, site: Site | None) -> AsyncIterator[Behind]:
    """A gateway whose checkpoint judges, and a site in a folder unless another is given."""
    async with running(directory / "world", stores) as gateway:
        root = directory / "site" / "uploads" / "acme"
        root.mkdir(parents=True)
        folder = FolderSite(directory / "site")
        everybody = Everybody()
        gateway.gateway.authenticator._accounts = everybody
        yield Behind(gateway, everybody, root, make_gate(gateway, site or folder))
        await folder.close()


def make_gate(running_: Running, site: Site) -> Gate:
    """What the sessions of a door share, over a gateway, before another site."""
    return replace(running_.gateway.engine.gate("uploads"), site=site, uploads=Uploads())
