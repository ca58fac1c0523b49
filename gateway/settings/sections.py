"""The tables of the file, as frozen objects; :class:`Settings` is the whole."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, cast
from urllib.parse import urlsplit

from pydantic import Field, JsonValue, SecretStr, model_validator

from gateway.settings.doors import DoorsSettings
from gateway.settings.secrets import Secret, SecretText
from gateway.settings.section import Section
from gateway.settings.values import (
    ALGORITHMS,
    Country,
    CrossingHeader,
    CustomerWord,
    FilePath,
    HeaderName,
    HolderName,
    Issuer,
    KeySetPlace,
    ListenAddress,
    Name,
    Network,
    NoticePattern,
    PathTemplate,
    Seconds,
    ServerName,
    Span,
    SpiffeId,
    StoreAddress,
    TableName,
    TicketPattern,
    signing_key,
    span_s,
)


class LimitSettings(Section):
    """``[gateway.limits]``: how much of the gateway one client may hold, and for how long. A 0 switches a limit off
    where that is allowed."""

    max_connections: Annotated[int, Field(ge=1, le=1_000_000)] = 4_096
    connections_per_address: Annotated[int, Field(ge=1, le=1_000_000)] = 1_024
    subject_concurrency: Annotated[int, Field(ge=1, le=1_000_000)] = 64
    subject_rate_per_s: Annotated[float, Field(ge=0, le=1_000_000)] = 0.0
    subject_burst: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    refusal_rate_per_s: Annotated[float, Field(ge=0, le=1_000_000)] = 100.0
    refusal_wait_s: Seconds = 10.0
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
    control_url: Annotated[str, Field(pattern=r"^(https?://[!-~]+)?$")] = ""  # http:// and control unless given
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


class HolderSettings(Section):
    """``[[ledger.holder]]``: a place outside that keeps the last checkpoint.

    ``required``: without its answer the gateway does not start.
    """

    name: HolderName
    kind: Literal["file", "http", "witness"]
    path: FilePath | None = None
    url: SecretStr | None = None
    credential: CredentialSettings | None = None
    tls_ca: FilePath | None = None
    unsafe_plain_http: bool = False
    key: Annotated[str, Field(pattern=r"^([^\s+]{1,255}\+[0-9a-f]{8}\+[0-9A-Za-z+/=]{1,128})?$")] = ""
    timeout_s: Annotated[float, Field(gt=0, le=30)] = 5.0
    required: bool = False

    @property
    def file_path(self) -> Path:
        """Of a file."""
        assert self.path is not None  # noqa: S101 - a fault of the configuration otherwise
        return self.path


class LedgerSettings(Section):
    """``[ledger]``: the record of decisions.

    ``origin`` names it in checkpoints; unless given, it is the node's name and ``/ledger``. Without ``segment_after``
    nothing is moved into segments by itself; nothing is ever removed but by a command, and then only what is older than
    ``keep``. With ``pseudonymise`` people stand in it by pseudonyms, whose keys are in ``subject_keys``.
    """

    path: FilePath = Field(default=Path("state/ledger.db"), validate_default=True)
    origin: Annotated[str, Field(pattern=r"^[^\s+]{0,255}$")] = ""
    signing_key: SecretText | None = None
    checkpoint_interval_s: Annotated[float, Field(ge=1, le=86_400)] = 60.0
    checkpoint_entries: Annotated[int, Field(ge=1, le=100_000_000)] = 10_000
    holder: tuple[HolderSettings, ...] = ()
    queue_entries: Annotated[int, Field(ge=1, le=1_000_000)] = 8_192
    commit_timeout_s: Seconds = 5.0
    minimum_free_bytes: Annotated[int, Field(ge=0)] = 64 * 1024 * 1024
    segment_after: Span | None = None
    segments_directory: FilePath | None = None
    keep: Span = "6y"
    pseudonymise: bool = False
    subject_keys: FilePath = Field(default=Path("subject-keys/keys.db"), validate_default=True)

    @property
    def segment_after_s(self) -> int | None:
        """How old entries are when they may be moved into segments; None: they stay."""
        return span_s(self.segment_after) if self.segment_after else None

    @property
    def keep_s(self) -> int:
        """How long entries are kept at least."""
        return span_s(self.keep)

    @property
    def lasting(self) -> LedgerSettings:
        """What holds until a restart: all of it, but not what a key's file holds, which another key may follow."""
        key = self.signing_key
        in_file = key is not None and key.file is not None
        return self.model_copy(update={"signing_key": Secret(SecretStr(""), key.file)}) if key and in_file else self


