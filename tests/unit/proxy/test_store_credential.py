"""What the gateway shows a store: in which form, in whose place, how it is renewed, and that nobody else sees it."""

from __future__ import annotations

import asyncio
import base64
import copy
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from gateway.proxy.store import StoreUnreachable
from gateway.proxy.store_credential import StoreCredential
from gateway.settings import StoreSettings, parse
from tests.world.raw_store import OK, asking, facing, listening, raw_store, received

SECRET = "canary-51ac"
REFUSED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno"


def settings(tmp_path: Path, credential: dict[str, Any], port: int = 1) -> StoreSettings:
    """A store's settings as the file says them."""
    document = copy.deepcopy(_DOCUMENT) | {
        "store": [{"name": "crm", "url": f"http://127.0.0.1:{port}", "country": "US", "credential": credential}]
    }
    return parse(document, path=tmp_path / "gateway.toml", environ={"SECRET": SECRET}).store[0]


_DOCUMENT: dict[str, Any] = {
    "policy": {"directory": "policies", "home": ["US"]},
    "identity": {
        "issuer": [{"issuer": "https://login.test/", "audience": "gw", "jwks": "keys.json", "algorithms": ["RS256"]}]
    },
    "location": {"country_database": "country.mmdb"},
    "route": [{"path": "/crm/{customer}/{rest...}", "store": "crm", "data_class": "case"}],
}


@pytest.mark.parametrize(
    ("credential", "header"),
    [
        ({"header": "X-Api-Key", "value": {"env": "SECRET"}}, f"X-Api-Key: {SECRET}"),
        ({"header": "Authorization", "value": "Custom a b"}, "Authorization: Custom a b"),
        ({"bearer": {"env": "SECRET"}}, f"Authorization: Bearer {SECRET}"),
        ({"bearer": {"file": "token"}}, "Authorization: Bearer from-file"),
        ({"basic": "us:er:pass"}, f"Authorization: Basic {base64.b64encode(b'us:er:pass').decode()}"),
        ({"basic": "u:pässword"}, f"Authorization: Basic {base64.b64encode('u:pässword'.encode()).decode()}"),
    ],
)
async def test_credential_goes_to_the_store_in_its_form(
    credential: dict[str, Any], header: str, tmp_path: Path
) -> None:
    """After the host, once, and with nothing else."""
    (tmp_path / "token").write_text("from-file\n")
    given = settings(tmp_path, credential)
    async with raw_store(OK, credential=given.credential) as (raw, store):
        await received(await store.exchange(asking()))
        assert raw.requests == [f"GET /x HTTP/1.1\r\nHost: {raw.address}\r\n{header}\r\n\r\n".encode()]


@pytest.mark.parametrize("name", ["X-Api-Key", "x-api-key", "X-API-KEY"])
async def test_credential_takes_the_place_of_a_header_of_that_name(name: str, tmp_path: Path) -> None:
    """Whatever a client may send under it; and the headers that were given are left as they are."""
    given = settings(tmp_path, {"header": "X-Api-Key", "value": SECRET})
    async with raw_store(OK, credential=given.credential) as (raw, store):
        outgoing = asking(**{name: "forged", "X-Other": "1"})
        outgoing.headers.add(name, "forged too")
        await received(await store.exchange(outgoing))
        assert (b"forged" in raw.requests[0], raw.requests[0].lower().count(b"x-api-key")) == (False, 1)
        assert outgoing.headers.getall(name) == ["forged", "forged too"]


async def test_credentials_of_the_url_take_the_place_of_an_authorization() -> None:
    """They are the gateway's too."""
    async with raw_store(OK, url="http://user:pass@127.0.0.1:{port}") as (raw, store):
        await received(await store.exchange(asking(Authorization="Bearer forged")))
        assert raw.requests[0].count(b"Authorization") == 1
        assert b"forged" not in raw.requests[0]


@pytest.mark.parametrize(("user", "basic"), [("user", "user:"), ("a%00:%0D%0A", "a\0:\r\n"), (":", ":")])
async def test_whatever_the_url_names_can_be_sent(user: str, basic: str) -> None:
    """Encoded, nothing of it ends the header."""
    credential = StoreCredential.of("crm", None, urlsplit(f"http://{user}@crm.test"))
    assert credential is not None
    assert credential.line == f"Authorization: Basic {base64.b64encode(basic.encode()).decode()}\r\n"


async def test_store_without_a_credential_has_none() -> None:
    """Nothing is made up."""
    assert StoreCredential.of("crm", None, urlsplit("http://crm.test")) is None


async def test_no_answer_hands_the_credential_on(tmp_path: Path) -> None:
    """A store that echoes the header does not tell the client."""
    given = settings(tmp_path, {"header": "X-Api-Key", "value": SECRET})
    echo = f"HTTP/1.1 200 OK\r\nX-API-Key: {SECRET}\r\nX-Other: 1\r\nContent-Length: 2\r\n\r\nok".encode()
    async with raw_store(echo, credential=given.credential) as (_, store):
        incoming = await store.exchange(asking())
        assert await received(incoming) == b"ok"
        assert list(incoming.headers) == ["X-Other", "Content-Length"]


