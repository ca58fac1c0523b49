"""TLS on the doors' listener: a context that is renewed with its files, and the services that certificates name.

TLS 1.2 and later, forward secrecy and authenticated encryption only, HTTP/1.1 only (RFC 9325 §3.1, §4.2).

Invariants: files that cannot be used stop the start, and never replace those in use; a certificate names a service only
after the handshake verified it, and only where the configuration says which.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable, Mapping
from typing import Any

import structlog

from gateway.errors import ConfigurationError
from gateway.proxy.file_changes import FileChanges
from gateway.settings import ServiceSettings, TlsSettings

log = structlog.get_logger(__name__)
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2; those of 1.3 are all as good
_VERIFICATION = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
_SHORT_NAMES = {  # RFC 4514 §3
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}
_SPECIAL = frozenset('"+,;<>\\')


class ListenerTls:
    """The TLS side of a listener.

    Args:
        settings: with a certificate.

    Raises:
        ConfigurationError: a file cannot be used.

    Attributes:
        context: for handshakes that begin now.
        problem: why newer files are not in use, or "".
    """

    def __init__(self, settings: TlsSettings) -> None:
        self._settings = settings
        self._changes = FileChanges(settings.certificate, settings.key, settings.client_ca)
        self.context = _context(settings)
        self.problem = ""

    @classmethod
    def of(cls, settings: TlsSettings) -> ListenerTls | None:
        """The TLS side of a configuration; None where it has none."""
        return cls(settings) if settings.certificate else None

    def reload_if_changed(self) -> None:
        """Take newer files into use; blocking. Those that cannot be used are logged, and the old ones stay."""
        if not self._changes.changed():
            return
        try:
            self.context = _context(self._settings)
        except ConfigurationError as error:
            self.problem = str(error)
            log.error("certificate_not_reloaded", problem=self.problem)
            return
        self.problem = ""
        log.info("certificate_reloaded")

    def service(self, transport: asyncio.BaseTransport) -> str:
        """The service that the client's certificate names, or ""."""
        return service_of(transport.get_extra_info("peercert") or {}, self._settings.service) or ""


def service_of(certificate: Mapping[str, Any], mappings: Iterable[ServiceSettings]) -> str | None:
    """The service that a verified certificate names.

    Args:
        certificate: as :meth:`ssl.SSLSocket.getpeercert` gives it.
        mappings: the first that fits decides.

    Returns:
        Its name, or None where no mapping fits.
    """
    names = certificate.get("subjectAltName", ())
    identities = [value for kind, value in names if kind == "URI"]
    spiffe = identities[0] if len(identities) == 1 else None  # SPIFFE X.509-SVID §2: exactly one
    subject = distinguished_name(certificate.get("subject", ()))
    for mapping in mappings:
        if (mapping.spiffe and mapping.spiffe == spiffe) or (mapping.subject and mapping.subject == subject):
            return mapping.name
    return None


def distinguished_name(subject: Iterable[Iterable[tuple[str, str]]]) -> str:
    """A certificate's subject in words, the most specific part first (RFC 4514 §2)."""
    parts = ["+".join(f"{_SHORT_NAMES.get(name, name)}={_escaped(value)}" for name, value in part) for part in subject]
    return ",".join(reversed(parts))


def _escaped(value: str) -> str:
    """A value that cannot be taken for the beginning of another part (RFC 4514 §2.4)."""
    text = "".join(f"\\{char}" if char in _SPECIAL else char for char in value).replace("\0", "\\00")
    if text.startswith((" ", "#")):
        text = f"\\{text}"
    return f"{text[:-1]}\\ " if text.endswith(" ") and len(value) > 1 else text


def _context(settings: TlsSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.verify_mode = _VERIFICATION[settings.client_certificates]
    try:
        # A password is never asked for: nobody is there to type it.
        context.load_cert_chain(str(settings.certificate), str(settings.key), password="")
    except (OSError, ValueError) as error:  # of which SSLError is one
        raise _unusable(
            f"certificate {settings.certificate} with key {settings.key}",
            error,
            "the chain and its unencrypted key, in PEM",
        ) from error
    if settings.client_ca:
        try:
            context.load_verify_locations(str(settings.client_ca))
        except (OSError, ValueError) as error:
            raise _unusable(f"client_ca {settings.client_ca}", error, "certificates in PEM") from error
    return context


def _unusable(what: str, error: Exception, expected: str) -> ConfigurationError:
    why = error.strerror or error.__class__.__name__ if isinstance(error, OSError) else str(error)
    return ConfigurationError([f"gateway.tls: {what} cannot be used ({why}); expected {expected}"])
