"""Credentials, remembered tokens, and acting for somebody."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.clock import SECOND_US
from gateway.errors import KeySetUnavailable, Malformed, Unauthenticated
from gateway.identity import KeptAccounts, Kind, TokenVerifier, TransferPass, Verified
from tests.world.clock import NOW_S
from tests.world.tokens import ABSENT, IdentityWorld, claims, ec_key, issuer_settings, key_set, rsa_key


def bearer(**changes: Any) -> str:
    return f"Bearer {rsa_key().sign(payload=claims(**changes))}"


TOOL = bearer(sub="helpdesk-tool", roles=["service", "infosec"], country="US", jti="tool-token")


@pytest.fixture
def verifications(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every token that was verified rather than recalled."""
    seen: list[str] = []
    verify = TokenVerifier.verify

    async def counted(self: TokenVerifier, token: str) -> Verified:
        seen.append(token)
        return await verify(self, token)

    monkeypatch.setattr(TokenVerifier, "verify", counted)
    return seen


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR", "Bearer "])
async def test_hdr_073_scheme_is_case_insensitive(world: IdentityWorld, scheme: str) -> None:
    """RFC 9110 §11.1, and more than one space (RFC 6750 §2.1)."""
    assert (await world.authenticator.authenticate(f"{scheme} {rsa_key().sign()}")).subject == "priya"


async def test_hdr_063_joined_credentials_are_malformed(world: IdentityWorld) -> None:
    """Two credentials in one header have no one meaning."""
    for header in (f"{bearer()}, {bearer()}", "Bearer A, Bearer B", f"Basic eDp5,{bearer()}", f"{bearer()},"):
        with pytest.raises(Malformed, match="several"):
            await world.authenticator.authenticate(header)


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Basic eDp5", rsa_key().sign(), f"Bearer\t{rsa_key().sign()}", "Bearer x\udc80"],
)
async def test_other_credentials_are_refused(world: IdentityWorld, header: str | None) -> None:
    """No token, no bearer, no plain characters: nobody."""
    with pytest.raises(Unauthenticated):
        await world.authenticator.authenticate(header)


async def test_second_token_in_one_credential_is_refused(world: IdentityWorld) -> None:
    """What follows the token after a space is not ignored, remembered or not."""
    await world.authenticator.authenticate(bearer())
    for header in (f"{bearer()} {rsa_key().sign()}", f"{bearer()} "):
        with pytest.raises(Unauthenticated):
            await world.authenticator.authenticate(header)


async def test_verified_token_is_remembered(world: IdentityWorld, verifications: list[str]) -> None:
    """The second request of a token costs no verification, nor any fetch."""
    first = await world.authenticator.authenticate(bearer())

    assert await world.authenticator.authenticate(bearer()) is first
    assert len(verifications) == 1
    assert len(world.server.fetched) == 1


async def test_refused_token_is_not_remembered(world: IdentityWorld, verifications: list[str]) -> None:
    """Garbage takes no room."""
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            await world.authenticator.authenticate("Bearer a.b.c")
    assert len(verifications) == 2
    assert not world.authenticator._remembered


async def test_least_recently_used_token_is_forgotten_first(verifications: list[str]) -> None:
    """The memory is bounded, and what is used stays."""
    world = IdentityWorld(cached_tokens=2)
    a, b, c = (bearer(sub=sub) for sub in "abc")
    for header in (a, b, a, c, a, b):
        await world.authenticator.authenticate(header)

    assert [f"Bearer {token}" for token in verifications] == [a, b, c, b]


async def test_memory_of_nothing_verifies_every_time(verifications: list[str]) -> None:
    """``cached_tokens = 0`` turns it off."""
    world = IdentityWorld(cached_tokens=0)
    for _ in range(2):
        await world.authenticator.authenticate(bearer())
    assert len(verifications) == 2


