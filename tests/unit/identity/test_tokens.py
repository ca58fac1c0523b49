"""What a valid token establishes, and laws over damaged ones."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.acts.steward import GATEWAY
from gateway.errors import KeySetUnavailable, Unauthenticated
from gateway.identity import Kind, Principal, TokenVerifier
from gateway.identity.claims import RESERVED, RESERVED_PREFIXES
from gateway.justification import QUEUE_AT_HOME
from gateway.trackers.deliveries import ACTOR
from tests.world.clock import NOW_S
from tests.world.tokens import (
    ABSENT,
    ISSUER,
    IdentityWorld,
    SigningKey,
    claims,
    ec_key,
    ed_key,
    issuer_settings,
    rsa_key,
)


async def established(world: IdentityWorld, **changes: Any) -> Principal:
    return await world.authenticator.authenticate(f"Bearer {rsa_key().sign(payload=claims(**changes))}")


@pytest.mark.parametrize("key", [rsa_key(), ec_key(), ed_key()], ids=lambda key: key.alg)
async def test_valid_token_establishes_its_principal(world: IdentityWorld, key: SigningKey) -> None:
    """Every claim that counts is in the principal."""
    token = key.sign(payload=claims(country="in"))

    assert await world.authenticator.authenticate(f"Bearer {token}") == Principal(
        subject="priya",
        issuer=ISSUER,
        kind=Kind.PERSONNEL,
        roles=frozenset({"support"}),
        country="IN",
        token_id="token-1",
        issued_at_s=NOW_S - 60,
        expires_at_s=NOW_S + 3600,
    )


@pytest.mark.parametrize(
    ("typ", "accepted"),
    [
        ("JWT", True),
        ("jwt", True),
        ("at+jwt", True),
        ("application/at+jwt", True),
        ("Application/JWT", True),
        (ABSENT, True),
        ("dpop+jwt", False),
        ("", False),
        (7, False),
        (None, False),
    ],
)
async def test_type_is_one_of_the_issuers(world: IdentityWorld, typ: Any, accepted: bool) -> None:
    """A token of another kind is not an access token; without a type it is."""
    token = rsa_key().sign(rsa_key().header(typ=typ))
    if accepted:
        assert await world.authenticator.authenticate(f"Bearer {token}")
    else:
        with pytest.raises(Unauthenticated, match="typ"):
            await world.authenticator.authenticate(f"Bearer {token}")


async def test_token_without_kid_needs_a_set_with_one_key_that_fits(world: IdentityWorld) -> None:
    """The kid may be left out where it could only be one."""
    token = rsa_key().sign(rsa_key().header(kid=ABSENT))

    assert await world.authenticator.authenticate(f"Bearer {token}")


async def test_kid_of_another_key_does_not_verify(world: IdentityWorld) -> None:
    """A signature counts only with the key that the header names."""
    stranger = rsa_key("stranger")

    with pytest.raises(Unauthenticated, match="signature"):
        await world.authenticator.authenticate(f"Bearer {stranger.sign(stranger.header(kid='rsa-1'))}")


@pytest.mark.parametrize(
    ("changes", "accepted"),
    [
        ({"exp": NOW_S + 1}, True),
        ({"exp": NOW_S - 29}, True),
        ({"exp": NOW_S - 30}, False),
        ({"nbf": NOW_S + 30}, True),
        ({"nbf": NOW_S + 31}, False),
        ({"iat": NOW_S + 30}, True),
        ({"iat": NOW_S + 31}, False),
        ({"iat": ABSENT}, True),
        ({"jti": ABSENT}, True),
        ({"jti": None}, False),
        ({"jti": 7}, False),
        ({"iat": False}, False),
    ],
)
async def test_times_hold_within_the_leeway(world: IdentityWorld, changes: dict[str, Any], accepted: bool) -> None:
    """Thirty seconds are forgiven, a thirty-first is not."""
    if accepted:
        assert (await established(world, **changes)).subject == "priya"
    else:
        with pytest.raises(Unauthenticated):
            await established(world, **changes)


@pytest.mark.parametrize(
    ("claim", "roles"),
    [
        (["support", "engineer"], {"support", "engineer"}),
        ("support  engineer", {"support", "engineer"}),
        ("", set()),
        (["", "support"], {"support"}),
        (ABSENT, set()),
        (None, set()),
        (["support", "customer"], {"support"}),
        ([7], None),
        ({"support": True}, None),
        (7, None),
    ],
)
async def test_roles_are_read_or_the_token_refused(world: IdentityWorld, claim: Any, roles: set[str] | None) -> None:
    """Lists and texts are roles, other things are an error; ``customer`` is never a role of personnel."""
    if roles is None:
        with pytest.raises(Unauthenticated, match="roles"):
            await established(world, roles=claim)
    else:
        assert (await established(world, roles=claim)).roles == roles


async def test_customer_claim_leaves_exactly_the_role_customer(world: IdentityWorld) -> None:
    """A customer's own user is nothing else, whatever its roles say."""
    principal = await established(world, customer="acme", roles=["service", "infosec"])

    assert (principal.kind, principal.customer, principal.roles) == (Kind.CUSTOMER, "acme", frozenset({"customer"}))


