"""``[doors.*]``: the doors beside HTTP's, in front of the site where customers put files."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gateway.settings.secrets import SecretText
from gateway.settings.section import Section
from gateway.settings.values import FilePath, ListenAddress, Name, Seconds


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
    passive_ports: Annotated[str, Field(pattern=r"^(\d{4,5}-\d{4,5})?$")] = ""
    passive_address: Annotated[str, Field(pattern=r"^(\d{1,3}(\.\d{1,3}){3})?$")] = ""
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
