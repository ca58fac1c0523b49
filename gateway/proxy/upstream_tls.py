"""TLS towards a store: its certificate is always verified; by whom it is signed, for what name, can be set.

TLS 1.2 and later, HTTP/1.1 only (RFC 9325 §3.1).

Invariants: nothing switches verification off; with an authority of its own, no other is believed; files that cannot be
used stop the start, and never replace those in use.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from pathlib import Path

import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificates

from gateway.errors import ConfigurationError
from gateway.proxy.file_changes import FileChanges
from gateway.proxy.outward import verifying_tls
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


def require_files(stores: Iterable[StoreSettings]) -> None:
    """That the files for TLS of all stores can be used.

    Raises:
        ConfigurationError: one line for each that cannot.
    """
    secure = (store for store in stores if store.url.get_secret_value().startswith(("https://", "ftps://", "ftpes://")))
    problems = [problem for store in secure for problem in _load(store)[1]]
    if problems:
        raise ConfigurationError(problems)


def _context(settings: StoreSettings) -> ssl.SSLContext:
    context, problems = _load(settings)
    if problems:
        raise ConfigurationError(problems)
    return context


def _load(settings: StoreSettings) -> tuple[ssl.SSLContext, list[str]]:
    """The context, and a line for each file that cannot be used in it."""
    problems = []
    try:
        context = verifying_tls(settings.tls_ca)
    except (OSError, ValueError) as error:  # of which SSLError is one
        problems.append(_unusable(settings, "tls_ca", settings.tls_ca, error, "certificates in PEM"))
        context = verifying_tls(None)
    context.set_alpn_protocols(["http/1.1"])
    if settings.tls_certificate and settings.tls_key:
        problems += _load_pair(context, settings, settings.tls_certificate, settings.tls_key)
    return context, problems


def _load_pair(context: ssl.SSLContext, settings: StoreSettings, certificate: Path, key: Path) -> list[str]:
    """Each file for itself first: OpenSSL does not say which of the two it is."""
    problems = []
    try:
        load_pem_x509_certificates(certificate.read_bytes())
    except (OSError, ValueError) as error:
        problems.append(_unusable(settings, "tls_certificate", certificate, error, "the chain in PEM, the leaf first"))
    try:
        load_pem_private_key(key.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        problems.append(_unusable(settings, "tls_key", key, error, "an unencrypted key in PEM"))
    if problems:
        return problems
    try:
        # A password is never asked for: nobody is there to type it.
        context.load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:
        expected = f"the chain whose leaf is for the key in tls_key, {key}"
        return [_unusable(settings, "tls_certificate", certificate, error, expected)]
    return []


def _unusable(settings: StoreSettings, key: str, file: Path | None, error: Exception, expected: str) -> str:
    why = error.strerror or error.__class__.__name__ if isinstance(error, OSError) else str(error)
    return f"store {settings.name}: {key} {file} cannot be used ({' '.join(why.split())}); expected {expected}"
