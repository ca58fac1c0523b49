"""The catalog: from a canonical path to a resource."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from gateway.catalog.customers import CUSTOMER_ID, Customers
from gateway.catalog.resource import Action, Resource, Scope
from gateway.catalog.routes import NEVER_FORWARDED, Route, RouteTable
from gateway.catalog.target import Target, canonical, named, unconfined
from gateway.errors import Malformed, MethodNotAllowed


class Classified(NamedTuple):
    """What a request is for, and by which route; without one there is nothing to forward to."""

    resource: Resource
    route: Route | None


class Catalog:
    """Classifies requests."""

    def __init__(self, routes: RouteTable, customers: Customers) -> None:
        self._routes = routes
        self._customers = customers

    def read(self, raw: str, host: str, *, max_bytes: int) -> Target:
        """The target that a raw request target names; what separates in some stores only where its route opts in.

        Args:
            raw: as it stood in the request line.
            host: the Host header, since routes may differ by it.
            max_bytes: longer ones are refused.

        Raises:
            Malformed: it can be read in two ways, or its route, or the part that names the customer, may not hold it.
        """
        try:
            target = canonical(raw, max_bytes=max_bytes)
        except Malformed:
            if not self._routes.allow:
                raise
            opted_in = self._opted_in(raw, host, max_bytes)
            if opted_in is None:
                raise
            return opted_in
        if self._routes.has_sites and "%" in target.path:
            matched = self._routes.match(target.path, _bare(host))
            if matched and matched[0].is_site:
                return named(raw, max_bytes=max_bytes)
        return target

    def _opted_in(self, raw: str, host: str, max_bytes: int) -> Target | None:
        """The target if the route that it leads to allows all of it."""
        try:
            target = unconfined(raw, max_bytes=max_bytes, allow=self._routes.allow)
            matched = self._routes.match(target.path, _bare(host))
            if matched is None:
                return None
            canonical(matched[0].head(target.path), max_bytes=max_bytes)
            if matched[0].is_site:
                return named(raw, max_bytes=max_bytes)
            return canonical(raw, max_bytes=max_bytes, allow=matched[0].allow)
        except Malformed:
            return None

    def classify(
        self,
        method: str,
        host: str,
        path: str,
        header: Callable[[str], Sequence[str]],
        *,
        actions: Mapping[str, Action] | None = None,
    ) -> Classified:
        """What a request is for.

        Args:
            method: as it came, in capitals.
            host: the Host header; letters' case, the port and a final dot do not matter.
            path: canonical.
            header: every value of a header, for routes that name the customer in one.
            actions: what methods do, at a door whose methods are not HTTP's.

        Raises:
            MethodNotAllowed: a method that is not forwarded.
            Malformed: a customer header that came twice or only as far as here.
        """
        matched = self._routes.match(path, _bare(host))
        if method in NEVER_FORWARDED:
            raise never_forwarded(method, matched[0].methods if matched else ())
        if matched is None:
            return Classified(Resource("", "", "", Action.READ, Scope.UNROUTED), None)
        route, named = matched
        if route.customer_header:
            named = _only(route.customer_header, header)
        action = route.action(method, actions)
        if route.many_customers:
            return Classified(Resource(route.store, route.data_class, "", action, Scope.MANY), route)
        customer = named or ""
        known = CUSTOMER_ID.fullmatch(customer) is not None and self._customers.get(customer) is not None
        scope = Scope.ONE if known else Scope.UNKNOWN
        return Classified(Resource(route.store, route.data_class, customer[:128], action, scope), route)


def never_forwarded(method: str, allowed: Sequence[str] = ()) -> MethodNotAllowed:
    """What to say of :data:`NEVER_FORWARDED`, where others of this list may come."""
    return MethodNotAllowed(f"the method {method} is never forwarded; expected one that reads or changes data", allowed)


def _only(name: str, header: Callable[[str], Sequence[str]]) -> str:
    values = header(name)
    if any(name.lower() == part.strip().lower() for line in header("Connection") for part in line.split(",")):
        raise Malformed(f"Connection lists {name}, which says whose data is asked for; send it to the end")
    if len(values) > 1:
        raise Malformed(f"the header {name} came {len(values)} times; expected it once")
    return values[0].strip(" \t") if values else ""  # white space as RFC 9110 §5.6.3 has it, no other


def _bare(host: str) -> str:
    """The name in a Host header, or "" where it is not ASCII: in small letters, a Kelvin sign would become a k."""
    if not host.isascii():
        return ""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdecimal() else host).removesuffix(".").lower()
