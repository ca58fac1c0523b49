"""The real nginx, Caddy and HAProxy, as the examples in config/ set them up, in front of a store that notes everything.

Whatever reaches the store has a permit in the ledger for exactly that method and path; each attack is tried against
each proxy. Clients connect from loopback networks that are sites of the vendor's, one at home and one abroad.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from gateway.demo.stores import Addresses
from gateway.demo.world import PRIYA, RAJ, SAM, Person
from gateway.ledger.reader import LedgerReader
from gateway.settings import ExternalSettings, RouteSettings, Settings, SiteSettings
from tests.integration.conftest import Running, running

CONFIG = Path(__file__).parents[2] / "config"
DATA = Path(__file__).parents[1] / "data"
HOME, ABROAD, PROXY, STRANGER = "127.0.1.5", "127.0.2.5", "127.0.0.1", "127.0.0.9"
PERMITTED, DENIED = "/crm/acme/accounts/7", "/crm/acme/cases/7"  # to a support engineer abroad
SECRETS = ("authorization", "on-behalf-of", "access-ticket", "access-reason")
OVERRIDING = (
    *("forwarded", "x-original-url", "x-rewrite-url", "x-http-method", "x-http-method-override", "x-method-override"),
    *("x-original-uri", "x-original-method", "x-original-host", "x-forwarded-prefix"),
)
PATIENCE_S = 10.0


@dataclass
class Received:
    """A request as the store got it."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes = b""

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]


@dataclass
class Answer:
    """An answer as the client got it; status 0: none."""

    status: int
    headers: dict[str, str]
    body: bytes


def parse(head: bytes) -> tuple[str, list[tuple[str, str]]]:
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return first, [(name.strip().lower(), value.strip()) for name, _, value in pairs]


