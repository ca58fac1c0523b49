"""TLS towards a store: its certificate is always verified; by whom it is signed, for what name, can be set.

TLS 1.2 and later, HTTP/1.1 only (RFC 9325 §3.1).

Invariants: nothing switches verification off; with an authority of its own, no other is believed; files that cannot be
used stop the start, and never replace those in use.
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import structlog

from gateway.errors import ConfigurationError
from gateway.proxy.file_changes import FileChanges
from gateway.settings import StoreSettings

log = structlog.get_logger(__name__)


class UpstreamTls:
    """The TLS side of the connections to one store.

    Args:
        settings: of the store.
        host: that its url names.

    Raises:
        ConfigurationError: a file cannot be used.

    Attributes:
        context: for handshakes that begin now.
        server_name: what the store's certificate has to be for.
    """

    def __init__(self, settings: StoreSettings, host: str) -> None:
        self._settings = settings
        self._changes = FileChanges(settings.tls_ca, settings.tls_certificate, settings.tls_key)
        self.context = _context(settings)
        self.server_name = settings.tls_server_name or host

    async def renew_if_due(self) -> None:
        """Take newer files into use. Those that cannot be used are logged, and the old ones stay."""
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._changes.due_s:
            self._changes.looked(now_s)
            await asyncio.to_thread(self._renew_if_changed)

    def _renew_if_changed(self) -> None:
        if not self._changes.changed():
            return
        try:
            self.context = _context(self._settings)
        except ConfigurationError as error:
            log.error("store_certificates_not_reloaded", problem=str(error))
            return
        log.info("store_certificates_reloaded", store=self._settings.name)


def _context(settings: StoreSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca)  # with None: whom the machine trusts
    except (OSError, ValueError) as error:  # of which SSLError is one
        raise _unusable(settings, "tls_ca", settings.tls_ca, error, "certificates in PEM") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if settings.tls_certificate:
        try:
            # A password is never asked for: nobody is there to type it.
            context.load_cert_chain(settings.tls_certificate, settings.tls_key, password="")
        except (OSError, ValueError) as error:
            expected = "the chain and, in tls_key, its unencrypted key, in PEM"
            raise _unusable(settings, "tls_certificate", settings.tls_certificate, error, expected) from error
    return context


def _unusable(
    settings: StoreSettings, key: str, file: Path | None, error: Exception, expected: str
) -> ConfigurationError:
    why = error.strerror or error.__class__.__name__ if isinstance(error, OSError) else str(error)
    return ConfigurationError([f"store {settings.name}: {key} {file} cannot be used ({why}); expected {expected}"])
