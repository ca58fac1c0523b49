"""Routes: read once, never overlapping, matched by segment."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.catalog import Action, Route, RouteTable
from gateway.errors import ConfigurationError, Malformed
from gateway.settings import RouteSettings, parse


def route(path: str = "/x", **given: Any) -> RouteSettings:
    return RouteSettings(**{"path": path, "store": "crm", "data_class": "case", **given})


def only(setting: RouteSettings, path: str, host: str = "") -> Route:
    matched = RouteTable([setting]).match(path, host)
    assert matched is not None
    return matched[0]


@pytest.mark.parametrize(
    ("template", "path", "customer"),
    [
        ("/", "/", None),
        ("/crm", "/crm", None),
        ("/crm", "/crm/x", None),
        ("/crm/{customer}", "/crm/acme", "acme"),
        ("/crm/{customer}/{id}", "/crm/acme/7", "acme"),
        ("/{kind}/{customer}", "/cases/acme", "acme"),
        ("/crm/{customer}/{rest...}", "/crm/acme", "acme"),
        ("/crm/{customer}/{rest...}", "/crm/acme/a/b/c", "acme"),
    ],
)
def test_template_finds_the_customer_of_its_paths(template: str, path: str, customer: str | None) -> None:
    """Variables take one segment, a rest takes any number, and {customer} is told."""
    matched = RouteTable([route(template)]).match(path, "")
    assert (matched is not None) == (path != "/crm/x")
    assert matched is None or matched[1] == customer


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("/", "/x"),
        ("/crm", "/"),
        ("/crm", "/CRM"),
        ("/crm", "/crmx"),
        ("/crm/{customer}", "/crm"),
        ("/crm/{customer}", "/crm/acme/x"),
        ("/crm/{customer}/{rest...}", "/crm"),
        ("/crm/{customer}/{rest...}", "/other/acme"),
    ],
)
def test_template_leaves_other_paths_alone(template: str, path: str) -> None:
    """A template matches whole segments in their own case, and no fewer or more than it has."""
    assert RouteTable([route(template)]).match(path, "") is None


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ({"path": "/a"}, {"path": "/a"}, True),
        ({"path": "/a"}, {"path": "/b"}, False),
        ({"path": "/a"}, {"path": "/a/b"}, False),
        ({"path": "/{x}"}, {"path": "/a"}, True),
        ({"path": "/{x}/b"}, {"path": "/a/{y}"}, True),
        ({"path": "/{x}/b"}, {"path": "/a/c"}, False),
        ({"path": "/{rest...}"}, {"path": "/"}, True),
        ({"path": "/a/{rest...}"}, {"path": "/a"}, True),
        ({"path": "/a/{rest...}"}, {"path": "/a/b/c"}, True),
        ({"path": "/a/{rest...}"}, {"path": "/{x}"}, True),
        ({"path": "/a/b/{rest...}"}, {"path": "/a"}, False),
        ({"path": "/a/{rest...}"}, {"path": "/b/{rest...}"}, False),
        ({"host": "a.test"}, {"host": "b.test"}, False),
        ({"host": "a.test"}, {"host": "A.Test"}, True),
        ({"host": "a.test"}, {}, True),
        ({"host": "aa.test"}, {"host": "aaa.test"}, False),
        ({"host": "a.test"}, {"host": "a.test.example"}, False),
        ({"customer_host": "{customer}.test"}, {}, True),
        ({"customer_host": "{customer}.test"}, {"host": "acme.test"}, True),
        ({"customer_host": "{customer}.test"}, {"host": "a.b.test"}, False),
        ({"customer_host": "{customer}.crm.test"}, {"customer_host": "{customer}.ftp.test"}, False),
        ({"customer_host": "{customer}-crm.test"}, {"customer_host": "{customer}-ftp.test"}, False),
        ({"customer_host": "{customer}-crm.test"}, {"customer_host": "x-{customer}.test"}, True),
        ({"customer_host": "{customer}-crm.test"}, {"host": "acme-ftp.test"}, False),
        ({"customer_host": "{customer}.test"}, {"customer_host": "{customer}.test"}, True),
    ],
)
def test_overlap_is_refused_whichever_comes_first(one: dict[str, str], other: dict[str, str], overlap: bool) -> None:
    """Two routes that could match one request are refused, both named; all others are taken."""
    for pair in ([one, other], [other, one]):
        tables = [route(**each) for each in pair]
        if not overlap:
            RouteTable(tables)
            continue
        with pytest.raises(ConfigurationError, match=r"route\[1\]\.path.*route\[0\]"):
            RouteTable(tables)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"path": "/a//b"}, "segment ''"),
        ({"path": "/a/"}, "segment ''"),
        ({"path": "/a/.."}, "segment '..'"),
        ({"path": "/{rest...}/b"}, "rest"),
        ({"path": "/a{x}"}, "segment"),
        ({"path": "/{X}"}, "segment"),
        ({"path": "/{x}/{x}"}, "twice"),
        ({"path": "/a%2fb"}, "canonical form"),
        ({"path": "/caf%c3%a9"}, "canonical form"),
        ({"path": "/%61"}, "canonical form"),
        ({"path": "/a?b"}, "canonical form"),
        ({"path": "/crm", "strip": "crm"}, "strip"),
        ({"path": "/crm/{customer}", "strip": "/cr"}, "strip"),
        ({"path": "/crm/{customer}/{rest...}", "strip": "/crm/{customer}"}, "strip"),
        ({"host": "a.test:80"}, "without a port"),
        ({"host": "{customer}.test"}, "customer_host"),
        ({"customer_host": "a.test"}, "customer_host"),
        ({"customer_host": "{customer}.{customer}.test"}, "host"),
        ({"customer_host": "{customer}.test", "host": "a.test"}, "customer_host"),
        ({"methods": {"TRACE": "read"}}, "TRACE"),
        ({"methods": {"connect": "read"}}, "CONNECT"),
        ({"methods": {"G ET": "read"}}, "G ET"),
    ],
)
def test_impossible_route_is_refused_with_its_key(given: dict[str, Any], named: str) -> None:
    """What could never match, or would forward something else than was judged, stops the start."""
    with pytest.raises(ConfigurationError) as refusal:
        RouteTable([route(**given)])
    [problem] = refusal.value.problems
    assert problem.startswith("route[0]: ")
    assert named in problem


def test_every_fault_is_told_at_once() -> None:
    """One line for each fault, of reading and of overlap alike."""
    with pytest.raises(ConfigurationError) as refusal:
        RouteTable([route("/a/"), route("/b"), route("/b"), route("/c", strip="/d")])
    assert len(refusal.value.problems) == 3


@pytest.mark.parametrize(
    ("strip", "path", "upstream"),
    [
        ("", "/crm/acme/7", "/crm/acme/7"),
        ("/", "/crm/acme/7", "/crm/acme/7"),
        ("/crm", "/crm/acme/7", "/acme/7"),
        ("/crm/", "/crm/acme/7", "/acme/7"),
    ],
)
def test_strip_takes_off_a_literal_prefix(strip: str, path: str, upstream: str) -> None:
    """The store receives the judged path less the prefix, beginning with a slash."""
    assert only(route("/crm/{customer}/{rest...}", strip=strip), path).upstream_path(path) == upstream


def test_strip_of_the_whole_path_leaves_the_root() -> None:
    """What is left of a path is never empty."""
    assert only(route("/crm", strip="/crm"), "/crm").upstream_path("/crm") == "/"


@pytest.mark.parametrize(
    ("method", "action"),
    [
        ("GET", Action.READ),
        ("HEAD", Action.READ),
        ("OPTIONS", Action.READ),
        ("POST", Action.WRITE),
        ("PUT", Action.WRITE),
        ("PATCH", Action.WRITE),
        ("DELETE", Action.DELETE),
    ],
)
def test_method_means_its_default_action(method: str, action: Action) -> None:
    """Without a setting, methods mean what they say."""
    assert only(route(), "/x").action(method) is action


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "get", "", "PROPFIND", "GET "])
def test_unknown_method_is_refused(method: str) -> None:
    """What is not forwarded is Malformed."""
    with pytest.raises(Malformed, match="not forwarded"):
        only(route(), "/x").action(method)


def test_setting_changes_a_method_and_leaves_the_others() -> None:
    """A search by POST may be a read, and a method of its own may be added."""
    changed = only(route(methods={"POST": "read", "export": "export"}), "/x")
    assert changed.action("POST") is Action.READ
    assert changed.action("EXPORT") is Action.EXPORT
    assert changed.action("PUT") is Action.WRITE


@pytest.mark.parametrize(
    ("host", "customer"),
    [
        ("acme.crm.test", "acme"),
        ("a-1.crm.test", "a-1"),
        ("crm.test", None),
        ("a.b.crm.test", None),
        ("acmexcrm.test", None),
    ],
)
def test_customer_is_read_from_the_host(host: str, customer: str | None) -> None:
    """The customer's part of a host is one label, and the dots around it are dots."""
    matched = RouteTable([route(customer_host="{customer}.crm.test")]).match("/x", host)
    assert (matched and matched[1]) == customer


