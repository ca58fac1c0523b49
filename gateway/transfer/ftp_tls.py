"""TLS at the FTP doors, by pyOpenSSL: a context that is renewed with its files.

TLS 1.2 and later, forward secrecy and authenticated encryption only (RFC 9325 §3.1, §4.2), as at the HTTP door.

Data connections speak TLS 1.2: in TLS 1.3 a server sends tickets after the handshake, which a client that only uploads
never reads, so that its system resets the connection when it closes, and the last of the upload is lost; pyOpenSSL
cannot send none. Where sessions are resumed, control connections speak 1.2 too.

Invariants: files that cannot be used stop the start, and never replace those in use. Where a data connection has to
resume the session of its control connection, each control connection has a context of its own, whose tickets and
sessions no other context takes: what is resumed there began on that control connection.
"""

from __future__ import annotations

import secrets
from pathlib import Path

import structlog
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL

from gateway.errors import ConfigurationError
from gateway.proxy.file_changes import FileChanges
from gateway.proxy.listener_tls import CIPHERS

log = structlog.get_logger(__name__)
SESSION_S = 86_400
_PARTIAL_WRITE = SSL._lib.SSL_MODE_ENABLE_PARTIAL_WRITE  # type: ignore[attr-defined]  # pyOpenSSL sets it unnamed


class DoorTls:
    """The TLS side of a door.

    Args:
        door: its name in the configuration.
        own_context: whether each control connection has one of its own.

    Raises:
        ConfigurationError: a file cannot be used.
    """

    def __init__(self, door: str, certificate: Path, key: Path | None, *, own_context: bool) -> None:
        self._door, self._certificate, self._key = door, certificate, key or certificate
        self._own_context = own_context
        self._changes = FileChanges(self._certificate, self._key)
        self._contexts = self._made()

    def contexts(self) -> tuple[SSL.Context, SSL.Context]:
        """That of a control connection that begins now, and that of its data connections."""
        return self._made() if self._own_context else self._contexts

    def reload_if_changed(self) -> None:
        """Take newer files into use; blocking. Those that cannot be used are logged, and the old ones stay."""
        if not self._changes.changed():
            return
        try:
            self._contexts = self._made()
        except ConfigurationError as error:
            log.error("certificate_not_reloaded", door=self._door, problem=str(error))
        else:
            log.info("certificate_reloaded", door=self._door)

    def _made(self) -> tuple[SSL.Context, SSL.Context]:
        data = self._context(SSL.TLS1_2_VERSION)
        return data if self._own_context else self._context(SSL.TLS1_3_VERSION), data

    def _context(self, latest: int) -> SSL.Context:
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_max_proto_version(latest)
        context.set_cipher_list(CIPHERS.encode())
        context.set_options(SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION)
        context.clear_mode(_PARTIAL_WRITE)  # else each call encrypts a single record
        context.set_session_id(secrets.token_bytes(32))
        context.set_timeout(SESSION_S)
        try:
            self._certificate.read_bytes()  # else the library says of a missing file that there was an error
            context.use_certificate_chain_file(str(self._certificate))
            # Read here, since OpenSSL would ask for a password: nobody is there to type it.
            context.use_privatekey(load_pem_private_key(self._key.read_bytes(), None))  # type: ignore[arg-type]
            context.check_privatekey()
        except (OSError, ValueError, TypeError, SSL.Error) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            what = f"tls_certificate {self._certificate} with key {self._key} cannot be used ({why})"
            expected = "expected the chain and its unencrypted key, in PEM"
            raise ConfigurationError([f"doors.{self._door}: {what}; {expected}"]) from error
        return context


def was_resumed(connection: SSL.Connection) -> bool:
    """Whether a handshake that is over resumed a session of this connection's context."""
    return bool(SSL._lib.SSL_session_reused(connection._ssl))  # type: ignore[attr-defined]
