"""A valid identity provider, and the means to damage what it signs."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from jwt.algorithms import Algorithm, get_default_algorithms

from gateway.identity import Authenticator, Fetcher, Revocations
from gateway.settings import IdentitySettings, IssuerSettings
from tests.world.clock import NOW_S, FakeClock

ISSUER = "https://login.example.com/"
AUDIENCE = "residency-gateway"
JWKS_URL = "https://login.example.com/keys"
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

ABSENT: Any = object()
"""Given as a claim or header member: leave it out."""


def segment(content: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def unsegment(text: str) -> bytes:
    """The bytes of a segment."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def dumps(value: Any) -> bytes:
    """JSON; bytes are taken as they are, so that a test can write what no encoder would."""
    return value if isinstance(value, bytes) else json.dumps(value).encode()


@dataclass(frozen=True)
class SigningKey:
    """A private key, its name and its algorithm."""

    kid: str
    alg: str
    private: Any

    @property
    def _algorithm(self) -> Algorithm:
        return get_default_algorithms()[self.alg]

    def jwk(self, **changes: Any) -> dict[str, Any]:
        """The public JWK, changed."""
        member = type(self._algorithm).to_jwk(self.private.public_key(), as_dict=True)
        member = {**member, "kid": self.kid, "use": "sig", "alg": self.alg, **changes}
        member.pop("key_ops", None) if "key_ops" not in changes else None
        return {name: value for name, value in member.items() if value is not ABSENT}

    def header(self, **changes: Any) -> dict[str, Any]:
        """A valid header, changed."""
        header = {"typ": "JWT", "alg": self.alg, "kid": self.kid, **changes}
        return {name: value for name, value in header.items() if value is not ABSENT}

    def sign(self, header: dict[str, Any] | bytes | None = None, payload: dict[str, Any] | bytes | None = None) -> str:
        """A token whose signature is good, whatever header and payload say."""
        head = dumps(self.header() if header is None else header)
        body = dumps(claims() if payload is None else payload)
        signed = f"{segment(head)}.{segment(body)}"
        return f"{signed}.{segment(self._algorithm.sign(signed.encode(), self.private))}"


def claims(**changes: Any) -> dict[str, Any]:
    """Valid claims of one of the vendor's people, changed."""
    valid = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "priya",
        "iat": NOW_S - 60,
        "exp": NOW_S + 3600,
        "jti": "token-1",
        "roles": ["support"],
    }
    return {name: value for name, value in {**valid, **changes}.items() if value is not ABSENT}


def malleate(token: str) -> str:
    """The other signature that an ES256 token verifies with: s becomes n - s."""
    signed, _, signature = token.rpartition(".")
    raw = unsegment(signature)
    s = P256_ORDER - int.from_bytes(raw[32:], "big")
    r, s = decode_dss_signature(encode_dss_signature(int.from_bytes(raw[:32], "big"), s))
    return f"{signed}.{segment(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


@cache
def rsa_key(kid: str = "rsa-1", bits: int = 2048) -> SigningKey:
    return SigningKey(kid, "RS256", rsa.generate_private_key(public_exponent=65537, key_size=bits))


@cache
def ec_key(kid: str = "ec-1", alg: str = "ES256") -> SigningKey:
    curves = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
    return SigningKey(kid, alg, ec.generate_private_key(curves[alg]))


@cache
def ed_key(kid: str = "ed-1") -> SigningKey:
    return SigningKey(kid, "EdDSA", ed25519.Ed25519PrivateKey.generate())


def key_set(*members: Any) -> bytes:
    """A JWK Set document."""
    return json.dumps({"keys": list(members)}).encode()


class KeyServer:
    """A fetcher that counts, answers with ``document``, raises ``failure`` or waits at ``gate``."""

    def __init__(self, document: bytes) -> None:
        self.document = document
        self.failure: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.fetched: list[str] = []

    async def fetch(self, location: str) -> bytes:
        self.fetched.append(location)
        if self.gate:
            await self.gate.wait()
        if self.failure:
            raise self.failure
        return self.document


def issuer_settings(**changes: Any) -> IssuerSettings:
    """Valid settings of the issuer, changed."""
    valid = {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "jwks": JWKS_URL,
        "algorithms": ["RS256", "ES256", "EdDSA"],
        "customer_claim": "customer",
        "country_claim": "country",
    }
    return IssuerSettings.model_validate({**valid, **changes})


@dataclass
class IdentityWorld:
    """An identity provider with three keys, and a gateway that believes it."""

    issuer: IssuerSettings = field(default_factory=issuer_settings)
    trusted_actors: tuple[str, ...] = ("helpdesk-tool",)
    cached_tokens: int = 100
    settings_changes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clock = FakeClock()
        self.server = KeyServer(key_set(*(key.jwk() for key in (rsa_key(), ec_key(), ed_key()))))
        self.revocations = Revocations()
        self.settings = IdentitySettings(
            issuer=(self.issuer,),
            trusted_actors=self.trusted_actors,
            cached_tokens=self.cached_tokens,
            **self.settings_changes,
        )
        self.authenticator = self.build(self.server)

    def build(self, fetcher: Fetcher) -> Authenticator:
        return Authenticator.of(self.settings, fetcher=fetcher, clock=self.clock, revocations=self.revocations)
