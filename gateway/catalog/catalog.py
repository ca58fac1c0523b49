"""The catalog: from a canonical path to a resource."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from gateway.catalog.customers import CUSTOMER_ID, Customers
from gateway.catalog.resource import Action, Resource, Scope
from gateway.catalog.routes import Route, RouteTable
from gateway.errors import Malformed


class Classified(NamedTuple):
    """What a request is for, and by which route; without one there is nothing to forward to."""

    resource: Resource
    route: Route | None


class Catalog:
    """Classifies requests."""

    def __init__(self, routes: RouteTable, customers: Customers) -> None:
        self._routes = routes
        self._customers = customers

    def classify(self, method: str, host: str, path: str, header: Callable[[str], Sequence[str]]) -> Classified:
        """What a request is for.

        Args:
            method: as it came, in capitals.
            host: the Host header; letters' case, the port and a final dot do not matter.
            path: canonical.
            header: every value of a header, for routes that name the customer in one.

        Raises:
            Malformed: a method that is not forwarded, or a customer header that came twice.
        """
        matched = self._routes.match(path, _bare(host))
        if matched is None:
            return Classified(Resource("", "", "", Action.READ, Scope.UNROUTED), None)
        route, named = matched
        if route.customer_header:
            named = _only(route.customer_header, header(route.customer_header))
        action = route.action(method)
        if route.many_customers:
            return Classified(Resource(route.store, route.data_class, "", action, Scope.MANY), route)
        customer = named or ""
        known = CUSTOMER_ID.fullmatch(customer) is not None and self._customers.get(customer) is not None
        scope = Scope.ONE if known else Scope.UNKNOWN
        return Classified(Resource(route.store, route.data_class, customer[:128], action, scope), route)


def _only(name: str, values: Sequence[str]) -> str:
    if len(values) > 1:
        raise Malformed(f"the header {name} came {len(values)} times; expected it once")
    return values[0].strip(" \t") if values else ""  # white space as RFC 9110 §5.6.3 has it, no other


def _bare(host: str) -> str:
    """The name in a Host header, or "" where it is not ASCII: in small letters, a Kelvin sign would become a k."""
    if not host.isascii():
        return ""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdecimal() else host).removesuffix(".").lower()
