"""The sample identity provider, against the gateway that reads its tokens."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.demo.identity_provider import AUDIENCE, ISSUER, SampleIdentityProvider
from gateway.errors import ConfigurationError, Unauthenticated
from gateway.identity import Authenticator, FileFetcher, Kind, Revocations
from gateway.settings import IdentitySettings, IssuerSettings
from tests.world.clock import NOW_S, FakeClock

KEY = "sample-identity-provider.pem"


def gateway(provider: SampleIdentityProvider, clock: FakeClock) -> Authenticator:
    issuer = IssuerSettings(
        issuer=ISSUER,
        audience=AUDIENCE,
        jwks=str(provider.jwks_path),
        algorithms=("ES256",),
        customer_claim="customer",
        country_claim="country",
    )
    settings = IdentitySettings(issuer=(issuer,), trusted_actors=("tool",))
    return Authenticator.of(settings, fetcher=FileFetcher(), clock=clock, revocations=Revocations())


async def test_minted_token_is_what_the_gateway_reads(tmp_path: Path) -> None:
    """Personnel, a customer's user and an acting tool."""
    clock = FakeClock()
    provider = SampleIdentityProvider(tmp_path / "keys", clock=clock)
    door = gateway(provider, clock)

    person = await door.authenticate(
        f"Bearer {provider.mint('priya', ['engineer'], country='IN', act={'sub': 'tool'})}"
    )
    customer = await door.authenticate(f"Bearer {provider.mint('joe', [], customer='acme')}")

    assert (person.subject, person.roles, person.country, person.actor) == (
        "priya",
        frozenset({"engineer"}),
        "IN",
        "tool",
    )
    assert (customer.kind, customer.customer, customer.expires_at_s) == (Kind.CUSTOMER, "acme", NOW_S + 3600)
    clock.advance(3631)
    with pytest.raises(Unauthenticated):
        await door.authenticate(f"Bearer {provider.mint('priya', [], expires_in_s=-31)}")


def test_another_process_signs_with_the_same_private_key(tmp_path: Path) -> None:
    """The keys persist, and only their owner may read them."""
    first = SampleIdentityProvider(tmp_path / "keys", clock=FakeClock())
    second = SampleIdentityProvider(tmp_path / "keys", clock=FakeClock())

    assert first.jwks() == second.jwks()
    assert "d" not in first.jwks()["keys"][0]
    assert stat.S_IMODE((tmp_path / "keys" / KEY).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    assert {path.name for path in (tmp_path / "keys").iterdir()} == {KEY, "sample-jwks.json"}


def test_loser_of_a_race_to_create_uses_the_winners_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes that both find no key end up with one."""
    winner = SampleIdentityProvider(tmp_path, clock=FakeClock())
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: path.name != KEY and exists(path))

    assert SampleIdentityProvider(tmp_path, clock=FakeClock()).jwks() == winner.jwks()


def test_key_that_others_may_read_or_that_is_none_is_refused(tmp_path: Path) -> None:
    """A sample key is still a key."""
    SampleIdentityProvider(tmp_path, clock=FakeClock())
    (tmp_path / KEY).chmod(0o644)
    with pytest.raises(ConfigurationError, match="others may read"):
        SampleIdentityProvider(tmp_path, clock=FakeClock())

    (tmp_path / KEY).chmod(0o600)
    other = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for content, problem in ((b"not a key", "not a private key"), (other, "not an ES256 key")):
        (tmp_path / KEY).write_bytes(content)
        with pytest.raises(ConfigurationError, match=problem):
            SampleIdentityProvider(tmp_path, clock=FakeClock())
