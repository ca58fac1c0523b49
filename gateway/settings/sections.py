"""The tables of the file, as frozen objects; :class:`Settings` is the whole."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from gateway.settings.secrets import Secret, SecretText
from gateway.settings.values import (
    ALGORITHMS,
    Country,
    CrossingHeader,
    FilePath,
    HeaderName,
    Issuer,
    KeySetPlace,
    ListenAddress,
    Name,
    Network,
    PathTemplate,
    Seconds,
    ServerName,
    SpiffeId,
    StoreAddress,
)


class Section(BaseModel):
    """A table of the file: frozen, and closed to keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, hide_input_in_errors=True)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Nothing: any value may have come from ``{env}`` or ``{file}``."""
        return iter(())


class LimitSettings(Section):
    """``[gateway.limits]``: how much of the gateway one client may hold, and for how long. A 0 switches a limit off
    where that is allowed."""

    max_connections: Annotated[int, Field(ge=1, le=1_000_000)] = 4_096
    connections_per_address: Annotated[int, Field(ge=1, le=1_000_000)] = 1_024
    subject_concurrency: Annotated[int, Field(ge=1, le=1_000_000)] = 64
    subject_rate_per_s: Annotated[float, Field(ge=0, le=1_000_000)] = 0.0
    subject_burst: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    header_timeout_s: Seconds = 10.0
    body_idle_timeout_s: Seconds = 30.0
    request_timeout_s: Annotated[float, Field(ge=0, le=86_400 * 366)] = 0.0
    keepalive_timeout_s: Seconds = 75.0
    write_timeout_s: Seconds = 60.0


class ServiceSettings(Section):
    """``[[gateway.tls.service]]``: whose certificate is which service's: by SPIFFE id, or by subject (RFC 4514)."""

    name: Annotated[str, Field(min_length=1)]
    spiffe: SpiffeId | None = None
    subject: Annotated[str, Field(min_length=3)] | None = None


class TlsSettings(Section):
    """``[gateway.tls]``: the doors' certificate, and what is asked of clients'. Without one the doors speak plainly."""

    certificate: FilePath | None = None
    key: FilePath | None = None
    client_ca: FilePath | None = None
    client_certificates: Literal["none", "optional", "required"] = "none"
    service: tuple[ServiceSettings, ...] = ()


class GatewaySettings(Section):
    """``[gateway]``: where the doors listen and whom they believe."""

    listen: ListenAddress = "127.0.0.1:8080"
    control: ListenAddress = "127.0.0.1:8081"
    node: Name = "gateway-1"
    trusted_proxies: tuple[Network, ...] = ()
    forwarding_header: Literal["auto", "x-forwarded-for", "forwarded", "none"] = "auto"
    max_forwarding_hops: Annotated[int, Field(ge=1, le=100)] = 20
    workers: Annotated[int, Field(ge=1, le=1)] = 1
    max_target_bytes: Annotated[int, Field(ge=256, le=32_768)] = 8_190  # an entry holds it, and has its own limit
    websocket_origins: tuple[str, ...] = ()
    drain_delay_s: Annotated[float, Field(ge=0, le=300)] = 1.0
    drain_timeout_s: Seconds = 30.0
    proxy_protocol: bool = False
    proxy_protocol_timeout_s: Annotated[float, Field(gt=0, le=60)] = 3.0
    limits: LimitSettings = LimitSettings()
    tls: TlsSettings = TlsSettings()
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "text"] = "auto"


class StateSettings(Section):
    """``[state]``: customers, plans, tickets and grants."""

    url: SecretStr = SecretStr("sqlite:///state/gateway.db")
    max_staleness_s: Seconds = 5.0


class LedgerSettings(Section):
    """``[ledger]``: the record of decisions."""

    path: FilePath = Field(default=Path("state/ledger.db"), validate_default=True)
    queue_entries: Annotated[int, Field(ge=1, le=1_000_000)] = 8_192
    commit_timeout_s: Seconds = 5.0
    minimum_free_bytes: Annotated[int, Field(ge=0)] = 64 * 1024 * 1024


class PolicySettings(Section):
    """``[policy]``: the rules, and the jurisdiction that plans promise unless they name their own."""

    directory: FilePath
    home: Annotated[tuple[Country, ...], Field(min_length=1)]


class IssuerSettings(Section):
    """``[[identity.issuer]]``: who may vouch for people, and how its tokens are read.

    ``roles_claim`` and its like may be dotted (``realm_access.roles``).
    """

    issuer: Issuer
    audience: Annotated[str, Field(min_length=1)]
    jwks: KeySetPlace
    algorithms: Annotated[tuple[ALGORITHMS, ...], Field(min_length=1)]
    types: tuple[str, ...] = ("JWT", "at+jwt")
    leeway_s: Annotated[float, Field(ge=0, le=300)] = 30.0
    max_age_s: Seconds | None = None
    roles_claim: str = "roles"
    customer_claim: str | None = None
    country_claim: str | None = None
    vouches_for: Annotated[tuple[Literal["personnel", "service", "customer"], ...], Field(min_length=1)] = (
        "personnel",
        "service",
        "customer",
    )
    jwks_max_age_s: Seconds = 300.0
    jwks_grace_s: Seconds = 86_400.0
    jwks_cooldown_s: Seconds = 30.0


