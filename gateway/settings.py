"""Configuration: a TOML file in, one frozen object out, or every fault at once.

Invariants: nothing else in the package reads the environment or the file; a relative path is relative to the file; a
value given as ``{ env = "NAME" }`` or ``{ file = "path" }`` is a secret and never shown, not even in the error that
refuses it; an unknown key is a fault.
"""

from __future__ import annotations

import contextlib
import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, cast
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic import ValidationInfo as Info
from pydantic_core import ErrorDetails

from gateway.errors import ConfigurationError

ALGORITHMS = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
_NAME = r"^[a-z0-9][a-z0-9._-]{0,62}$"
_COUNTRY = r"^[A-Z]{2}$"
_NEVER_CROSSING = frozenset(
    """connection content-length expect host keep-alive proxy-authorization proxy-connection te trailer
    transfer-encoding upgrade""".split()  # noqa: SIM905  they frame a message, or end at the next hop
)


def _resolve(value: Path, info: Info) -> Path:
    base: Path = (info.context or {}).get("base", Path())
    return value if value.is_absolute() else Path(os.path.normpath(base / value))


def _address(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535 or not host:
        raise ValueError('expected "address:port", such as "127.0.0.1:8080"')
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        raise ValueError('expected an IP address before the port, such as "127.0.0.1:8080" or "[::1]:8080"') from None
    return value


def _network(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError('expected a network in CIDR form, such as "10.20.0.0/16"')
    try:
        return ipaddress.ip_network(value)
    except ValueError:
        raise ValueError('expected a network in CIDR form without host bits, such as "10.20.0.0/16"') from None


def _jwks(value: str, info: Info) -> str:
    if value.startswith("https://"):
        return value
    if "://" in value or value.startswith("data:"):
        raise ValueError("expected an https:// address or a file path")
    return str(_resolve(Path(value), info))


def _issuer_text(value: str) -> str:
    if not value or value != value.strip():
        raise ValueError("expected the issuer exactly as its tokens state it")
    return value


def _header(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", value):
        raise ValueError('expected the name of a header, such as "X-Tenant"')
    return value


def _spiffe(value: str) -> str:
    if not re.fullmatch(r"spiffe://[a-z0-9._-]+(/[A-Za-z0-9._-]+)*", value):
        raise ValueError('expected a SPIFFE id, such as "spiffe://example.com/billing"')
    return value


def _crossing(value: str) -> str:
    if value.lower() in _NEVER_CROSSING or value.lower().startswith("residency-"):
        raise ValueError("expected a header that may cross; those of the connection and the gateway's own never do")
    return value


def _store_address(value: str) -> str:
    host, _, port = value.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536 or not re.fullmatch(r"[0-9A-Za-z.:-]+", bare):
        raise ValueError('expected "host:port", such as "10.0.0.5:9101" or "[fd00::5]:9101"')
    if (":" in bare) != host.startswith("[") or host.startswith("[") != host.endswith("]"):
        raise ValueError('expected brackets around an IPv6 address, such as "[fd00::5]:9101", and nowhere else')
    return value


def _server_name(value: str) -> str:
    if not re.fullmatch(r"[0-9A-Za-z:]([0-9A-Za-z.:-]{0,251}[0-9A-Za-z:])?", value):
        raise ValueError('expected the name in the store\'s certificate, such as "crm.internal"')
    return value


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret, and the file that it came from, where it can be read again."""

    text: SecretStr
    file: Path | None = None


def _secret(value: object) -> object:
    if isinstance(value, str):
        return Secret(SecretStr(str(value)), getattr(value, "file", None))
    if isinstance(value, Secret):
        return value
    raise ValueError('expected { env = "NAME" }, { file = "path" }, or text')


def _template(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError('expected a path template that begins with "/", such as "/crm/{customer}/cases/{rest...}"')
    return value


FilePath = Annotated[Path, AfterValidator(_resolve)]
ListenAddress = Annotated[str, AfterValidator(_address)]
Network = Annotated[ipaddress.IPv4Network | ipaddress.IPv6Network, BeforeValidator(_network)]
Country = Annotated[str, Field(pattern=_COUNTRY)]
Name = Annotated[str, Field(pattern=_NAME)]
HeaderName = Annotated[str, AfterValidator(_header)]
CrossingHeader = Annotated[HeaderName, AfterValidator(_crossing)]
Seconds = Annotated[float, Field(gt=0, le=86_400 * 366)]
StoreAddress = Annotated[str, AfterValidator(_store_address)]
ServerName = Annotated[str, AfterValidator(_server_name)]
SecretText = Annotated[Secret, BeforeValidator(_secret)]


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
    spiffe: Annotated[str, AfterValidator(_spiffe)] | None = None
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

    issuer: Annotated[str, AfterValidator(_issuer_text)]
    audience: Annotated[str, Field(min_length=1)]
    jwks: Annotated[str, AfterValidator(_jwks)]
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

    path: Annotated[str, AfterValidator(_template)]
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


class _Secret(str):
    """Text that no error shows, wherever it stands, and the file that it came from."""

    __slots__ = ("file",)
    file: Path | None

    def __repr__(self) -> str:
        return "a secret"


@dataclass(slots=True)
class _Secrets:
    """Replaces ``{env}`` and ``{file}`` by their values."""

    base: Path
    environ: Mapping[str, str]
    problems: list[tuple[str, str]] = field(default_factory=list)

    def resolve(self, node: Any, key: str = "") -> Any:
        if isinstance(node, list):
            return [self.resolve(item, f"{key}[{index}]") for index, item in enumerate(node)]
        if not isinstance(node, dict):
            return node
        if set(node) in ({"env"}, {"file"}):
            secret = _Secret(self._read(node, key))
            secret.file = self.base / str(node["file"]) if "file" in node else None
            return secret
        return {name: self.resolve(item, f"{key}.{name}" if key else name) for name, item in node.items()}

    def _read(self, node: dict[str, Any], key: str) -> str:
        [(source, name)] = node.items()
        try:
            if source == "env":
                return self.environ[str(name)]
            return read_secret(self.base / str(name))
        except KeyError:
            self.problems.append((key, f"the environment has no {name}; set it, or name another variable"))
        except (OSError, ValueError) as error:  # not UTF-8, or a name that no file can have
            self.problems.append(
                (key, f"cannot read the file {str(name)!r} ({error.__class__.__name__}); check path and permissions")
            )
        return ""


def read_secret(path: Path) -> str:
    """The secret in a file: its text less the last line's end; blocking.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not UTF-8.
    """
    return path.read_text("utf-8").rstrip("\n")


def load(path: Path, environ: Mapping[str, str]) -> Settings:
    """The settings in the file at ``path``.

    Raises:
        ConfigurationError: with one line for every fault: file, key, what came, what was expected.
    """
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigurationError([f"{path}: no such file; name one with --config"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"{path}: cannot be read ({error}); expected a TOML file in UTF-8"]) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError([f"{path}: not TOML: {error}"]) from error
    return parse(raw, path=path, environ=environ)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a configuration came from, to be read again."""

    path: Path
    environ: Mapping[str, str]

    def load(self) -> Settings:
        """See :func:`load`."""
        return load(self.path, self.environ)

    def fingerprint(self, settings: Settings) -> tuple[object, ...]:
        """Differs once the file or one of the policy's has changed; blocking."""
        return tuple(map(_stamp, (self.path, *sorted(settings.policy.directory.glob("*")))))


def _stamp(path: Path) -> tuple[object, ...]:
    try:
        found = path.stat()
    except OSError:
        return (path,)
    return path, found.st_ino, found.st_size, found.st_mtime_ns


def parse(raw: Mapping[str, Any], *, path: Path, environ: Mapping[str, str]) -> Settings:
    """Validate an already parsed document; see :func:`load`."""
    base = path.absolute().parent
    secrets = _Secrets(base, environ)
    document = secrets.resolve(dict(raw))
    problems = [f"{path}: {key}: {what}" for key, what in secrets.problems]
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(document, context={"base": base})
    except ValidationError as error:
        unread = {key for key, _ in secrets.problems}
        problems += [f"{path}: {line}" for line in _lines(error, document, unread)]
    problems += [
        f"{path}: {key}: {what}" for key, what in _contradictions(document, {key for key, _ in secrets.problems})
    ]
    if problems or settings is None:
        raise ConfigurationError(problems)
    return _with_absolute_database(settings, base)


def _with_absolute_database(settings: Settings, base: Path) -> Settings:
    """A relative ``sqlite:///file`` is relative to the configuration file, like every other path."""
    url = settings.state.url.get_secret_value()
    prefix = "sqlite:///"
    if not url.startswith(prefix) or url.startswith(prefix + "/"):
        return settings
    absolute = SecretStr(f"{prefix}{os.path.normpath(base / url.removeprefix(prefix))}")
    return settings.model_copy(update={"state": settings.state.model_copy(update={"url": absolute})})


def _lines(error: ValidationError, document: Any, unread: set[str]) -> Iterator[str]:
    details = error.errors(include_url=False)
    for detail in details:
        key = _key(detail["loc"])
        if key in unread or _follows(detail, details):
            continue
        yield f"{key}: {_explain(detail, _came(document, detail['loc']))}"


def _follows(detail: ErrorDetails, details: list[ErrorDetails]) -> bool:
    """Whether a list is called too short only because its items were refused, each in a line of its own."""
    depth = len(detail["loc"])
    return detail["type"] == "too_short" and any(
        len(other["loc"]) > depth and other["loc"][:depth] == detail["loc"] for other in details
    )


def _key(location: tuple[int | str, ...]) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).lstrip(".")


def _came(document: Any, location: tuple[int | str, ...]) -> str:
    node = document
    for part in location:
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):
            return "nothing"
    if isinstance(node, dict | list):  # not what it holds: a [store] for a [[store]] would show its url
        return "a table" if isinstance(node, dict) else "an array"
    if "credential" in location[-2:] and location[-1] != "header":
        return "a value"
    text = repr(node)
    return text if len(text) <= 80 else text[:77] + "…"


def _explain(detail: ErrorDetails, came: str) -> str:
    match detail["type"]:
        case "extra_forbidden":
            return f"unknown key{_suggest(detail['loc'])}"
        case "missing":
            return "is missing; it has no default"
        case "value_error":
            return f"got {came}; {detail['ctx']['error']}"
        case "string_pattern_mismatch" if detail["ctx"]["pattern"] == _COUNTRY:
            return f'got {came}; expected a country as two capital letters (ISO 3166-1), such as "US"'
        case "string_pattern_mismatch":
            return f"got {came}; expected a name of small letters, digits, '.', '_' and '-', at most 63 long"
        case _:
            text = detail["msg"][0].lower() + detail["msg"][1:]
            return f"got {came}; expected: {text.removeprefix('input should be ')}"


def _suggest(location: tuple[int | str, ...]) -> str:
    model: Any = Settings
    for part in location[:-1]:
        if isinstance(part, str):
            model = _section_of(model, part)
    names = list(getattr(model, "model_fields", {}))
    close = difflib.get_close_matches(str(location[-1]), names, n=1)
    return f"; did you mean {close[0]}?" if close else f"; expected one of {', '.join(names)}"


def _section_of(model: Any, name: str) -> Any:
    found = re.findall(r"\w+(?:Settings)\b", str(model.model_fields[name].annotation)) if model else []
    return globals().get(found[-1]) if found else None


def _contradictions(document: Any, unresolved: set[str]) -> Iterator[tuple[str, str]]:
    """Faults between keys, looked for in the raw document so that a fault elsewhere does not hide them."""
    yield from _repeated(document, "store", "name")
    yield from _repeated(document.get("identity"), "issuer", "issuer", prefix="identity.")
    stores = {item["name"] for item in _tables(document, "store") if isinstance(item.get("name"), str)}
    for index, route in enumerate(_tables(document, "route")):
        name = route.get("store")
        if isinstance(name, str) and name not in stores:
            yield (
                f"route[{index}].store",
                f"got {name!r}; expected the name of a [[store]]: {', '.join(sorted(map(repr, stores))) or 'none'}",
            )
        yield from ((f"route[{index}]", what) for what in _customer_sources(route))
        yield from ((f"route[{index}].allow", what) for what in _decoded_by_ftp(route, document))
    for index, store in enumerate(_tables(document, "store")):
        url = store.get("url")
        unread = f"store[{index}].url" in unresolved
        if not unread and isinstance(url, str) and not _is_store_url(url):
            yield (
                f"store[{index}].url",
                "got a value without a usable scheme; expected http(s)://, ftp(s):// or sftp:// with a host",
            )
        yield from ((f"store[{index}].{key}", what) for key, what in _store_contradictions(store, known=not unread))
    door = document.get("gateway")
    listen = door.get("listen") if isinstance(door, dict) else None
    if listen is not None and listen == door.get("control") and not str(listen).endswith(":0"):  # 0: any free port
        yield "gateway.control", f"got {listen!r}, the same as gateway.listen; expected an address of its own"
    if isinstance(door, dict):
        yield from _tls_contradictions(door.get("tls"))
    if isinstance(door, dict) and door.get("proxy_protocol") is True and not door.get("trusted_proxies"):
        yield "gateway.proxy_protocol", "is on, but gateway.trusted_proxies names no proxy; expected those that send it"
    yield from _external_contradictions(document.get("external"), door if isinstance(door, dict) else {})
    state = document.get("state")
    url = state.get("url") if isinstance(state, dict) else None
    if isinstance(url, str) and not url.startswith("sqlite:///"):
        yield "state.url", "got another database; expected sqlite:///path (PostgreSQL is not supported by this version)"


def _external_contradictions(external: Any, door: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A peer that is not believed about addresses would lend its own location to everybody who comes through it."""
    peers = _networks(external.get("trusted_peers") if isinstance(external, dict) else None)
    proxies = _networks(door.get("trusted_proxies"))
    for peer in peers:
        if not any(proxy.version == peer.version and peer.subnet_of(cast(Any, proxy)) for proxy in proxies):
            yield "external.trusted_peers", f"got {str(peer)!r}; expected a part of gateway.trusted_proxies, too"
    if peers and door.get("forwarding_header") == "none":
        yield "gateway.forwarding_header", "got 'none'; expected the header that external.trusted_peers send"


def _networks(items: Any) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Those of a list that are networks; the others are a fault of their own."""
    found = []
    for item in items if isinstance(items, list) else []:
        with contextlib.suppress(ValueError):
            found.append(ipaddress.ip_network(item))
    return found


def _tls_contradictions(tls: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(tls, dict):
        return
    certificate, key, asked = tls.get("certificate"), tls.get("key"), tls.get("client_certificates", "none") != "none"
    if bool(certificate) != bool(key):
        yield "gateway.tls", "has only one of certificate and key; expected both, or neither"
    if asked and not (tls.get("client_ca") and certificate):
        yield "gateway.tls.client_certificates", "asks for certificates; expected client_ca and certificate beside it"
    for index, service in enumerate(_tables(tls, "service")):
        if bool(service.get("spiffe")) == bool(service.get("subject")):
            yield f"gateway.tls.service[{index}]", "names no certificate, or two; expected one of spiffe and subject"


def _store_contradictions(store: Mapping[str, Any], *, known: bool) -> Iterator[tuple[str, str]]:
    """What a store's other keys ask for and its url cannot give; ``known``: whether the url could be read."""
    if bool(store.get("tls_certificate")) != bool(store.get("tls_key")):
        yield "tls_certificate", "is there without tls_key, or the other way round; expected both, or neither"
    url = store.get("url")
    if not known or not isinstance(url, str) or not _is_store_url(url):
        return
    for key in ("tls_ca", "tls_certificate", "tls_key", "tls_server_name"):
        if store.get(key) and not url.startswith("https:"):
            yield key, "is set for a store that is not spoken TLS to; expected an https:// url beside it"
    for key in ("addresses", "credential"):
        if store.get(key) and not url.startswith(("http:", "https:")):
            yield key, "is set for a store that is not HTTP; expected an http:// or https:// url beside it"
    if store.get("credential") and "@" in urlsplit(url).netloc:
        yield "credential", "is set beside credentials in the url; expected only one of them"


def _is_store_url(value: str) -> bool:
    try:
        parts = urlsplit(value)
        has_address = bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not close, a port that is no number
        return False
    is_text = value.isascii() and value.isprintable() and " " not in value
    return is_text and has_address and parts.scheme in {"http", "https", "ftp", "ftps", "sftp"}


def _decoded_by_ftp(route: Mapping[str, Any], document: Any) -> Iterator[str]:
    """FTP knows no percent-encoding: a path is decoded for it, so that what was judged would not be what is read."""
    urls = {str(store.get("name")): str(store.get("url")) for store in _tables(document, "store")}
    allow = route.get("allow")
    encoded = [form for form in allow if str(form).startswith("%")] if isinstance(allow, list) else []
    if encoded and urls.get(str(route.get("store")), "").lower().startswith(("ftp", "sftp")):
        yield f"got {', '.join(map(repr, encoded))} for a store that paths are decoded for; expected an HTTP store"


def _customer_sources(route: Mapping[str, Any]) -> Iterator[str]:
    named = [key for key in ("customer_header", "customer_host", "customer", "many_customers") if route.get(key)]
    if "{customer}" in str(route.get("path", "")):
        named.append("path")
    if len(named) != 1:
        what = f"names the customer by {' and '.join(named)}" if named else "does not say whose data it serves"
        expected = "exactly one of {customer} in path, customer_header, customer_host, customer, many_customers"
        yield f"{what}; expected {expected}"


def _tables(node: Any, name: str) -> list[dict[str, Any]]:
    items = node.get(name) if isinstance(node, dict) else None
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _repeated(node: Any, table: str, key: str, *, prefix: str = "") -> Iterator[tuple[str, str]]:
    seen: set[Any] = set()
    for index, item in enumerate(_tables(node, table)):
        value = item.get(key)
        if isinstance(value, str) and value in seen:
            yield f"{prefix}{table}[{index}].{key}", f"got {value!r} a second time; expected each only once"
        if isinstance(value, str):
            seen.add(value)
