"""Which headers cross the door: those that are named, and ours."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from gateway.proxy.headers import (
    CACHING,
    MAX_RANGES,
    NEVER_TO_CLIENT,
    TO_STORE,
    ambiguity,
    quoted,
    to_client,
    to_store,
)

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parents[2] / "data" / "headers.json").read_text("utf-8"))[
    "vectors"
]
REFUSED = {"hdr-029", "hdr-057", "hdr-059", "hdr-083"}
ELSEWHERE = {
    "hdr-063": "two tokens in one header: who asks is identity's question",
    "hdr-065": "a customer named twice: whose data it is is the catalog's",
    "hdr-069": "no header exempts from the checkpoint",
    "hdr-071": "nor does a method",
    "hdr-073": "how a token is announced is identity's question",
}
OURS = [("Residency-Subject", "priya"), ("Residency-Rule", "crm-account"), ("Residency-Decision", "01J")]
TOKEN_CHARACTERS = string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~"
NAMES = st.one_of(
    st.sampled_from(
        [
            *sorted(TO_STORE | NEVER_TO_CLIENT),
            *("Residency-Subject", "RESIDENCY-RULE", "residency-decision", "Residency_Subject", "Connection"),
            *("Authorization", "Cookie", "X-Forwarded-For", "Host", "Access-Ticket", "On-Behalf-Of", "X-Tenant"),
        ]
    ),
    st.text(TOKEN_CHARACTERS, min_size=1, max_size=12),
)
VALUES = st.one_of(NAMES, st.lists(NAMES, max_size=4).map(", ".join), st.text(string.printable, max_size=12))
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=8)


def given_as(*pairs: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(pairs))


def crossing(*pairs: tuple[str, str], more: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """What a store receives of these headers."""
    kept = to_store(
        given_as(*pairs), allowed=TO_STORE | frozenset(more), subject="priya", rule="crm-account", decision="01J"
    )
    return list(kept.items())


def answered(*pairs: tuple[str, str], no_store: bool = False) -> list[tuple[str, str]]:
    """What a client receives of these headers."""
    return list(to_client(given_as(*pairs), decision="01J", no_store=no_store).items())


def pairs_of(vector: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in vector["headers"]]


def vectors(ids: set[str]) -> list[Any]:
    return [pytest.param(vector, id=vector["id"]) for vector in VECTORS if vector["id"] in ids]


@pytest.mark.parametrize("vector", vectors(REFUSED))
def test_vector_that_could_be_read_in_two_ways_is_refused(vector: dict[str, Any]) -> None:
    """An alias of a framing header, an upgrade, a bomb of ranges."""
    assert ambiguity(given_as(*pairs_of(vector)))
    assert set(vector["expect"].replace("_or_", "|").split("|")) & {"reject_400", "400", "bounded"}


@pytest.mark.parametrize("vector", vectors({vector["id"] for vector in VECTORS} - REFUSED - ELSEWHERE.keys()))
def test_nothing_of_a_vector_crosses_and_ours_survives(vector: dict[str, Any]) -> None:
    """Identities, forwarding, overrides, credentials, cookies and their aliases stay at the gateway."""
    pairs = [*pairs_of(vector), ("Accept", "text/plain")]
    assert crossing(*pairs) == [("Accept", "text/plain"), *OURS]
    assert ambiguity(given_as(*pairs)) == ""


def test_every_vector_is_looked_at() -> None:
    """Those that concern other rooms are named, with the reason."""
    assert REFUSED | ELSEWHERE.keys() <= {vector["id"] for vector in VECTORS}
    must_be_refused = {vector["id"] for vector in VECTORS if vector["expect"] == "reject_400"}
    assert must_be_refused <= REFUSED | ELSEWHERE.keys()


@pytest.mark.parametrize("name", sorted(TO_STORE))
def test_named_header_crosses_as_it_came(name: str) -> None:
    """Its value, its spelling and its repetitions."""
    pairs = [(name.title(), "one"), (name.upper(), "two")]
    assert crossing(*pairs) == [*pairs, *OURS]


@pytest.mark.parametrize(
    "name",
    [
        *("Authorization", "Cookie", "Proxy-Authorization", "Host", "Expect", "TE", "Trailer", "Transfer-Encoding"),
        *("Connection", "Keep-Alive", "Upgrade", "Forwarded", "X-Forwarded-For", "Via", "X-Request-Id"),
        *("Access-Ticket", "Access-Reason", "On-Behalf-Of", "Content_Type", "Content.Type", "X-Tenant", "Accep", "A"),
    ],
)
def test_header_that_is_not_named_stays(name: str) -> None:
    """There is no list of what must not cross that could be incomplete."""
    assert crossing((name, "x")) == OURS


def test_store_may_be_given_more() -> None:
    """What its configuration names crosses too, in any spelling."""
    assert crossing(("X-TENANT", "acme"), ("X-Other", "x"), more=("x-tenant",)) == [("X-TENANT", "acme"), *OURS]


@pytest.mark.parametrize(
    ("connection", "stays"),
    [
        (["Accept"], True),
        (["close, ACCEPT"], True),
        (["close ,\taccept ,"], True),
        (["close", "accept"], True),
        (["close"], False),
        (["accept-encoding"], False),
        ([], False),
    ],
)
def test_header_of_the_connection_ends_with_it(connection: list[str], stays: bool) -> None:
    """What Connection lists was meant for us alone (RFC 9110 §7.6.1)."""
    pairs = [("Connection", value) for value in connection]
    assert crossing(("Accept", "x"), *pairs) == ([] if stays else [("Accept", "x")]) + OURS


def test_length_of_the_body_cannot_be_listed_away() -> None:
    """Else the store would read the body's end somewhere else than the gateway."""
    assert crossing(("Content-Length", "5"), ("Connection", "Content-Length")) == [("Content-Length", "5"), *OURS]


