"""Configuration: a TOML file in, one frozen object out, or every fault at once.

Invariants: nothing else in the package reads the environment or the file; a relative path is relative to the file; a
value given as ``{ env = "NAME" }`` or ``{ file = "path" }`` is a secret and never shown, not even in the error that
refuses it; an unknown key is a fault.
"""

from gateway.settings.doors import DoorsSettings, FtpDoorSettings, SftpDoorSettings, TransferDoorSettings
from gateway.settings.secrets import Secret, read_secret
from gateway.settings.sections import (
    AccessSettings,
    CredentialSettings,
    ExternalSettings,
    FeedSettings,
    GatewaySettings,
    HolderSettings,
    IdentitySettings,
    IssuerSettings,
    LedgerSettings,
    LimitSettings,
    LocationSettings,
    NoticeSettings,
    NotificationSettings,
    PlanSettings,
    PolicySettings,
    RouteSettings,
    ServiceSettings,
    Settings,
    SiteSettings,
    StateSettings,
    StoreSettings,
    TlsSettings,
    TrackerFieldSettings,
    TrackerHandoffSettings,
    TrackerSettings,
)
from gateway.settings.source import Source, load, parse
from gateway.settings.values import span_s

__all__ = [
    "AccessSettings",
    "CredentialSettings",
    "DoorsSettings",
    "ExternalSettings",
    "FeedSettings",
    "FtpDoorSettings",
    "GatewaySettings",
    "HolderSettings",
    "IdentitySettings",
    "IssuerSettings",
    "LedgerSettings",
    "LimitSettings",
    "LocationSettings",
    "NoticeSettings",
    "NotificationSettings",
    "PlanSettings",
    "PolicySettings",
    "RouteSettings",
    "Secret",
    "ServiceSettings",
    "Settings",
    "SftpDoorSettings",
    "SiteSettings",
    "Source",
    "StateSettings",
    "StoreSettings",
    "TlsSettings",
    "TrackerFieldSettings",
    "TrackerHandoffSettings",
    "TrackerSettings",
    "TransferDoorSettings",
    "load",
    "parse",
    "read_secret",
    "span_s",
]
