"""The transfer doors of a configuration: whether they could be opened, and opening them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial

import asyncssh

from gateway.errors import ConfigurationError
from gateway.identity.ssh_certificates import UserCa
from gateway.settings import Settings, StoreSettings
from gateway.transfer.ftp_door import ftp_door
from gateway.transfer.ftp_hall import require_tls
from gateway.transfer.session import Gate
from gateway.transfer.sftp_door import sftp_door
from gateway.transfer.sftp_strength import ssh_options
from gateway.transfer.signing_in import SigningIn
from gateway.transfer.sites import site_of


@asynccontextmanager
async def open_doors(
    settings: Settings, gate: Callable[[str], Gate], signing_in: SigningIn
) -> AsyncIterator[dict[str, int]]:
    """Those of ``[doors]``, open as long as the context lasts; at its end all of them finish at the same time.

    Args:
        gate: what sessions before a site share, by its store's name, as it is when they ask.
        signing_in: who signs in.

    Yields:
        Their ports, by name.

    Raises:
        ConfigurationError: a file cannot be used, or nobody can listen there.
    """
    ports: dict[str, int] = {}
    opened: list[AsyncExitStack] = []
    try:
        for name, door in _doors(settings, gate, signing_in):
            stack = AsyncExitStack()
            ports[name] = await stack.enter_async_context(door)
            opened.append(stack)
        yield ports
    finally:
        closed = await asyncio.gather(*(stack.aclose() for stack in opened), return_exceptions=True)
        for problem in filter(None, closed):
            raise problem


def require_doors(settings: Settings) -> None:
    """That the files of all transfer doors, and of the sites behind them, can be used.

    Raises:
        ConfigurationError: one line for each that cannot.
    """
    problems: list[str] = []
    for look in _looks(settings):
        try:
            look()
        except ConfigurationError as error:
            problems += error.problems
    if problems:
        raise ConfigurationError(problems)


def _doors(
    settings: Settings, gate: Callable[[str], Gate], signing_in: SigningIn
) -> Iterator[tuple[str, AbstractAsyncContextManager[int]]]:
    drain_s = settings.gateway.drain_timeout_s
    for name, door in settings.doors.of_ftp():
        yield name, ftp_door(door, partial(gate, door.store), signing_in, drain_timeout_s=drain_s, name=name)
    if sftp := settings.doors.sftp:
        yield "sftp", sftp_door(sftp, partial(gate, sftp.store), signing_in, drain_timeout_s=drain_s)


def _looks(settings: Settings) -> Iterator[Callable[[], object]]:
    for name, door in settings.doors.of_ftp():
        yield partial(require_tls, door, name)
    if sftp := settings.doors.sftp:
        yield partial(ssh_options, sftp, asyncssh.SSHServer)
        if sftp.user_ca:
            yield partial(UserCa.of, sftp.user_ca)
    for store in settings.store:
        if not store.url.get_secret_value().startswith(("http://", "https://")):
            yield partial(_look_at_site, store)


def _look_at_site(store: StoreSettings) -> None:
    asyncio.run(_open_and_close(store))


async def _open_and_close(store: StoreSettings) -> None:
    await site_of(store).close()
