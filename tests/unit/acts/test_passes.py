"""Acts on passes: for whom, for how long, what is kept and what stands in the record."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import asyncssh
import pytest
from pydantic import SecretStr

from gateway.acts import Actor
from gateway.acts.passes import MAX_SESSIONS, Wish, mint_pass, revoke_pass
from gateway.clock import SECOND_US
from gateway.errors import (
    ConfigurationError,
    Contradicted,
    Forbidden,
    LedgerUnavailable,
    NotFound,
    Outdated,
    Unauthenticated,
    UsageError,
)
from gateway.identity import Kind, PassState, Principal, TransferPass
from gateway.settings import Secret
from tests.world.office import ADMIN, APPROVER, AUDITOR, ENGINEER, OPERATOR, REFUSAL, Bureau

ISSUER = "https://login.example.com/"
PUBLIC_KEY = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()


def secret(key: asyncssh.SSHKey) -> Secret:
    return Secret(SecretStr(key.export_private_key().decode().rstrip("\n")))


CA = secret(asyncssh.generate_private_key("ssh-ed25519"))


def person(bureau: Bureau, name: str = "priya", **changes: Any) -> Actor:
    """Somebody with a token that holds for eight hours."""
    given: dict[str, Any] = {
        "roles": frozenset({"engineer", "support"}),
        "country": "IN",
        "token_id": "t-1",
        "issued_at_s": 17,
        "expires_at_s": bureau.now_us // SECOND_US + 8 * 3_600,
    }
    fields = given | {"kind": Kind.PERSONNEL} | changes
    return Actor.of(Principal(name, ISSUER, fields.pop("kind"), fields.pop("roles"), **fields))


def test_a_pass_has_exactly_what_the_token_gave(bureau: Bureau) -> None:
    """And its password nothing keeps: the state has a digest, the record not even that."""
    wish = Wish("acme", ticket="BUG-9", reason="the crash depends on a file", lasts_s=600, sessions=3)
    given, password = mint_pass(bureau.office, person(bureau), wish)
    assert bureau.state.get(TransferPass, given.id) == given
    assert given == TransferPass(
        given.id, "priya", ISSUER, ("engineer", "support"), "IN", "t-1", 17, "acme", "BUG-9",
        "the crash depends on a file", hashlib.sha256(password.encode()).hexdigest(), bureau.now_us,
        (bureau.now_us // SECOND_US + 600) * SECOND_US, sessions=3,
    )  # fmt: skip
    assert given.id.startswith("pass-")
    assert bureau.acts() == [("priya", "transfer.pass-mint", given.id)]
    [entry] = bureau.entries
    assert entry["details"]["ticket"] == "BUG-9"
    assert entry["details"]["actor_kind"] == "personnel"
    for text in (password, given.secret, "t-1"):
        assert text not in str(entry)


def test_a_pass_is_for_one_session_and_as_long_as_may_be_unless_told(bureau: Bureau) -> None:
    """The setting's hour, in whole seconds."""
    given, _ = mint_pass(bureau.office, person(bureau), Wish("acme"))
    assert (given.sessions, given.used, given.state(bureau.now_us)) == (1, 0, PassState.OPEN)
    assert given.ends_us == (bureau.now_us // SECOND_US + 3_600) * SECOND_US


def test_no_pass_outlives_its_token(bureau: Bureau) -> None:
    """However long it is asked for."""
    now_s = bureau.now_us // SECOND_US
    given, _ = mint_pass(bureau.office, person(bureau, expires_at_s=now_s + 90), Wish("acme", lasts_s=3_600))
    assert given.ends_us == (now_s + 90) * SECOND_US
    for ends_s in (now_s, now_s - 5, 0):  # the doors may believe a token for a moment longer: the leeway
        with pytest.raises(Unauthenticated):
            mint_pass(bureau.office, person(bureau, expires_at_s=ends_s), Wish("acme"))


@pytest.mark.parametrize("actor", [OPERATOR, ENGINEER, ADMIN], ids=lambda actor: str(actor.name))
def test_nobody_mints_a_pass_for_a_mere_name(bureau: Bureau, actor: Actor) -> None:
    """Not even the operator at the keyboard."""
    with pytest.raises(UsageError, match="own token"):
        mint_pass(bureau.office, actor, Wish("acme"))
    assert bureau.entries == []


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": Kind.SERVICE, "roles": frozenset({"service", "engineer"})},
        {"actor": "helpdesk-tool"},
        {"kind": Kind.CUSTOMER, "customer": "acme", "roles": frozenset({"customer"})},
        {"roles": frozenset({"auditor"})},
        {"roles": frozenset()},
    ],
    ids=["service", "acted for", "customer", "auditor", "nothing"],
)
def test_a_pass_is_for_personnel_themselves_who_may(bureau: Bureau, changes: dict[str, Any]) -> None:
    """A service that minted one would be taken for a person."""
    with pytest.raises(Forbidden):
        mint_pass(bureau.office, person(bureau, **changes), Wish("acme"))
    assert bureau.entries == []
    assert list(bureau.state.all(TransferPass)) == []


