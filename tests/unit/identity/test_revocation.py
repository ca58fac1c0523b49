"""Whom a revocation hits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.identity import Kind, Principal, Revocation, Revocations, Revoked

ISSUER = "https://login.example.com/"


def principal(subject: str = "priya", issued_at_s: int = 1000, token_id: str = "t1", actor: str = "") -> Principal:
    return Principal(
        subject, ISSUER, Kind.PERSONNEL, frozenset(), token_id=token_id, issued_at_s=issued_at_s, actor=actor
    )


@pytest.mark.parametrize(("issuer", "hit"), [("", True), (ISSUER, True), ("https://other.example/", False)])
def test_revocation_may_be_limited_to_an_issuer(issuer: str, hit: bool) -> None:
    """Subjects and tokens of another issuer are other ones."""
    subjects, tokens = Revocations(), Revocations()
    subjects.revoke_subject("priya", issuer=issuer)
    tokens.revoke_token("t1", issuer=issuer)

    assert subjects.is_revoked(principal()) is hit
    assert tokens.is_revoked(principal()) is hit


@pytest.mark.parametrize(("issued_at_s", "hit"), [(0, True), (999, True), (1000, True), (1001, False)])
def test_signing_in_again_works_after_an_instant(issued_at_s: int, hit: bool) -> None:
    """Only what was issued until then is revoked; a token without ``iat`` always is."""
    revocations = Revocations()
    revocations.revoke_subject("priya", issued_until_s=1000)

    assert revocations.is_revoked(principal(issued_at_s=issued_at_s)) is hit


def test_later_weaker_revocation_does_not_weaken_an_earlier_one() -> None:
    """What was revoked for good stays so."""
    revocations = Revocations()
    revocations.revoke_subject("priya")
    revocations.revoke_subject("priya", issued_until_s=10)

    assert revocations.is_revoked(principal())


def test_revocation_hits_nobody_else() -> None:
    """Other subjects and tokens, and those without a token id, are left alone."""
    revocations = Revocations()
    assert not revocations.is_revoked(principal())
    revocations.revoke_subject("dana")
    revocations.revoke_token("t2")

    assert not revocations.is_revoked(principal())
    assert not revocations.is_revoked(principal(token_id=""))


def test_revoked_actor_acts_for_nobody() -> None:
    """Revoking a tool ends what it does for others."""
    revocations = Revocations()
    revocations.revoke_subject("helpdesk-tool")

    assert revocations.is_revoked(principal(actor="helpdesk-tool"))
    assert not revocations.is_revoked(principal())


def test_revocation_knows_every_spelling_of_a_subject() -> None:
    """Composed and decomposed letters are one subject."""
    revocations = Revocations()
    revocations.revoke_subject("Zoe\u0308")

    assert revocations.is_revoked(principal("Zo\u00eb"))


def test_what_is_taken_back_leaves_the_others_in_force() -> None:
    """Only that one: of a person revoked twice, and of a token, the other word still counts."""
    revocations = Revocations()
    weak = Revocation("weak", Revoked.SUBJECT, "priya", "", 1, issued_until_us=10_000_000)
    for_good = Revocation("good", Revoked.SUBJECT, "priya", ISSUER, 2)
    token = Revocation("token", Revoked.TOKEN, "t1", "", 3)
    for revoked in (weak, for_good, token):
        revocations.put(revoked)
    for revoked in (token, for_good):
        assert revocations.is_revoked(principal(token_id="t1"))
        revocations.put(replace(revoked, revoked_us=0))
    assert not revocations.is_revoked(principal())
    assert revocations.is_revoked(principal(issued_at_s=10))
    revocations.put(replace(weak, revoked_us=0))
    revocations.put(replace(weak, revoked_us=0))
    assert not revocations.is_revoked(principal(issued_at_s=10))
    revocations.put(for_good)
    assert revocations.is_revoked(principal())
