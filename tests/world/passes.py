"""A gateway with its own FTP and SFTP doors, where personnel sign in with passes; tests damage it.

At home are clients that come from 127.0.0.2, and in India those from 127.0.0.3: of 127.0.0.1 nothing is known.
"""

from __future__ import annotations

import ftplib
import ssl
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import asyncssh
from pydantic import SecretStr

from gateway.demo.stores import Addresses
from gateway.demo.world import SAM, Person
from gateway.identity import TransferPass
from gateway.ledger.reader import LedgerReader
from gateway.settings import DoorsSettings, FtpDoorSettings, Secret, Settings, SftpDoorSettings, SiteSettings
from tests.integration.conftest import Running, running
from tests.integration.console.callers import Answered, Api
from tests.world.certificates import Authority

HOME, INDIA = "127.0.0.2", "127.0.0.3"


@dataclass
class Doors:
    """The doors, open.

    Attributes:
        ca: signs certificates of passes.
        root: the folder of the customer acme.
    """

    running: Running
    ca: asyncssh.SSHKey
    host_key: asyncssh.SSHKey
    authority: Authority
    root: Path
    directory: Path

    @property
    def api(self) -> Api:
        return Api(self.running)

    def port(self, door: str) -> int:
        return self.running.gateway.transfer_ports[door]

    async def mint(self, who: Person = SAM, **wish: object) -> dict[str, Any]:
        """A pass for acme's files, minted by the API."""
        answered = await self.api.done(who, "POST", "/passes", {"customer": "acme"} | wish)
        body: dict[str, Any] = answered.body
        return body

    async def revoke(self, id_: str, who: Person = SAM) -> Answered:
        return await self.api.done(who, "POST", f"/passes/{id_}/revoke", {})

    async def put(self, *nouns: object) -> None:
        """Let the state have these, and the doors know of it."""
        self.running.world.state.put(*nouns)
        await self.running.gateway.rooms.follower.poll()

    def kept(self, id_: str) -> TransferPass:
        return self.running.world.state.get(TransferPass, id_)

    def entries(self, kind: str) -> list[Mapping[str, Any]]:
        """What the ledger holds, of one kind."""
        with LedgerReader(self.running.world.settings.ledger.path) as reader:
            return [entry for entry in reader.after(-1) if entry["kind"] == kind]

    def ftp(self, user: str, password: str, source: str = HOME) -> ftplib.FTP_TLS:
        """Python's client, signed in over TLS; blocking."""
        client = ftplib.FTP_TLS(context=ssl.create_default_context(cafile=self.authority.path), timeout=20)
        try:
            client.connect("127.0.0.1", self.port("ftp"), source_address=(source, 0))
            client.login(user, password)
            client.prot_p()
        except BaseException:
            client.close()
            raise
        return client

    async def sftp(self, user: str, *, source: str = HOME, **given: object) -> asyncssh.SSHClientConnection:
        """Signed in, with a password or with keys."""
        options: dict[str, object] = {"client_keys": None, "agent_path": None, "config": []}
        known = ([self.host_key.convert_to_public()], [], [])
        return await asyncssh.connect(
            "127.0.0.1", self.port("sftp"), username=user, known_hosts=known, local_addr=(source, 0), **options | given
        )


@asynccontextmanager
async def pass_world(directory: Path, stores: Addresses) -> AsyncIterator[Doors]:
    """A gateway over a site in a folder, with both doors and an authority for certificates."""
    root = directory / "site" / "uploads" / "acme"
    root.mkdir(parents=True)
    authority = Authority(directory / "authority")
    certificate, tls_key = authority.server()
    ca, host_key = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    host_key.write_private_key(directory / "host_key")

    def change(settings: Settings) -> Settings:
        sftp = SftpDoorSettings(
            listen="127.0.0.1:0",
            store="uploads",
            host_keys=(directory / "host_key",),
            user_ca=Secret(SecretStr(ca.export_private_key().decode())),
        )
        ftp = FtpDoorSettings(listen="127.0.0.1:0", store="uploads", tls_certificate=certificate, tls_key=tls_key)
        sites = tuple(
            SiteSettings(name=country, networks=(f"{address}/32",), country=country)
            for address, country in ((HOME, "US"), (INDIA, "IN"))
        )
        location = settings.location.model_copy(update={"site": (*settings.location.site, *sites)})
        return settings.model_copy(update={"doors": DoorsSettings(sftp=sftp, ftp=ftp), "location": location})

    addresses = replace(stores, uploads=f"file://{directory / 'site'}")
    async with running(directory / "world", addresses, change=change) as made:
        yield Doors(made, ca, host_key, authority, root, directory)


def shown_by_ssh_keygen(line: str) -> str:
    """What OpenSSH says of a certificate; blocking."""
    program = ["ssh-keygen", "-L", "-f", "-"]
    return subprocess.run(program, input=line, capture_output=True, text=True, check=True, timeout=20).stdout
