"""What goes wrong in a call, and how it is answered: problem details (RFC 9457)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from gateway.console import shown
from gateway.errors import (
    Contradicted,
    Forbidden,
    GatewayError,
    HandOffUnfinished,
    LedgerUnavailable,
    Malformed,
    NotFound,
    Outdated,
    Unauthenticated,
    UsageError,
)
from gateway.explanation import TYPE_BASE

RETRY_AFTER_S = 5
_OUT_OF_REACH = "something that this needs is out of reach; try again, and tell the operator if it lasts"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem: its status, the last part of its type, and its title."""

    status: int
    name: str
    title: str


MALFORMED = Kind(400, "malformed", "Not one meaning")
UNAUTHENTICATED = Kind(401, "unauthenticated", "Not authenticated")
FORBIDDEN = Kind(403, "forbidden", "Not allowed")
NOT_FOUND = Kind(404, "not-found", "Not there")
NO_SUCH_METHOD = Kind(405, "no-such-method", "No such method here")
TOO_SLOW = Kind(408, "too-slow", "The body did not come")
CONTRADICTED = Kind(409, "contradicted", "Not as things are now")
OUTDATED = Kind(412, "outdated", "Changed in the meantime")
TOO_LARGE = Kind(413, "too-large", "Too large")
UNSUPPORTED = Kind(415, "unsupported-media-type", "Not a media type that is read here")
INVALID = Kind(422, "invalid", "Cannot be done")
TOO_MANY = Kind(429, "too-many-requests", "Too many requests")
UNAVAILABLE = Kind(503, "unavailable", "Not now")

KINDS = {
    kind.status: kind
    for kind in (
        MALFORMED, UNAUTHENTICATED, FORBIDDEN, NOT_FOUND, NO_SUCH_METHOD, TOO_SLOW, CONTRADICTED, OUTDATED, TOO_LARGE,
        UNSUPPORTED, INVALID, TOO_MANY, UNAVAILABLE,
    )
}  # fmt: skip

_OF_ERRORS: tuple[tuple[type[GatewayError], Kind], ...] = (
    (Outdated, OUTDATED),
    (Contradicted, CONTRADICTED),
    (UsageError, INVALID),
    (NotFound, NOT_FOUND),
    (Forbidden, FORBIDDEN),
    (Unauthenticated, UNAUTHENTICATED),
    (Malformed, MALFORMED),
)


class Refused(GatewayError):
    """A call is refused for what HTTP is about.

    Attributes:
        kind: of the problem.
        faults: one for each field that is wrong.
        headers: that belong to the answer.
        closes: whether what is left of the request on the connection is not read.
    """

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        faults: Iterable[shown.Fault] = (),
        headers: Mapping[str, str] | None = None,
        closes: bool = False,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.faults = tuple(faults)
        self.headers = dict(headers or {})
        self.closes = closes


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem, ready to be answered."""

    kind: Kind
    detail: str
    rule: str = ""
    faults: tuple[shown.Fault, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    closes: bool = False

    def body(self) -> dict[str, object]:
        problem = shown.Problem(
            type=TYPE_BASE + self.kind.name,
            title=self.kind.title,
            status=self.kind.status,
            detail=self.detail,
            rule=self.rule,
            faults=list(self.faults),
        )
        return problem.model_dump(exclude_defaults=True)


def of(error: GatewayError) -> Problem:
    """The problem that an error is answered with."""
    if isinstance(error, Refused):
        return Problem(error.kind, str(error), faults=error.faults, headers=error.headers, closes=error.closes)
    if isinstance(error, LedgerUnavailable):
        return UNRECORDED
    kind = next((kind for type_, kind in _OF_ERRORS if isinstance(error, type_)), UNAVAILABLE)
    shown_as_is = kind is not UNAVAILABLE or isinstance(error, HandOffUnfinished)
    detail = str(error) if shown_as_is else _OUT_OF_REACH  # what is out of reach, and where, is the operator's
    return Problem(kind, detail, rule=getattr(error, "rule", ""), headers=_HEADERS.get(kind.status, {}))


_HEADERS: Mapping[int, Mapping[str, str]] = {
    HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": 'Bearer realm="residency-gateway"'},
    HTTPStatus.SERVICE_UNAVAILABLE: {"Retry-After": str(RETRY_AFTER_S)},
}

FAILED = Problem(
    UNAVAILABLE,
    "something went wrong within the gateway; look whether it was done before you try again, and tell the operator",
    headers=_HEADERS[503],
)
UNRECORDED = Problem(
    UNAVAILABLE,
    "the call could not be written down, so nothing is shown or done; try again, and tell the operator if it lasts",
    headers=_HEADERS[503],
)