async def test_remembered_token_is_verified_again_at_its_end(world: IdentityWorld, verifications: list[str]) -> None:
    """The memory ends at ``exp``; through the leeway each request is verified; then it is over."""
    header = bearer(exp=NOW_S + 100)
    for elapsed_s, verified in ((0, 1), (99, 1), (1, 2), (1, 3)):
        world.clock.advance(elapsed_s)
        await world.authenticator.authenticate(header)
        assert len(verifications) == verified
    world.clock.advance(29)
    with pytest.raises(Unauthenticated, match="expired"):
        await world.authenticator.authenticate(header)


async def test_remembered_token_is_verified_again_at_its_maximum_age() -> None:
    """``max_age_s`` holds for remembered tokens as well."""
    world = IdentityWorld(issuer=issuer_settings(max_age_s=100, leeway_s=0))
    header = bearer(iat=NOW_S)
    await world.authenticator.authenticate(header)
    world.clock.advance(100)
    with pytest.raises(Unauthenticated):
        await world.authenticator.authenticate(header)


@pytest.mark.parametrize("asked_between", [False, True])
async def test_wall_clock_set_back_revives_no_remembered_token(world: IdentityWorld, asked_between: bool) -> None:
    """A token that ended stays ended, whether or not somebody tried it before the clock was set back."""
    header = bearer(exp=NOW_S + 100)
    await world.authenticator.authenticate(header)
    world.clock.advance(131)
    if asked_between:
        with pytest.raises(Unauthenticated, match="expired"):
            await world.authenticator.authenticate(header)
    world.clock.jump(-1000)

    with pytest.raises(Unauthenticated, match="expired"):
        await world.authenticator.authenticate(header)


async def test_clock_set_back_within_the_leeway_does_not_lengthen_it(world: IdentityWorld) -> None:
    """Verifying again under a clock that went back keeps the first, earlier end."""
    header = bearer(exp=NOW_S + 100)
    await world.authenticator.authenticate(header)
    world.clock.advance(120)
    world.clock.jump(-15)
    await world.authenticator.authenticate(header)
    world.clock.advance(10)

    with pytest.raises(Unauthenticated, match="expired"):
        await world.authenticator.authenticate(header)


async def test_wall_clock_set_forward_ends_a_remembered_token(world: IdentityWorld) -> None:
    """A machine that slept through the token's end does not honour it."""
    await world.authenticator.authenticate(bearer(exp=NOW_S + 100))
    world.clock.jump(131)

    with pytest.raises(Unauthenticated, match="expired"):
        await world.authenticator.authenticate(bearer(exp=NOW_S + 100))


@pytest.mark.parametrize(
    "document",
    [key_set(ec_key().jwk()), key_set(rsa_key("rsa-2").jwk(kid="rsa-1")), key_set(rsa_key().jwk(alg="PS256"))],
    ids=["withdrawn", "replaced", "narrowed"],
)
async def test_remembered_token_dies_with_its_key(world: IdentityWorld, document: bytes) -> None:
    """A token is not believed on a key that its issuer no longer publishes, even under the same kid."""
    await world.authenticator.authenticate(bearer())
    world.server.document = document
    world.clock.advance(300)
    await world.authenticator.refresh_if_due()

    with pytest.raises(Unauthenticated):
        await world.authenticator.authenticate(bearer())


async def test_remembered_token_survives_a_set_that_keeps_its_key(
    world: IdentityWorld, verifications: list[str]
) -> None:
    """A renewed set with the same key costs nothing."""
    await world.authenticator.authenticate(bearer())
    world.server.document = key_set(ec_key("new").jwk(), rsa_key().jwk())
    world.clock.advance(300)
    await world.authenticator.refresh_if_due()
    await world.authenticator.authenticate(bearer())

    assert len(verifications) == 1


async def test_remembered_token_ends_with_the_grace_of_its_key_set(world: IdentityWorld) -> None:
    """Stale keys are no keys, for remembered tokens too."""
    header = bearer(exp=NOW_S + 10**6)
    await world.authenticator.authenticate(header)
    world.server.failure = OSError("no route")
    world.clock.advance(86_401)

    with pytest.raises(KeySetUnavailable):
        await world.authenticator.authenticate(header)
    assert not world.authenticator.ready