def test_host_chooses_between_routes_of_one_path() -> None:
    """Two routes may share a path when their hosts exclude each other."""
    table = RouteTable([route(host="a.test", data_class="a"), route(host="b.test", data_class="b")])
    found = {
        host: matched[0].data_class for host in ("a.test", "b.test", "c.test") if (matched := table.match("/x", host))
    }
    assert found == {"a.test": "a", "b.test": "b"}


def test_fixed_customer_is_told() -> None:
    """A route may serve one customer only."""
    matched = RouteTable([route(customer="acme")]).match("/x", "")
    assert matched is not None
    assert matched[1] == "acme"


def test_match_in_a_bushy_tree_stays_quick() -> None:
    """Many templates that begin alike do not make a look-up grow with their combinations."""
    names = [f"{'/'.join('{v}' if at == hole else 'a' for at in range(12))}" for hole in range(12)]
    tables = [route("/" + name.replace("{v}", "{v0}") + f"/{index}") for index, name in enumerate(names)]
    table = RouteTable(tables)
    start = time.process_time()
    assert table.match("/" + "/".join("a" * 12) + "/none", "") is None
    assert time.process_time() - start < 0.1


SEGMENTS = st.sampled_from(["a", "b", "{v}"])
TEMPLATES = st.tuples(st.lists(SEGMENTS, max_size=3), st.booleans()).map(
    lambda drawn: (
        "/" + "/".join([f"{{v{at}}}" if s == "{v}" else s for at, s in enumerate(drawn[0])] + ["{rest...}"] * drawn[1])
    )
)
ASKED = st.lists(st.sampled_from(["a", "b", "c"]), max_size=4).map(lambda segments: "/" + "/".join(segments))


