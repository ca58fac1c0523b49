"""Stores with addresses, credentials and certificates of their own, behind a whole gateway."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway import rooms
from gateway.catalog import StoreResidence
from gateway.catalog.residence import Address
from gateway.demo.stores import Addresses
from gateway.demo.world import SAM
from gateway.errors import ConfigurationError
from gateway.ledger.reader import LedgerReader
from gateway.settings import Settings, StoreSettings
from tests.integration.conftest import running
from tests.world.certificates import Authority
from tests.world.raw_store import OK, closing, listening

SECRET = "canary-77b1"
PATH = "/crm/acme/cases/1"


def crm(**changes: object) -> Callable[[Settings], Settings]:
    """The settings with keys of the store ``crm`` changed."""

    def change(settings: Settings) -> Settings:
        given = {
            "name": "crm",
            "url": SecretStr("http://crm.test"),
            "country": "US",
            "connect_timeout_s": 0.5,
        } | changes
        others = [store for store in settings.store if store.name != "crm"]
        return settings.model_copy(update={"store": (StoreSettings.model_validate(given), *others)})

    return change


async def test_the_credential_is_between_the_gateway_and_the_store(tmp_path: Path, stores: Addresses) -> None:
    """The store gets it in place of the client's, and neither the client nor the ledger gets to see it."""
    echo = f"HTTP/1.1 200 OK\r\nAuthorization: Bearer {SECRET}\r\nContent-Length: 2\r\n\r\nok".encode()
    async with listening(echo) as raw:
        url = SecretStr(f"http://{raw.address}")
        change = crm(url=url, credential={"bearer": SECRET}, request_headers=["Authorization"])
        async with running(tmp_path / "world", stores, change=change) as site:
            status, headers, body = await site.ask(SAM, PATH)
            entry = site.entry(headers["Residency-Decision"])
        assert (status, body) == (200, b"ok")
        assert raw.requests[0].count(b"Authorization: ") == 1
        assert f"Authorization: Bearer {SECRET}\r\n".encode() in raw.requests[0]
        assert SECRET not in f"{headers} {entry}"


async def test_a_store_behind_tls_is_reached_at_the_address_that_is_there(tmp_path: Path, stores: Addresses) -> None:
    """By its own authority and name, with the gateway's certificate, though its first address refuses."""
    authority = Authority(tmp_path / "tls")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.server(dns="crm.internal"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.path)
    certificate, key = authority.client({"CN": "gateway"})
    async with listening() as gone:
        pass
    async with listening(OK, tls=context) as raw:
        change = crm(
            url=SecretStr("https://crm.test"),
            addresses=[gone.address, raw.address],
            tls_ca=authority.path,
            tls_certificate=certificate,
            tls_key=key,
            tls_server_name="crm.internal",
        )
        async with running(tmp_path / "world", stores, change=change) as site:
            status, _, body = await site.ask(SAM, PATH)
        assert (status, body) == (200, b"ok")
        assert b"\r\nHost: crm.test\r\n" in raw.requests[0]


async def test_a_store_that_does_not_answer_is_told_at_once_after_a_while(tmp_path: Path, stores: Addresses) -> None:
    """502 while it is tried, then 503 with a time to come back; each is decided, and each is recorded."""
    async with listening(*[closing(b"")] * 3) as raw:
        change = crm(url=SecretStr(f"http://{raw.address}"), breaker_failures=2, breaker_open_s=40.0)
        async with running(tmp_path / "world", stores, change=change) as site:
            answers = [await site.ask(SAM, PATH) for _ in range(3)]
        with LedgerReader(site.world.settings.ledger.path) as reader:
            recorded = [list(reader.show(headers["Residency-Decision"])) for _, headers, _ in answers]
    assert [status for status, _, _ in answers] == [502, 502, 503]
    assert 30 < int(answers[2][1]["Retry-After"]) <= 40
    assert b"did not answer 2 times in a row" in answers[2][2]
    assert [(entries[0]["effect"], entries[1]["outcome"]) for entries in recorded] == [("permit", "unreachable")] * 3
    assert len(raw.requests) == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"addresses": ["10.0.0.5:9101", "87.32.0.1:9101"]}, "store crm: holds a protected customer's data outside"),
        ({"url": SecretStr("https://127.0.0.1:1"), "tls_ca": "/nowhere.pem"}, "store crm: tls_ca /nowhere.pem cannot"),
    ],
)
async def test_a_store_that_may_not_or_cannot_be_used_stops_the_start(
    changes: dict[str, object], said: str, tmp_path: Path, stores: Addresses
) -> None:
    """An address abroad, whatever the url's host is, and a file for TLS that is not there."""
    with pytest.raises(ConfigurationError, match=said):
        async with running(tmp_path / "world", stores, change=crm(**changes)):
            pass


async def test_a_resolver_that_lies_sends_no_protected_write_abroad(
    tmp_path: Path, stores: Addresses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names a place at home when the store is placed, and another when it is connected to (rebinding)."""
    placed = StoreResidence._place

    def place(self: StoreResidence, address: Address) -> str:
        return "IN" if address.is_loopback else placed(self, address)

    monkeypatch.setattr(rooms, "_resolve", lambda _host: ["10.0.0.5"])
    monkeypatch.setattr(StoreResidence, "_place", place)
    async with listening(OK, OK, OK) as raw:
        async with running(tmp_path / "world", stores, change=crm(url=SecretStr(f"http://{raw.address}"))) as site:
            writes = [
                await site.ask(SAM, PATH, method="POST", data=b"secret"),
                await site.ask(SAM, "/uploads/acme/x", method="PUT", data=b"secret"),
            ]
            for status, headers, answered in writes:
                assert (status, json.loads(answered)["rule"]) == (503, "storage-home"), answered
                assert site.entry(headers["Residency-Decision"])["effect"] == "permit"
            assert raw.requests == []
            assert not list(site.world.directory.parent.rglob("*secret*"))
            assert (await site.ask(SAM, PATH))[0] == 200  # reading stores nothing
            delta = PATH.replace("acme", "delta")
            assert (await site.ask(SAM, delta, method="POST", data=b"theirs"))[0] == 200  # no plan
            assert (await site.ask(SAM, PATH, method="POST", data=b"secret"))[0] == 503  # on a kept connection, too
        assert [request.split()[0] for request in raw.requests] == [b"GET", b"POST"]
