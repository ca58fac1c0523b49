"""What goes wrong around a request: each gives one clear answer and leaves the record whole."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.demo.identity_provider import AUDIENCE, ISSUER
from gateway.demo.stores import Addresses
from gateway.demo.world import PRIYA, RAJ, SAM
from gateway.identity import Revocation, Revoked
from gateway.ledger.verification import verify
from gateway.settings import Settings
from tests.integration.conftest import Running, running

PATH = "/conversations/acme/7"


def claims(**changed: object) -> dict[str, object]:
    """The claims of a token that would be good."""
    return {"iss": ISSUER, "aud": AUDIENCE, "sub": "sam", "exp": 4_000_000_000, "roles": ["support"], **changed}


def signed(site: Running, **changed: object) -> str:
    """A token of the sample identity provider with some claims changed."""
    return jwt.encode(claims(**changed), site.world.provider._key, algorithm="ES256", headers={"kid": "sample-1"})


async def ask_with(site: Running, authorization: str | None) -> tuple[int, dict[str, object], dict[str, str]]:
    """Ask from home with this credential."""
    headers = {"X-Forwarded-For": SAM.address}
    if authorization is not None:
        headers["Authorization"] = authorization
    status, answered, body = await site.ask(None, PATH, headers=headers)
    return status, json.loads(body) if status != 200 else {}, answered


@pytest.mark.parametrize(
    ("name", "credential"),
    [
        ("no token", lambda _site: None),
        ("another scheme", lambda _site: "Basic c2FtOnNhbQ=="),
        ("not a token", lambda _site: "Bearer abc"),
        ("expired", lambda site: "Bearer " + signed(site, exp=1_600_000_000)),
        ("wrong audience", lambda site: "Bearer " + signed(site, aud="somebody-else")),
        ("wrong issuer", lambda site: "Bearer " + signed(site, iss="https://evil.invalid/")),
        (
            "foreign key",
            lambda _site: (
                "Bearer "
                + jwt.encode(
                    claims(), ec.generate_private_key(ec.SECP256R1()), algorithm="ES256", headers={"kid": "sample-1"}
                )
            ),
        ),
    ],
)
async def test_a_bad_credential_is_401_recorded_and_never_echoed(
    site: Running, name: str, credential: Callable[[Running], str | None]
) -> None:
    """Who asks cannot be told: 401, one line why, a record without the credential."""
    given = credential(site)
    status, problem, headers = await ask_with(site, given)
    assert status == 401, name
    assert problem["rule"] == "unauthenticated"
    assert headers["WWW-Authenticate"].startswith("Bearer")
    entry = site.entry(headers["Residency-Decision"])
    assert (entry["effect"], entry["rule"], entry["subject"]) == ("deny", "unauthenticated", "")
    if given and len(given) > 30:
        assert given[7:] not in json.dumps(entry) + json.dumps(problem)


@pytest.mark.parametrize(
    ("person", "method", "path", "status", "rule"),
    [
        (SAM, "GET", "/nowhere/acme/7", 403, "unclassified"),
        (PRIYA, "GET", "/nowhere/acme/7", 403, "unclassified"),
        (PRIYA, "GET", "/conversations/nobody/7", 403, "unclassified"),
        (SAM, "BREW", PATH, 400, "malformed"),
        (SAM, "GET", "/conversations/ACME/7", 200, "home-personnel"),
        (PRIYA, "GET", "/conversations/ACME/7", 403, "unclassified"),
    ],
)
async def test_what_cannot_be_classified_is_refused_and_recorded(
    site: Running, person: object, method: str, path: str, status: int, rule: str
) -> None:
    """Unknown routes, customers and methods: an answer that says which, and a record."""
    answered, headers, _ = await site.ask(person, path, method=method)  # type: ignore[arg-type]
    assert (answered, site.entry(headers["Residency-Decision"])["rule"]) == (status, rule)


@asynccontextmanager
async def store_that(
    behave: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """A raw store on loopback that behaves like this."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await behave(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def cut(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Announce more than is sent."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 200_000)
    await writer.drain()


