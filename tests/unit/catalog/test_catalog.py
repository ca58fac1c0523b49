"""From a canonical path to a resource."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

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


def opting(**given: Any) -> Catalog:
    """Two routes, of which one opts in."""
    known = Customers()
    known.put(Customer("acme", "Acme"))
    opened = {"path": "/open/{kind}/{customer}/{rest...}", "allow": ["%2F", ";"], **given}
    tables = ({"path": "/shut/{customer}/{rest...}"}, opened)
    routes = [RouteSettings.model_validate({"store": "crm", "data_class": "case", **table}) for table in tables]
    return Catalog(RouteTable(routes), known)


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("/open/x/acme/a%2fb;c?q=%2F", "/open/x/acme/a%2Fb;c"),
        ("/open/x/acme/./d/../a%2Fb", "/open/x/acme/a%2Fb"),
        ("/open/x/acme/plain", "/open/x/acme/plain"),
        ("/shut/acme/plain", "/shut/acme/plain"),
    ],
)
def test_route_that_opts_in_keeps_what_others_refuse(raw: str, path: str) -> None:
    """Its targets have the same one form, special forms included."""
    assert opting().read(raw, "", max_bytes=100).path == path


@pytest.mark.parametrize(
    "raw",
    [
        "/shut/acme/a%2Fb",  # the route does not opt in
        "/nowhere/a%2Fb",  # there is no route
        "/open/x/acme/a%25b",  # it opts in to something else
        "/open/x/acme/a%5Cb",
        "/open/x/acme%2Fy/z",  # the customer's name
        "/open/x/acme;y/z",
        "/open/x%2Fy/acme/z",  # before it, it could shift which segment names the customer
        "/open/x;y/acme/z",
        "/open/x/acme/..;/borealis",
        "/open/x/acme/a%2F..%2Fb",
        "/shut/acme/../../open/x/acme%2Fy",  # judged where it leads to
        "/open/x/acme/../../../shut/acme/a%2Fb",
        "/open%2Fx/acme/z",
    ],
)
def test_what_a_route_did_not_opt_in_to_is_refused(raw: str) -> None:
    """An opt-in holds for its own route, behind the customer's name, and never lets a segment be left."""
    with pytest.raises(Malformed):
        opting().read(raw, "", max_bytes=100)


def test_an_opt_in_holds_for_its_host_only() -> None:
    """Routes that differ by host alone do not lend each other what they allow."""
    catalog = opting(host="open.test")
    assert catalog.read("/open/x/acme/a%2Fb", "OPEN.test:80", max_bytes=100).path == "/open/x/acme/a%2Fb"
    with pytest.raises(Malformed):
        catalog.read("/open/x/acme/a%2Fb", "shut.test", max_bytes=100)


def test_without_an_opt_in_the_refusal_is_the_first_one() -> None:
    """The message names what came, whether or not other routes could take it."""
    with pytest.raises(Malformed, match="%2F"):
        opting().read("/shut/acme/a%2Fb", "", max_bytes=100)
    with pytest.raises(Malformed, match="longer than 100"):
        opting().read("/open/x/acme/" + "a%2Fb" * 30, "", max_bytes=100)


@pytest.mark.parametrize("method", ["TRACE", "CONNECT"])
def test_method_that_is_never_forwarded_is_refused_without_a_route_too(catalog: Catalog, method: str) -> None:
    """Where there is no route there is no exception."""
    with pytest.raises(Malformed, match="never forwarded"):
        catalog.classify(method, "", "/nowhere", headers())


def with_site() -> Catalog:
    """A route to a site of files, beside one to a store that reads paths as it likes."""
    known = Customers()
    known.put(Customer("acme", "Acme"))
    paths = {"crm": "/crm/{customer}/{rest...}", "files": "/files/{customer}/{rest...}"}
    routes = [RouteSettings(path=path, store=store, data_class="case") for store, path in paths.items()]
    return Catalog(RouteTable(routes, {"files"}), known)


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("/files/acme/50%25", "/files/acme/50%25"),
        ("/files/acme/a;b", "/files/acme/a%3Bb"),
        ("/files/acme/a%3bb?x=1", "/files/acme/a%3Bb"),
        ("/files/acme/%231%3F", "/files/acme/%231%3F"),
        ("/files/acme/a%24%28b%29", "/files/acme/a$(b)"),
        ("/files/acme/a%20b/../%25C3%25BC", "/files/acme/%25C3%25BC"),
        ("/files/acme/%c3%bc", "/files/acme/%C3%BC"),
        ("/crm/acme/a%24b", "/crm/acme/a%24b"),
    ],
)
def test_name_at_a_site_has_one_path(raw: str, path: str) -> None:
    """Whatever it is spelled like; at other routes the encoding stays as it came."""
    assert with_site().read(raw, "", max_bytes=100).path == path
    assert with_site().read(path, "", max_bytes=100).path == path


@pytest.mark.parametrize(
    "raw",
    [
        *(f"/crm/acme/{special}" for special in ("50%25", "a;b", "a%3Bb", "%231", "a%3F")),
        "/files/acme/a%2Fb",
        "/files/acme/a%5Cb",
        "/files/acme/a%00b",
        "/files/acme/a%252Fb",
        "/files/acme/a%25252Fb",
        "/files/acme/%252e%252e",
        "/files/acme/%252e.%3b",
        "/files/acme/..%3b%25",
        "/files/acme/a%250d",
        "/files/acme/" + "%25" * 4 + "25" * 4 + "41%252525252525",
        "/files/acme%25/b",
        "/files;x/acme/b",
        "/files/acme/%FF",
        "/files/acme/%2",
        "/files/acme/../../crm/acme/a;b",
        "/nowhere/a;b",
    ],
)
def test_what_separates_is_refused_beside_a_site_as_ever(raw: str) -> None:
    """At other routes, before the name, and in a name that decoded again would separate or climb."""
    with pytest.raises(Malformed):
        with_site().read(raw, "", max_bytes=200)
