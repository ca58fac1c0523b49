"""OpenSSH's sshd on loopback, with a configuration of its own and nothing but SFTP, for one folder.

It runs as whoever runs the tests. As root it wants a folder ``/run/sshd``, which it gets in a mount namespace of its
own.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncssh

PROGRAM = "/usr/sbin/sshd"
_CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey {directory}/host_key
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
AuthorizedKeysFile {directory}/authorized_keys
ForceCommand internal-sftp {options}
Subsystem sftp internal-sftp {options}
MaxStartups 100
MaxSessions 100
"""
_APART = ("unshare", "-m", "sh", "-c", 'mount -t tmpfs none /run && mkdir /run/sshd && exec "$0" "$@"')


@dataclass(frozen=True)
class Sshd:
    """A server that runs; ``root`` is where clients may look, ``key`` opens it, ``host_key`` is what it shows."""

    port: int
    user: str
    root: Path
    key: Path
    host_key: str
    pid: int


def missing() -> str:
    """Why there is none to run, or ""."""
    if not Path(PROGRAM).exists():
        return f"{PROGRAM} is not installed"
    if os.getuid() == 0 and subprocess.run([*_APART, "/bin/true"], capture_output=True, check=False).returncode:
        return "sshd cannot be given a /run of its own here, which it wants as root"
    return ""


@asynccontextmanager
async def sshd(options: str = "") -> AsyncIterator[Sshd]:
    """Run it; ``options`` are those of internal-sftp."""
    user = pwd.getpwuid(os.getuid()).pw_name
    directory = Path(tempfile.mkdtemp())
    try:
        root = directory / "root"
        root.mkdir()
        host_key, client_key = (_key(directory / name) for name in ("host_key", "client_key"))
        (directory / "authorized_keys").write_text(client_key)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        (directory / "config").write_text(_CONFIG.format(port=port, directory=directory, options=options))
        program = (PROGRAM, "-D", "-e", "-f", str(directory / "config"))  # to a log file it would write after its end
        apart = _APART if os.getuid() == 0 else ()
        process = await asyncio.create_subprocess_exec(*apart, *program, stderr=asyncio.subprocess.DEVNULL)
        try:
            await until_listening(port)
            yield Sshd(port, user, root, directory / "client_key", host_key, process.pid)
        finally:
            process.terminate()
            await process.wait()
    finally:
        shutil.rmtree(directory)


def _key(path: Path) -> str:
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(path)
    path.chmod(0o600)
    return key.export_public_key().decode()


async def until_listening(port: int) -> None:
    """Wait until somebody answers there."""
    async with asyncio.timeout(10):
        while True:
            try:
                _reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                await writer.wait_closed()
                return