async def test_revocation_hits_a_remembered_token_at_once(world: IdentityWorld) -> None:
    """The next request is denied."""
    await world.authenticator.authenticate(bearer())
    world.revocations.revoke_subject("priya")

    with pytest.raises(Unauthenticated, match="revoked"):
        await world.authenticator.authenticate(bearer())


async def test_trusted_actor_claim_names_the_actor(world: IdentityWorld) -> None:
    """RFC 8693: the subject is the person, the outermost actor acts, those within are history."""
    principal = await world.authenticator.authenticate(bearer(act={"sub": "helpdesk-tool", "act": {"sub": "proxy"}}))

    assert (principal.subject, principal.actor, principal.kind) == ("priya", "helpdesk-tool", Kind.PERSONNEL)


@pytest.mark.parametrize(
    "act",
    [
        {"sub": "stranger"},
        {"sub": "stranger", "act": {"sub": "helpdesk-tool"}},
        {"sub": "helpdesk-tool", "iss": "https://elsewhere.example/"},
        {"sub": ""},
        {},
        None,
        "helpdesk-tool",
        ["helpdesk-tool"],
    ],
)
async def test_untrusted_or_unreadable_actor_is_refused(world: IdentityWorld, act: Any) -> None:
    """Acting is never silently dropped: the token is refused."""
    with pytest.raises(Unauthenticated, match="act"):
        await world.authenticator.authenticate(bearer(act=act))


async def test_on_behalf_of_lends_the_person_nothing(world: IdentityWorld) -> None:
    """The person's own roles and country, the tool as actor, the earlier end."""
    principal = await world.authenticator.authenticate(TOOL, bearer(exp=NOW_S + 9000))

    assert (principal.subject, principal.actor, principal.kind) == ("priya", "helpdesk-tool", Kind.PERSONNEL)
    assert (principal.roles, principal.country, principal.customer) == (frozenset({"support"}), "", "")
    assert (principal.token_id, principal.expires_at_s) == ("token-1", NOW_S + 3600)


async def test_on_behalf_of_agrees_with_the_act_claim(world: IdentityWorld) -> None:
    """A person's token for this very tool passes."""
    principal = await world.authenticator.authenticate(TOOL, bearer(act={"sub": "helpdesk-tool"}))

    assert principal.actor == "helpdesk-tool"


PERSON = bearer()


@pytest.mark.parametrize(
    ("authorization", "on_behalf_of"),
    [
        (bearer(roles=["infosec"]), PERSON),
        (bearer(sub="helpdesk-tool", roles=["infosec"]), PERSON),
        (bearer(customer="acme"), PERSON),
        (bearer(sub="stranger", roles=["service"]), PERSON),
        (bearer(sub="helpdesk-tool", roles=["service"], act={"sub": "helpdesk-tool"}), PERSON),
        (TOOL, TOOL),
        (TOOL, bearer(act={"sub": "other-tool"})),
        (TOOL, bearer(exp=NOW_S - 100)),
        (TOOL, bearer(sub=ABSENT)),
        (TOOL, ""),
        (TOOL, "priya"),
        (None, PERSON),
        ("Bearer a.b.c", PERSON),
    ],
)
async def test_on_behalf_of_is_believed_from_trusted_services_only(
    authorization: str | None, on_behalf_of: str
) -> None:
    """Anybody else, or anything but a person's own valid token, is refused."""
    world = IdentityWorld(trusted_actors=("helpdesk-tool", "other-tool"))

    with pytest.raises(Unauthenticated):
        await world.authenticator.authenticate(authorization, on_behalf_of)


@pytest.mark.parametrize("revoked", ["priya", "helpdesk-tool"])
async def test_revoked_person_or_tool_ends_acting(world: IdentityWorld, revoked: str) -> None:
    """Either one is enough, by header and by claim."""
    world.revocations.revoke_subject(revoked)

    for credentials in ((TOOL, PERSON), (bearer(act={"sub": "helpdesk-tool"}),)):
        with pytest.raises(Unauthenticated, match="revoked"):
            await world.authenticator.authenticate(*credentials)


