"""Every token and key-set vector, built as it is described, against what is expected of it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.errors import ConfigurationError, KeySetUnavailable, Unauthenticated
from gateway.identity import FileFetcher, KeySet, KeySetSource
from tests.world.clock import NOW_S, FakeClock
from tests.world.tokens import (
    ABSENT,
    ISSUER,
    IdentityWorld,
    SigningKey,
    claims,
    dumps,
    ec_key,
    issuer_settings,
    key_set,
    malleate,
    rsa_key,
    segment,
)

VECTORS = {
    vector["id"]: vector
    for vector in json.loads((Path(__file__).parents[2] / "data" / "tokens.json").read_text("utf-8"))["vectors"]
}
# Not about tokens: grants (jwt-073, jwt-075) and the console (jwt-079, jwt-081). test_keysource.py holds jwt-071.


def hmac_signed(secret: bytes) -> str:
    header = {"typ": "JWT", "alg": "HS256", "kid": rsa_key().kid}
    signed = f"{segment(dumps(header))}.{segment(dumps(claims()))}"
    return f"{signed}.{segment(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def spki_pem(key: SigningKey) -> bytes:
    pem: bytes = key.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


def standard_alphabet() -> str:
    """The same bytes in plain base64, from a token whose signature has characters that differ."""
    while True:
        token = ec_key().sign()
        signed, _, signature = token.rpartition(".")
        if "-" in signature or "_" in signature:
            return f"{signed}.{signature.replace('-', '+').replace('_', '/')}"


def header(**changes: Any) -> str:
    return rsa_key().sign(rsa_key().header(**changes))


def payload(**changes: Any) -> str:
    return rsa_key().sign(payload=claims(**changes))


def spelled(name: str, value: str) -> str:
    """A claim in a spelling of its own, such as NaN."""
    whole = dumps(claims(**{name: "HERE"})).replace(b'"HERE"', value.encode())
    return rsa_key().sign(payload=whole)


UNSIGNED = f"{segment(dumps({'alg': 'none', 'typ': 'JWT'}))}.{segment(dumps(claims()))}."
PARTS = rsa_key().sign().split(".")

REFUSED: list[tuple[str, Callable[[], str]]] = [
    ("jwt-001", lambda: UNSIGNED),
    ("jwt-001", lambda: UNSIGNED + "AA"),
    ("jwt-001", lambda: header(alg="none")),
    ("jwt-001", lambda: header(alg="None")),
    ("jwt-003", lambda: hmac_signed(spki_pem(rsa_key()))),
    ("jwt-005", lambda: hmac_signed(dumps(rsa_key().jwk()))),
    ("jwt-015", lambda: ".".join([*PARTS, "AAAA"])),
    ("jwt-015", lambda: ".".join(PARTS[:2])),
    ("jwt-015", lambda: f"..{PARTS[2]}"),
    ("jwt-017", lambda: json.dumps({"protected": PARTS[0], "payload": PARTS[1], "signature": PARTS[2]})),
    ("jwt-019", lambda: rsa_key().sign() + "=="),
    ("jwt-019", lambda: rsa_key().sign() + "="),
    ("jwt-019", lambda: f"{PARTS[0]}=.{PARTS[1]}.{PARTS[2]}"),
    ("jwt-021", standard_alphabet),
    ("jwt-025", lambda: rsa_key().sign(b'{"alg":"none","alg":"RS256","kid":"rsa-1"}')),
    ("jwt-025", lambda: spelled("sub", '"priya","sub":"root"')),
    ("jwt-025", lambda: spelled("act", '{"sub":"a","sub":"b"}')),
    ("jwt-027", lambda: rsa_key().sign(payload=b"[1]")),
    ("jwt-027", lambda: rsa_key().sign(payload=b"null")),
    ("jwt-027", lambda: rsa_key().sign(b"[1]")),
    ("jwt-027", lambda: rsa_key().sign(payload=b"\xff\xfe")),
    ("jwt-031", lambda: header(zip="DEF")),
    ("jwt-031", lambda: ".".join([segment(b'{"alg":"dir","enc":"A256GCM","zip":"DEF"}'), "", "AAAA", "AAAA", "AAAA"])),
    ("jwt-033", lambda: header(crit=["b64"])),
    ("jwt-033", lambda: header(crit=[])),
    ("jwt-033", lambda: header(b64=True)),
    ("jwt-033", lambda: header(crit=["b64"], b64=False)),
    ("jwt-035", lambda: header(jwk=rsa_key().jwk())),
    ("jwt-035", lambda: header(x5c=["MIIB"])),
    ("jwt-037", lambda: header(kid="../../dev/null")),
    ("jwt-039", lambda: header(kid=1)),
    ("jwt-039", lambda: header(kid="")),
    ("jwt-039", lambda: header(kid=None)),
    ("jwt-039", lambda: header(kid="k" * 257)),
    ("jwt-045", lambda: header(cty="JWT")),
    ("jwt-047", lambda: payload(exp="1999999999")),
    ("jwt-047", lambda: payload(exp=True)),
    ("jwt-047", lambda: payload(exp=[NOW_S + 5])),
    ("jwt-047", lambda: payload(exp=NOW_S + 5.5)),
    ("jwt-047", lambda: payload(exp=None)),
    ("jwt-047", lambda: payload(exp=ABSENT)),
    ("jwt-047", lambda: payload(exp=-1)),
    ("jwt-049", lambda: spelled("exp", "NaN")),
    ("jwt-049", lambda: spelled("exp", "Infinity")),
    ("jwt-049", lambda: spelled("exp", "1e300")),
    ("jwt-049", lambda: spelled("exp", "1" + "0" * 100)),
    ("jwt-049", lambda: spelled("exp", "1" + "0" * 5000)),
    ("jwt-051", lambda: payload(nbf=NOW_S + 1000)),
    ("jwt-051", lambda: payload(nbf="0")),
    ("jwt-051", lambda: payload(iat=NOW_S + 1000)),
    ("jwt-055", lambda: payload(aud=["x", "y"])),
    ("jwt-055", lambda: payload(aud=[])),
    ("jwt-055", lambda: payload(aud=["residency-gateway", 1])),
    ("jwt-055", lambda: payload(aud="residency-gateway2")),
    ("jwt-055", lambda: payload(aud={"residency-gateway": 1})),
    ("jwt-055", lambda: payload(aud=ABSENT)),
    ("jwt-057", lambda: payload(iss=ISSUER.rstrip("/"))),
    ("jwt-057", lambda: payload(iss=[ISSUER])),
    ("jwt-057", lambda: payload(iss=ISSUER.upper())),
    ("jwt-057", lambda: payload(iss=ABSENT)),
    ("jwt-059", lambda: payload(sub=ABSENT)),
    ("jwt-059", lambda: payload(sub=["priya"])),
    ("jwt-059", lambda: payload(sub=7)),
    ("jwt-059", lambda: payload(sub="")),
    ("jwt-059", lambda: payload(sub=" priya")),
    ("jwt-059", lambda: payload(sub="s" * 257)),
    ("jwt-061", lambda: payload(sub="priya\r\nadmin")),
    ("jwt-061", lambda: payload(sub="priya\u202e")),
    ("jwt-061", lambda: payload(sub="pri\u200bya")),
    ("jwt-061", lambda: spelled("sub", '"\\ud800"')),
]


@pytest.mark.parametrize(("vector", "build"), REFUSED, ids=lambda value: value if isinstance(value, str) else "")
async def test_damaged_token_is_refused(world: IdentityWorld, vector: str, build: Callable[[], str]) -> None:
    """A token of the vector's description establishes nobody, and says why without repeating itself."""
    token = build()

    with pytest.raises(Unauthenticated) as refusal:
        await world.authenticator.authenticate(f"Bearer {token}") if "," not in token else await verify(world, token)

    assert VECTORS[vector]["expect"].startswith(("401", "configured", "accept_or_401", "one canonical form"))
    assert not any(part and part in str(refusal.value) for part in token.split("."))


