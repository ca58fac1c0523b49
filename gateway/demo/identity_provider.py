"""A sample identity provider: it signs whatever it is asked to, for the demo and for nothing else.

Its keys live in a directory that only their owner may read, so that another process (``residency-gateway token``) signs
with the same ones; the public half stands beside them as a key set file that a gateway can be pointed at.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from jwt.algorithms import ECAlgorithm

from gateway.clock import SECOND_US, Clock
from gateway.errors import ConfigurationError

ISSUER = "https://sample-identity-provider.invalid/"
AUDIENCE = "residency-gateway"
KID = "sample-1"
ALGORITHM = "ES256"


class SampleIdentityProvider:
    """Mints tokens for made-up people. Never point a gateway with real data at its keys."""

    def __init__(self, directory: Path, *, clock: Clock) -> None:
        """Use the keys in ``directory``; make them first if there are none.

        Raises:
            ConfigurationError: the key file cannot be used, or others may read it.
        """
        self._clock = clock
        self._key = _load_or_create(directory / "sample-identity-provider.pem")
        self.jwks_path = directory / "sample-jwks.json"
        _write_whole(self.jwks_path, json.dumps(self.jwks(), indent=1).encode(), replace=True)

    def jwks(self) -> dict[str, Any]:
        """The public key set (RFC 7517)."""
        member = ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {"keys": [{**member, "kid": KID, "use": "sig", "alg": ALGORITHM}]}

    def mint(
        self,
        subject: str,
        roles: Collection[str],
        *,
        customer: str | None = None,
        country: str | None = None,
        expires_in_s: int = 3600,
        act: Mapping[str, Any] | None = None,
    ) -> str:
        """A token about ``subject``.

        Args:
            subject: the ``sub`` claim.
            roles: the ``roles`` claim.
            customer: makes a customer's own user.
            country: the ``country`` claim (ISO 3166-1 alpha-2).
            expires_in_s: how long it holds.
            act: who acts for the subject (RFC 8693), such as ``{"sub": "helpdesk-tool"}``.
        """
        now_s = self._clock.now_us() // SECOND_US
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": subject,
            "iat": now_s,
            "exp": now_s + expires_in_s,
            "jti": str(uuid4()),
            "roles": sorted(roles),
        }
        optional = {"customer": customer, "country": country, "act": act}
        claims |= {name: value for name, value in optional.items() if value is not None}
        return jwt.encode(claims, self._key, algorithm=ALGORITHM, headers={"kid": KID})


def _load_or_create(path: Path) -> ec.EllipticCurvePrivateKey:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        fresh = ec.generate_private_key(ec.SECP256R1())
        pem = fresh.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        _write_whole(path, pem, replace=False)
    if path.stat().st_mode & 0o077:
        raise ConfigurationError([f"{path}: others may read this key; delete it, and a new one is made"])
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except ValueError as error:
        raise ConfigurationError([f"{path}: not a private key; delete it, and a new one is made"]) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigurationError([f"{path}: not an ES256 key; delete it, and a new one is made"])
    return key


def _write_whole(path: Path, content: bytes, *, replace: bool) -> None:
    """Write so that no reader sees half a file; without ``replace`` the first of two writers wins."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".sample-")  # mode 0600
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        if replace:
            temporary.replace(path)
        else:
            with suppress(FileExistsError):
                path.hardlink_to(temporary)
    finally:
        temporary.unlink(missing_ok=True)
