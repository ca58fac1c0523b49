"""Configuration: a TOML file in, one frozen object out, or every fault at once.

Invariants: nothing else in the package reads the environment or the file; a relative path is relative to the file; a
value given as ``{ env = "NAME" }`` or ``{ file = "path" }`` is a secret and never shown, not even in the error that
refuses it; an unknown key is a fault.
"""

from gateway.settings.secrets import Secret, read_secret
from gateway.settings.sections import (
    CredentialSettings,
    ExternalSettings,
    GatewaySettings,
    IdentitySettings,
    IssuerSettings,
    LedgerSettings,
    LimitSettings,
    LocationSettings,
    PlanSettings,
    PolicySettings,
    RouteSettings,
    ServiceSettings,
    Settings,
    SiteSettings,
    StateSettings,
    StoreSettings,
    TlsSettings,
)
from gateway.settings.source import Source, load, parse

__all__ = [
    "CredentialSettings",
    "ExternalSettings",
    "GatewaySettings",
    "IdentitySettings",
    "IssuerSettings",
    "LedgerSettings",
    "LimitSettings",
    "LocationSettings",
    "PlanSettings",
    "PolicySettings",
    "RouteSettings",
    "Secret",
    "ServiceSettings",
    "Settings",
    "SiteSettings",
    "Source",
    "StateSettings",
    "StoreSettings",
    "TlsSettings",
    "load",
    "parse",
    "read_secret",
]
