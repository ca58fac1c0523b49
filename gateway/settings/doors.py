"""``[doors.*]``: the doors beside HTTP's, in front of the site where customers put files."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gateway.settings.secrets import SecretText
from gateway.settings.section import Section
from gateway.settings.values import FilePath, ListenAddress, Name, Seconds


def _port_range(value: str) -> str:
    found = re.fullmatch(r"([0-9]{1,5})-([0-9]{1,5})", value)
    if value and not (found and 1_024 <= int(found[1]) <= int(found[2]) <= 65_535):
        raise ValueError('expected the first and the last of ports from 1024 to 65535, such as "50000-50100"')
    return value


def _ipv4(value: str) -> str:
    try:
        return value and str(ipaddress.IPv4Address(value))
    except ValueError:
        raise ValueError('expected an IPv4 address, such as "203.0.113.7"') from None


class TransferDoorSettings(Section):
    """What all of them have.

    ``store`` is the site: exactly one route leads to it, ``{customer}/{rest...}`` at its end.
    """

    listen: ListenAddress
    store: Name
    sign_in_timeout_s: Seconds = 60.0
    idle_timeout_s: Seconds = 300.0
    max_sessions: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    max_sessions_per_address: Annotated[int, Field(ge=1, le=100_000)] = 100


class FtpDoorSettings(TransferDoorSettings):
    """``[doors.ftp]``: FTP, its TLS asked for by ``AUTH TLS`` before anybody signs in (RFC 4217), or from the start.

    ``passive_ports``: such as ``50000-50100``, else any free one; ``passive_address``: what clients are told to connect
    to, where that is not the address they came to; ``session_reuse``: whether a data connection has to resume the TLS
    session of its control connection.
    """

    tls: Literal["explicit", "implicit"] = "explicit"
    tls_certificate: FilePath | None = None
    tls_key: FilePath | None = None  # unset: in the certificate's file
    unsafe_plaintext: bool = False
    passive_ports: Annotated[str, AfterValidator(_port_range)] = ""
    passive_address: Annotated[str, AfterValidator(_ipv4)] = ""
    active: bool = False
    session_reuse: bool = False


class FtpsDoorSettings(FtpDoorSettings):
    """``[doors.ftps]``: another FTP door, with TLS from the start unless it says otherwise."""

    tls: Literal["explicit", "implicit"] = "implicit"


class SftpDoorSettings(TransferDoorSettings):
    """``[doors.sftp]``: SFTP over SSH, and nothing else that SSH can do.

    ``host_keys``: private keys of the door; ``user_ca``: the private key that signs SSH certificates of passes, and the
    only one whose certificates are believed.
    """

    host_keys: Annotated[tuple[FilePath, ...], Field(min_length=1)]
    user_ca: SecretText | None = None


class DoorsSettings(Section):
    """``[doors]``: which of them are open."""

    ftp: FtpDoorSettings | None = None
    ftps: FtpsDoorSettings | None = None
    sftp: SftpDoorSettings | None = None

    def of_ftp(self) -> Iterator[tuple[str, FtpDoorSettings]]:
        """Those that speak FTP, by name."""
        yield from ((name, door) for name, door in (("ftp", self.ftp), ("ftps", self.ftps)) if door)
