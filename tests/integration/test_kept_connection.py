"""Requests one after the other on one connection: what the connection remembers of one never speaks for another."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from gateway.demo.world import RAJ, SAM, Person
from gateway.identity import Revocation, Revoked
from tests.integration.conftest import Running

Lines = list[tuple[str, str]]


class Kept:
    """A connection that is kept, and requests written by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, target: str, lines: Lines, *, version: str = "1.1") -> tuple[int, dict[str, str], bytes]:
        head = "".join(f"{name}: {value}\r\n" for name, value in lines)
        self.writer.write(f"GET {target} HTTP/{version}\r\nHost: gw.test\r\n{head}\r\n".encode())
        text = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)).decode()
        first, *rest = text.split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in rest if line)
        body = await asyncio.wait_for(self.reader.readexactly(int(headers["content-length"])), 10)
        return int(first.split(" ")[1]), headers, body


@pytest.fixture
async def kept(site: Running) -> AsyncIterator[Kept]:
    """A connection to the door."""
    connection = Kept(*await asyncio.open_connection("127.0.0.1", site.gateway.door_port))
    yield connection
    connection.writer.close()
    with contextlib.suppress(ConnectionError):
        await connection.writer.wait_closed()


def lines_of(site: Running, person: Person) -> Lines:
    return [("Authorization", f"Bearer {site.world.token(person)}"), ("X-Forwarded-For", person.address)]


async def test_each_request_is_judged_by_its_own_headers_and_target(site: Running, kept: Kept) -> None:
    """Another token, another address, another target, no token: each by itself, in every order."""
    sam, raj = lines_of(site, SAM), lines_of(site, RAJ)
    from_abroad = [sam[0], raj[1]]
    asked = [
        ("/conversations/acme/7", sam, 200, "sam"),
        ("/conversations/acme/7", sam, 200, "sam"),
        ("/conversations/acme/8", raj, 403, "raj"),
        ("/conversations/acme/7", from_abroad, 403, "sam"),
        ("/conversations/acme/7", sam, 200, "sam"),
        ("/conversations/acme/7", sam[1:], 401, ""),
        ("/nowhere", sam, 403, "sam"),
        ("/conversations/acme/9?x=1", sam, 200, "sam"),
    ]
    for target, lines, status, subject in asked:
        answered, headers, _ = await kept.ask(target, lines)
        entry = site.entry(headers["residency-decision"])
        assert answered == status, target
        assert (entry["subject"], entry["path"]) == (subject, target.partition("?")[0])


async def test_what_was_revoked_meanwhile_is_denied_although_the_same_is_said_again(site: Running, kept: Kept) -> None:
    """Only how headers are read is remembered, never what they led to."""
    lines = lines_of(site, SAM)
    assert (await kept.ask("/conversations/acme/7", lines))[0] == 200
    site.gateway.rooms.revocations.put(
        Revocation(id="1", kind=Revoked.SUBJECT, value="sam", issuer="", revoked_us=1, issued_until_us=0)
    )
    assert (await kept.ask("/conversations/acme/7", lines))[0] == 401


async def test_an_ambiguous_request_is_refused_each_time(site: Running, kept: Kept) -> None:
    """A refusal closes the connection, and nothing of it is remembered."""
    lines = [*lines_of(site, SAM), ("Content_Length", "3")]
    assert (await kept.ask("/conversations/acme/7", lines))[0] == 400
    assert await kept.reader.read() == b""


@pytest.mark.parametrize("version", ["2.0", "1.2"])
async def test_the_same_in_another_version_is_read_anew(site: Running, kept: Kept, version: str) -> None:
    """What was remembered of HTTP/1.1 says nothing of a version that is not spoken here."""
    lines = lines_of(site, SAM)
    assert (await kept.ask("/conversations/acme/7", lines))[0] == 200
    assert (await kept.ask("/conversations/acme/7", lines, version=version))[0] in (400, 505)


@pytest.mark.parametrize(
    ("version", "connection", "said"),
    [("1.1", "", ""), ("1.1", "close", "close"), ("1.0", "", ""), ("1.0", "keep-alive", "keep-alive")],
)
async def test_an_answer_says_whether_its_connection_goes_on(
    site: Running, kept: Kept, version: str, connection: str, said: str
) -> None:
    """As HTTP/1.1 and 1.0 have it (RFC 9112 §9.3)."""
    lines = lines_of(site, SAM) + ([("Connection", connection)] if connection else [])
    status, headers, body = await kept.ask("/conversations/acme/7", lines, version=version)
    assert status == 200
    assert body
    assert headers.get("connection", "") == said
    assert headers["date"].endswith("gmt")
    assert headers["content-type"].startswith("application/json")
    goes_on = said == "keep-alive" or (version == "1.1" and not said)
    if not goes_on:
        assert await asyncio.wait_for(kept.reader.read(), 10) == b""
    else:
        assert (await kept.ask("/conversations/acme/7", lines, version=version))[0] == 200