@pytest.mark.parametrize("customer", [None, "", 7, ["acme"], " acme", {}, False])
async def test_customer_claim_that_names_nobody_is_refused(world: IdentityWorld, customer: Any) -> None:
    """A broken mapping must not turn a customer's user into personnel."""
    with pytest.raises(Unauthenticated, match="customer"):
        await established(world, customer=customer)


async def test_role_service_makes_a_service(world: IdentityWorld) -> None:
    """A tool that acts for nobody."""
    principal = await established(world, roles=["service", "customer", "reporting"])

    assert (principal.kind, principal.roles) == (Kind.SERVICE, frozenset({"service", "reporting"}))


@pytest.mark.parametrize(
    ("claim", "country"),
    [("US", "US"), ("in", "IN"), ("USA", ""), ("", ""), ("1A", ""), ("ßß", ""), (["US"], ""), (None, "")],
)
async def test_country_is_two_letters_or_unknown(world: IdentityWorld, claim: Any, country: str) -> None:
    """The optional signal gives a country or nothing."""
    assert (await established(world, country=claim)).country == country


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("https://example.com/roles", {"https://example.com/roles": ["support"]}),
        ("realm_access.roles", {"realm_access": {"roles": ["support"]}}),
        ("realm_access.roles", {"realm_access.roles": ["support"], "realm_access": {"roles": ["infosec"]}}),
        ("realm_access.roles", {"realm_access": "x", "roles": ["infosec"]}),
    ],
)
async def test_claim_path_means_the_literal_name_first(path: str, document: dict[str, Any]) -> None:
    """A URL is a name; a dotted path leads inwards; a path that ends early finds nothing."""
    world = IdentityWorld(issuer=issuer_settings(roles_claim=path))
    principal = await established(world, **{"roles": ABSENT, **document})

    assert principal.roles == ({"support"} if document.get("realm_access") != "x" else set())


async def test_unset_claims_are_not_looked_for() -> None:
    """Without a configured customer or country claim, claims of those names mean nothing."""
    world = IdentityWorld(issuer=issuer_settings(customer_claim=None, country_claim=None))
    principal = await established(world, customer="acme", country="US")

    assert (principal.kind, principal.customer, principal.country) == (Kind.PERSONNEL, "", "")


async def test_missing_key_set_is_unavailable_not_unauthenticated(world: IdentityWorld) -> None:
    """The person is not at fault when the issuer's keys cannot be had."""
    world.server.failure = OSError("no route")
    fresh = world.build(world.server)

    with pytest.raises(KeySetUnavailable):
        await fresh.authenticate(f"Bearer {rsa_key().sign()}")


TOKENS = [key.sign() for key in (rsa_key(), ec_key(), ed_key())]


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A valid token with something replaced, removed, inserted, repeated or borrowed from another."""
    token = draw(st.sampled_from(TOKENS))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(token)))
        end = draw(st.integers(start, min(len(token), start + 6)))
        alphabet = st.characters() | st.sampled_from("AQgw09-_.=+/, ")
        token = token[:start] + draw(st.text(alphabet, max_size=4)) + token[end:]
    if draw(st.booleans()):
        theirs, ours = draw(st.sampled_from(TOKENS)).split("."), token.split(".")
        token = ".".join(draw(st.sampled_from(pair)) for pair in zip(ours, theirs, strict=False))
    return token


@given(mutated())
@settings(max_examples=400)
def test_mutated_token_is_refused_or_means_the_same_principal(token: str) -> None:
    """Nothing but a refusal, or the very principal of the undamaged token, comes of a damaged one."""

    async def attempt() -> None:
        world = IdentityWorld()
        verifier: TokenVerifier = world.authenticator._verifier
        try:
            verified = await verifier.verify(token)
        except Unauthenticated:
            return
        assert token in TOKENS
        assert (verified.principal.subject, verified.principal.roles) == ("priya", frozenset({"support"}))

    asyncio.run(attempt())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*claims(), "nbf", "act", "customer", "country"]), JSON, max_size=4))
@settings(max_examples=200)
def test_any_signed_claims_give_a_sound_principal_or_a_refusal(changes: dict[str, Any]) -> None:
    """An issuer that signs nonsense gets a refusal, never another error and never an impossible principal."""

    async def attempt() -> None:
        world = IdentityWorld()
        verifier: TokenVerifier = world.authenticator._verifier
        try:
            principal = (await verifier.verify(ed_key().sign(payload=claims(**changes)))).principal
        except Unauthenticated:
            return
        assert principal.issuer == ISSUER
        assert 0 < len(principal.subject) <= 256
        assert ("customer" in principal.roles) == (principal.kind is Kind.CUSTOMER) == bool(principal.customer)

    asyncio.run(attempt())


@pytest.mark.parametrize(
    ("vouches_for", "changes", "accepted"),
    [
        (("customer",), {"customer": "acme"}, True),
        (("customer",), {}, False),
        (("customer",), {"roles": ["service"]}, False),
        (("personnel", "service"), {"customer": "acme"}, False),
        (("personnel",), {}, True),
    ],
)
async def test_an_issuer_vouches_only_for_those_it_was_configured_for(
    vouches_for: tuple[str, ...], changes: dict[str, Any], accepted: bool
) -> None:
    """A customer's own issuer makes nobody personnel by leaving the customer claim out."""
    world = IdentityWorld(issuer=issuer_settings(vouches_for=vouches_for))
    if accepted:
        await established(world, **changes)
        return
    with pytest.raises(Unauthenticated, match="may not vouch for"):
        await established(world, **changes)