async def verify(world: IdentityWorld, token: str) -> None:
    """Past the header's own check, which would refuse the commas of JSON before the token is looked at."""
    await world.authenticator._verifier.verify(token)


async def test_jwt_007_and_013_a_set_with_symmetric_keys_loses_them() -> None:
    """``oct`` keys, even an empty one, are left out of the set (jwt-007, jwt-013)."""
    for secret in (b"", b"secret-secret-secret-secret-secret"):
        keys = KeySet.parse(key_set({"kty": "oct", "kid": "o", "k": segment(secret), "alg": "HS256"}, rsa_key().jwk()))

        assert [key.kid for key in keys.keys] == ["rsa-1"]
        assert keys.find("o", "HS256") is None
        assert keys.find(None, "HS256") is None


async def test_jwt_009_key_of_the_set_with_a_foreign_algorithm_is_refused() -> None:
    """An issuer that may use RS256 only is not believed with ES256, though the key is its own."""
    world = IdentityWorld(issuer=issuer_settings(algorithms=["RS256"]))

    with pytest.raises(Unauthenticated, match="algorithm"):
        await world.authenticator.authenticate(f"Bearer {ec_key().sign()}")


async def test_jwt_011_es256_with_a_p384_key_is_refused(world: IdentityWorld) -> None:
    """A key on another curve than its algorithm's is not used, whatever the set claims."""
    wrong = ec_key("ec-384", "ES384")
    world.server.document = key_set(rsa_key().jwk(), wrong.jwk(alg="ES256"), ec_key("ec-384b", "ES384").jwk(alg=ABSENT))
    world.clock.advance(301)
    await world.authenticator.refresh_if_due()

    for kid in ("ec-384", "ec-384b"):
        with pytest.raises(Unauthenticated, match="does not publish"):
            await world.authenticator.authenticate(f"Bearer {wrong.sign(wrong.header(alg='ES256', kid=kid))}")