class PolicySettings(Section):
    """``[policy]``: the rules, and the jurisdiction that plans promise unless they name their own."""

    directory: FilePath
    home: Annotated[tuple[Country, ...], Field(min_length=1)]


class IssuerSettings(Section):
    """``[[identity.issuer]]``: who may vouch for people, and how its tokens are read.

    ``roles_claim`` and its like may be dotted (``realm_access.roles``). ``customers`` are those whose users it may
    name; ``"*"`` means all of them.
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
    customers: Annotated[tuple[CustomerWord, ...], Field(min_length=1)] = ("*",)
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


class StoreSettings(Section):
    """``[[store]]``: where data lives.

    ``addresses`` are connected to instead of the host that ``url`` names; a breaker that opens after 0 never does.
    A store over SFTP needs ``ssh_known_hosts``, and ``ssh_key`` where its url has no password.
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
    ssh_key: FilePath | None = None
    ssh_known_hosts: FilePath | None = None
    credential: CredentialSettings | None = None
    breaker_failures: Annotated[int, Field(ge=0, le=1_000_000)] = 5
    breaker_open_s: Seconds = 5.0

    @property
    def is_site(self) -> bool:
        """Whether files with names lie there, and no resources with paths."""
        return not self.url.get_secret_value().lower().startswith(("http:", "https:"))


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


class AccessSettings(Section):
    """``[access]``: how long grants and passes may last, and how long a request waits for its answer; 0: for ever."""

    longest_grant_s: Annotated[int, Field(ge=60, le=7 * 86_400)] = 7 * 86_400
    longest_pass_s: Annotated[int, Field(ge=60, le=86_400)] = 3_600
    answer_within_s: Annotated[int, Field(ge=0, le=366 * 86_400)] = 3 * 86_400


class TrackerFieldSettings(Section):
    """``fields`` of a ``[[tracker]]``: where each thing stands in what the tracker says; unset: as is usual there."""

    kind: str | None = None
    severity: str | None = None
    customers: str | None = None
    status: str | None = None
    holder: str | None = None
    title: str | None = None
    opened: str | None = None
    closed: str | None = None


class TrackerHandoffSettings(Section):
    """``handoff`` of a ``[[tracker]]``: what is written into a ticket's fields there to send it to analysts at home."""

    fields: Annotated[Mapping[str, JsonValue], Field(min_length=1)]


class TrackerSettings(Section):
    """``[[tracker]]``: another system whose tickets count, and what its words mean.

    ``kinds``, ``severities`` and ``customers`` translate the tracker's words; ``open`` lists those of a status that
    mean open. What none of them names justifies nothing.
    """

    name: Name
    kind: Literal["jira", "servicenow", "webhook"]
    pattern: TicketPattern
    url: SecretStr | None = None
    credential: CredentialSettings | None = None
    table: TableName = "incident"
    tls_ca: FilePath | None = None
    unsafe_plain_http: bool = False
    max_age_s: Annotated[float, Field(ge=1, le=3_600)] = 60.0
    timeout_s: Annotated[float, Field(gt=0, le=30)] = 3.0
    fields: TrackerFieldSettings = TrackerFieldSettings()
    kinds: Mapping[str, Literal["support", "security", "bug"]] = Field(default_factory=dict)
    severities: Mapping[str, Annotated[int, Field(ge=1, le=4)]] = Field(default_factory=dict)
    customers: Mapping[str, CustomerWord] = Field(default_factory=dict)
    open: tuple[str, ...] = ()
    home_queues: tuple[str, ...] = ()
    handoff: TrackerHandoffSettings | None = None
    webhook_secret: SecretText | None = None
    max_skew_s: Annotated[float, Field(ge=1, le=3_600)] = 300.0


class ExternalSettings(Section):
    """``[external]``: whose subrequests are believed about the requests that their own proxy is asked; none: off."""

    trusted_peers: tuple[Network, ...] = ()


