"""Raw targets through a real socket: what is judged is what is recorded and what the store receives."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.demo.stores import Addresses
from gateway.demo.world import SAM
from tests.integration.conftest import Running, running

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "paths.json").read_text("utf-8"))["vectors"]
PREFIX = "/conversations/acme"


class RawStore:
    """Notes the request line of everything that reaches it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.heads: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                self.heads.append(head)
                self.lines.append(head.split("\r\n", 1)[0])
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@pytest.fixture
async def raw(tmp_path: Path, stores: Addresses) -> AsyncIterator[tuple[Running, RawStore]]:
    """A gateway in front of a raw store."""
    store = RawStore()
    server = await asyncio.start_server(store.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with running(tmp_path / "world", replace(stores, conversations=url)) as site:
        yield site, store
    server.close()


async def send(site: Running, target: str, *, extra: str = "") -> tuple[int, str]:
    """The status, and the decision's id, of a request line written by hand."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.gateway.door_port)
    writer.write(
        f"GET {target} HTTP/1.1\r\nHost: gw.test\r\nAuthorization: Bearer {site.world.token(SAM)}\r\n"
        f"X-Forwarded-For: {SAM.address}\r\n{extra}Connection: close\r\n\r\n".encode("latin-1", "replace")
    )
    answer = (await asyncio.wait_for(reader.read(), 10)).decode("latin-1")
    writer.close()
    lines = answer.split("\r\n")
    decision = next((line.split(": ")[1] for line in lines if line.lower().startswith("residency-decision")), "")
    return int(lines[0].split(" ")[1]), decision


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
async def test_each_target_vector_behaves_as_required(raw: tuple[Running, RawStore], vector: dict[str, str]) -> None:
    """Refused with 400, or judged, recorded and forwarded in one form; recorded either way."""
    site, store = raw
    under = vector["raw"].replace("/private", f"{PREFIX}/private").replace("/public", f"{PREFIX}/public")
    status, decision = await send(site, under)
    if vector["expect"] == "reject_400":
        assert status == 400
        assert store.lines == []
    assert decision, "a refusal without a record"
    entry = site.entry(decision)
    assert (entry["effect"] == "deny") == (status != 200)
    if store.lines:
        forwarded = store.lines[0].split(" ")[1].partition("?")[0]
        assert forwarded == entry["path"]
        assert forwarded.startswith(PREFIX + "/")


async def test_nothing_of_the_client_survives_unless_named(raw: tuple[Running, RawStore]) -> None:
    """Credentials, identity, forwarding and unknown headers stay at the gateway; ours cannot be forged."""
    site, store = raw
    forged = (
        "Residency-Subject: admin\r\nX-Forwarded-User: admin\r\nX-Secret: 1\r\nCookie: a=b\r\n"
        "X_Auth_User: admin\r\nAccept: text/plain\r\nProxy-Authorization: Bearer x\r\n"
    )
    status, decision = await send(site, f"{PREFIX}/7?q=1", extra=forged)
    [head] = store.heads
    names = {line.partition(":")[0].lower() for line in head.split("\r\n")[1:] if line}
    assert status == 200
    assert names == {"host", "accept", "residency-subject", "residency-rule", "residency-decision"}
    assert "Residency-Subject: sam" in head
    assert f"Residency-Decision: {decision}" in head
    assert store.lines == [f"GET {PREFIX}/7?q=1 HTTP/1.1"]
