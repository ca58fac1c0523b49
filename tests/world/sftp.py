"""An SFTP door over a whole gateway's checkpoint, in front of a site in a folder; tests damage it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from gateway.demo.stores import Addresses
from gateway.settings.doors import SftpDoorSettings
from gateway.transfer.sftp_door import sftp_door
from gateway.transfer.site import Site
from tests.world.transfer import PASSWORD, Behind, behind


@dataclass
class Sftp(Behind):
    """A door that is open."""

    port: int
    host_key: str

    async def connect(self, user: str = "acme", **options: object) -> asyncssh.SSHClientConnection:
        given: dict[str, object] = {"password": PASSWORD, "client_keys": None, "agent_path": None, "config": []}
        known = ([asyncssh.import_public_key(self.host_key)], [], [])
        return await asyncssh.connect("127.0.0.1", self.port, username=user, known_hosts=known, **given | options)


@asynccontextmanager
async def sftp_world(
    directory: Path, stores: Addresses, *, site: Site | None = None, drain_timeout_s: float = 1.0, **settings: object
) -> AsyncIterator[Sftp]:
    """A gateway, and an SFTP door of its own."""
    async with behind(directory, stores, site) as there:
        key = asyncssh.generate_private_key("ssh-ed25519")
        key_file = directory / "host_key"
        key.write_private_key(key_file)
        key_file.chmod(0o600)
        door = SftpDoorSettings(listen="127.0.0.1:0", store="uploads", host_keys=(key_file,), **settings)
        world = Sftp(*vars(there).values(), 0, key.export_public_key().decode())
        async with sftp_door(door, lambda: world.gate, there.everybody, drain_timeout_s=drain_timeout_s) as world.port:
            yield world


class OpenSsh:
    """The programs of OpenSSH and others, towards a door or a server.

    Args:
        directory: for keys and what they write.
    """

    def __init__(self, directory: Path, port: int, host_key: str, user: str = "acme") -> None:
        self.directory, self.port, self.user = directory, port, user
        self.known_hosts = directory / "known_hosts"
        self.known_hosts.write_text(f"[127.0.0.1]:{port} {host_key}")
        self.askpass = directory / "askpass"
        self.askpass.write_text(f"#!/bin/sh\necho '{PASSWORD}'\n")
        self.askpass.chmod(0o700)

    async def sftp(self, *commands: str, options: tuple[str, ...] = ()) -> tuple[int, str]:
        """Commands of one batch: the exit status, and all that was said."""
        batch = "\n".join(commands) + "\n"
        given = [f"-oUserKnownHostsFile={self.known_hosts}", "-oGlobalKnownHostsFile=/dev/null"]
        given += ["-oStrictHostKeyChecking=yes", "-oNumberOfPasswordPrompts=1", *options]
        program = ["sftp", "-F", "/dev/null", "-oBatchMode=no", *given, "-P", str(self.port), "-b", "-"]
        return await self.run(*program, f"{self.user}@127.0.0.1", said=batch)

    async def run(self, *program: str, said: str = "", timeout_s: float = 60) -> tuple[int, str]:
        """Any program; the password is there for whoever asks for it as OpenSSH does."""
        environ = {
            **{name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ},
            "HOME": str(self.directory),
            "DISPLAY": "none",
            "SSH_ASKPASS": str(self.askpass),
            "SSH_ASKPASS_REQUIRE": "force",
        }
        process = await asyncio.create_subprocess_exec(
            *program,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environ,
            cwd=self.directory,
        )
        try:
            async with asyncio.timeout(timeout_s):
                output, _ = await process.communicate(said.encode())
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return process.returncode or 0, output.decode(errors="replace")
