"""TLS towards a receiver: its certificate is always verified, and it may be shown one of the gateway's."""

from __future__ import annotations

import ssl

from gateway.errors import ConfigurationError
from gateway.proxy.outward import verifying_tls
from gateway.settings import FeedSettings


def tls_context(settings: FeedSettings) -> ssl.SSLContext:
    """A context made of the files as they are now.

    Raises:
        ConfigurationError: one of them cannot be used.
    """
    try:
        context = verifying_tls(settings.tls_ca)
    except (OSError, ValueError) as error:
        raise _unusable(settings, f"tls_ca {settings.tls_ca}", "certificates") from error
    if settings.tls_certificate and settings.tls_key:
        try:
            context.load_cert_chain(settings.tls_certificate, settings.tls_key, password="")
        except (OSError, ValueError) as error:
            named = f"tls_certificate {settings.tls_certificate} with tls_key {settings.tls_key}"
            raise _unusable(settings, named, "a chain and its key, not encrypted,") from error
    return context


def _unusable(settings: FeedSettings, named: str, expected: str) -> ConfigurationError:
    return ConfigurationError([f"feed {settings.name}: {named} cannot be used; expected {expected} in PEM"])