@pytest.mark.parametrize(
    "wish",
    [
        Wish("acme", lasts_s=59),
        Wish("acme", lasts_s=3_601),
        Wish("acme", lasts_s=-1),
        Wish("acme", sessions=MAX_SESSIONS + 1),
        Wish("acme", sessions=-1),
        Wish("acme", ticket="x" * 129),
        Wish("acme", reason="x" * 201),
        Wish("acme", public_key="ssh-ed25519 AAAA"),
        Wish("acme", public_key=f'command="x" {PUBLIC_KEY}'),
        Wish("acme", source_addresses=["198.51.100.0/24"]),
        Wish("acme", public_key=PUBLIC_KEY, source_addresses=["198.51.100.1/24"]),
        Wish("acme", public_key=PUBLIC_KEY, source_addresses=["198.51.100.1"] * 17),
    ],
)
def test_what_is_not_to_be_had_is_refused_and_nothing_kept(bureau: Bureau, wish: Wish) -> None:
    """In one line each."""
    with pytest.raises(UsageError) as refused:
        mint_pass(replace(bureau.office, user_ca=CA), person(bureau), wish)
    assert len(str(refused.value).splitlines()) == 1
    assert bureau.entries == []
    assert list(bureau.state.all(TransferPass)) == []


def test_a_pass_opens_the_tree_of_a_customer_that_there_is(bureau: Bureau) -> None:
    """Of another, nothing is written."""
    with pytest.raises(NotFound):
        mint_pass(bureau.office, person(bureau), Wish("initech"))
    assert bureau.entries == []


def test_what_cannot_be_recorded_is_not_minted(bureau: Bureau) -> None:
    """Nor revoked."""
    given, _ = mint_pass(bureau.office, person(bureau), Wish("acme"))
    bureau.refuses = REFUSAL
    for act in (
        lambda: mint_pass(bureau.office, person(bureau), Wish("acme")),
        lambda: revoke_pass(bureau.office, person(bureau), given.id),
    ):
        with pytest.raises(LedgerUnavailable):
            act()
    assert list(bureau.state.all(TransferPass)) == [given]


def test_a_token_in_a_reason_or_a_ticket_is_not_kept(bureau: Bureau) -> None:
    """It is masked, as everywhere."""
    token = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJwcml5YSJ9.c2lnbmF0dXJl"
    given, _ = mint_pass(bureau.office, person(bureau), Wish("acme", reason=f"see {token}", ticket=token))
    assert token not in str(given) + str(bureau.entries)


def test_ones_own_pass_is_revoked_once(bureau: Bureau) -> None:
    """Whoever holds it, and whoever may revoke access; one that is over already is not revoked."""
    given, _ = mint_pass(bureau.office, person(bureau), Wish("acme"))
    revoked = revoke_pass(bureau.office, person(bureau), given.id, why="not needed")
    assert revoked.state(bureau.now_us) is PassState.REVOKED
    assert bureau.acts()[1:] == [("priya", "transfer.pass-revoke", given.id)]
    assert bureau.entries[1]["details"]["why"] == "not needed"
    with pytest.raises(Contradicted, match="revoked already"):
        revoke_pass(bureau.office, person(bureau), given.id)
    given, _ = mint_pass(bureau.office, person(bureau), Wish("acme"))
    bureau.clock.advance(3_601)
    with pytest.raises(Contradicted, match="over already"):
        revoke_pass(bureau.office, person(bureau), given.id)


