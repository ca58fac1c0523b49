"""When keys are fetched, how long they are believed, and from where."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from pathlib import Path

import pytest

from gateway.errors import KeySetUnavailable
from gateway.identity import MAX_DOCUMENT_BYTES, KeySetSource, keysource
from gateway.identity.keysource import is_fetchable
from tests.world.clock import FakeClock
from tests.world.tokens import KeyServer, ec_key, issuer_settings, key_set, rsa_key


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def server() -> KeyServer:
    return KeyServer(key_set(rsa_key().jwk()))


@pytest.fixture
def source(server: KeyServer, clock: FakeClock) -> KeySetSource:
    settings = issuer_settings(jwks_max_age_s=300, jwks_grace_s=3600, jwks_cooldown_s=30)
    return KeySetSource(settings, fetcher=server, clock=clock)


async def test_first_look_up_fetches_and_the_next_does_not(source: KeySetSource, server: KeyServer) -> None:
    """A source without keys gets them when it is first asked."""
    ready_before = source.ready
    assert await source.find("rsa-1", "RS256")
    assert await source.find("rsa-1", "RS256")
    assert (ready_before, source.ready) == (False, True)
    assert len(server.fetched) == 1


async def test_concurrent_look_ups_share_one_fetch(source: KeySetSource, server: KeyServer) -> None:
    """However many wait, one fetch is under way."""
    server.gate = asyncio.Event()
    waiting = asyncio.gather(*(source.find("rsa-1", "RS256") for _ in range(20)))
    await asyncio.sleep(0)
    server.gate.set()

    assert all(await waiting)
    assert len(server.fetched) == 1


async def test_client_that_hangs_up_does_not_end_the_fetch_of_others(source: KeySetSource, server: KeyServer) -> None:
    """Cancelling the look-up that started a fetch leaves it to those who joined."""
    server.gate = asyncio.Event()
    first, second = (asyncio.ensure_future(source.find("rsa-1", "RS256")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    server.gate.set()

    assert await second
    assert first.cancelled()


async def test_unknown_kid_fetches_once_a_cool_down(source: KeySetSource, server: KeyServer, clock: FakeClock) -> None:
    """Within the cool-down an unknown kid is simply unknown; after it, one fetch is allowed."""
    await source.refresh_if_due()
    for elapsed_s, fetches in ((0, 1), (29.9, 1), (0.1, 2), (1, 2), (29, 3)):
        clock.advance(elapsed_s)
        assert await source.find("nobody", "RS256") is None
        assert len(server.fetched) == fetches


async def test_known_kid_and_missing_kid_never_fetch(source: KeySetSource, server: KeyServer, clock: FakeClock) -> None:
    """Only a kid that is not in the set is a reason to look for another set."""
    await source.refresh_if_due()
    clock.advance(100)

    assert await source.find("rsa-1", "ES256") is None
    assert await source.find(None, "RS256")
    assert len(server.fetched) == 1


async def test_refresh_is_due_at_max_age_and_sooner_after_a_failure(
    source: KeySetSource, server: KeyServer, clock: FakeClock
) -> None:
    """A good set is renewed at its maximum age; a failed fetch is repeated after the cool-down."""
    for elapsed_s, fetches in ((0, 1), (299, 1), (1, 2)):
        clock.advance(elapsed_s)
        await source.refresh_if_due()
        assert len(server.fetched) == fetches
    server.failure = OSError("no route")
    for elapsed_s, fetches in ((300, 3), (29, 3), (1, 4)):
        clock.advance(elapsed_s)
        await source.refresh_if_due()
        assert len(server.fetched) == fetches
    assert source.problem == "OSError"


async def test_failed_fetch_keeps_the_last_good_set_for_its_grace(
    source: KeySetSource, server: KeyServer, clock: FakeClock
) -> None:
    """The old keys verify until the grace after their own fetch is over, and then nothing does."""
    await source.refresh_if_due()
    server.failure = OSError("no route")
    clock.advance(3600)
    await source.refresh_if_due()
    assert await source.find("rsa-1", "RS256")

    clock.advance(0.1)
    assert not source.ready
    with pytest.raises(KeySetUnavailable, match="OSError"):
        await source.find("rsa-1", "RS256")

    server.failure = None
    clock.advance(30)
    assert await source.find("rsa-1", "RS256")
    assert source.problem == ""


async def test_set_that_outlived_its_grace_without_a_failure_says_so(source: KeySetSource, clock: FakeClock) -> None:
    """A source that nobody refreshed, asked within the cool-down, is unavailable too."""
    settings = issuer_settings(jwks_grace_s=10, jwks_cooldown_s=30)
    lazy = KeySetSource(settings, fetcher=KeyServer(key_set(rsa_key().jwk())), clock=clock)
    await lazy.refresh_if_due()
    clock.advance(11)

    with pytest.raises(KeySetUnavailable, match="too old"):
        await lazy.find("rsa-1", "RS256")


@pytest.mark.parametrize("document", [b"not json", key_set(), b" " * (MAX_DOCUMENT_BYTES + 1), key_set({"kty": "oct"})])
async def test_refused_document_keeps_the_old_set(
    source: KeySetSource, server: KeyServer, clock: FakeClock, document: bytes
) -> None:
    """What is not a usable key set replaces nothing."""
    await source.refresh_if_due()
    server.document = document
    clock.advance(300)
    await source.refresh_if_due()

    assert source.problem
    assert await source.find("rsa-1", "RS256")


async def test_fetch_that_never_answers_is_given_up(
    source: KeySetSource, server: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look-up waits for the timeout and no longer."""
    monkeypatch.setattr(keysource, "FETCH_TIMEOUT_S", 0.01)
    server.gate = asyncio.Event()

    with pytest.raises(KeySetUnavailable):
        await source.find("rsa-1", "RS256")
    await asyncio.sleep(0.02)
    assert source.problem == "TimeoutError"


