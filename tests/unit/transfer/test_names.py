"""Names within a customer's tree."""

from __future__ import annotations

import asyncio
import unicodedata
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from gateway.catalog import Catalog, Customers, RouteTable
from gateway.errors import Malformed
from gateway.proxy.store import Outgoing
from gateway.settings import RouteSettings
from gateway.transfer.http_view import SiteStore
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
        "a%2Fb",
        "a%5cb",
        "a%252Fb",
        "%2e%2e",
        "%2E.",
        "..;%41",
        "a%0ab",
        "a%2525252541",
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


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("/50% off", "/uploads/acme/50%25%20off"),
        ("/a;v=1", "/uploads/acme/a%3Bv=1"),
        ("/what?", "/uploads/acme/what%3F"),
        ("/#1/C##", "/uploads/acme/%231/C%23%23"),
        ("/M%FCller%20A", "/uploads/acme/M%25FCller%2520A"),
    ],
)
def test_what_separates_in_paths_is_encoded(name: str, target: str) -> None:
    assert resolve("/", name) == name
    assert target_of("/uploads/acme", name) == target
    assert is_nameable(name.rpartition("/")[2])


CATALOG = Catalog(
    RouteTable([RouteSettings(path="/uploads/{customer}/{rest...}", store="files", data_class="case")], {"files"}),
    Customers(),
)
SEGMENTS = st.text(st.sampled_from("%;?#+&=$()!'*,:@[]~. aZ25FfeE0é漢") | st.characters(codec="utf-8"), max_size=12)
NAMES = st.lists(SEGMENTS, max_size=4).map(lambda parts: "/" + "/".join(parts))


class Remembering:
    """A site that tells which file it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def about(self, path: str) -> None:
        self.asked.append(path)


@given(NAMES, st.data())
def test_a_name_is_one_file_at_every_door_and_in_the_record(given_: str, data: st.DataObject) -> None:
    """What a transfer door judges is what an HTTP client's path is judged as, however spelled, and what is touched."""
    try:
        name = resolve("/", given_)
    except Malformed:
        return
    target = target_of("/uploads/acme", name)
    recorded = CATALOG.read(target, "", max_bytes=100_000).path
    assert recorded == target
    assert unquote(recorded) == "/uploads/acme" + name.rstrip("/")
    spelled = "".join(
        character
        if character == "/" or (character in ".~aZ25FfeE0" and data.draw(st.booleans()))
        else "".join(f"%{octet:02x}" if data.draw(st.booleans()) else f"%{octet:02X}" for octet in character.encode())
        for character in name
    )
    assert CATALOG.read("/uploads/acme" + spelled, "", max_bytes=100_000).path == recorded
    site = Remembering()
    store = SiteStore("files", site)  # type: ignore[arg-type]
    outgoing = Outgoing(method="GET", path=recorded, query="", headers=CIMultiDict(), body=None)
    assert asyncio.run(store.exchange(outgoing)).status == 404
    assert site.asked == ["/uploads/acme" + name.rstrip("/")]


@given(NAMES, NAMES)
def test_no_two_names_share_a_path_in_the_record(one: str, other: str) -> None:
    try:
        names = {resolve("/", one), resolve("/", other)}
    except Malformed:
        return
    assert len({target_of("/uploads/acme", name) for name in names}) == len(names)


@pytest.mark.parametrize(
    "path", ["/uploads/acme/a;b", "/uploads/acme/a%24b", "/uploads/acme/a%2fb", "/uploads/acme//a"]
)
async def test_a_path_that_the_record_would_not_have_reaches_no_file(path: str) -> None:
    """Should one ever come so far."""
    site = Remembering()
    outgoing = Outgoing(method="GET", path=path, query="", headers=CIMultiDict(), body=None)
    incoming = await SiteStore("files", site).exchange(outgoing)  # type: ignore[arg-type]
    assert incoming.status == 404
    assert site.asked == []


def test_the_target_is_canonical() -> None:
    assert target_of("/uploads/acme", "/") == "/uploads/acme"
    assert target_of("/uploads/acme", "/a b/é+(1).txt") == "/uploads/acme/a%20b/%C3%A9+(1).txt"