def test_somebody_elses_pass_is_revoked_by_who_may_revoke_access(bureau: Bureau) -> None:
    """And by nobody else: neither another person, nor one of that name whom another issuer vouches for."""
    given, _ = mint_pass(bureau.office, person(bureau), Wish("acme"))
    other = replace(person(bureau), issuer="https://elsewhere.example/")
    for actor in (person(bureau, "raj"), other, AUDITOR):
        with pytest.raises(Forbidden):
            revoke_pass(bureau.office, actor, given.id)
    with pytest.raises(Outdated):
        revoke_pass(bureau.office, APPROVER, given.id, expected="another")
    assert revoke_pass(bureau.office, APPROVER, given.id).revoked_us
    given, _ = mint_pass(bureau.office, person(bureau), Wish("acme"))
    assert revoke_pass(bureau.office, OPERATOR, given.id).revoked_us


def test_a_certificate_names_its_pass_and_permits_nothing_else(bureau: Bureau) -> None:
    """Key id, serial and principal; as long as the pass; for any number of sessions unless told."""
    office = replace(bureau.office, user_ca=CA)
    given, line = mint_pass(office, person(bureau), Wish("acme", public_key=f"{PUBLIC_KEY.strip()} me@laptop\n"))
    certificate = asyncssh.import_certificate(line)
    assert (certificate._key_id, certificate.principals) == (given.id, [given.id])
    assert certificate._serial == int(given.id.removeprefix("pass-"), 16)
    assert (certificate._valid_after, certificate._valid_before) == (
        given.made_us // SECOND_US,
        given.ends_us // SECOND_US,
    )
    assert certificate.options == {}
    assert given.is_certificate
    assert (given.sessions, given.is_used_up, replace(given, used=10_000).is_used_up) == (0, False, False)
    few, _ = mint_pass(office, person(bureau), Wish("acme", public_key=PUBLIC_KEY, sessions=2))
    assert (few.sessions, replace(few, used=2).is_used_up) == (2, True)


def test_without_an_authority_there_are_no_certificates(bureau: Bureau) -> None:
    """And a key that cannot be one is a fault of the configuration."""
    with pytest.raises(UsageError, match="user_ca"):
        mint_pass(bureau.office, person(bureau), Wish("acme", public_key=PUBLIC_KEY))
    for wrong in (
        Secret(SecretStr("")),
        Secret(SecretStr(PUBLIC_KEY)),
        secret(asyncssh.generate_private_key("ssh-rsa", key_size=1_024)),
    ):
        with pytest.raises(ConfigurationError, match=r"doors\.sftp\.user_ca"):
            mint_pass(replace(bureau.office, user_ca=wrong), person(bureau), Wish("acme", public_key=PUBLIC_KEY))
    assert bureau.entries == []


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"])
def test_an_authority_is_of_any_kind_that_is_taken(bureau: Bureau, kind: str) -> None:
    """With a signature that OpenSSH still takes."""
    office = replace(bureau.office, user_ca=secret(asyncssh.generate_private_key(kind)))
    _, line = mint_pass(office, person(bureau), Wish("acme", public_key=PUBLIC_KEY))
    assert asyncssh.import_certificate(line)


def test_states_of_a_pass(bureau: Bureau) -> None:
    """Revoked goes before over, and over before used up."""
    given, _ = mint_pass(bureau.office, person(bureau), Wish("acme"))
    now_us = bureau.now_us
    assert replace(given, used=1).state(now_us) is PassState.USED_UP
    assert replace(given, used=1).state(given.ends_us) is PassState.OVER
    assert replace(given, revoked_us=1).state(given.ends_us) is PassState.REVOKED
    assert replace(given, sessions=0).is_used_up, "no password is for any number of sessions"
