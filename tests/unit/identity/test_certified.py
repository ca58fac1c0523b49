"""A service that its certificate names: a principal like any other's, revocable, with its work country."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import Unauthenticated
from gateway.identity import Kind, Revocations, Workforce
from gateway.identity.authenticator import CERTIFICATE, Authenticator
from gateway.identity.tokens import TokenVerifier
from tests.world.clock import FakeClock


def authenticator(workforce: Workforce | None = None) -> Authenticator:
    """One that knows no issuer."""
    clock = FakeClock()
    verifier = TokenVerifier([], clock=clock, max_token_bytes=1_000)
    return Authenticator(verifier, clock=clock, revocations=Revocations(), workforce=workforce)


def test_certified_service_is_a_principal_without_roles() -> None:
    """What a service may do stands in the line of services."""
    found = authenticator().certified("cafe\u0301")
    assert (found.subject, found.issuer, found.kind) == ("caf\u00e9", CERTIFICATE, Kind.SERVICE)
    assert (found.roles, found.work_country) == (frozenset(), "")


def test_certified_service_has_the_work_country_of_the_directory(tmp_path: Path) -> None:
    """One more signal, as for everybody."""
    (tmp_path / "workforce.toml").write_text('billing = "IN"\n')
    assert authenticator(Workforce(tmp_path / "workforce.toml")).certified("billing").work_country == "IN"


def test_certified_service_can_be_revoked() -> None:
    """By its name, as its certificate vouches for it or whoever does."""
    for issuer in ("", CERTIFICATE):
        found = authenticator()
        found.revocations.revoke_subject("billing", issuer=issuer)
        with pytest.raises(Unauthenticated, match="billing has been revoked"):
            found.certified("billing")
        assert found.certified("etl").subject == "etl"
