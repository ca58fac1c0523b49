"""No byte of one exchange reaches another: requests hidden in bodies, answers that run into the next.

The stores here do what real ones do: leave a body unread, announce more than they send, keep a connection open.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.demo.stores import Addresses
from gateway.demo.world import RAJ, SAM, Person
from gateway.settings import RouteSettings, Settings
from tests.integration.conftest import Running, running
from tests.integration.test_bad_input import completion

PATIENCE_S = 5.0


class Careless(http.server.BaseHTTPRequestHandler):
    """A store that reads no bodies and keeps its connections, as Python's own server does."""

    protocol_version = "HTTP/1.1"
    seen: list[str]

    def _answer(self) -> None:
        self.seen.append(f"{self.command} {self.path}")
        body = f"DATA OF {self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def __getattr__(self, name: str) -> object:
        if name.startswith("do_"):  # whatever the method is
            return self._answer
        raise AttributeError(name)

    def log_message(self, *_: object) -> None:
        """Nothing: it is a test."""


@pytest.fixture
def careless() -> Iterator[tuple[str, list[str]]]:
    """Its address, and what it took for requests."""
    seen: list[str] = []
    handler = type("Handler", (Careless,), {"seen": seen})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", seen
    server.shutdown()
    server.server_close()
    thread.join(PATIENCE_S)


def head(site: Running, person: Person, line: str, *more: str) -> bytes:
    lines = [line, "Host: gw.test", f"Authorization: Bearer {site.world.token(person)}"]
    return "\r\n".join([*lines, f"X-Forwarded-For: {person.address}", *more, "", ""]).encode()


async def said(site: Running, *pieces: bytes, until_s: float = 0.6) -> bytes:
    """All that comes back on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.gateway.door_port)
    got = b""
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(until_s):
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(0.05)
            while data := await reader.read(65_536):
                got += data
            got += b"<closed>"
    writer.close()
    return got


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE", "PUT", "POST", "PATCH"])
@pytest.mark.parametrize("rest", ["\r\n\r\n", "\r\nX-Ignore: "], ids=["whole", "begun"])
async def test_a_request_hidden_in_a_body_is_never_one(
    tmp_path: Path, stores: Addresses, careless: tuple[str, list[str]], method: str, rest: str
) -> None:
    """Whatever the store does with a body, what is in it reaches nobody and takes nobody's answer (CL.0)."""
    url, seen = careless
    async with running(tmp_path / "world", replace(stores, crm=url)) as site:
        hidden = f"GET /crm/acme/cases/SECRET HTTP/1.1\r\nHost: x{rest}".encode()
        for _ in range(4):
            first = head(site, RAJ, f"{method} /crm/delta/cases/1 HTTP/1.1", f"Content-Length: {len(hidden)}") + hidden
            second = head(site, RAJ, "GET /crm/delta/cases/2 HTTP/1.1", "Connection: close")
            got = await said(site, first, until_s=0.3) + await said(site, second, until_s=10.0)
            assert b"SECRET" not in got
            assert b"DATA OF /crm/delta/cases/2" in got
        assert not [line for line in seen if "SECRET" in line]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE"])
async def test_a_body_where_none_has_a_meaning_is_refused(site: Running, method: str) -> None:
    """RFC 9110 §9.3.1: content in such a request has no meaning, and stores differ in what they make of it."""
    for framing in ("Content-Length: 3\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"):
        data = head(site, SAM, f"{method} /conversations/acme/7 HTTP/1.1")[:-2] + framing.encode()
        assert (await said(site, data)).startswith(b"HTTP/1.1 400")
    data = head(site, SAM, "GET /conversations/acme/7 HTTP/1.1", "Content-Length: 0")
    assert (await said(site, data)).startswith(b"HTTP/1.1 200")


TENANT = {"path": "/tenant/{rest...}", "store": "crm", "data_class": "case", "customer_header": "X-Tenant"}


@pytest.mark.parametrize("connection", ["", "x-tenant", "X-Tenant, close"])
async def test_the_customer_that_was_judged_is_the_one_the_store_is_told(
    tmp_path: Path, stores: Addresses, connection: str
) -> None:
    """A customer header goes as it was judged; one that ``Connection`` would take away is refused (CVE-2022-31813)."""

    def with_tenant(settings: Settings) -> Settings:
        return settings.model_copy(update={"route": (*settings.route, RouteSettings.model_validate(TENANT))})

    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with running(tmp_path / "world", replace(stores, crm=url), change=with_tenant) as site:
        more = ["X-Tenant: delta", *([f"Connection: {connection}"] if connection else [])]
        got = await said(site, head(site, RAJ, "GET /tenant/1 HTTP/1.1", *more))
    server.close()
    if connection:
        assert got.startswith(b"HTTP/1.1 400")
        assert heads == []
    else:
        assert got.startswith(b"HTTP/1.1 200")
        assert heads[0].count(b"X-Tenant: delta\r\n") == 1