async def chunks(reader: asyncio.StreamReader) -> bytes:
    """A body in chunks, without its trailers."""
    body = b""
    while size := int((await reader.readuntil(b"\n")).partition(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readuntil(b"\n")
    while (await reader.readuntil(b"\n")).strip():
        pass
    return body


@dataclass
class Store:
    """Answers everything, as if anybody might keep it."""

    requests: list[Received] = field(default_factory=list)
    tasks: set[asyncio.Task[None] | None] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tasks.add(asyncio.current_task())
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                first, headers = parse(await reader.readuntil(b"\r\n\r\n"))
                method, target, _ = first.split(" ")
                received = Received(method, target, headers)
                self.requests.append(received)
                if length := received.all("content-length"):
                    received.body = await reader.readexactly(int(length[0]))
                if received.all("transfer-encoding"):
                    received.body = await chunks(reader)
                caching = b"Cache-Control: public, max-age=60\r\nExpires: Thu, 01 Jan 2099 00:00:00 GMT\r\n"
                writer.write(
                    b"HTTP/1.1 200 OK\r\nX-Accel-Redirect: /crm/acme/cases/7\r\nContent-Length: 2\r\n" + caching
                )
                writer.write(b"\r\n" + (b"" if method == "HEAD" else b"ok"))
                await writer.drain()
        writer.close()


@dataclass
class Proxied:
    """A gateway, a proxy that asks it, and the store behind the proxy."""

    site: Running
    store: Store
    port: int

    async def send(self, raw: bytes, *, source: str = ABROAD) -> Answer:
        """The answer to bytes on a connection of their own."""
        return await send(self.port, raw, source=source)

    async def ask(
        self, person: Person | None, target: str, *extra: str, method: str = "GET", source: str = ABROAD, body: str = ""
    ) -> Answer:
        """The answer to a request whose head is written by hand."""
        lines = [f"{method} {target} HTTP/1.1", "Host: gw.test", "Connection: close", *extra]
        if person:
            lines.append(f"Authorization: Bearer {self.site.world.token(person)}")
        if body:
            lines.append(f"Content-Length: {len(body)}")
        end = "0\r\n\r\n" if any(line.startswith("Transfer-Encoding: chunked") for line in extra) else body
        head = "\r\n".join([*lines, "", end])
        return await self.send(head.encode("latin-1"), source=source)

    def reconcile(self) -> None:
        """Each request at the store is one that was permitted, and holds nothing that it should not."""
        for request in self.store.requests:
            [decision] = request.all("residency-decision")
            entry = self.site.entry(decision)
            assert entry["effect"] == "permit"
            assert (request.method, request.target.partition("?")[0]) == (entry["method"], entry["path"])
            assert request.all("residency-subject") == [entry["subject"]]
            assert request.all("residency-rule") == [entry["rule"]]
            names = {name for name, _ in request.headers}
            assert names.isdisjoint({*SECRETS, *OVERRIDING}), names
            assert not [name for name in names if "_" in name]


async def send(port: int, raw: bytes, *, source: str, patience_s: float = PATIENCE_S) -> Answer:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    try:
        writer.write(raw)
        came = await asyncio.wait_for(reader.read(), patience_s)
        head, _, body = came.partition(b"\r\n\r\n")
        while head.startswith(b"HTTP/1.1 100 "):
            head, _, body = body.partition(b"\r\n\r\n")
    except ConnectionError:
        return Answer(0, {}, b"")
    finally:
        writer.close()
    first, headers = parse(head + b"\r\n\r\n")
    return Answer(int(first.split(" ")[1]) if first else 0, dict(headers), body)


def settings_with(settings: Settings) -> Settings:
    """Loopback sites, a peer that is believed, and a route that names the customer in a header."""
    here = SiteSettings(name="home", networks=("127.0.1.0/24",), country="US")
    there = SiteSettings(name="Chennai", networks=("127.0.2.0/24",), country="IN")
    tenants = RouteSettings(path="/tenants/{rest...}", store="crm", data_class="case", customer_header="X-Tenant")
    location = settings.location.model_copy(update={"site": (*settings.location.site, here, there)})
    external = ExternalSettings(trusted_peers=(f"{PROXY}/32",))
    update = {"location": location, "external": external, "route": (*settings.route, tenants)}
    return settings.model_copy(update=update)


def nginx(directory: Path, addresses: dict[str, str]) -> list[str]:
    example = replaced((CONFIG / "nginx" / "residency-gateway.conf").read_text("utf-8"), addresses)
    (directory / "residency-gateway.conf").write_text(example, "utf-8")
    temporary = "".join(
        f"{name}_temp_path {directory}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (directory / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {directory}/pid; error_log {directory}/error.log; events {{}}"
        f" http {{ access_log off; {temporary} include {directory}/residency-gateway.conf; }}",
        "utf-8",
    )
    return ["-p", str(directory), "-e", str(directory / "error.log"), "-c", str(directory / "nginx.conf")]


def caddy(directory: Path, addresses: dict[str, str]) -> list[str]:
    file = directory / "Caddyfile"
    file.write_text(replaced((CONFIG / "caddy" / "Caddyfile").read_text("utf-8"), addresses), "utf-8")
    return ["run", "--config", str(file), "--adapter", "caddyfile"]


def haproxy(directory: Path, addresses: dict[str, str]) -> list[str]:
    here = {**addresses, "/etc/haproxy/residency.lua": str(CONFIG / "haproxy" / "residency.lua")}
    file = directory / "haproxy.cfg"
    file.write_text(replaced((CONFIG / "haproxy" / "haproxy.cfg").read_text("utf-8"), here), "utf-8")
    return ["-db", "-f", str(file)]


PROXIES = {"nginx": nginx, "caddy": caddy, "haproxy": haproxy}


def arguments_of(name: str, directory: Path, addresses: dict[str, str]) -> list[str]:
    """What to start it with, its configuration written into a new directory."""
    directory.mkdir()
    return PROXIES[name](directory, addresses)


def replaced(example: str, by: dict[str, str]) -> str:
    for old, new in by.items():
        assert old in example, f"the example does not name {old}"
        example = example.replace(old, new)
    return example


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@asynccontextmanager
async def proxy_of(name: str, directory: Path, *, store: int, control: int) -> AsyncIterator[int]:
    """The port of a proxy that runs as its example says, with other addresses."""
    program = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip(f"{name} is not installed; apt-get install nginx-light caddy haproxy")
    port = free_port()
    listen = ":8000" if name == "caddy" else "127.0.0.1:8000"
    addresses = {
        listen: f"{listen.removesuffix(':8000')}:{port}",
        "127.0.0.1:8081": f"127.0.0.1:{control}",
        "127.0.0.1:9101": f"127.0.0.1:{store}",
    }
    home = {"HOME": str(directory), "XDG_DATA_HOME": str(directory), "XDG_CONFIG_HOME": str(directory)}
    arguments = arguments_of(name, directory, addresses)
    with (directory / "output").open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            program, *arguments, env={**os.environ, **home}, stdout=output, stderr=output
        )
    try:
        for _ in range(200):
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            assert process.returncode is None, (directory / "output").read_text("utf-8")
            await asyncio.sleep(0.05)
        yield port
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), 5)
        except TimeoutError:
            process.kill()
            await process.wait()


