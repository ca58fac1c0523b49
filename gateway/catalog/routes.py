"""Routes: which path, host and method mean which store, data class, customer and action.

Invariants: at most one route matches a request, since two that could match the same one are refused at load; matching
looks at each segment once for each template that still fits; nothing but the canonical path, the host and the
configured header is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from urllib.parse import unquote

from gateway.catalog.resource import Action
from gateway.catalog.target import NAMES, canonical, quoted
from gateway.errors import ConfigurationError, Malformed, MethodNotAllowed
from gateway.settings import RouteSettings

DEFAULT_ACTIONS: Mapping[str, Action] = {
    "GET": Action.READ,
    "HEAD": Action.READ,
    "OPTIONS": Action.READ,
    "POST": Action.WRITE,
    "PUT": Action.WRITE,
    "PATCH": Action.WRITE,
    "DELETE": Action.DELETE,
}
TRANSFERS: Mapping[str, Action] = {
    **dict.fromkeys(("RETR", "LIST", "NLST", "MLSD", "MLST", "STAT", "SIZE", "MDTM", "CWD"), Action.READ),
    **dict.fromkeys(("STOR", "APPE", "MKD", "RNTO"), Action.WRITE),
    **dict.fromkeys(("DELE", "RMD", "RNFR"), Action.DELETE),
}
"""What the acts of the transfer doors do to the data, by the names of FTP's commands."""
_VARIABLE = re.compile(r"\{([a-z_][a-z0-9_]*)\}")
_REST = re.compile(r"\{[a-z_][a-z0-9_]*\.\.\.\}")
_METHOD = re.compile(r"[A-Z][A-Z-]*")
TUNNEL = "CONNECT"
HANDSHAKE = "WEBSOCKET"  # no method: a GET that asks for another protocol is judged under this name
NEVER_FORWARDED = frozenset((TUNNEL, "TRACE"))  # a tunnel past the checkpoint, and an echo of what we add
_CUSTOMER = "{customer}"
_HOST = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")


@dataclass(frozen=True, slots=True)
class Route:
    """One configured route, ready to match.

    ``segments`` holds a literal, or ``None`` for a variable; ``customer_at`` is the index of ``{customer}``; ``allow``
    is what the route opts in to (see :func:`canonical`); at a site each segment is a name (see :func:`named`).
    """

    template: str
    store: str
    data_class: str
    segments: tuple[str | None, ...]
    has_rest: bool
    customer_at: int | None
    host: re.Pattern[str] | None
    host_text: str
    strip: str
    actions: Mapping[str, Action]
    customer: str | None
    customer_header: str | None
    many_customers: bool
    allow: frozenset[str] = frozenset()
    is_site: bool = False

    def action(self, method: str, actions: Mapping[str, Action] | None = None) -> Action:
        """What a method does to the data here; ``actions``: of a door whose methods are not HTTP's.

        Raises:
            MethodNotAllowed: it is none that is forwarded.
            Malformed: a handshake is not; the method that it came with may well be.
        """
        found = (self.actions if actions is None else actions).get(method)
        if found is not None:
            return found
        problem = f"the method {method[:32]!r} is not forwarded here; expected one of {', '.join(self.actions)}"
        raise Malformed(problem) if method == HANDSHAKE else MethodNotAllowed(problem, self.methods)

    @property
    def methods(self) -> tuple[str, ...]:
        """Those that mean something here."""
        return tuple(method for method in self.actions if method != HANDSHAKE)

    def upstream_path(self, path: str) -> str:
        """The path that the store receives: the judged one, less the configured prefix."""
        return path[len(self.strip) :] or "/" if self.strip else path

    def head(self, path: str) -> str:
        """The path up to the customer, or none of it where the path names nobody."""
        return "/".join(path.split("/")[: self.customer_at + 2]) if self.customer_at is not None else "/"


@dataclass(slots=True)
class _Node:
    """A place in the tree of templates."""

    literals: dict[str, _Node] = field(default_factory=dict)
    variable: _Node | None = None
    ends: list[Route] = field(default_factory=list)
    rests: list[Route] = field(default_factory=list)


class RouteTable:
    """All routes, as a tree over their segments.

    Args:
        sites: the names of the stores that are sites of files.

    Attributes:
        allow: what any of them opts in to.
        has_sites: whether any leads to a site.

    Raises:
        ConfigurationError: a template that cannot be read, or two that overlap; one line each.
    """

    def __init__(self, settings: Sequence[RouteSettings], sites: Container[str] = ()) -> None:
        problems: list[str] = []
        routes: list[tuple[int, Route]] = []
        for index, route in enumerate(settings):
            try:
                routes.append((index, _route(route, is_site=route.store in sites)))
            except ValueError as error:
                problems.append(f"route[{index}]: {error}")
        for (first, one), (second, other) in combinations(routes, 2):
            if _overlap(one, other):
                problems.append(
                    f"route[{second}].path: {other.template!r} and route[{first}] {one.template!r} can match the same "
                    "request; expected routes that exclude each other (make a segment literal, or give each a host)"
                )
        if problems:
            raise ConfigurationError(problems)
        self.allow = frozenset[str]().union(*(route.allow for _, route in routes))
        self.has_sites = any(route.is_site for _, route in routes)
        self._root = _Node()
        for _, ready in routes:
            self._add(ready)

    def match(self, path: str, host: str) -> tuple[Route, str | None] | None:
        """The route of a canonical path, and the customer that path or host names."""
        segments = path.split("/")[1:] if path != "/" else []
        for route in _walk(self._root, segments, 0):
            fits = route.host.fullmatch(host) if route.host else None
            if route.host is not None and fits is None:
                continue
            named = segments[route.customer_at] if route.customer_at is not None else route.customer
            if fits is not None and "customer" in fits.groupdict():
                named = fits["customer"]
            return route, named
        return None

    def _add(self, route: Route) -> None:
        node = self._root
        for segment in route.segments:
            if segment is None:
                node.variable = node.variable or _Node()
                node = node.variable
            else:
                node = node.literals.setdefault(segment, _Node())
        (node.rests if route.has_rest else node.ends).append(route)


