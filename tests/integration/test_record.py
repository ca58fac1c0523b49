"""Every call leaves one decision on record, whatever it is made of, and no credential with it."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.demo.stores import Addresses
from gateway.demo.world import RAJ, SAM
from gateway.ledger.reader import LedgerReader
from gateway.ledger.verification import verify
from gateway.settings import RouteSettings, Settings
from tests.integration.conftest import Running, running
from tests.integration.test_smuggling import TENANT, head, said

TOKEN = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJl"


def entries(site: Running) -> list[dict[str, Any]]:
    with LedgerReader(site.world.settings.ledger.path) as reader:
        return list(reader.after(-1))


def with_tenant(settings: Settings) -> Settings:
    door = settings.gateway.model_copy(update={"max_target_bytes": 32_768})
    route = RouteSettings.model_validate(TENANT)
    return settings.model_copy(update={"route": (*settings.route, route), "gateway": door})


def unusual(site: Running) -> dict[str, bytes]:
    """Requests that hold what the record's form does not, or hardly."""
    role = site.world.provider.mint("sam", ["support", "\ud800"])
    return {
        "customer, nobody": b"GET /tenant/1 HTTP/1.1\r\nHost: x\r\nX-Tenant: ac\x80me\r\n\r\n",
        "customer": head(site, SAM, "GET /tenant/1 HTTP/1.1")[:-2] + b"X-Tenant: ac\x80me\r\n\r\n",
        "role": f"GET /conversations/acme/7 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {role}\r\n\r\n".encode(),
        "path": head(site, SAM, f"GET /conversations/acme/{'p/' * 250}{'p' * 32_000} HTTP/1.1"),
        "path, denied": head(site, RAJ, f"GET /conversations/acme/{'p' * 32_000} HTTP/1.1"),
        "ticket on a page": head(site, RAJ, "GET /conversations/acme/7 HTTP/1.1", "Accept: text/html")[:-2]
        + b"Access-Ticket: \xff\r\n\r\n",
        "reason": head(site, RAJ, "GET /conversations/acme/7 HTTP/1.1")[:-2] + b"Access-Reason: \xff\x01\r\n\r\n",
    }


async def test_what_is_unusual_is_answered_and_recorded_once(tmp_path: Path, stores: Addresses) -> None:
    """Octets that are no text, names that are no names, paths as long as they may be: a clear answer, one entry."""
    async with running(tmp_path / "world", stores, change=with_tenant) as site:
        for number, (name, data) in enumerate(unusual(site).items(), 1):
            answered = await said(site, data)
            status = int(answered[9:12])
            assert status in (200, 400, 401, 403, 404), (name, answered[:200])
            found = re.search(rb"Residency-Decision: (\S+)", answered)
            decisions = [entry for entry in entries(site) if entry["kind"] == "decision"]
            assert len(decisions) == number, name
            if found:
                assert decisions[-1]["id"] == found[1].decode()
        assert verify(site.world.settings.ledger.path).verified


async def test_a_denied_path_is_kept_as_far_as_evidence_needs(tmp_path: Path, stores: Addresses) -> None:
    """A permit's is kept whole, for it says what was reached; refusals must not fill the disk."""
    async with running(tmp_path / "world", stores, change=with_tenant) as site:
        long = f"/conversations/acme/{'p' * 8_000}"
        for person in (SAM, RAJ, RAJ):
            await said(site, head(site, person, f"GET {long} HTTP/1.1"))
        permitted, *denied = (entry["path"] for entry in entries(site) if entry["kind"] == "decision")
    assert permitted == long
    for path in denied:
        assert path.startswith(long[:2_048])
        assert re.search(r"SHA-256 of the whole: [0-9a-f]{64}\)$", path)
        assert len(path) < 2_200


@pytest.mark.parametrize(
    "target",
    [
        f"/cb#access_token={TOKEN}",
        f"/cb%3Faccess_token={TOKEN}",
        f"/cb%23access_token={TOKEN}",
        f"/conversations/acme/{TOKEN}",
        f"/nowhere/{TOKEN}",
        "http://bob:canary-password@gw.test/x",
        "//bob:canary-password@gw.test/x",
        "/cb#access_token=canary-password",
        f"/conversations/acme/7?access_token={TOKEN}",
    ],
)
async def test_no_credential_of_a_target_is_recorded(site: Running, target: str) -> None:
    """Neither where it is refused, nor where it passes."""
    for person in (SAM, RAJ):
        answered = await said(site, head(site, person, f"GET {target} HTTP/1.1"))
        assert b"Residency-Decision" in answered
    recorded = b"".join(
        path.read_bytes() for path in site.world.settings.ledger.path.parent.glob("*") if path.is_file()
    )
    assert TOKEN.encode() not in recorded
    assert b"canary-password" not in recorded


async def test_no_credential_of_a_reason_is_recorded(site: Running) -> None:
    """People paste."""
    for name in ("Access-Reason", "Access-Ticket"):
        await said(site, head(site, RAJ, "GET /conversations/acme/7 HTTP/1.1", f"{name}: Bearer {TOKEN}"))
    assert TOKEN not in str(entries(site))


async def test_a_permit_that_nobody_waited_for_is_completed(tmp_path: Path, stores: Addresses) -> None:
    """The client is gone while its permit is being written: nothing passes, and the record says so."""
    async with running(tmp_path / "world", stores) as site:
        for number in range(40):
            _, writer = await asyncio.open_connection("127.0.0.1", site.gateway.door_port)
            writer.write(head(site, SAM, f"GET /conversations/acme/{number} HTTP/1.1"))
            await asyncio.sleep(number / 20_000)
            writer.transport.abort()
        async with asyncio.timeout(5):
            kinds: Counter[str] = Counter({"decision": -1})
            while kinds["decision"] != kinds["completion"]:
                kinds = Counter(entry["kind"] for entry in entries(site))
                await asyncio.sleep(0.05)
        assert verify(site.world.settings.ledger.path).verified


LOGGED_S = 4.0  # a traceback takes its time to be rendered for a terminal, as the log does where it is not set up


async def test_a_fault_of_our_own_is_told_and_lets_nothing_pass(site: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before an answer has begun, a clear 503; after that, a connection that breaks."""

    def fails(*_: object, **__: object) -> Callable[[], None]:
        raise RuntimeError("a bug")

    monkeypatch.setattr("gateway.proxy.headers.to_client", fails)
    answered = await said(site, head(site, SAM, "GET /conversations/acme/7 HTTP/1.1"), until_s=LOGGED_S)
    assert answered.startswith(b"HTTP/1.1 503")
    assert b"aiohttp" not in answered
    monkeypatch.undo()
    monkeypatch.setattr("gateway.admission.Admission.count_out", fails)
    with contextlib.suppress(ConnectionError):
        answered = await said(site, head(site, SAM, "GET /recordings/acme/7.wav HTTP/1.1"))
        assert b"0\r\n\r\n" not in answered[-10:]