async def test_a_client_is_not_asked_for_the_gateways_credential(tmp_path: Path) -> None:
    """A browser would put the store's question to whoever sits before it, who cannot answer: it is a bad gateway."""
    asks = b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=x\r\nContent-Length: 2\r\n\r\nno"
    given = settings(tmp_path, {"header": "X-Api-Key", "value": SECRET})
    async with raw_store(asks, credential=given.credential) as (_, store):
        with pytest.raises(StoreUnreachable, match="the store crm refused the gateway's credential") as refused:
            await store.exchange(asking())
        assert (refused.value.status, SECRET in str(refused.value)) == (502, False)
    async with raw_store(asks) as (_, store):
        incoming = await store.exchange(asking())
        assert (await received(incoming), "WWW-Authenticate" in incoming.headers) == (b"no", True)


async def test_a_client_with_credentials_of_its_own_is_told_that_they_were_refused(tmp_path: Path) -> None:
    """Where its ``Authorization`` crossed beside the gateway's header, a 401 may be about either."""
    given = settings(tmp_path, {"header": "X-Api-Key", "value": SECRET})
    async with raw_store(REFUSED, credential=given.credential) as (_, store):
        incoming = await store.exchange(asking(Authorization="Basic x"))
        assert (incoming.status, await received(incoming)) == (401, b"no")


async def test_a_refused_credential_opens_no_circuit_and_leaks_no_connection(tmp_path: Path) -> None:
    """The store is there; the next request goes out on the same connection."""
    given = settings(tmp_path, {"bearer": SECRET})
    async with raw_store(*[REFUSED] * 4, OK, credential=given.credential, breaker_failures=1) as (raw, store):
        for _ in range(4):
            with pytest.raises(StoreUnreachable):
                await store.exchange(asking())
        assert await received(await store.exchange(asking())) == b"ok"
        assert raw.connections == 1


async def test_a_changed_file_is_taken_up(tmp_path: Path) -> None:
    """By itself after a while, and at once after a 401; the client's request is not sent twice."""
    file = tmp_path / "token"
    file.write_text("old")
    given = settings(tmp_path, {"bearer": {"file": "token"}})
    async with raw_store(OK, REFUSED, OK, credential=given.credential) as (raw, store):
        await received(await store.exchange(asking()))
        file.write_text("newer\n")
        with pytest.raises(StoreUnreachable):
            await store.exchange(asking())
        assert await received(await store.exchange(asking())) == b"ok"
        shown = [request.partition(b"Bearer ")[2].strip() for request in raw.requests]
        assert shown == [b"old", b"old", b"newer"]


@pytest.mark.parametrize("content", [b"", b"two\nlines", b"\xff", "ü".encode(), b" ", None])
async def test_a_file_that_cannot_be_used_leaves_the_old_secret(content: bytes | None, tmp_path: Path) -> None:
    """The log says so once, and not what is in it."""
    file = tmp_path / "token"
    file.write_text(SECRET)
    credential = StoreCredential.of("crm", settings(tmp_path, {"bearer": {"file": "token"}}).credential, urlsplit(""))
    assert credential is not None
    file.unlink() if content is None else file.write_bytes(content)
    with capture_logs() as logs:
        assert [await credential.renew() for _ in range(2)] == [False, False]
    assert credential.line == f"Authorization: Bearer {SECRET}\r\n"
    assert [log["event"] for log in logs] == ["store_credential_not_reread"]
    file.write_text(SECRET)
    assert not await credential.renew()
    file.write_text("good")
    assert await credential.renew()
    assert credential.line == "Authorization: Bearer good\r\n"


async def test_a_file_that_changed_after_the_configuration_was_read_is_taken_up(tmp_path: Path) -> None:
    """However soon after; and then it is no news any more."""
    (tmp_path / "token").write_text("old")
    given = settings(tmp_path, {"bearer": {"file": "token"}})
    (tmp_path / "token").write_text("new")
    credential = StoreCredential.of("crm", given.credential, urlsplit(""))
    assert credential is not None
    assert [await credential.renew() for _ in range(2)] == [True, False]
    assert credential.line == "Authorization: Bearer new\r\n"


async def test_a_file_is_not_looked_at_for_each_request(tmp_path: Path) -> None:
    """Once every few seconds is enough."""
    (tmp_path / "token").write_text("old")
    credential = StoreCredential.of("crm", settings(tmp_path, {"bearer": {"file": "token"}}).credential, urlsplit(""))
    assert credential is not None
    now_s = asyncio.get_running_loop().time()
    assert credential.changes.due_s <= now_s
    await credential.renew()
    assert credential.changes.due_s > now_s + 1.0


async def test_a_secret_that_is_in_no_file_is_never_due(tmp_path: Path) -> None:
    """Not even after a 401."""
    credential = StoreCredential.of("crm", settings(tmp_path, {"bearer": "x"}).credential, urlsplit(""))
    assert credential is not None
    credential.changes.hurry()
    assert credential.changes.due_s == float("inf")
    assert not await credential.renew()


async def test_the_secret_is_in_no_log_and_no_error(tmp_path: Path) -> None:
    """Whatever goes wrong with the store that it is for."""
    async with listening() as raw:
        port = raw.port
    given = settings(tmp_path, {"bearer": {"env": "SECRET"}}, port=port)
    assert SECRET not in repr(given) + str(given) + repr(given.credential) + repr(given.credential.secret)  # type: ignore[union-attr]
    with capture_logs() as logs:
        async with facing(f"http://127.0.0.1:{port}", credential=given.credential, breaker_failures=1) as store:
            failures = await asyncio.gather(*[store.exchange(asking()) for _ in range(3)], return_exceptions=True)
            failures.append(*await asyncio.gather(store.exchange(asking(X_A="a\nb")), return_exceptions=True))
    assert logs
    assert SECRET not in str(logs) + str(failures) + repr([each.__cause__ for each in failures])  # type: ignore[union-attr]