@pytest.mark.parametrize("name", ["Residency-Subject", "residency-rule", "RESIDENCY-DECISION"])
def test_ours_cannot_be_forged_even_where_a_store_would_take_it(name: str) -> None:
    """Ours replace whatever came under their names."""
    assert crossing((name, "admin"), (name, "root"), more=(name.lower(),)).count((name, "admin")) == 0
    assert {key.lower(): value for key, value in crossing((name, "admin"), more=(name.lower(),))} == {
        key.lower(): value for key, value in OURS
    }


@given(HEADERS)
@settings(max_examples=300)
@example([("Connection", "Residency-Subject, Residency-Rule"), ("Residency-Subject", "admin")])
@example([("Residency-Subject\u212a", "admin")])
def test_only_named_headers_and_ours_ever_cross(pairs: list[tuple[str, str]]) -> None:
    """Whatever comes: a name outside the list never crosses, and ours stand there once, as we set them."""
    kept = crossing(*pairs)
    assert kept[-3:] == OURS
    assert {name.lower() for name, _ in kept[:-3]} <= TO_STORE
    assert all(pair in pairs for pair in kept[:-3])


@pytest.mark.parametrize("name", ["Content_Length", "content.length", "TRANSFER_encoding", "transfer.Encoding"])
def test_framing_header_in_another_spelling_is_refused(name: str) -> None:
    """A store behind CGI would take it for the real one."""
    assert "another spelling" in ambiguity(given_as(("Accept", "x"), (name, "5")))


@pytest.mark.parametrize("name", ["Content-Length", "Transfer-Encoding", "Host", "Connection", "X_Tenant", "X.Y"])
def test_other_header_is_not_mistaken_for_one(name: str) -> None:
    """The standard names are what the door reads; other underscores do no harm."""
    assert ambiguity(given_as((name, "chunked" if name == "Transfer-Encoding" else "5"))) == ""


@pytest.mark.parametrize(
    ("host", "well"),
    [
        *((host, True) for host in ("", "gw.test", "gw.test.", "10.0.0.1:80", "[::1]:8080", "a_b")),
        *(
            (host, False)
            for host in ("a/b", "user@gw", "gw:port", "gw test", "[::1", "gw,other", "gw#x", "gw\\x", "gé")
        ),
    ],
)
def test_host_is_a_name_or_an_address(host: str, well: bool) -> None:
    """A path, a user or a second host in it could send a reader elsewhere (RFC 9110 §7.2)."""
    assert (ambiguity(given_as(("Host", host))) == "") is well


@pytest.mark.parametrize("value", [",chunked", "gzip, chunked", "identity", "chunked, chunked", "xchunked", ""])
def test_another_transfer_encoding_is_refused(value: str) -> None:
    """RFC 9112 §6.1: only one is known here."""
    assert "transfer encoding" in ambiguity(given_as(("Transfer-Encoding", value)))


@pytest.mark.parametrize("value", ["h2c", "websocket", "foo", ""])
def test_upgrade_is_refused(value: str) -> None:
    """There is no protocol to change to, and no tunnel past the checkpoint."""
    assert "Upgrade" in ambiguity(given_as(("upgrade", value)))