@pytest.mark.parametrize(
    ("customers", "accepted"), [(["globex"], False), (["globex", "acme"], True), (["*"], True), (["acm"], False)]
)
async def test_an_issuer_names_users_of_its_own_customers_alone(customers: list[str], accepted: bool) -> None:
    """Globex's identity provider makes nobody a user of acme, whatever its tokens say."""
    world = IdentityWorld(issuer=issuer_settings(vouches_for=["customer"], customers=customers))
    if accepted:
        assert (await established(world, customer="acme")).customer == "acme"
        return
    with pytest.raises(Unauthenticated, match="names a customer whom its issuer may not vouch for"):
        await established(world, customer="acme")


@pytest.mark.parametrize(
    "subject",
    [
        *("pri\u200bya", "pri\u00adya", "pri\u034fya", "pri\u115fya", "pri\u17b4ya", "pri\u180bya", "pri\u3164ya"),
        *("priya\ufe0f", "priya\uffa0", "priya\ufff8", "pri\U0001bca0ya", "pri\U000e0041ya", "pri\u2800ya"),
        "pri\u0345ya",
        *("pri\nya", "pri\x1bya", "pri\x9bya", "pri\u202eya", "pri\u2028ya"),
    ],
    ids=ascii,
)
async def test_subject_with_what_does_not_show_is_refused(world: IdentityWorld, subject: str) -> None:
    """It would look like somebody else's."""
    with pytest.raises(Unauthenticated, match="sub is not a name"):
        await established(world, sub=subject)


async def test_names_of_all_scripts_are_names(world: IdentityWorld) -> None:
    """An iota below a letter that has a place for one is a part of it."""
    for subject in ("\u1fb3", "Zoë", "प्रिया", "שרה", "李娜", "o'neil@example.com"):
        assert (await established(world, sub=subject)).subject == subject


@pytest.mark.parametrize(
    "subject",
    [
        *("gateway", "Gateway", "GATEWAY", "\uff47ateway", "gateway:node-1", "us-queue", "US-Queue"),
        *("tracker:jira", "Tracker:x", "operator:root", "OPERATOR:"),
        "~" + "A-z_0123456789abcdefgh",
    ],
    ids=ascii,
)
async def test_subject_that_the_system_itself_has_is_refused(world: IdentityWorld, subject: str) -> None:
    """Nobody acts under the gateway's own name, nor holds all that waits in the queue; nor does a tool."""
    with pytest.raises(Unauthenticated, match="reserved for the gateway"):
        await established(world, sub=subject)
    with pytest.raises(Unauthenticated, match="reserved for the gateway"):
        await established(world, act={"sub": subject})


async def test_names_that_only_begin_like_a_reserved_one_are_names(world: IdentityWorld) -> None:
    """Whoever is called so is somebody."""
    for subject in ("gateways", "gateway-tester", "us-queue-2", "trackers", "operator", "~ana", "~" + 23 * "a"):
        assert (await established(world, sub=subject)).subject == subject


def test_whatever_the_system_acts_as_is_reserved() -> None:
    """Held against where it does."""
    assert {GATEWAY.name, QUEUE_AT_HOME} <= {*RESERVED}
    assert ACTOR in RESERVED_PREFIXES