@pytest.fixture
async def unframed(stores: Addresses) -> AsyncIterator[Addresses]:
    """A store whose answers end with the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield replace(stores, conversations=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    server.close()


async def test_an_answer_without_a_length_ends_an_old_clients_connection(tmp_path: Path, unframed: Addresses) -> None:
    """HTTP/1.0 knows no chunks: kept open, the next answer would be read as more of this one."""
    async with running(tmp_path / "world", unframed) as site:
        asked = head(site, SAM, "GET /conversations/acme/7 HTTP/1.0", "Connection: keep-alive")
        assert (await said(site, asked, asked)).endswith(b"until the end<closed>")


async def test_a_refused_body_takes_no_later_request_with_it(site: Running) -> None:
    """Whoever was denied before sending a body may not send it: the connection ends, and nothing is swallowed."""
    asked = head(site, RAJ, "PUT /conversations/acme/7 HTTP/1.1", "Content-Length: 400", "Expect: 100-continue")
    got = await said(site, asked)
    assert got.startswith(b"HTTP/1.1 403")
    assert b"onnection: close" in got.partition(b"\r\n\r\n")[0]


async def test_http_1_0_is_not_asked_to_continue(site: Running) -> None:
    """RFC 9110 §10.1.1: such a client does not wait, and would take the 100 for the answer."""
    asked = head(site, SAM, "PUT /uploads/acme/x HTTP/1.0", "Content-Length: 3", "Expect: 100-continue") + b"abc"
    got = await said(site, asked)
    assert b" 100 " not in got
    assert b" 201 " in got


@pytest.mark.parametrize(("announced", "outcome"), [(1_000, "cut"), (10, "whole")])
async def test_an_answer_shorter_than_announced_is_cut(
    tmp_path: Path, stores: Addresses, monkeypatch: pytest.MonkeyPatch, announced: int, outcome: str
) -> None:
    """An FTP site says one size and sends another: the client's connection breaks, so that nothing fills the rest."""
    from gateway.transfer import http_view

    answer = http_view._answer

    def announcing(status: int, reason: str, headers: dict[str, str], chunks: Any) -> Any:
        longer = {"Content-Length": str(announced)} if headers.get("Content-Length") == "10" else {}
        return answer(status, reason, headers | longer, chunks)

    async with running(tmp_path / "world", stores) as site:
        assert (await site.ask(SAM, "/uploads/acme/short", method="PUT", data=b"0123456789"))[0] == 201
        monkeypatch.setattr(http_view, "_answer", announcing)
        asked = head(site, SAM, "GET /uploads/acme/short HTTP/1.1")
        got = await said(site, asked, asked)
        decision = next(line for line in got.split(b"\r\n") if line.startswith(b"Residency-Decision")).split(b": ")[1]
        assert got.count(b"HTTP/1.1 200") == (1 if outcome == "cut" else 2)
        assert (await completion(site, decision.decode()))["outcome"] == outcome


async def test_an_upload_that_breaks_off_leaves_no_file(site: Running) -> None:
    """Half of one is never served, nor listed; an earlier file of that name stays whole."""
    assert (await site.ask(SAM, "/uploads/acme/trace", method="PUT", data=b"whole"))[0] == 201
    asked = head(site, SAM, "PUT /uploads/acme/trace HTTP/1.1", "Content-Length: 100000")
    _, writer = await asyncio.open_connection("127.0.0.1", site.gateway.door_port)
    writer.write(asked + b"half" * 100)
    await asyncio.sleep(0.3)
    _, _, listing = await site.ask(SAM, "/uploads/acme")
    assert b"partial" not in listing
    writer.transport.abort()
    await asyncio.sleep(0.3)
    assert (await site.ask(SAM, "/uploads/acme/trace"))[2] == b"whole"
    _, _, listing = await site.ask(SAM, "/uploads/acme")
    assert listing.count(b'"trace"') == 1
    assert not list(site.world.directory.parent.rglob(".partial-*"))


LATIN = b'attachment; filename="Pr\xfcfbericht \x80\xff.pdf"'
UTF8 = 'attachment; filename="Prüfbericht €.pdf"'.encode()
BOTH = UTF8 + LATIN


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("value", [LATIN, UTF8, BOTH, b"\xed\xa0\x80", b"\xc0\xaf"])
@pytest.mark.parametrize(
    "rest", [b"Content-Length: 2\r\n\r\nok", b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", b"\r\nok"]
)
async def test_what_is_not_utf_8_in_a_head_is_passed_on_as_it_is(
    tmp_path: Path, stores: Addresses, method: str, value: bytes, rest: bytes
) -> None:
    """In a header and in the reason, whether the answer is written at once or as it comes (RFC 9110 §5.5)."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            answer = b"HTTP/1.1 200 Tr\xe8s \xe2\x82\xac\r\nContent-Disposition: " + value + b"\r\n" + rest
            writer.write(answer if method == "GET" else answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with running(tmp_path / "world", replace(stores, conversations=url)) as site:
        got = await said(site, head(site, SAM, f"{method} /conversations/acme/7 HTTP/1.1", "Connection: close"))
    server.close()
    assert got.startswith(b"HTTP/1.1 200 Tr\xe8s \xe2\x82\xac\r\n")
    assert b"\r\nContent-Disposition: " + value + b"\r\n" in got
    assert got.count(b"Residency-Decision: ") == 1
    assert (b"ok" in got.partition(b"\r\n\r\n")[2]) == (method == "GET")
