"""One form for every request target."""

from __future__ import annotations

import contextlib
import json
import re
import string
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.catalog import Target, canonical
from gateway.errors import Malformed

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parents[2] / "data" / "paths.json").read_text("utf-8"))[
    "vectors"
]
PIECES = ("/", "//", ".", "..", "a", "B", "~", ":", "@", "%2e", "%2E", "%41", "%7e", "%20", "%c3%a9", "%25", "%2f", ";")
PATHS = st.lists(st.sampled_from(PIECES), max_size=12).map(lambda pieces: "/" + "".join(pieces))
QUERIES = st.text(string.ascii_letters + string.digits + "-._~!$&'()*+,;=:@/?", max_size=20)


def read(raw: str, **given: Any) -> Target:
    return canonical(raw, **{"max_bytes": 8_190, **given})


def is_refused(raw: str) -> bool:
    try:
        read(raw)
    except Malformed:
        return True
    return False


def vectors(*expected: str) -> list[Any]:
    return [pytest.param(v, id=v["id"]) for v in VECTORS if v["expect"].partition(":")[0] in expected]


@pytest.mark.parametrize("vector", vectors("reject_400"))
def test_vector_to_refuse_is_refused(vector: dict[str, Any]) -> None:
    """Every target that must be refused is Malformed."""
    assert is_refused(vector["raw"])


@pytest.mark.parametrize("vector", vectors("same_decision_as"))
def test_vector_of_the_same_name_has_its_form(vector: dict[str, Any]) -> None:
    """Every spelling of a path has that path's one form."""
    assert read(vector["raw"]).path == vector["expect"].partition(":")[2]


@pytest.mark.parametrize("vector", vectors("literal_no_match_private", "configured_case_rule"))
def test_vector_of_another_name_keeps_its_own_form(vector: dict[str, Any]) -> None:
    """A look-alike is another name, and never becomes the one that it looks like."""
    assert read(vector["raw"]).path != "/private/admin"


def test_every_vector_is_looked_at() -> None:
    """No vector falls between the tests above, but for those that other places hold."""
    seen = vectors("reject_400", "same_decision_as", "literal_no_match_private", "configured_case_rule")
    assert len(VECTORS) - len(seen) == len(vectors("reject_or_bounded_time", "not_served_on_public_listener")) == 2


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("/", "/"),
        ("//", "/"),
        ("/.", "/"),
        ("/..", "/"),
        ("/a/", "/a"),
        ("/a/b/..", "/a"),
        ("/a/./b/../c", "/a/c"),
        ("/%7Euser/%2D", "/~user/-"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/a%20b", "/a%20b"),
        ("/a:b@c", "/a:b@c"),
        ("//localhost/x", "/localhost/x"),
        ("/a//gw.test/x", "/a/gw.test/x"),
    ],
)
def test_path_has_one_form(raw: str, path: str) -> None:
    """Unreserved characters decoded, the rest in capitals, dots and empty segments gone, no slash at the end."""
    assert read(raw) == Target(path, "")


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "*",
        "private/admin",
        "//gw.test/x",
        "///gw.test/x",
        "//user@gw/x",
        "//gw:80/x",
        "//gw%2etest/x",
        "//gw%40x/y",
        "//gw%3a80/y",
        "/a|b",
        "/{a}",
        '/"',
        "/é",
        "/\ud800",
        "/a\n",
        "/a b",
        "/a%",
        "/a%4",
        "/a%zz",
        "/%ed%a0%80",  # a surrogate
        "/%f4%90%80%80",  # above U+10FFFF
        "/%c2",
        "/%c2/%a0",  # one character across two segments
        "/a?b c",
        "/a?b\n",
        "/a?%",
        "/a?%4",
        "/a?é",
        "/a?\\",
        "/a?\x7f",
    ],
)
def test_ambiguous_target_is_refused(raw: str) -> None:
    """What two parsers could read in two ways is not read at all."""
    assert is_refused(raw)


def test_letters_keep_their_case() -> None:
    """Paths are case-sensitive."""
    assert read("/Private").path == "/Private"


@pytest.mark.parametrize("octet", [*range(0x20), 0x7F, *b"/\\;%?#"])
def test_encoded_separator_or_control_is_refused_in_any_case(octet: int) -> None:
    """Encoded separators and control characters are refused, whichever case their digits have."""
    assert is_refused(f"/a%{octet:02x}b")
    assert is_refused(f"/a%{octet:02X}b")


@pytest.mark.parametrize(("raw", "opted"), [("/a;b", ";"), ("/a%3Bb", "%3B"), ("/a%2Fb", "%2F"), ("/a%25b", "%25")])
def test_opting_in_allows_only_what_it_names(raw: str, opted: str) -> None:
    """A route may opt in to one separator, and to that alone."""
    others = frozenset({";", "%3B", "%2F", "%25"} - {opted})
    assert read(raw, allow=frozenset({opted})).path == raw
    with pytest.raises(Malformed):
        read(raw, allow=others)


EVERY_FORM = frozenset({";", "%2F", "%5C", "%3B", "%25", "%3F", "%23"})