def _walk(node: _Node, segments: list[str], at: int) -> list[Route]:
    found = list(node.rests)
    if at == len(segments):
        return found + node.ends
    literal = node.literals.get(segments[at])
    if literal is not None:
        found += _walk(literal, segments, at + 1)
    if node.variable is not None:
        found += _walk(node.variable, segments, at + 1)
    return found


def _route(settings: RouteSettings, *, is_site: bool) -> Route:
    parts = settings.path.split("/")[1:]
    has_rest = bool(parts) and _REST.fullmatch(parts[-1]) is not None
    fixed = parts[:-1] if has_rest else parts
    segments = tuple(_segment(part, settings.path) for part in fixed if part or len(parts) > 1)
    if is_site and any(segment is not None and quoted(unquote(segment)) != segment for segment in segments):
        raise ValueError(f"{settings.path!r}: leads to a site of files; expected no percent-encoding without need")
    names = [part[1:-1] for part in parts if _VARIABLE.fullmatch(part)]
    if len(set(names)) != len(names):
        raise ValueError(f"{settings.path!r} names a variable twice; expected each once")
    strip = settings.strip.rstrip("/")
    if strip and ("{" in strip or not (settings.path + "/").startswith(strip + "/")):
        raise ValueError(
            f"strip: got {settings.strip!r}; expected the literal beginning of {settings.path!r}, up to a slash"
        )
    return Route(
        template=settings.path,
        store=settings.store,
        data_class=settings.data_class,
        segments=segments,
        has_rest=has_rest,
        customer_at=parts.index("{customer}") if "{customer}" in parts else None,
        host=_host(settings),
        host_text=(settings.customer_host or settings.host or "").lower(),
        strip=strip,
        actions=_actions(settings),
        customer=settings.customer,
        customer_header=settings.customer_header,
        many_customers=settings.many_customers,
        allow=NAMES if is_site else frozenset(settings.allow),
        is_site=is_site,
    )


def _segment(part: str, template: str) -> str | None:
    if _VARIABLE.fullmatch(part):
        return None
    if not _is_canonical(part):
        raise ValueError(
            f"{template!r}: got the segment {part!r}; expected its canonical form, {{name}}, or {{rest...}} at the end"
        )
    return part


def _is_canonical(segment: str) -> bool:
    """Whether a literal segment can match at all: only canonical paths are looked up."""
    try:
        return bool(segment) and canonical(f"/{segment}", max_bytes=len(segment) + 1).path == f"/{segment}"
    except Malformed:
        return False


def _actions(settings: RouteSettings) -> Mapping[str, Action]:
    named = {name.upper(): Action(value) for name, value in settings.methods.items()}
    for name in named:
        if not _METHOD.fullmatch(name) or name in NEVER_FORWARDED:
            raise ValueError(f"methods: got {name!r}; expected the name of a method, and neither CONNECT nor TRACE")
    return {**DEFAULT_ACTIONS, **named}


def _host(settings: RouteSettings) -> re.Pattern[str] | None:
    text = (settings.customer_host or settings.host or "").lower()
    if not text:
        return None
    before, variable, after = text.partition(_CUSTOMER)
    if bool(settings.customer_host) != bool(variable) or (settings.host and settings.customer_host):
        raise ValueError(
            f'got the host {text!r}; expected customer_host = "{{customer}}.example.com", or host without it'
        )
    if not _HOST.fullmatch(f"{before}x{after}" if variable else text):
        raise ValueError(f"got the host {text!r}; expected a host name without a port")
    return re.compile(re.escape(before) + (r"(?P<customer>[a-z0-9-]{1,63})" if variable else "") + re.escape(after))


def _overlap(one: Route, other: Route) -> bool:
    """Whether some request could match both."""
    if one.host and other.host and not _hosts_overlap(one, other):
        return False
    short, long = sorted((one, other), key=lambda route: len(route.segments))
    shared = len(short.segments)
    if any(a != b and a is not None and b is not None for a, b in zip(short.segments, long.segments, strict=False)):
        return False
    return short.has_rest or (len(long.segments) == shared)


def _hosts_overlap(one: Route, other: Route) -> bool:
    """Whether some host could fit both: label by label, since a customer's part of a host holds no dot."""
    ours, theirs = one.host_text.split("."), other.host_text.split(".")
    return len(ours) == len(theirs) and all(map(_labels_overlap, ours, theirs))


def _labels_overlap(one: str, other: str) -> bool:
    if _CUSTOMER not in one and _CUSTOMER not in other:
        return one == other
    (before, after), (start, end) = _ends(one), _ends(other)
    return (before.startswith(start) or start.startswith(before)) and (after.endswith(end) or end.endswith(after))


def _ends(label: str) -> tuple[str, str]:
    before, variable, after = label.partition(_CUSTOMER)
    return (before, after) if variable else (label, label)
