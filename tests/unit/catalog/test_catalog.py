"""From a canonical path to a resource."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from gateway.catalog import Action, Catalog, Customer, Customers, Resource, RouteTable, Scope
from gateway.errors import Malformed
from gateway.settings import RouteSettings

ROUTES = (
    RouteSettings(path="/crm/{customer}/{rest...}", store="crm", data_class="crm_account"),
    RouteSettings(path="/header", store="crm", data_class="case", customer_header="X-Customer"),
    RouteSettings(path="/reports", store="bi", data_class="analytics", many_customers=True),
    RouteSettings(path="/fixed", store="crm", data_class="case", customer="acme"),
    RouteSettings(path="/gone", store="crm", data_class="case", customer="nobody"),
    RouteSettings(path="/host", store="crm", data_class="case", customer_host="{customer}.crm.test"),
)


def headers(*values: str) -> Callable[[str], Sequence[str]]:
    return lambda name: values if name == "X-Customer" else ()


@pytest.fixture
def catalog() -> Catalog:
    known = Customers()
    for key in ("acme", "acmek", "a.b_c-d"):
        known.put(Customer(key, key.title()))
    return Catalog(RouteTable(ROUTES), known)


@pytest.mark.parametrize(
    ("path", "host", "values", "scope", "customer"),
    [
        ("/crm/acme/accounts/7", "", (), Scope.ONE, "acme"),
        ("/crm/a.b_c-d/x", "", (), Scope.ONE, "a.b_c-d"),
        ("/crm/ACME/x", "", (), Scope.UNKNOWN, "ACME"),
        ("/crm/acme%20/x", "", (), Scope.UNKNOWN, "acme%20"),
        ("/crm/%C4%81cme/x", "", (), Scope.UNKNOWN, "%C4%81cme"),
        ("/crm/globex/x", "", (), Scope.UNKNOWN, "globex"),
        ("/header", "", ("acme",), Scope.ONE, "acme"),
        ("/header", "", (" acme\t",), Scope.ONE, "acme"),
        ("/header", "", ("acme\u00a0",), Scope.UNKNOWN, "acme\u00a0"),
        ("/header", "", ("acme\x1c",), Scope.UNKNOWN, "acme\x1c"),
        ("/header", "", ("Acme",), Scope.UNKNOWN, "Acme"),
        ("/header", "", ("acme, acmek",), Scope.UNKNOWN, "acme, acmek"),
        ("/header", "", (), Scope.UNKNOWN, ""),
        ("/header", "", ("x" * 500,), Scope.UNKNOWN, "x" * 128),
        ("/reports", "", (), Scope.MANY, ""),
        ("/fixed", "", (), Scope.ONE, "acme"),
        ("/gone", "", (), Scope.UNKNOWN, "nobody"),
        ("/host", "acme.crm.test", (), Scope.ONE, "acme"),
        ("/host", "ACME.crm.test:8443", (), Scope.ONE, "acme"),
        ("/host", "acme.crm.test.", (), Scope.ONE, "acme"),
        ("/host", "acme.crm.test..", (), Scope.UNROUTED, ""),
        ("/host", "acme.crm.test:\u0663", (), Scope.UNROUTED, ""),
        ("/host", "acme\u212a.crm.test", (), Scope.UNROUTED, ""),  # a Kelvin sign, whose small letter is k
        ("/host", "[::1]:80", (), Scope.UNROUTED, ""),
        ("/host", "", (), Scope.UNROUTED, ""),
        ("/nowhere", "", (), Scope.UNROUTED, ""),
        ("/CRM/acme/x", "", (), Scope.UNROUTED, ""),
    ],
)
def test_request_has_the_scope_that_can_be_told(
    catalog: Catalog, path: str, host: str, values: tuple[str, ...], scope: Scope, customer: str
) -> None:
    """A customer is one exactly as registered; every variant is unknown, never a neighbour."""
    found = catalog.classify("GET", host, path, headers(*values))
    assert (found.resource.scope, found.resource.customer) == (scope, customer)
    assert (found.route is None) == (scope is Scope.UNROUTED)


def test_resource_says_store_class_and_action(catalog: Catalog) -> None:
    """A resource is what the route and the method say."""
    found = catalog.classify("DELETE", "", "/crm/acme/accounts/7", headers())
    assert found.resource == Resource("crm", "crm_account", "acme", Action.DELETE, Scope.ONE)


@pytest.mark.parametrize("values", [("acme", "acme"), ("acme", "acmek"), ("", "acme")])
def test_customer_header_twice_is_refused(catalog: Catalog, values: tuple[str, ...]) -> None:
    """Two headers could be read in two ways, even where they agree."""
    with pytest.raises(Malformed, match="2 times"):
        catalog.classify("GET", "", "/header", headers(*values))


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "get"])
def test_method_that_is_not_forwarded_is_refused(catalog: Catalog, method: str) -> None:
    """An unknown method is Malformed on a route."""
    with pytest.raises(Malformed, match="forwarded"):
        catalog.classify(method, "", "/fixed", headers())