async def test_workforce_country_follows_the_directory(tmp_path: Path) -> None:
    """Work country comes with the person, changes when the directory does, and is not a customer's."""
    path = tmp_path / "workforce.toml"
    path.write_text('priya = "IN"')
    world = IdentityWorld(settings_changes={"workforce": path})
    assert (await world.authenticator.authenticate(PERSON)).work_country == "IN"

    path.write_text('priya = "US"\ndana = "US"')
    await world.authenticator.refresh_if_due()

    assert (await world.authenticator.authenticate(PERSON)).work_country == "US"
    assert (await world.authenticator.authenticate(bearer(customer="acme"))).work_country == ""


async def test_problems_and_readiness_tell_what_is_missing(world: IdentityWorld) -> None:
    """A gateway without keys is not ready and says whose are missing; closing ends cleanly."""
    fresh = world.build(world.server)

    assert (world.authenticator.ready, world.authenticator.problems) == (True, {})
    assert (fresh.ready, list(fresh.problems)) == (False, ["https://login.example.com/"])
    await asyncio.gather(fresh.close(), world.authenticator.close())


def _with_pass(world: IdentityWorld, **changes: Any) -> KeptAccounts:
    accounts = KeptAccounts(world.clock)
    given = TransferPass(
        "pass-1", "priya", issuer_settings().issuer, ("engineer",), "IN", "t-1", NOW_S, "acme", "", "", "0" * 64,
        NOW_S * SECOND_US, (NOW_S + 60) * SECOND_US,
    )  # fmt: skip
    accounts.put(replace(given, **changes))
    world.authenticator._accounts = accounts
    return accounts


async def test_the_holder_of_a_pass_is_who_their_token_said(world: IdentityWorld) -> None:
    """Until it is over."""
    _with_pass(world)
    found = world.authenticator.accounted("pass:pass-1")
    assert (found.subject, found.kind, found.roles, found.country) == ("priya", Kind.PERSONNEL, {"engineer"}, "IN")
    assert (found.token_id, found.issued_at_s, found.expires_at_s) == ("t-1", NOW_S, NOW_S + 60)
    world.clock.advance(60)
    with pytest.raises(Unauthenticated):
        world.authenticator.accounted("pass:pass-1")


@pytest.mark.parametrize("what", ["subject", "token", "issuer"])
async def test_a_pass_counts_no_longer_than_its_holder_token_and_issuer(world: IdentityWorld, what: str) -> None:
    """Each is looked at every time; a subject who signed in again has another token, and another pass."""
    _with_pass(world, issuer="https://not-any-more.example/" if what == "issuer" else issuer_settings().issuer)
    if what == "subject":
        world.revocations.revoke_subject("priya", issued_until_s=NOW_S)
    elif what == "token":
        world.revocations.revoke_token("t-1")
    with pytest.raises(Unauthenticated):
        world.authenticator.accounted("pass:pass-1")
    if what == "subject":
        _with_pass(world, issued_at_s=NOW_S + 1)
        assert world.authenticator.accounted("pass:pass-1")


async def test_an_issuer_that_vouches_for_personnel_no_longer_ends_their_passes() -> None:
    """A reload may say so."""
    world = IdentityWorld(issuer=issuer_settings(vouches_for=["service"]))
    _with_pass(world)
    with pytest.raises(Unauthenticated, match="not believed"):
        world.authenticator.accounted("pass:pass-1")


async def test_a_token_ends_with_its_greatest_age(world: IdentityWorld) -> None:
    """So that nothing that is minted from it outlives it: its ``exp`` is an hour from now."""
    strict = IdentityWorld(issuer=issuer_settings(max_age_s=600))
    for there, ends_s in ((world, NOW_S + 3_600), (strict, NOW_S + 600)):
        await there.authenticator.refresh_if_due()
        found = await there.authenticator.authenticate(bearer(iat=NOW_S))
        assert found.expires_at_s == ends_s