@asynccontextmanager
async def listening(store: Store) -> AsyncIterator[int]:
    server = await asyncio.start_server(store.serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in store.tasks:
            if task:
                task.cancel()
        await asyncio.gather(*filter(None, store.tasks))


@pytest.fixture(params=sorted(PROXIES))
async def proxied(request: pytest.FixtureRequest, tmp_path: Path, stores: Addresses) -> AsyncIterator[Proxied]:
    """Each of the proxies in turn."""
    store = Store()
    async with (
        running(tmp_path / "world", stores, change=settings_with) as site,
        listening(store) as behind,
        proxy_of(request.param, tmp_path / "proxy", store=behind, control=site.gateway.control_port) as port,
    ):
        yield Proxied(site, store, port)


def completions(site: Running, decision: str) -> list[dict[str, object]]:
    with LedgerReader(site.world.settings.ledger.path) as reader:
        return [entry for entry in reader.show(decision) if entry["kind"] == "completion"]


async def test_permitted_request_reaches_the_store_with_who_and_why(proxied: Proxied) -> None:
    """Body, query and method arrive; the store is told the subject, rule and decision, and no credential."""
    answer = await proxied.ask(SAM, f"{DENIED}?page=2", method="POST", source=HOME, body="a note")
    assert (answer.status, answer.body) == (200, b"ok")
    [received] = proxied.store.requests
    assert (received.method, received.target, received.body) == ("POST", f"{DENIED}?page=2", b"a note")
    assert received.all("host") == ["gw.test"]
    assert received.all("x-forwarded-for") == [HOME]
    assert [received.headers and answer.headers["residency-decision"]] == received.all("residency-decision")
    proxied.reconcile()


async def test_permit_is_recorded_as_delegated(proxied: Proxied) -> None:
    """The entry has the fields of any other decision, and its completion says that the bytes went elsewhere."""
    answer = await proxied.ask(SAM, DENIED, source=HOME)
    decision = answer.headers["residency-decision"]
    entry = proxied.site.entry(decision)
    shown = {name: entry[name] for name in ("effect", "rule", "subject", "client_address", "customer", "store", "path")}
    assert shown == {
        "effect": "permit",
        "rule": "home-personnel",
        "subject": "sam",
        "client_address": HOME,
        "customer": "acme",
        "store": "crm",
        "path": DENIED,
    }
    assert entry["door"] in {"nginx", "forward"}
    for _ in range(100):
        if found := completions(proxied.site, decision):
            break
        await asyncio.sleep(0.02)
    assert [(entry["outcome"], entry["status"], entry["bytes"]) for entry in found] == [("delegated", 200, 0)]


async def test_denied_request_reaches_nobody(proxied: Proxied) -> None:
    """The client is told the rule and the decision; without a token it is asked for one."""
    answer = await proxied.ask(RAJ, DENIED)
    assert answer.status == 403
    assert b"outside-home" in answer.body
    assert proxied.site.entry(answer.headers["residency-decision"])["rules"] == ["outside-home"]
    answer = await proxied.ask(None, DENIED, source=HOME)
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert proxied.store.requests == []


async def test_obligation_stands_in_the_place_of_the_stores_word(proxied: Proxied) -> None:
    """An answer that must not be kept says so, whatever the store says; any other is as the store says."""
    abroad = await proxied.ask(PRIYA, "/conversations/acme/7", "Access-Ticket: BUG-9")
    assert (abroad.status, abroad.headers["cache-control"]) == (200, "no-store, private")
    assert "expires" not in abroad.headers
    assert (await proxied.ask(SAM, DENIED, source=HOME)).headers["cache-control"] == "public, max-age=60"
    proxied.reconcile()


async def test_head_and_keep_alive_are_judged_one_by_one(proxied: Proxied) -> None:
    """On one connection, each request has a decision of its own; the denied one in the middle reaches nobody."""
    token = proxied.site.world.token(RAJ)
    lines = [(PERMITTED, "keep-alive"), (DENIED, "keep-alive"), ("/crm/acme/accounts/8", "close")]
    raw = "".join(
        f"HEAD {path} HTTP/1.1\r\nHost: gw.test\r\nConnection: {connection}\r\nAuthorization: Bearer {token}\r\n\r\n"
        for path, connection in lines
    )
    await proxied.send(raw.encode())
    assert {request.target for request in proxied.store.requests} == {PERMITTED, "/crm/acme/accounts/8"}
    proxied.reconcile()


CLIMBING = [
    "/crm/acme/accounts/../cases/7",
    "/crm/acme/accounts/%2e%2e/cases/7",
    "/crm/acme/accounts/%2E./cases/7",
    "/crm/acme/accounts/.%2e/cases/7",
    "/crm/acme/accounts/..%2fcases%2f7",
    "/crm/acme/accounts/%2e%2e%2fcases%2F7",
    "/crm/acme/accounts/%252e%252e/cases/7",
    "/crm/acme/accounts/..%252fcases%252f7",
    "/crm/acme/accounts/%c0%ae%c0%ae/cases/7",
    "/crm/acme/accounts/%u002e%u002e/cases/7",
    "/crm/acme/accounts/..;/cases/7",
    "/crm/acme/accounts;x/../cases/7",
    "/crm/acme/accounts%3b/../cases/7",
    "/crm/acme/accounts/..\\cases\\7",
    "/crm/acme/accounts\\..\\cases\\7",
    "/crm/acme/accounts/..%5ccases%5c7",
    "/crm/acme/accounts//../cases/7",
    "/crm/acme//cases/7",
    "//crm/acme/cases/7",
    "//crm/acme/accounts/7",
    "//evil.test/crm/acme/accounts/7",
    "///evil.test/crm/acme/accounts/7",
    "/crm/acme/accounts/7#/../../cases/7",
    "/crm/acme/cases/7#/../../accounts/7",
    "/crm/acme/cases/7%23/../../accounts/7",
    "/crm/acme/cases/7%3f/../../accounts/7",
    "/crm/acme/accounts/7%00",
    "/crm/acme/cases/7%00/../../accounts/7",
    "/crm/acme/accounts/7%0d%0aX-Tenant:acme",
    "/crm/acme/accounts/%",
    "/crm/acme/accounts/%4",
    "/crm/acme/accounts/\x80",
    "/crm/acme/accounts/\x01",
    "/crm/acme/accounts/7/",
    "/crm/acme/accounts/./7",
    "/crm/%61cme/accounts/7",
    "/crm/acme/accounts/%e2%80%a5",
    "/CRM/acme/accounts/7",
    "/crm/acme/cases/7?/crm/acme/accounts/7",
    "/_residency",
    "/authz/nginx",
    "/authz/forward",
    "http://gw.test/crm/acme/cases/7",
    "http://gw.test/crm/acme/accounts/../cases/7",
    "http://other.test/crm/acme/cases/7",
    "http://gw.test",
    "crm/acme/accounts/7",
    "*",
    "/" + "a/" * 600,
    "/crm/acme/accounts/" + "a" * 9_000,
]


async def test_path_that_means_two_things_reaches_nobody(proxied: Proxied) -> None:
    """However a permitted path is made to lead to a denied one, the store receives nothing."""
    passed = []
    for target in CLIMBING:
        answer = await proxied.ask(RAJ, target)
        if proxied.store.requests or answer.status in range(200, 300):
            passed.append((target, answer.status, [request.target for request in proxied.store.requests]))
            proxied.store.requests.clear()
    assert passed == []


async def test_paths_that_are_only_unusual_arrive_as_judged(proxied: Proxied) -> None:
    """Absolute form, a query that looks like a path, characters that stay encoded."""
    for target in (
        "http://gw.test/crm/acme/accounts/7",
        "/crm/acme/accounts/7?next=/../../cases/7;x=%2e%2e%2f",
        "/crm/acme/accounts/caf%C3%A9",
        "/crm/acme/accounts/a:b@c,d'e(f)",
        "/crm/acme/accounts/7?",
    ):
        before = len(proxied.store.requests)
        answer = await proxied.ask(RAJ, target)
        assert (answer.status, len(proxied.store.requests)) == (200, before + 1), target
        expected = target.removeprefix("http://gw.test")
        assert proxied.store.requests[-1].target.rstrip("?") == expected.rstrip("?")
    proxied.reconcile()


def vectors(name: str) -> list[dict[str, str]]:
    """Those of the door's own tests; what is public there is permitted here, and what is private denied."""
    return json.loads((DATA / name).read_text("utf-8"))["vectors"]


@pytest.mark.parametrize(("person", "source"), [(RAJ, ABROAD), (SAM, HOME)], ids=["abroad", "home"])
async def test_targets_that_the_door_is_tried_with_arrive_as_judged(
    proxied: Proxied, person: Person, source: str
) -> None:
    """Whom the path is denied to, none of them is a way to it; for others, what arrives is what was judged."""
    for vector in vectors("paths.json"):
        target = vector["raw"].replace("/private", DENIED).replace("/public", PERMITTED)
        await proxied.ask(person, target, source=source)
    paths = {request.target.partition("?")[0] for request in proxied.store.requests}
    assert {path for path in paths if "cases" in path} == (paths if person is SAM else set())
    assert bool(paths) == (person is SAM)
    proxied.reconcile()


async def test_framing_that_the_door_is_tried_with_smuggles_nothing(proxied: Proxied) -> None:
    """However requests are cut, the store receives none that nobody decided on."""
    token = proxied.site.world.token(RAJ).encode()
    for vector in vectors("framing.json"):
        raw = base64.b64decode(vector["raw_b64"]).replace(b"/private/", f"{DENIED}/".encode())
        raw = raw.replace(b"/public/", f"{PERMITTED}/".encode()).replace(b"POST /", b"GET /")
        raw = raw.replace(b"Host: gw.test", b"Host: gw.test\r\nAuthorization: Bearer " + token)
        with contextlib.suppress(TimeoutError):  # some wait for more, as they announced it
            await send(proxied.port, raw, source=ABROAD, patience_s=0.3)
    assert proxied.store.requests
    assert [request.target for request in proxied.store.requests if request.target.startswith(DENIED)] == []
    proxied.reconcile()


async def test_method_decides_as_at_the_door(proxied: Proxied) -> None:
    """Abroad the exception is for reading: no way of writing a method makes another one of it."""
    for method in ("POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "WEBSOCKET", "PURGE", "get", "Get", "GET2"):
        await proxied.ask(RAJ, PERMITTED, method=method)
        assert proxied.store.requests == [], method
    for method in ("GET", "HEAD", "OPTIONS"):
        await proxied.ask(RAJ, PERMITTED, method=method)
    assert [request.method for request in proxied.store.requests] == ["GET", "HEAD", "OPTIONS"]
    proxied.reconcile()


async def test_requests_at_once_are_not_mixed_up(proxied: Proxied) -> None:
    """Each store request carries the subject whose path it is, and no denied one slips in between."""
    asked = []
    for number in range(20):
        asked.append(proxied.ask(SAM, f"/crm/acme/cases/sam-{number}", source=HOME))
        asked.append(proxied.ask(RAJ, f"/crm/acme/accounts/raj-{number}"))
        asked.append(proxied.ask(RAJ, f"/crm/acme/cases/raj-{number}"))
    answers = await asyncio.gather(*asked)
    assert [answer.status for answer in answers] == [200, 200, 403] * 20
    told = {
        (request.target.split("/")[-1].split("-")[0], *request.all("residency-subject"))
        for request in proxied.store.requests
    }
    assert told == {("sam", "sam"), ("raj", "raj")}
    proxied.reconcile()


SPOOFS = [
    ("X-Original-URI: /crm/acme/accounts/7",),
    ("X-Original-URI: /crm/acme/accounts/7", "X-Original-URI: /crm/acme/accounts/7"),
    ("X-Original-Method: GET", "X-Original-Host: gw.test", "X-Original-URI: /crm/acme/accounts/7"),
    ("x_original_uri: /crm/acme/accounts/7",),
    ("X-Original-URL: /crm/acme/accounts/7",),
    ("X-Rewrite-URL: /crm/acme/accounts/7",),
    ("X-Forwarded-Uri: /crm/acme/accounts/7",),
    ("X-Forwarded-Uri: /crm/acme/accounts/7", "X-Forwarded-Uri: /crm/acme/accounts/8"),
    ("X-Forwarded-Method: OPTIONS", "X-Forwarded-Host: other.test", "X-Forwarded-Uri: /crm/acme/accounts/7"),
    ("X_Forwarded_Uri: /crm/acme/accounts/7",),
    ("X-Forwarded-Prefix: /crm/acme/accounts",),
    (f"X-Forwarded-For: {HOME}",),
    (f"X-Forwarded-For: {HOME}", f"X-Forwarded-For: {PROXY}"),
    (f"X-Forwarded-For: {HOME}, {PROXY}",),
    (f"X_Forwarded_For: {HOME}",),
    (f"Forwarded: for={HOME}",),
    (f"Forwarded: for={HOME}", f"X-Forwarded-For: {HOME}"),
    (f"X-Real-IP: {HOME}", f"True-Client-IP: {HOME}", f"CF-Connecting-IP: {HOME}", f"X-Client-IP: {HOME}"),
    (f"Connection: X-Forwarded-For\r\nX-Forwarded-For: {HOME}",),
    ("Connection: X-Forwarded-Uri, X-Original-URI, X-Forwarded-For, X-Forwarded-Method",),
    ("Residency-Decision: 01J", "Residency-Subject: sam", "Residency-Rule: home-personnel"),
    ("Residency-Obligations: none",),
    ("Connection: Residency-Subject, Residency-Rule, Residency-Decision",),
    ("Connection: Authorization",),
    ("X-HTTP-Method-Override: OPTIONS", "X-HTTP-Method: OPTIONS", "X-Method-Override: OPTIONS"),
    ("Expect: 100-continue",),
    (
        *("Upgrade: websocket", "Connection: Upgrade"),
        *("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
    ),
    ("Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"),
    ("Host: other.test",),
    ("Transfer-Encoding: chunked", "Transfer_Encoding: identity"),
]


async def test_header_of_the_client_changes_no_denial(proxied: Proxied) -> None:
    """Whatever a client says about the request, its address or itself, what was denied stays denied."""
    passed = []
    for extra in SPOOFS:
        answer = await proxied.ask(RAJ, DENIED, *extra)
        if proxied.store.requests or answer.status in range(200, 300):
            passed.append((extra, answer.status))
            proxied.store.requests.clear()
    assert passed == []


async def test_header_of_the_client_does_not_cross_with_a_permit(proxied: Proxied) -> None:
    """The same on a permitted path: refused, or the store receives what was judged and none of it."""
    for extra in SPOOFS:
        answer = await proxied.ask(RAJ, PERMITTED, *extra)
        for request in proxied.store.requests:
            assert request.all("x-forwarded-for") == [ABROAD], extra
            assert request.all("upgrade") == [], extra
            assert {*request.all("connection")} <= {"close", "keep-alive", ""}, extra
        proxied.reconcile()
        assert len(proxied.store.requests) == (1 if answer.status == 200 else 0), extra
        proxied.store.requests.clear()


async def test_customer_named_twice_reaches_nobody(proxied: Proxied) -> None:
    """A header that names the customer comes once, and under no other spelling, when the store receives it."""
    assert (await proxied.ask(RAJ, "/tenants/1", "X-Tenant: delta")).status == 200
    for extra in (("X-Tenant: acme",), ("X-Tenant: delta", "X-Tenant: acme"), ("X-Tenant: delta, acme",), ()):
        assert (await proxied.ask(RAJ, "/tenants/1", *extra)).status in {400, 403}, extra
    assert (await proxied.ask(RAJ, "/tenants/1", "X-Tenant: delta", "X_Tenant: acme")).status == 200  # and dropped
    await proxied.ask(RAJ, "/tenants/1", "X-Tenant: delta", "X.Tenant: acme")
    await proxied.ask(RAJ, "/tenants/1", "X-Tenant: delta", "Connection: X-Tenant")
    assert {tuple(request.all("x-tenant")) for request in proxied.store.requests} == {("delta",)}
    assert [request for request in proxied.store.requests if request.all("x.tenant")] == []
    proxied.reconcile()


async def test_credentials_that_came_twice_reach_nobody(proxied: Proxied) -> None:
    """Two tokens are two people: neither is believed."""
    answer = await proxied.ask(SAM, DENIED, f"Authorization: Bearer {proxied.site.world.token(RAJ)}", source=HOME)
    assert answer.status in {400, 401, 403}
    assert proxied.store.requests == []


@pytest.mark.parametrize("name", sorted(PROXIES))
async def test_gateway_that_is_gone_lets_nothing_through(name: str, tmp_path: Path) -> None:
    """No answer is no permit."""
    store = Store()
    async with (
        listening(store) as behind,
        proxy_of(name, tmp_path / "proxy", store=behind, control=free_port()) as port,
    ):
        answer = await send(
            port, b"GET /crm/acme/accounts/7 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", source=ABROAD
        )
    assert answer.status in {502, 503}
    assert store.requests == []


@pytest.mark.parametrize("name", sorted(PROXIES))
async def test_only_the_gateways_own_yes_is_a_yes(name: str, tmp_path: Path) -> None:
    """Whatever else answers at the gateway's address, with whatever status, lets nothing through."""
    store = Store()
    answers = [f"HTTP/1.1 {status} Other\r\nContent-Length: 0\r\n\r\n" for status in (200, 204, 302, 404, 500)]
    answers += ["HTTP/1.1 200 OK\r\nResidency-Decision:\r\nContent-Length: 0\r\n\r\n", "nonsense\r\n\r\n", ""]

    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answers[0].encode())
        writer.close()

    gateway = await asyncio.start_server(other, "127.0.0.1", 0)
    async with (
        gateway,
        listening(store) as behind,
        proxy_of(name, tmp_path / "proxy", store=behind, control=gateway.sockets[0].getsockname()[1]) as port,
    ):
        raw = b"GET /crm/acme/accounts/7 HTTP/1.1\r\nHost: a\r\nResidency-Decision: 01J\r\nConnection: close\r\n\r\n"
        passed = []
        while answers:
            answer = await send(port, raw, source=ABROAD)
            if store.requests or answer.status in range(200, 300):
                passed.append((answers[0], answer.status, len(store.requests)))
                store.requests.clear()
            del answers[0]
    assert passed == []


def subrequest(path: str, *lines: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: gw.test", "Connection: close", *lines, "", ""]).encode()


async def test_peer_that_is_not_configured_is_refused_and_recorded(tmp_path: Path, stores: Addresses) -> None:
    """Anybody else who says what was asked of them is not believed, on any of the three paths."""
    async with running(tmp_path / "world", stores, change=settings_with) as site:
        ask = partial(send, site.gateway.control_port)
        token = f"Authorization: Bearer {site.world.token(SAM)}"
        nginx = ("X-Original-Method: GET", "X-Original-Host: a", f"X-Original-URI: {DENIED}")
        forward = ("X-Forwarded-Method: GET", "X-Forwarded-Host: a", f"X-Forwarded-Uri: {DENIED}")
        for door, path, lines in (
            ("nginx", "/authz/nginx", nginx),
            ("forward", "/authz/forward", forward),
            ("envoy", f"/authz/envoy{DENIED}", ()),
        ):
            raw = subrequest(path, token, f"X-Forwarded-For: {HOME}", *lines)
            assert (await ask(raw, source=PROXY)).status == 200
            answer = await ask(raw, source=STRANGER)
            entry = site.entry(answer.headers["residency-decision"])
            assert (answer.status, entry["door"], entry["effect"], entry["path"]) == (403, door, "deny", "")
            assert "external.trusted_peers" in str(entry["problem"])


async def test_envoys_path_is_no_way_to_another_answer(tmp_path: Path, stores: Addresses) -> None:
    """Whatever stands behind the prefix is the original path: no dots lead to an answer of the control listener."""
    async with running(tmp_path / "world", stores, change=settings_with) as site:
        for tail in ("/../../healthz", "/%2e%2e/%2e%2e/healthz", "/..", "//healthz", "", "?/", "#/../../healthz"):
            lines = (f"Authorization: Bearer {site.world.token(RAJ)}", f"X-Forwarded-For: {ABROAD}")
            answer = await send(site.gateway.control_port, subrequest(f"/authz/envoy{tail}", *lines), source=PROXY)
            assert answer.status in {400, 403}, tail
            assert "residency-decision" in answer.headers


async def test_without_peers_there_is_no_external_authorization(site: Running) -> None:
    """The three paths answer 404 until somebody configures whom to believe."""
    for path in ("/authz/nginx", "/authz/forward", "/authz/envoy/crm"):
        assert (await send(site.gateway.control_port, subrequest(path), source=PROXY)).status == 404