def fits(template: str, path: str) -> bool:
    """The naive reading of a template."""
    wanted, had = ([part for part in text.split("/") if part] for text in (template, path))
    if wanted[-1:] == ["{rest...}"]:
        wanted = wanted[:-1]
        had = had[: len(wanted)]
    return len(wanted) == len(had) and all(w.startswith("{") or w == h for w, h in zip(wanted, had, strict=True))


@given(st.lists(TEMPLATES, min_size=1, max_size=4), ASKED)
@settings(max_examples=400)
def test_table_agrees_with_the_naive_reading(templates: list[str], path: str) -> None:
    """An accepted table matches a path exactly where one template does, and never could where two do."""
    expected = [template for template in templates if fits(template, path)]
    try:
        table = RouteTable([route(template) for template in templates])
    except ConfigurationError:
        return
    matched = table.match(path, "")
    assert expected == ([matched[0].template] if matched else [])


@pytest.mark.parametrize(
    ("url", "allow", "refused"),
    [
        ("ftp://h/", ["%2F"], ["%2F"]),
        ("FTP://h/", [";", "%25"], ["%25"]),
        ("ftps://h/", ["%2F", "%5C"], ["%2F", "%5C"]),
        ("sftp://h/", ["%3F"], ["%3F"]),
        ("ftp://h/", [";"], []),
        ("ftp://h/", [], []),
        ("https://h/", [";", "%2F", "%25"], []),
    ],
)
def test_site_of_files_needs_no_encoded_form_allowed(url: str, allow: list[str], refused: list[str]) -> None:
    """Names have a form of their own there; a slash has no place in one: one line, and no start."""
    document = {
        "policy": {"directory": ".", "home": ["US"]},
        "identity": {"issuer": [{"issuer": "i", "audience": "a", "jwks": "k.json", "algorithms": ["ES256"]}]},
        "location": {"country_database": "c.mmdb"},
        "store": [{"name": "files", "url": url, "country": "US"}],
        "route": [{"path": "/{customer}/{rest...}", "store": "files", "data_class": "case", "allow": allow}],
    }
    try:
        told = parse(document, path=Path("gateway.toml"), environ={}) and ()
    except ConfigurationError as error:
        told = tuple(line for line in error.problems if "store[0]" not in line)  # of sftp:// without keys
    expected = f"gateway.toml: route[0].allow: got {', '.join(map(repr, refused))} for a site"
    assert [line.startswith(expected) for line in told] == [True] * bool(refused)


@pytest.mark.parametrize("form", ["%2f", "%00", "%0A", "/", "..", "%2E", ""])
def test_what_no_store_needs_cannot_be_opted_in_to(form: str) -> None:
    """Controls, dots and other spellings are no choice."""
    with pytest.raises(ValidationError):
        route(allow=[form])


def test_template_of_a_site_is_spelled_as_names_are() -> None:
    """Or nothing could match it."""
    with pytest.raises(ConfigurationError, match="expected no percent-encoding without need"):
        RouteTable([route("/a%24b/{customer}/{rest...}")], {route("/x").store})
    assert RouteTable([route("/a%20b/{customer}/{rest...}")], {route("/x").store}).has_sites
