"""What the gateway asks of other systems by itself: trackers, holders of checkpoints, receivers of feeds and notices.

Invariants: a certificate is always verified, with TLS 1.2 or later; no cookie is kept, no proxy of the environment
used, and nothing is unpacked, so that a bound on what is read is a bound on what is held. Redirects are the caller's:
each call says ``allow_redirects=False``.
"""

from __future__ import annotations

import ssl
from pathlib import Path

import aiohttp
from aiohttp.abc import AbstractResolver

USER_AGENT = "residency-gateway"


def outward_session(
    *, connections: int, tls: ssl.SSLContext | bool = True, resolver: AbstractResolver | None = None
) -> aiohttp.ClientSession:
    """A session with so many connections at most; to be closed by whoever opens it."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, ssl=tls, resolver=resolver),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
        auto_decompress=False,
        trust_env=False,
    )


def verifying_tls(authorities: Path | None) -> ssl.SSLContext:
    """A context that believes these authorities alone, or those that the machine trusts.

    Raises:
        OSError, ValueError: the file cannot be used; both name no content of it.
    """
    context = ssl.create_default_context(cafile=authorities)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
