"""Passwords of upload accounts, as they are kept: argon2id (RFC 9106, second recommended option)."""

from __future__ import annotations

import argon2

HASHER = argon2.PasswordHasher()


def hashed(password: str) -> str:
    """The hash of a password, with a salt of its own; blocking."""
    return HASHER.hash(password)
