"""Which keys of a published set are used, and for what."""

from __future__ import annotations

import pytest
from jwt.algorithms import get_default_algorithms

from gateway.errors import KeySetUnavailable
from gateway.identity import KeySet
from tests.world.tokens import ABSENT, SigningKey, ec_key, ed_key, key_set, rsa_key


@pytest.mark.parametrize(
    ("bits", "kept"),
    [(1024, False), (2048, True)],
)
def test_rsa_key_needs_2048_bits(bits: int, kept: bool) -> None:
    """A short RSA key is left out."""
    keys = KeySet.parse(key_set(rsa_key("r", bits).jwk(), ed_key().jwk()))

    assert keys.knows("r") is kept


@pytest.mark.parametrize("key", [rsa_key(), ec_key(), ed_key()], ids=lambda key: key.alg)
def test_published_private_key_is_not_used(key: SigningKey) -> None:
    """A private key that stands in a public set signs for everybody."""
    private = get_default_algorithms()[key.alg].to_jwk(key.private, as_dict=True)
    keys = KeySet.parse(key_set({**key.jwk(), "kid": "p", "d": private["d"]}, rsa_key("rsa-2").jwk()))

    assert not keys.knows("p")


def test_key_with_stray_characters_is_not_used() -> None:
    """Characters that are not base64url are not read past."""
    x = ec_key().jwk()["x"]
    keys = KeySet.parse(
        key_set(ec_key().jwk(x=f"{x[:8]}!!!!{x[8:]}"), ed_key().jwk(x=f"{ed_key().jwk()['x']}="), rsa_key().jwk())
    )

    assert [key.kid for key in keys.keys] == ["rsa-1"]


@pytest.mark.parametrize(
    "document", [b"", b"[]", b"{}", b'{"keys":7}', b'{"keys":[]}', b'{"keys":[],"keys":[]}', b"\xff", b'{"keys":[{}]}']
)
def test_document_without_usable_keys_is_refused(document: bytes) -> None:
    """Nothing usable is an error, never an empty set."""
    with pytest.raises(KeySetUnavailable):
        KeySet.parse(document)


@pytest.mark.parametrize("second", [{"use": "enc"}, {"kty": "oct", "k": "AAAA"}])
def test_kid_named_twice_refuses_the_set_even_if_one_is_unusable(second: dict[str, str]) -> None:
    """Which of two keys a kid means must not depend on what this gateway leaves out."""
    with pytest.raises(KeySetUnavailable, match="two keys"):
        KeySet.parse(key_set(rsa_key().jwk(), {**rsa_key("rsa-2").jwk(kid="rsa-1"), **second}))


def test_key_is_found_by_kid_and_algorithm() -> None:
    """A kid alone does not choose a key: the algorithm has to fit, and an own ``alg`` narrows it."""
    keys = KeySet.parse(key_set(rsa_key().jwk(), rsa_key("any").jwk(alg=ABSENT), ec_key().jwk(key_ops=["verify"])))

    assert keys.find("rsa-1", "RS256")
    assert keys.find("rsa-1", "PS256") is None
    assert keys.find("any", "PS256")
    assert keys.find("rsa-1", "ES256") is None
    assert keys.find("nobody", "RS256") is None


def test_token_without_kid_means_the_only_key_that_fits() -> None:
    """Without a kid, two keys that fit are no key."""
    one = KeySet.parse(key_set(rsa_key().jwk(), ec_key().jwk(kid=ABSENT)))
    two = KeySet.parse(key_set(rsa_key().jwk(), rsa_key("rsa-2").jwk()))

    assert one.find(None, "RS256")
    assert one.find(None, "ES256")
    assert one.find("", "ES256")
    assert two.find(None, "RS256") is None


def test_same_key_is_recognised_across_documents_and_another_is_not() -> None:
    """Membership goes by name, algorithms and key material, so that a reused kid is another key."""
    before = KeySet.parse(key_set(rsa_key().jwk()))
    after = KeySet.parse(key_set(ec_key().jwk(), rsa_key().jwk()))
    reused = KeySet.parse(key_set(rsa_key("rsa-2").jwk(kid="rsa-1")))

    assert before.keys[0] in after
    assert before.keys[0] not in reused