@pytest.mark.parametrize(
    "raw",
    [
        *("/a/..;", "/a/..;/b", "/a/..;x=1/b", "/a/%2e%2e;/b", "/a/.;/b", "/a/b;..", "/a/;x", "/a/;x/b", "/a/b;;c"),
        *("/a/..%2Fb", "/a/b%2F..", "/a/b%2f%2e%2e", "/a/b%2F.%2Fc", "/a/%2Fetc", "/a/%2F", "/a/b%2F%2Fc", "/%2Fgw"),
        *("/a/..%5Cb", "/a/b%5C..", "/a/%5Cb", "/a/..%3Bb", "/a/..%3Fb", "/a/..%23b", "/a/b%2F..;c", "/a/b%3B%2Fc"),
        *("/a/%252e%252e", "/a/%252e", "/a/%25252e%25252e", "/a/.%252e", "/a/b%252F..", "/a/%252Fb", "/a/..%253Bb"),
        *("/a/%252%35252e.", "/a/%252%25352e%252%25352e", "/a/%" + "25" * 9 + "2e."),
        *("/a/b%2500", "/a/b%250d%250a", "/a/b%2509", "/a/b%257f", "/a/b%25252500", "/a/%25c0%25ae", "/a/%25ff"),
        *("/a/b%2F%00", "/a/b;%0A", "/a/b%2F\\", "/a/b;#c"),
    ],
)
def test_whatever_is_opted_in_no_reading_leaves_its_segment(raw: str) -> None:
    """However often a store decodes, and wherever it cuts: no dot segment, no empty one, no control, no damage."""
    with pytest.raises(Malformed):
        read(raw, allow=EVERY_FORM)


@pytest.mark.parametrize(
    "raw",
    [
        *("/a/b%2Fc", "/a/b%2F", "/a/b;c=d;e", "/a/b;", "/a/..b;c", "/a/...;c", "/a/100%25", "/a/%25zz", "/a/b%2F...c"),
        *("/a/b%252Fc", "/a/b%252525", "/a/b%5Cc", "/a/b%3Fc", "/a/b%23c", "/a/b%3Bc", "/a/%25C3%25A9", "/a/.b%2F.c"),
    ],
)
def test_what_is_opted_in_keeps_its_form(raw: str) -> None:
    """It is another name than what it would decode to, and never decoded here."""
    assert read(raw, allow=EVERY_FORM) == Target(raw, "")


@pytest.mark.parametrize(("raw", "allow"), [("/a%252Fb", {"%25"}), ("/a%2F%25b", {"%2F"}), ("/a%253Bb", {"%25", ";"})])
def test_what_a_second_decoding_shows_is_opted_in_to_as_well(raw: str, allow: set[str]) -> None:
    """A percent sign is not a way around the other separators."""
    with pytest.raises(Malformed):
        read(raw, allow=frozenset(allow))


@given(
    st.lists(
        st.sampled_from([*PIECES, "%2F", "%5c", "%3B", "%3f", "%23", "25", "2e", "2F", "%", "..;", "%252e"]),
        max_size=12,
    )
)
@settings(max_examples=400)
def test_opted_in_form_stays_inside_however_it_is_read(pieces: list[str]) -> None:
    """Decoded any number of times, and cut at everything that separates anywhere, it holds no dot segment."""
    try:
        target = read("/" + "".join(pieces), allow=EVERY_FORM)
    except Malformed:
        return
    assert read(target.path, allow=EVERY_FORM) == target
    text = target.path
    for _ in range(20):
        assert not {".", ".."} & set(re.split(r"[/\\;?#]", text))
        text = unquote(text)


def test_target_at_the_limit_passes_and_one_longer_is_refused() -> None:
    """The limit is inclusive."""
    assert read("/abc", max_bytes=4).path == "/abc"
    with pytest.raises(Malformed, match="longer than 3"):
        read("/abc", max_bytes=3)


@pytest.mark.parametrize("spelling", ["/a", "/%61"])
def test_too_many_segments_are_refused(spelling: str) -> None:
    """The number of segments is bounded, however they are spelled."""
    assert read(spelling * 512).path == "/a" * 512
    with pytest.raises(Malformed, match="512"):
        read(spelling * 513)


@pytest.mark.parametrize("unit", ["/a", "/%2e%2e", "/", "/.", "%c3%a9", "a", "/a.", "//a"])
def test_bomb_takes_linear_time(unit: str) -> None:
    """The longest target that can be configured takes milliseconds (the bound is generous, for busy machines)."""
    raw = ("/" + unit * 65_536)[:65_500]
    start = time.process_time()
    with contextlib.suppress(Malformed):
        read(raw, max_bytes=65_536)
    assert time.process_time() - start < 1.0


@given(PATHS, QUERIES)
@settings(max_examples=400)
def test_canonical_form_is_its_own(path: str, query: str) -> None:
    """The form of a form is itself, and the query is kept byte for byte."""
    try:
        target = read(f"{path}?{query}")
    except Malformed:
        return
    assert target.query == query
    assert read(target.path) == Target(target.path, "")


@given(st.one_of(PATHS, st.text(max_size=40), st.text(max_size=40).map("/".__add__)))
@settings(max_examples=400)
def test_anything_is_either_refused_or_plain(raw: str) -> None:
    """Nothing but Malformed is raised, and a form holds nothing that could be read in two ways."""
    try:
        path = read(raw).path
    except Malformed:
        return
    assert path.isascii()
    assert path == "/" or not {"", ".", ".."} & set(path.split("/")[1:])
    assert not re.search(r"[\x00-\x20\x7f\\#?;]|%(?![0-9A-F]{2})|%(2F|5C|00|3B|25|3F|23|0[0-9A-F]|1[0-9A-F]|7F)", path)