async def test_jwt_023_malleated_signature_is_one_token_to_revocation(world: IdentityWorld) -> None:
    """The other spelling of an ECDSA signature verifies, and revoking the token hits both."""
    token = ec_key().sign()
    copy = malleate(token)
    assert copy != token
    assert (await world.authenticator.authenticate(f"Bearer {copy}")).token_id == "token-1"

    world.revocations.revoke_token("token-1")

    for one in (token, copy):
        with pytest.raises(Unauthenticated, match="revoked"):
            await world.authenticator.authenticate(f"Bearer {one}")


async def test_jwt_029_huge_token_is_refused_before_it_is_decoded(
    world: IdentityWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A megabyte of header costs no decoding."""
    monkeypatch.setattr(base64, "urlsafe_b64decode", None)

    with pytest.raises(Unauthenticated, match="at most 8192"):
        await world.authenticator.authenticate(f"Bearer {'A' * 1024 * 1024}.{PARTS[1]}.{PARTS[2]}")
    with pytest.raises(Unauthenticated, match="at most 8192"):
        await verify(world, "A" * 8193)


@pytest.mark.parametrize("name", ["crit", "cty", "zip", "jwk", "x5c", "b64"])
async def test_jwt_033_header_that_is_not_implemented_is_named_in_the_refusal(world: IdentityWorld, name: str) -> None:
    """The gateway itself refuses it, whatever the library would do."""
    with pytest.raises(Unauthenticated, match=f"has {name},"):
        await world.authenticator.authenticate(f"Bearer {header(**{name: ['exp']})}")


async def test_jwt_035_addresses_of_keys_in_the_header_are_never_fetched(world: IdentityWorld) -> None:
    """``jku`` and ``x5u`` are read past."""
    token = header(jku="http://127.0.0.1:1/", x5u="http://127.0.0.1:1/")

    assert (await world.authenticator.authenticate(f"Bearer {token}")).subject == "priya"
    assert world.server.fetched == ["https://login.example.com/keys"]


async def test_jwt_041_reload_with_a_kid_named_twice_keeps_the_old_set(world: IdentityWorld) -> None:
    """A set that names one kid for two keys is refused whole, and the old one stays in force."""
    world.server.document = key_set(rsa_key().jwk(), rsa_key("rsa-2").jwk(kid="rsa-1"))
    world.clock.advance(301)
    await world.authenticator.refresh_if_due()

    assert (await world.authenticator.authenticate(f"Bearer {ec_key().sign()}")).subject == "priya"
    assert "two keys" in world.authenticator.problems[ISSUER]


@pytest.mark.parametrize(
    "change",
    [
        {"key_ops": ["encrypt"]},
        {"key_ops": []},
        {"key_ops": "verify"},
        {"use": "enc"},
        {"use": None},
        {"alg": "RSA-OAEP"},
        {"alg": "HS256"},
        {"d": "AQAB"},
        {"kid": ""},
        {"kid": 7},
    ],
)
async def test_jwt_043_key_not_meant_to_verify_is_not_used(change: dict[str, Any]) -> None:
    """``use``, ``key_ops``, ``alg`` and private parts take a key out of the set."""
    with pytest.raises(KeySetUnavailable, match="none of 1"):
        KeySet.parse(key_set(rsa_key().jwk(**change)))


async def test_jwt_053_old_token_is_refused_where_a_maximum_age_is_set(world: IdentityWorld) -> None:
    """A token of ten years ago that has not ended passes without ``max_age_s``, and not with it."""
    token = payload(iat=NOW_S - 10 * 365 * 86_400)
    strict = IdentityWorld(issuer=issuer_settings(max_age_s=86_400))

    assert (await world.authenticator.authenticate(f"Bearer {token}")).subject == "priya"
    for refused in (token, payload(iat=ABSENT)):
        with pytest.raises(Unauthenticated, match="too old"):
            await strict.authenticator.authenticate(f"Bearer {refused}")


async def test_jwt_055_audience_among_others_is_accepted(world: IdentityWorld) -> None:
    """A token for several audiences is for us if we are one of them."""
    token = payload(aud=["x", "residency-gateway"])

    assert (await world.authenticator.authenticate(f"Bearer {token}")).subject == "priya"


async def test_jwt_061_subject_has_one_canonical_form(world: IdentityWorld) -> None:
    """Composed and decomposed letters name one person; capitals name another."""
    subjects = [
        (await world.authenticator.authenticate(f"Bearer {payload(sub=sub)}")).subject
        for sub in ("Zoe\u0308", "Zo\u00eb", "zo\u00eb")
    ]

    assert subjects == ["Zo\u00eb", "Zo\u00eb", "zo\u00eb"]


@pytest.mark.parametrize(
    "jwks",
    [
        "file:///etc/passwd",
        "file:/etc/passwd",
        "FILE:///etc/passwd",
        "ftp://login.example.com/keys",
        "data:application/json,{}",
        "http://login.example.com/keys",
        "https://",
        "https:///keys",
        "https://user:secret@login.example.com/keys",
        "https://login.example.com/keys#x",
        "https://login.example.com/keys\n",
        "https://[::1/keys",
        "keys.json",
        "",
    ],
)
def test_jwt_063_place_of_keys_other_than_https_or_a_file_is_refused(jwks: str) -> None:
    """The gateway does not start on it, even where the settings' own check was left out; no credential is shown."""
    settings = issuer_settings().model_copy(update={"jwks": jwks})

    with pytest.raises(ConfigurationError, match="https://") as refusal:
        KeySetSource(settings, fetcher=FileFetcher(), clock=FakeClock())
    assert "secret" not in str(refusal.value)


async def test_jwt_065_flood_of_unknown_kids_causes_one_fetch_a_cool_down(world: IdentityWorld) -> None:
    """A thousand tokens with random kids cost one fetch, and good tokens none."""
    world.clock.advance(31)
    good = rsa_key().sign()
    sample = header(kid="x").split(".")
    for number in range(1000):
        token = f"{segment(dumps(rsa_key().header(kid=f'k{number}')))}.{sample[1]}.{sample[2]}"
        with pytest.raises(Unauthenticated, match="does not publish"):
            await world.authenticator.authenticate(f"Bearer {token}")
        await world.authenticator.authenticate(f"Bearer {good}")

    assert len(world.server.fetched) == 2


@pytest.mark.parametrize(
    "malformed",
    [
        {"kty": "RSA", "kid": "m", "n": "!!", "e": "AQAB"},
        {"kty": "RSA", "kid": "m", "n": rsa_key().jwk()["n"] + "!", "e": "AQAB"},
        {"kty": "RSA", "kid": "m", "n": 7, "e": "AQAB"},
        {"kty": "RSA", "kid": "m", "e": "AQAB"},
        {"kty": "RSA", "kid": "m", "n": rsa_key().jwk()["n"], "e": "AQ"},
        {"kty": ["RSA"], "kid": "m"},
        {"kty": "EC", "kid": "m", "crv": "P-256", "x": "AAAA", "y": "AAAA"},
        {"kty": "EC", "kid": "m", "crv": ["P-256"]},
        {"kty": "EC", "kid": "m", "crv": "secp256k1"},
        {"kty": "OKP", "kid": "m", "crv": "Ed25519", "x": "AAAA"},
        {"kid": "m"},
        "a string",
        None,
    ],
)
def test_jwt_067_malformed_key_is_skipped_and_the_set_kept(malformed: Any) -> None:
    """One key that cannot be read does not take the others with it."""
    keys = KeySet.parse(key_set(malformed, rsa_key().jwk()))

    assert [key.kid for key in keys.keys] == ["rsa-1"]


async def test_jwt_069_rotation_brings_the_new_key_and_ends_the_old(world: IdentityWorld) -> None:
    """A new kid is accepted after the cool-down at the latest; a withdrawn key, remembered or not, after max age."""
    old, new = rsa_key(), rsa_key("rsa-2")
    await world.authenticator.authenticate(f"Bearer {old.sign()}")
    world.server.document = key_set(new.jwk(), ec_key().jwk())
    with pytest.raises(Unauthenticated):
        await world.authenticator.authenticate(f"Bearer {new.sign()}")
    world.clock.advance(30)

    assert (await world.authenticator.authenticate(f"Bearer {new.sign()}")).subject == "priya"
    world.clock.advance(270)
    await world.authenticator.refresh_if_due()
    with pytest.raises(Unauthenticated, match="does not publish"):
        await world.authenticator.authenticate(f"Bearer {old.sign()}")


async def test_jwt_077_remembered_tokens_never_swap_their_principals(world: IdentityWorld) -> None:
    """Many people at once, twice each: everybody is themself."""
    tokens = {f"person-{number}": payload(sub=f"person-{number}") for number in range(50)}
    for _ in range(2):
        for subject, token in tokens.items():
            assert (await world.authenticator.authenticate(f"Bearer {token}")).subject == subject


def test_every_vector_about_tokens_has_its_test() -> None:
    """No vector is left out by accident."""
    source = Path(__file__).read_text("utf-8")
    named_in_this_file = {name for name in VECTORS if name in source or name.replace("-", "_") in source}

    assert named_in_this_file == set(VECTORS)
