"""Where an issuer's key set comes from, and how long it is believed.

Invariants: nothing but an https address or a file is ever read; a token never chooses the address; at most one fetch is
under way, and tokens with unknown kids cause at most one per cool-down; a failed fetch, or a refused set, keeps the
last good one, which ends ``grace_s`` after its own fetch; a caller waits at most ``timeout_s``, and only when its key
is not at hand.
"""

from __future__ import annotations

import asyncio
import math
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import structlog

from gateway.clock import Clock
from gateway.errors import ConfigurationError, KeySetUnavailable
from gateway.identity.keysets import KeySet, PublicKey
from gateway.settings import IssuerSettings

log = structlog.get_logger(__name__)

MAX_DOCUMENT_BYTES = 1024 * 1024
FETCH_TIMEOUT_S = 3.0

_METADATA = frozenset({ip_address("fd00:ec2::254"), ip_address("100.100.100.200")})


class Fetcher(Protocol):
    """Reads a document. One for https follows no redirect and connects to :func:`is_fetchable` addresses only."""

    async def fetch(self, location: str) -> bytes:
        """The document at ``location``, at most ``MAX_DOCUMENT_BYTES`` (more may be cut one byte later).

        Raises:
            Exception: it cannot be had, for whatever reason.
        """
        ...


class FileFetcher:
    """Reads files, in a thread."""

    async def fetch(self, location: str) -> bytes:
        return await asyncio.to_thread(_read, Path(location))


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_DOCUMENT_BYTES + 1)


def is_fetchable(address: IPv4Address | IPv6Address) -> bool:
    """Whether an issuer's host may resolve to this address: never the machine itself, nor a cloud's metadata service.

    Private networks are allowed: an issuer is often a neighbour, and its address was written by the operator.
    """
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    unfit = address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
    return not unfit and not address.is_reserved and address not in _METADATA


class KeySetSource:
    """The key set of one issuer: the last good one, and the one fetch that may replace it.

    Attributes:
        problem: why the last fetch brought nothing, or "".
    """

    def __init__(self, settings: IssuerSettings, *, fetcher: Fetcher, clock: Clock) -> None:
        """Prepare; nothing is fetched yet.

        Args:
            settings: the issuer; ``jwks`` is an https address or an absolute path.
            fetcher: reads https addresses; files are read here.

        Raises:
            ConfigurationError: ``jwks`` is anything else.
        """
        self._settings = settings
        self._fetcher = fetcher if _is_remote(settings) else FileFetcher()
        self._clock = clock
        self._keys: KeySet | None = None
        self._attempted_s = -math.inf
        self._good_s = -math.inf
        self._flight: asyncio.Task[None] | None = None
        self.problem = "not fetched yet"

    @property
    def ready(self) -> bool:
        """Whether a usable key set is at hand now."""
        return self.current() is not None

    def current(self) -> KeySet | None:
        """The last good key set, while it may still be believed."""
        expired = self._clock.monotonic_s() - self._good_s > self._settings.jwks_grace_s
        return None if expired else self._keys

    async def find(self, kid: str | None, algorithm: str) -> PublicKey | None:
        """The key for a token's header, after at most one fetch if its kid is unknown and the cool-down is over.

        Raises:
            KeySetUnavailable: there is no key set that may be believed.
        """
        keys = self.current()
        if keys is None or (kid is not None and not keys.knows(kid)):
            await self._fetch_after(self._settings.jwks_cooldown_s)
            keys = self.current()
        if keys is None:
            raise KeySetUnavailable(f"no key set of {self._settings.issuer} is at hand: {self.problem or 'too old'}")
        return keys.find(kid, algorithm)

    async def refresh_if_due(self) -> None:
        """Fetch again when the set is ``jwks_max_age_s`` old, or sooner after a failure. Call it every few seconds."""
        max_age_s = self._settings.jwks_max_age_s
        await self._fetch_after(min(max_age_s, self._settings.jwks_cooldown_s) if self.problem else max_age_s)

    async def close(self) -> None:
        """End the fetch that is under way, if any."""
        if self._flight:
            self._flight.cancel()
            await asyncio.wait({self._flight})

    async def _fetch_after(self, pause_s: float) -> None:
        """Join the fetch under way, or start one if the last began ``pause_s`` ago.

        It is a task, not an await: a client that hangs up must not end the fetch that others wait for.
        """
        if self._flight is None or self._flight.done():
            now_s = self._clock.monotonic_s()
            if now_s - self._attempted_s < pause_s:
                return
            self._attempted_s = now_s
            self._flight = asyncio.create_task(self._fetch())  # noqa: TID251 - kept here, awaited below and in close
        await asyncio.wait({self._flight}, timeout=FETCH_TIMEOUT_S)

    async def _fetch(self) -> None:
        started_s = self._clock.monotonic_s()
        try:
            async with asyncio.timeout(FETCH_TIMEOUT_S):
                document = await self._fetcher.fetch(self._settings.jwks)
            self._keys, self._good_s, self.problem = _parse(document), started_s, ""
        except Exception as error:  # a fetcher may fail in any way: the last good set stays
            self.problem = str(error) if isinstance(error, KeySetUnavailable) else type(error).__name__
            log.warning("key_set_refused", issuer=self._settings.issuer, problem=self.problem)


def _parse(document: bytes) -> KeySet:
    if len(document) > MAX_DOCUMENT_BYTES:
        raise KeySetUnavailable(f"the document is longer than {MAX_DOCUMENT_BYTES} bytes")
    return KeySet.parse(document)


def _is_remote(settings: IssuerSettings) -> bool:
    """Whether the keys are behind https; anything that is neither that nor a file is refused."""
    if Path(settings.jwks).is_absolute():
        return False
    try:
        url = urlsplit(settings.jwks)
        sound = url.scheme == "https" and url.hostname and url.username is None and not url.fragment
    except ValueError:
        sound = False
    if not sound or not settings.jwks.isprintable():
        raise ConfigurationError(
            [f"jwks of {settings.issuer}: expected an https:// address without credentials, or a file's absolute path"]
        )
    return True
