"""An FTP door over a whole gateway's checkpoint, in front of a site in a folder; tests damage it."""

from __future__ import annotations

import ftplib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.demo.stores import Addresses
from gateway.settings.doors import FtpDoorSettings
from gateway.transfer.ftp_door import ftp_door
from gateway.transfer.site import Site
from tests.world.certificates import Authority
from tests.world.transfer import PASSWORD, Behind, behind

FAILED_DELAY_S = 0.1


@dataclass
class Ftp(Behind):
    """A door that is open.

    Attributes:
        authority: whose certificate the door has.
    """

    port: int
    authority: Authority
    certificate: Path
    key: Path
    _tls: ssl.SSLContext | None = None

    def tls(self) -> ssl.SSLContext:
        """What a client trusts; always the same, so that a session may be resumed."""
        self._tls = self._tls or ssl.create_default_context(cafile=self.authority.path)
        return self._tls

    def client(self, user: str = "acme", *, clear: bool = False) -> ftplib.FTP:
        """Python's client, signed in; blocking."""
        client = ftplib.FTP(timeout=10) if clear else ftplib.FTP_TLS(context=self.tls(), timeout=10)
        client.connect("127.0.0.1", self.port)
        client.login(user, PASSWORD)
        if isinstance(client, ftplib.FTP_TLS):
            client.prot_p()
        return client


@asynccontextmanager
async def ftp_world(
    directory: Path, stores: Addresses, *, site: Site | None = None, drain_timeout_s: float = 1.0, **settings: object
) -> AsyncIterator[Ftp]:
    """A gateway, and an FTP door of its own."""
    async with behind(directory, stores, site) as there:
        authority = Authority(directory / "authority")
        certificate, key = authority.server()
        given = {"listen": "127.0.0.1:0", "store": "uploads", "tls_certificate": certificate, "tls_key": key} | settings
        world = Ftp(*vars(there).values(), 0, authority, certificate, key)
        door = FtpDoorSettings(**given)
        name = "ftps" if door.tls == "implicit" else "ftp"
        async with ftp_door(
            door,
            lambda: world.gate,
            there.everybody,
            drain_timeout_s=drain_timeout_s,
            name=name,
            failed_delay_s=FAILED_DELAY_S,
        ) as world.port:
            yield world