class IdentitySettings(Section):
    """``[identity]``: issuers, the workforce directory, and how much may be remembered."""

    issuer: Annotated[tuple[IssuerSettings, ...], Field(min_length=1)]
    workforce: FilePath | None = None
    trusted_actors: tuple[str, ...] = ()
    max_token_bytes: Annotated[int, Field(ge=256, le=65_536)] = 8_192
    cached_tokens: Annotated[int, Field(ge=0, le=1_000_000)] = 10_000


class SiteSettings(Section):
    """``[[location.site]]``: a network of the vendor's own."""

    name: Annotated[str, Field(min_length=1)]
    networks: Annotated[tuple[Network, ...], Field(min_length=1)]
    country: Country


class LocationSettings(Section):
    """``[location]``: the databases, how old they may be, and the vendor's own networks."""

    country_database: FilePath
    anonymous_database: FilePath | None = None
    max_database_age_s: Seconds = 86_400.0 * 45
    reload_interval_s: Seconds = 2.0
    site: tuple[SiteSettings, ...] = ()


class CredentialSettings(Section):
    """``credential`` of a ``[[store]]``: what the gateway shows the store, and no client ever sees.

    One of ``header`` with ``value``, ``basic`` (``user:password``) and ``bearer``.
    """

    header: CrossingHeader | None = None
    value: SecretText | None = None
    basic: SecretText | None = None
    bearer: SecretText | None = None

    @model_validator(mode="after")
    def _is_one(self) -> CredentialSettings:
        forms = [self.header or self.value, self.basic, self.bearer]
        if sum(form is not None for form in forms) != 1 or bool(self.header) != bool(self.value):
            raise ValueError("expected exactly one of header with value, basic, and bearer")
        if not self.fits(self.secret.text.get_secret_value()):
            raise ValueError(f"its secret cannot be sent; expected {self.expected}")
        return self

    @property
    def secret(self) -> Secret:
        """The one that is given."""
        return cast(Secret, self.value or self.basic or self.bearer)

    @property
    def expected(self) -> str:
        """What :meth:`fits`, in words."""
        return "user:password" if self.basic else "visible ASCII"

    def fits(self, text: str) -> bool:
        """Whether a secret can be sent: ``user:password`` (RFC 7617 §2), or something that can stand in a header."""
        if self.basic:
            return ":" in text and text.isprintable()
        return re.fullmatch(r"[!-~]([ -~]*[!-~])?", text) is not None


class StoreSettings(Section):
    """``[[store]]``: where data lives.

    ``addresses`` are connected to instead of the host that ``url`` names; a breaker that opens after 0 never does.
    """

    name: Name
    url: SecretStr
    country: Country
    connect_timeout_s: Seconds = 5.0
    read_timeout_s: Seconds = 60.0
    request_headers: tuple[CrossingHeader, ...] = ()  # more headers of clients that may cross to this store
    max_connections: Annotated[int, Field(ge=1, le=100_000)] = 256
    addresses: tuple[StoreAddress, ...] = ()
    tls_ca: FilePath | None = None
    tls_certificate: FilePath | None = None
    tls_key: FilePath | None = None
    tls_server_name: ServerName | None = None
    credential: CredentialSettings | None = None
    breaker_failures: Annotated[int, Field(ge=0, le=1_000_000)] = 5
    breaker_open_s: Seconds = 5.0


class RouteSettings(Section):
    """``[[route]]``: which requests go to which store, as what, for whom.

    ``allow`` opts in to what separates in some stores and not in others.
    """

    path: PathTemplate
    store: Name
    data_class: Name
    host: str | None = None
    strip: str = ""
    methods: Mapping[str, Literal["read", "write", "delete", "export"]] = Field(default_factory=dict)
    customer_header: HeaderName | None = None
    customer_host: str | None = None
    customer: Name | None = None
    many_customers: bool = False
    allow: tuple[Literal[";", "%2F", "%5C", "%3B", "%25", "%3F", "%23"], ...] = ()  # what a path may hold besides


class ExternalSettings(Section):
    """``[external]``: whose subrequests are believed about the requests that their own proxy is asked; none: off."""

    trusted_peers: tuple[Network, ...] = ()


class PlanSettings(Section):
    """``[support]``: how the support window is read."""

    fixed_offset: bool = False  # the literal "EST" all year, instead of Eastern wall-clock time
    closed_on_holidays: bool = False
    outside_window: Literal["deny", "record"] = "deny"


class Settings(Section):
    """The whole file."""

    gateway: GatewaySettings = GatewaySettings()
    state: StateSettings = StateSettings()
    ledger: LedgerSettings = Field(
        default_factory=dict, validate_default=True
    )  # validated, so that its path is resolved
    policy: PolicySettings
    identity: IdentitySettings
    location: LocationSettings
    support: PlanSettings = PlanSettings()
    external: ExternalSettings = ExternalSettings()
    store: Annotated[tuple[StoreSettings, ...], Field(min_length=1)]
    route: Annotated[tuple[RouteSettings, ...], Field(min_length=1)]
