"""Debian's vsftpd on loopback, with a configuration of its own, for one folder; one account signs in by a password.

It runs as whoever runs the tests, and so confines nobody: the paths of its clients are those of the machine.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.world.sshd import until_listening
from tests.world.upstream_ftp import PASSWORD, UpstreamFtp

PROGRAM = "/usr/sbin/vsftpd"
_CONFIG = """
listen=YES
listen_address=127.0.0.1
listen_port={port}
background=NO
run_as_launching_user=YES
anonymous_enable=YES
local_enable=NO
anon_root={root}
anon_umask=022
anon_world_readable_only=NO
write_enable=YES
anon_upload_enable=YES
anon_mkdir_write_enable=YES
anon_other_write_enable=YES
secure_email_list_enable=YES
email_password_file={directory}/passwords
secure_chroot_dir={directory}/empty
connect_from_port_20=NO
xferlog_enable=NO
seccomp_sandbox=NO
isolate=NO
isolate_network=NO
delay_failed_login=0
"""
_TLS = """
ssl_enable=YES
implicit_ssl={implicit}
allow_anon_ssl=YES
force_anon_logins_ssl=YES
force_anon_data_ssl=YES
require_ssl_reuse=YES
ssl_ciphers=HIGH
rsa_cert_file={certificate}
rsa_private_key_file={key}
"""


class CannotRun(Exception):
    """The message says why there is none."""


@asynccontextmanager
async def vsftpd(scheme: str = "ftp", tls: tuple[Path, Path] | None = None, **more: str) -> AsyncIterator[UpstreamFtp]:
    """Run it.

    Args:
        scheme: ``ftp``, ``ftpes`` or ``ftps``.
        tls: certificate and key.
        more: settings besides, as in vsftpd.conf(5).

    Raises:
        CannotRun: there is none, or not here.
    """
    if shutil.which(PROGRAM) is None:
        raise CannotRun(f"{PROGRAM} is not installed")
    directory = Path(tempfile.mkdtemp())
    try:
        root = directory / "root"
        root.mkdir()
        (directory / "empty").mkdir()
        (directory / "passwords").write_text(f"{PASSWORD}\n")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        config = _CONFIG.format(port=port, root=root, directory=directory)
        if tls:
            config += _TLS.format(implicit="YES" if scheme == "ftps" else "NO", certificate=tls[0], key=tls[1])
        config += "".join(f"{name}={value}\n" for name, value in more.items())
        (directory / "config").write_text(config)
        process = await asyncio.create_subprocess_exec(
            PROGRAM,
            str(directory / "config"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            try:
                await until_listening(port)
            except TimeoutError as error:
                raise CannotRun(f"{PROGRAM} does not run here (it ended with {process.returncode})") from error
            yield UpstreamFtp(scheme, port, root, str(root))
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)  # with the sessions that it forked
            await process.wait()
    finally:
        shutil.rmtree(directory)