async def test_close_ends_the_fetch_under_way(source: KeySetSource, server: KeyServer) -> None:
    """Closing leaves no task behind, before, during and after a fetch."""
    await source.close()
    server.gate = asyncio.Event()
    waiting = asyncio.ensure_future(source.find("rsa-1", "RS256"))
    await asyncio.sleep(0)
    await source.close()

    with pytest.raises(KeySetUnavailable):
        await waiting
    await source.close()


async def test_file_is_read_in_place_of_the_network(server: KeyServer, clock: FakeClock, tmp_path: Path) -> None:
    """A path is read as a file, again when a kid is unknown; a missing file is a problem, not a crash."""
    path = tmp_path / "keys.json"
    source = KeySetSource(issuer_settings(jwks=str(path)), fetcher=server, clock=clock)
    await source.refresh_if_due()
    assert source.problem == "FileNotFoundError"

    path.write_bytes(key_set(rsa_key().jwk()))
    clock.advance(30)
    await source.refresh_if_due()
    assert await source.find("rsa-1", "RS256")
    path.write_bytes(key_set(rsa_key().jwk(), ec_key().jwk()))
    clock.advance(30)
    assert await source.find("ec-1", "ES256")
    path.write_bytes(b" " * (MAX_DOCUMENT_BYTES + 10))
    clock.advance(300)
    await source.refresh_if_due()
    assert "longer" in source.problem
    assert server.fetched == []


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("169.254.169.254", False),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("100.100.100.200", False),
        ("::1", False),
        ("::", False),
        ("fe80::1", False),
        ("fd00:ec2::254", False),
        ("::ffff:169.254.169.254", False),
        ("::ffff:127.0.0.1", False),
        ("10.1.2.3", True),
        ("192.0.43.8", True),
        ("2606:2800:220:1::1", True),
    ],
)
def test_jwt_071_issuer_host_never_leads_to_the_machine_itself(address: str, allowed: bool) -> None:
    """Loopback, link-local and metadata addresses are refused in either family; neighbours are allowed."""
    assert is_fetchable(ip_address(address)) is allowed