async def hang(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Never answer."""
    await asyncio.sleep(30)


async def nonsense(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer what is not HTTP."""
    writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")
    await writer.drain()


def impatient(settings: Settings) -> Settings:
    """Stores are given a quarter of a second."""
    stores = tuple(store.model_copy(update={"read_timeout_s": 0.25}) for store in settings.store)
    return settings.model_copy(update={"store": stores})


async def completion(site: Running, decision: str) -> dict[str, object]:
    """The completion of a decision, once it is written."""
    for _ in range(100):
        with sqlite3.connect(site.world.settings.ledger.path) as connection:
            for (body,) in connection.execute("SELECT body FROM entry ORDER BY sequence DESC LIMIT 20"):
                entry = json.loads(body)
                if entry["kind"] == "completion" and entry["decision"] == decision:
                    return entry  # type: ignore[no-any-return]
        connection.close()
        await asyncio.sleep(0.02)
    raise AssertionError("no completion was written")


@pytest.mark.parametrize(("behave", "status"), [(hang, 504), (nonsense, 502)])
async def test_a_store_that_does_not_answer_well_is_502_or_504(
    tmp_path: Path, stores: Addresses, behave: Callable[..., Awaitable[None]], status: int
) -> None:
    """The permit stands in the record, and its completion says that the store was unreachable."""
    async with (
        store_that(behave) as url,
        running(tmp_path / "world", replace(stores, conversations=url), change=impatient) as site,
    ):
        answered, headers, body = await site.ask(SAM, PATH)
        assert answered == status
        assert json.loads(body)["rule"] == "store-unreachable"
        entry = await completion(site, headers["Residency-Decision"])
        assert (entry["outcome"], entry["status"]) == ("unreachable", status)


async def test_a_store_that_is_down_is_502(tmp_path: Path, stores: Addresses) -> None:
    """Nobody listens there: one clear answer, naming the store and not its address."""
    async with running(tmp_path / "world", replace(stores, conversations="http://127.0.0.1:9")) as site:
        answered, _, body = await site.ask(SAM, PATH)
        assert answered == 502
        assert "conversations" in json.loads(body)["detail"]
        assert b"127.0.0.1" not in body


async def test_an_answer_that_breaks_off_breaks_the_connection(tmp_path: Path, stores: Addresses) -> None:
    """Half of an answer never looks whole: the client's connection is cut, and the completion says so."""
    async with (
        store_that(cut) as url,
        running(tmp_path / "world", replace(stores, conversations=url)) as site,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", site.gateway.door_port)
        writer.write(
            f"GET {PATH} HTTP/1.1\r\nHost: gw.test\r\nAuthorization: Bearer {site.world.token(SAM)}\r\n"
            f"X-Forwarded-For: {SAM.address}\r\n\r\n".encode()
        )
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(1_000_000)
        decision = next(
            line.split(b": ")[1].decode() for line in head.split(b"\r\n") if line.startswith(b"Residency-Decision")
        )
        writer.close()
        assert (await completion(site, decision))["outcome"] == "cut"


async def test_a_ledger_locked_by_somebody_else_is_503_and_recovers(site: Running) -> None:
    """While another process holds the write lock nothing passes; when it lets go, everything does."""
    path = site.world.settings.ledger.path
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        status, _, _ = await asyncio.wait_for(site.ask(SAM, PATH), 20)
        assert status == 503
    finally:
        holder.execute("ROLLBACK")
        holder.close()
    status, _, _ = await site.ask(SAM, PATH)
    assert status == 200
    assert verify(path).verified


async def test_each_answer_carries_its_decision_and_the_record_verifies(site: Running) -> None:
    """Permits, denials and refusals all name their decision; afterwards the ledger is whole."""
    for person, path in ((SAM, PATH), (RAJ, PATH), (SAM, "/a%2fb"), (None, PATH)):
        _, headers, _ = await site.ask(person, path)
        assert site.entry(headers["Residency-Decision"])["id"] == headers["Residency-Decision"]
    await asyncio.sleep(0.1)
    assert verify(site.world.settings.ledger.path).verified


async def test_the_control_listener_says_whether_it_would_decide(site: Running) -> None:
    """Health, readiness and metrics live on their own port, and nowhere on the door's."""
    async with site.client.get(f"{site.control}/readyz") as response:
        assert (response.status, (await response.json())["status"]) == (200, "ready")
    await site.ask(SAM, PATH)
    async with site.client.get(f"{site.control}/metrics") as response:
        assert 'residency_decisions_total{effect="permit",rule="home-personnel"} 1.0' in await response.text()
    for path in ("/healthz", "/readyz", "/metrics", "/api/v1/openapi.json"):
        status, _, _ = await site.ask(SAM, path)
        assert status == 403


async def test_a_browser_gets_the_denial_as_a_page(site: Running) -> None:
    """A person sees a page with rule, decision and next steps."""
    status, headers, body = await site.ask(RAJ, PATH, headers={"Accept": "text/html,application/xhtml+xml"})
    assert (status, headers["Content-Type"]) == (403, "text/html; charset=utf-8")
    assert b"outside-home" in body
    assert headers["Residency-Decision"].encode() in body


async def test_a_revoked_subject_or_token_is_refused_at_the_next_poll(site: Running) -> None:
    """A revocation in the state reaches the doors, remembered tokens included."""
    assert (await site.ask(SAM, PATH))[0] == 200
    site.world.state.put(Revocation("subject:sam:", Revoked.SUBJECT, "sam", "", 1))
    await site.gateway.rooms.follower.poll()
    status, headers, _ = await site.ask(SAM, PATH)
    assert (status, site.entry(headers["Residency-Decision"])["rule"]) == (401, "unauthenticated")
    token = signed(site, sub="ann", jti="stolen")
    assert (await ask_with(site, f"Bearer {token}"))[0] == 200
    site.world.state.put(Revocation("token:stolen:", Revoked.TOKEN, "stolen", "", 1))
    await site.gateway.rooms.follower.poll()
    assert (await ask_with(site, f"Bearer {token}"))[0] == 401
