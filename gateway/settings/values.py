"""The kinds of values that keys hold, each with one line on what was expected instead."""

from __future__ import annotations

import base64
import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic import ValidationInfo as Info

ALGORITHMS = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
_NAME = r"^[a-z0-9][a-z0-9._-]{0,62}$"
_CUSTOMER = r"^([a-z0-9][a-z0-9._-]{0,62}|\*)$"  # "*": all of them
COUNTRY_PATTERN = r"^[A-Z]{2}$"
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


def _table(value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,79}", value):
        raise ValueError('expected the name of a table, such as "incident" or "sn_si_incident"')
    return value


def _ticket_pattern(value: str) -> str:
    """Whoever asks chooses the id that is matched: no group is repeated, so that none takes long to refuse."""
    try:
        found = re.compile(value)
    except re.error as error:
        raise ValueError(f"is no regular expression ({error}); expected one such as (SEC|BUG)-[0-9]+") from None
    if re.search(r"\)[*+?{]|\(\?|\\[0-9]", value):
        raise ValueError("expected a pattern without repeated groups, look-around and back-references")
    if found.fullmatch(""):
        raise ValueError("matches an empty id; expected one such as (SEC|BUG)-[0-9]+")
    return value


def _template(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError('expected a path template that begins with "/", such as "/crm/{customer}/cases/{rest...}"')
    return value


def _holder_name(value: str) -> str:
    if value == "state":
        raise ValueError(
            "got 'state', which is the state database, and holds checkpoints anyway; expected another name"
        )
    return value


def span_s(text: str) -> int:
    """A span such as ``400d`` or ``6y`` in seconds; a year has 366 days, so that nothing is kept too short.

    Raises:
        ValueError: it is none.
    """
    found = re.fullmatch(r"([0-9]{1,6})([smhdwy])", text)
    if not found or not int(found[1]):
        raise ValueError('expected a span such as "400d", "18w" or "6y"')
    return int(found[1]) * {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800, "y": 366 * 86_400}[found[2]]


def _span(value: str) -> str:
    span_s(value)
    return value


def _notice_pattern(value: str) -> str:
    if not re.fullmatch(r"\*|[a-z]+\.(\*|[a-z_]+)", value):
        raise ValueError('expected the type of a notice, such as "access.requested", "access.*" or "*"')
    return value


def signing_key(value: str) -> bytes:
    """The key in a Standard Webhooks secret: ``whsec_`` and 24 to 64 bytes in base64.

    Raises:
        ValueError: it is not one; the message does not show it.
    """
    expected = "expected whsec_ and 24 to 64 random bytes in base64"
    try:
        key = base64.b64decode(value.removeprefix("whsec_"), validate=True)
    except ValueError:
        raise ValueError(expected) from None
    if not value.startswith("whsec_") or not 24 <= len(key) <= 64:
        raise ValueError(expected)
    return key


FilePath = Annotated[Path, AfterValidator(_resolve)]
ListenAddress = Annotated[str, AfterValidator(_address)]
Network = Annotated[ipaddress.IPv4Network | ipaddress.IPv6Network, BeforeValidator(_network)]
Country = Annotated[str, Field(pattern=COUNTRY_PATTERN)]
Name = Annotated[str, Field(pattern=_NAME)]
HolderName = Annotated[Name, AfterValidator(_holder_name)]
HeaderName = Annotated[str, AfterValidator(_header)]
CrossingHeader = Annotated[HeaderName, AfterValidator(_crossing)]
Seconds = Annotated[float, Field(gt=0, le=86_400 * 366)]
StoreAddress = Annotated[str, AfterValidator(_store_address)]
Span = Annotated[str, AfterValidator(_span)]
ServerName = Annotated[str, AfterValidator(_server_name)]
Issuer = Annotated[str, AfterValidator(_issuer_text)]
KeySetPlace = Annotated[str, AfterValidator(_jwks)]
TicketPattern = Annotated[str, Field(max_length=200), AfterValidator(_ticket_pattern)]
CustomerWord = Annotated[str, Field(pattern=_CUSTOMER)]
TableName = Annotated[str, AfterValidator(_table)]
SpiffeId = Annotated[str, AfterValidator(_spiffe)]
PathTemplate = Annotated[str, AfterValidator(_template)]
NoticePattern = Annotated[str, AfterValidator(_notice_pattern)]
