"""Key sets (RFC 7517): which of the keys that an issuer publishes may verify a signature here.

Invariants: only public, asymmetric keys that are meant for signatures are kept; each fits its algorithms; a key that
cannot be used is left out and the others stay; a set that names a kid twice, or leaves no key, is refused whole.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt import PyJWK

from gateway.errors import KeySetUnavailable
from gateway.identity.jose import decode_segment, read_object

VerificationKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

RSA_BITS = range(2048, 8192 + 1)
"""Shorter is too weak (NIST SP 800-131A); longer makes each signature costly to verify."""

_ALGORITHMS = {
    ("RSA", None): frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
    ("EC", "P-256"): frozenset({"ES256"}),
    ("EC", "P-384"): frozenset({"ES384"}),
    ("EC", "P-521"): frozenset({"ES512"}),
    ("OKP", "Ed25519"): frozenset({"EdDSA"}),
}
_PUBLIC_MEMBERS = {"RSA": ("n", "e"), "EC": ("x", "y"), "OKP": ("x",)}
_PRIVATE_MEMBERS = frozenset({"d", "k", "p", "q", "dp", "dq", "qi", "oth"})


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One key that may verify.

    Attributes:
        kid: its name in the set, or "" for a key without one.
        fingerprint: SHA-256 of the DER public key, in hexadecimal: the same key has the same one in every set.
        algorithms: the ``alg`` values that it may be used with.
        key: the key itself.
    """

    kid: str
    fingerprint: str
    algorithms: frozenset[str]
    key: VerificationKey = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class KeySet:
    """The usable keys of one issuer. ``key in keys`` tells whether that same key is still published."""

    keys: tuple[PublicKey, ...]

    @classmethod
    def parse(cls, document: bytes) -> KeySet:
        """The key set in a JWK Set document (RFC 7517 §5).

        Raises:
            KeySetUnavailable: not a JWK Set, a kid named twice, or no usable key in it.
        """
        try:
            members = read_object(document).get("keys")
        except ValueError as error:
            raise KeySetUnavailable(f"got {error}; expected a JWK Set") from error
        if not isinstance(members, list):
            raise KeySetUnavailable('the document has no list "keys"; expected a JWK Set')
        _refuse_repeated_kid(members)
        keys = tuple(key for key in map(_usable, members) if key)
        if not keys:
            raise KeySetUnavailable(f"none of {len(members)} keys can verify signatures; publish a public signing key")
        return cls(keys)

    def __contains__(self, key: PublicKey) -> bool:
        return key in self.keys

    def knows(self, kid: str) -> bool:
        """Whether a key of this name is here, whatever its algorithms."""
        return any(key.kid == kid for key in self.keys)

    def find(self, kid: str | None, algorithm: str) -> PublicKey | None:
        """The one key for a token's header; without a kid, only where no other key could be meant."""
        fitting = [key for key in self.keys if algorithm in key.algorithms and kid in (None, key.kid)]
        return fitting[0] if len(fitting) == 1 else None


def _refuse_repeated_kid(members: list[Any]) -> None:
    kids = [member["kid"] for member in members if isinstance(member, dict) and isinstance(member.get("kid"), str)]
    if len(set(kids)) != len(kids):
        raise KeySetUnavailable("a kid stands for two keys; publish each kid once")


def _usable(member: Any) -> PublicKey | None:
    """The key, or nothing where it is unfit: a private key that was published is everybody's."""
    if not isinstance(member, dict) or _PRIVATE_MEMBERS & member.keys() or not _meant_to_verify(member):
        return None
    kid, algorithms = member.get("kid"), _algorithms(member)
    if kid == "" or not isinstance(kid, str | None) or not algorithms:
        return None
    try:
        key = _public_key(member, min(algorithms))
    except Exception:  # whatever foreign parsers make of a malformed key, it is only this key that is lost
        return None
    if isinstance(key, RSAPublicKey) and key.key_size not in RSA_BITS:
        return None
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return PublicKey(kid or "", hashlib.sha256(der).hexdigest(), algorithms, key)


def _meant_to_verify(member: dict[str, Any]) -> bool:
    """RFC 7517 §4.2 and §4.3."""
    operations = member.get("key_ops", ["verify"])
    return member.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations


def _algorithms(member: dict[str, Any]) -> frozenset[str]:
    """What the key's type and curve fit, narrowed to its own ``alg`` if it has one."""
    kty, crv, alg = member.get("kty"), member.get("crv"), member.get("alg")
    if not isinstance(kty, str) or not isinstance(crv, str | None) or not isinstance(alg, str | None):
        return frozenset()
    fitting = _ALGORITHMS.get((kty, crv), frozenset())
    return fitting if alg is None else fitting & {alg}


def _public_key(member: dict[str, Any], algorithm: str) -> VerificationKey:
    for name in _PUBLIC_MEMBERS[member["kty"]]:
        decode_segment(member[name])  # the library would read past characters that are not base64url
    key: VerificationKey = PyJWK(member, algorithm).key
    return key
