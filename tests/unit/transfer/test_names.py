"""Names within a customer's tree."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Malformed
from gateway.transfer.names import MAX_NAME_BYTES, is_nameable, resolve, target_of

PIECES = st.sampled_from(
    [
        "..",
        ".",
        "",
        "a",
        "b c",
        "é",
        "e\u0301",
        "\u2025",
        "\uff0f",
        "a\\b",
        "\0",
        "\r",
        "x\n",
        "\ud800",
        "~root",
        "-rf",
        "C:",
    ]
)
PATHS = st.lists(PIECES, max_size=8).map("/".join)


@given(PATHS, PATHS)
def test_whatever_is_asked_the_name_is_inside_and_in_its_one_form(folder: str, given_: str) -> None:
    """Or it is refused."""
    try:
        name = resolve(resolve("/", folder), given_)
    except Malformed:
        return
    assert name.startswith("/")
    assert resolve("/", name) == name
    assert not {"", ".", ".."} & set(name.split("/")[1:]) or name == "/"
    plain = unicodedata.normalize("NFKC", name)
    assert not {".", ".."} & set(plain.split("/"))
    assert plain.count("/") == name.count("/")


@pytest.mark.parametrize(
    ("folder", "given_", "name"),
    [
        ("/", "x", "/x"),
        ("/a", "x", "/a/x"),
        ("/a", "/x", "/x"),
        ("/a", "..", "/"),
        ("/a", "../../../x", "/x"),
        ("/", "/../../x", "/x"),
        ("/", "a/./../../x", "/x"),
        ("/a/b", "", "/a/b"),
        ("/", "-rf", "/-rf"),
        ("/", "~root", "/~root"),
        ("/", "a b/é", "/a b/é"),
        ("/", ".hidden", "/.hidden"),
    ],
)
def test_a_name_is_what_somebody_in_the_folder_means(folder: str, given_: str, name: str) -> None:
    assert resolve(folder, given_) == name


@pytest.mark.parametrize(
    "given_",
    [
        "\\..\\x",
        "C:\\x",
        "a\0b",
        "x\r\nDELE y",
        "\u2025/x",
        ".../x",
        "a\uff0fb",
        "e\u0301",
        "x\udcff",
        "a\u202eb",
        "a.",
        "a ",
        " a",
        ".partial-0",
        ".PARTIAL-0",
        "a" * 300,
        "a/" * MAX_NAME_BYTES + "a",
    ],
)
def test_what_sites_could_read_in_two_ways_is_refused(given_: str) -> None:
    with pytest.raises(Malformed):
        resolve("/", given_)
    assert not is_nameable(given_)


@pytest.mark.parametrize("segment", ["", ".", "..", "a/b"])
def test_what_is_no_single_name_is_not_listed(segment: str) -> None:
    assert not is_nameable(segment)


def test_the_target_is_canonical() -> None:
    assert target_of("/uploads/acme", "/") == "/uploads/acme"
    assert target_of("/uploads/acme", "/a b/é+(1).txt") == "/uploads/acme/a%20b/%C3%A9+(1).txt"