@pytest.mark.parametrize(
    ("ranges", "refused"),
    [([1], False), ([MAX_RANGES], False), ([MAX_RANGES + 1], True), ([1, MAX_RANGES], True), ([MAX_RANGES, 1], True)],
)
def test_many_ranges_are_refused_in_one_header_or_in_several(ranges: list[int], refused: bool) -> None:
    """A store would answer each with a part of its own."""
    pairs = [("Range", "bytes=" + ",".join(["0-1"] * count)) for count in ranges]
    assert bool(ambiguity(given_as(*pairs))) is refused


def test_answer_crosses_but_for_its_connection() -> None:
    """What ends at the gateway or speaks to a proxy before it stays; the rest comes as it was, twice if twice."""
    kept = [("Content-Type", "text/html"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("ETag", '"x"')]
    gone = [(name, "x") for name in sorted(NEVER_TO_CLIENT - {"connection"})]
    found = answered(*kept, *gone, ("Connection", "close, X-Hop"), ("X-Hop", "x"))
    assert found == [*kept, ("Residency-Decision", "01J"), ("Server", "residency-gateway")]


def test_answer_may_be_cached_unless_it_must_not() -> None:
    """At home the store's word counts."""
    caching = [(name, "max-age=60") for name in CACHING]
    assert answered(*caching)[: len(CACHING)] == caching


def test_answer_that_must_not_be_kept_says_so_alone() -> None:
    """Nothing that the store said of keeping it survives, in any spelling or number."""
    caching = [pair for name in CACHING for pair in ((name.lower(), "public"), (name.upper(), "max-age=60"))]
    cdns = [(name, "public") for name in ("Cloudflare-CDN-Cache-Control", "X-Cache-Control", "Edge-Control")]
    assert sorted(answered(("ETag", "x"), *caching, *cdns, no_store=True)) == [
        ("Cache-Control", "no-store, private"),
        ("ETag", "x"),
        ("Residency-Decision", "01J"),
        ("Server", "residency-gateway"),
    ]


def test_store_cannot_speak_in_our_name_in_any_spelling() -> None:
    """Nor may a front that takes one spelling for another believe it."""
    ours = [(name, "x") for name in ("Residency_Decision", "residency.rule", "RESIDENCY-SUBJECT", "Residency-Else")]
    assert answered(*ours) == [("Residency-Decision", "01J"), ("Server", "residency-gateway")]


@pytest.mark.parametrize("name", ["Host_", "content-length_", "_Transfer-Encoding", "Connection."])
def test_framing_header_with_a_tail_is_refused(name: str) -> None:
    """Some stores cut it off."""
    assert "another spelling" in ambiguity(given_as((name, "5")))


def test_headers_as_a_whole_are_bounded() -> None:
    """Each within its limit, and all of them too many."""
    assert "longer than" in ambiguity(given_as(*[(f"X-{number}", "v" * 8_000) for number in range(9)]))
    assert "longer than" in ambiguity(given_as(*[("N" * 8_000 + str(number), "v") for number in range(9)]))


@given(HEADERS, st.booleans())
@settings(max_examples=200)
def test_every_answer_carries_its_decision_once(pairs: list[tuple[str, str]], no_store: bool) -> None:
    """A store cannot speak for the gateway, nor have an answer kept that must not be."""
    found = [(name.lower(), value) for name, value in answered(*pairs, no_store=no_store)]
    assert [value for name, value in found if name == "residency-decision"] == ["01J"]
    assert [value for name, value in found if name == "server"] == ["residency-gateway"]
    assert {"residency-subject", "residency-rule"}.isdisjoint(name for name, _ in found)
    if no_store:
        assert [value for name, value in found if name in map(str.lower, CACHING)] == ["no-store, private"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("priya@example.com", "priya@example.com"),
        ("", ""),
        ("idp|4711!", "idp|4711!"),
        ("Ren\u00e9", "Ren%C3%A9"),
        ("Ren%C3%A9", "Ren%25C3%25A9"),
        ("Jane Doe", "Jane%20Doe"),
        (" priya", "%20priya"),
        ("a\r\nResidency-Rule: x", "a%0D%0AResidency-Rule:%20x"),
        ("a\x00\x7f", "a%00%7F"),
        ("\u5f20", "%E5%BC%A0"),
    ],
)
def test_text_in_a_header_is_visible_ascii(text: str, expected: str) -> None:
    """Whoever is named, no line ends and no blank is lost."""
    assert quoted(text) == expected


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_quoted_text_can_be_told_apart(text: str) -> None:
    """No two subjects become one at the store."""
    assert all("!" <= character <= "~" for character in quoted(text))
    assert unquote(quoted(text)) == text