class NotificationSettings(Section):
    """``[[notification]]``: who is told of what, where and in which form.

    ``customers`` empty: of every customer. ``unsafe_loopback`` allows a receiver on this machine, by plain http too.
    """

    name: Name
    url: SecretStr  # who knows it can post there, so it is a secret
    format: Literal["cloudevents", "slack"] = "cloudevents"
    secret: SecretText | None = None
    types: Annotated[tuple[NoticePattern, ...], Field(min_length=1)] = ("*",)
    customers: tuple[Name, ...] = ()
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 15.0
    max_attempts: Annotated[int, Field(ge=1, le=10_000)] = 100
    give_up_after_s: Seconds = 3 * 86_400.0
    unsafe_loopback: bool = False

    @model_validator(mode="after")
    def _is_receiver(self) -> NotificationSettings:
        if not _is_receiver_url(self.url.get_secret_value(), loopback=self.unsafe_loopback):
            raise ValueError(
                "its url cannot be used; expected https:// and a host, without credentials (http:// only with "
                "unsafe_loopback, to this machine)"
            )
        if self.secret is None and self.format == "cloudevents":
            raise ValueError("it has no secret; expected one, since receivers tell by the signature who sent it")
        if self.secret is not None:
            try:
                signing_key(self.secret.text.get_secret_value())
            except ValueError as error:
                raise ValueError(f"its secret cannot be used; {error}") from None
        return self

    @property
    def key(self) -> bytes | None:
        """What messages are signed with."""
        return signing_key(self.secret.text.get_secret_value()) if self.secret else None


def _is_receiver_url(value: str, *, loopback: bool) -> bool:
    try:
        parts = urlsplit(value)
        host, usable = parts.hostname or "", parts.port != 0
    except ValueError:  # brackets that do not close, a port that is no number
        return False
    plain = value.isascii() and value.isprintable() and " " not in value and "@" not in parts.netloc
    here = loopback and host in ("localhost", "127.0.0.1", "::1")
    return usable and bool(host) and plain and (parts.scheme == "https" or (parts.scheme == "http" and here))


class NoticeSettings(Section):
    """``[notices]``: what time alone brings about and is told of (0: is not), and how long notices are kept."""

    keep_s: Seconds = 30 * 86_400.0
    request_reminder_after_s: Annotated[float, Field(ge=0, le=86_400 * 366)] = 4 * 3_600.0
    grant_reminder_before_s: Annotated[float, Field(ge=0, le=86_400 * 366)] = 900.0
    plan_reminder_before_s: Annotated[float, Field(ge=0, le=86_400 * 366)] = 86_400.0
    critical_case_reminder_after_s: Annotated[float, Field(ge=0, le=86_400 * 366)] = 900.0
    case_reminder_after_s: Annotated[float, Field(ge=0, le=86_400 * 366)] = 3_600.0


class FeedSettings(Section):
    """``[[feed]]``: a system outside that gets the ledger's entries as they are written.

    ``kinds``, ``effects`` and ``customers`` empty: all of them. Which keys a kind has is in ``feed_contradictions``.
    """

    name: Name
    kind: Literal["syslog", "http", "file", "nats", "kafka"]
    begin: Literal["now", "start"] = Field(default="now", alias="from")
    kinds: tuple[Literal["decision", "completion", "administrative"], ...] = ()
    effects: tuple[Literal["permit", "deny"], ...] = ()
    customers: tuple[Name, ...] = ()
    batch_entries: Annotated[int, Field(ge=1, le=5_000)] = 500
    timeout_s: Annotated[float, Field(gt=0, le=300)] = 15.0
    addresses: tuple[StoreAddress, ...] = ()
    url: SecretStr | None = None
    secret: SecretText | None = None
    gzip: bool = False
    credential: CredentialSettings | None = None
    tls_ca: FilePath | None = None
    tls_certificate: FilePath | None = None
    tls_key: FilePath | None = None
    tls_server_name: ServerName | None = None
    unsafe_plaintext: bool = False
    facility: Annotated[int, Field(ge=0, le=23)] = 13  # log audit (RFC 5424 §6.2.1)
    enterprise: Annotated[int, Field(ge=1, le=4_294_967_295)] = 32_473  # for examples (RFC 5612)
    path: FilePath | None = None
    rotate_bytes: Annotated[int, Field(ge=0)] = 100_000_000
    rotate_daily: bool = False
    subject: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$")] = "residency.ledger"
    topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")] = "residency-ledger"

    @property
    def key(self) -> bytes:
        """What HTTP batches are signed with."""
        return signing_key(self.secret.text.get_secret_value()) if self.secret else b""


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
    access: AccessSettings = AccessSettings()
    external: ExternalSettings = ExternalSettings()
    doors: DoorsSettings = DoorsSettings()
    notices: NoticeSettings = NoticeSettings()
    notification: tuple[NotificationSettings, ...] = ()
    feed: tuple[FeedSettings, ...] = ()
    tracker: tuple[TrackerSettings, ...] = ()
    store: Annotated[tuple[StoreSettings, ...], Field(min_length=1)]
    route: Annotated[tuple[RouteSettings, ...], Field(min_length=1)]

    @property
    def ledger_origin(self) -> str:
        """The ledger's name in checkpoints."""
        return self.ledger.origin or f"{self.gateway.node}/ledger"
