"""What the sessions of an FTP door share, as its settings have it.

Invariants: a door without TLS is one whose settings say "unsafe"; nothing here changes while the door is open but
whether it is ending.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.errors import ConfigurationError
from gateway.settings.doors import FtpDoorSettings
from gateway.transfer.ftp_tls import DoorTls
from gateway.transfer.session import Gate
from gateway.transfer.signing_in import SigningIn


@dataclass
class Hall:
    """What the sessions of a door share; pyftpdlib takes it for its server.

    Attributes:
        name: of the door.
        gate: what acts are judged by, as it is now.
        tls: None where the door is in clear.
        is_ending: whether nothing new may begin.
    """

    name: str
    gate: Callable[[], Gate]
    signing_in: SigningIn
    loop: asyncio.AbstractEventLoop
    tls: DoorTls | None
    implicit: bool
    unsafe_plaintext: bool
    requires_reuse: bool
    active: bool
    passive_ports: range | None
    passive_address: str
    sign_in_timeout_s: float
    idle_timeout_s: float
    failed_delay_s: float
    is_ending: bool = False
    ip_map: list[str] = field(default_factory=list)

    def _accept_new_cons(self) -> bool:
        """For pyftpdlib, before a data connection: sessions are counted when they begin."""
        return True


def hall_of(
    settings: FtpDoorSettings,
    gate: Callable[[], Gate],
    signing_in: SigningIn,
    loop: asyncio.AbstractEventLoop,
    name: str,
    failed_delay_s: float,
) -> Hall:
    """That of a door with these settings; see :func:`gateway.transfer.ftp_door.ftp_door`.

    Raises:
        ConfigurationError: the certificate cannot be used.
    """
    first, _, last = settings.passive_ports.partition("-")
    return Hall(
        name=name,
        gate=gate,
        signing_in=signing_in,
        loop=loop,
        tls=require_tls(settings, name),
        implicit=settings.tls == "implicit",
        unsafe_plaintext=settings.unsafe_plaintext,
        requires_reuse=settings.session_reuse,
        active=settings.active,
        passive_ports=range(int(first), int(last) + 1) if last else None,
        passive_address=settings.passive_address,
        sign_in_timeout_s=settings.sign_in_timeout_s,
        idle_timeout_s=settings.idle_timeout_s,
        failed_delay_s=failed_delay_s,
    )


def require_tls(settings: FtpDoorSettings, name: str) -> DoorTls | None:
    """The TLS side of a door; None where it has none.

    Raises:
        ConfigurationError: a file of it cannot be used, or it should have one.
    """
    if settings.tls_certificate:
        return DoorTls(name, settings.tls_certificate, settings.tls_key, own_context=settings.session_reuse)
    if not settings.unsafe_plaintext or settings.tls == "implicit":
        raise ConfigurationError([f"doors.{name}: there is no tls_certificate; expected one, or unsafe_plaintext"])
    return None
