"""Sends messages to receivers over HTTP, and learns no more of an answer than its status.

Invariants: no redirect is followed, no proxy of the environment used and no cookie kept; an answer is bounded in size
and time; nothing but https and a certificate that this machine trusts, and no address of this machine or of a cloud's
metadata service, unless the channel's ``unsafe_loopback`` says so; names are looked up in threads of its own, so that a
name server that does not answer holds nobody else up; what is said of a failure holds no address.
"""

from __future__ import annotations

import asyncio
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from gateway.identity import is_fetchable
from gateway.notification import Answer, Message
from gateway.proxy.outward import outward_session

MAX_ANSWER_BYTES = 16_384
CONNECTIONS = 32
INWARD = "its address is this machine's own or a metadata service's; expected another machine's"


class WebhookPoster:
    """A :class:`gateway.notification.Poster`; use it as an asynchronous context."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="webhook-names")
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def __aenter__(self) -> WebhookPoster:
        self._sessions = {loopback: self._session(loopback) for loopback in (False, True)}
        return self

    async def __aexit__(self, *_exc: object) -> None:
        for session in self._sessions.values():
            await session.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _session(self, loopback: bool) -> aiohttp.ClientSession:
        return outward_session(connections=CONNECTIONS, resolver=_Names(self._threads, loopback))

    async def post(self, message: Message) -> Answer:
        """See :class:`gateway.notification.Poster`."""
        try:
            async with asyncio.timeout(message.timeout_s):
                return await self._post(message)
        except TimeoutError:
            return Answer(0, problem=f"no answer within {message.timeout_s:g} seconds")
        except aiohttp.ClientConnectorCertificateError:
            return Answer(0, problem="its certificate is not one that this machine trusts")
        except _InwardError:
            return Answer(0, problem=INWARD)
        except aiohttp.ClientOSError as error:
            return Answer(0, problem=f"cannot connect: {_reason(error)}")
        except (aiohttp.ClientError, OSError, ValueError) as error:  # some of them name the address
            return Answer(0, problem=f"it did not answer in HTTP ({type(error).__name__})")

    async def _post(self, message: Message) -> Answer:
        if not message.loopback:
            _refuse_inward_literal(URL(message.url).host or "")
        session = self._sessions[message.loopback]
        async with session.post(
            message.url,
            data=message.body,
            headers=dict(message.headers),
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=message.timeout_s),
        ) as response:
            answer = Answer(response.status, response.headers.get("Retry-After", ""))
            await response.content.read(MAX_ANSWER_BYTES)
            if not response.content.at_eof():
                response.close()  # more than anybody needs to say: the connection is not used again
            return answer


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else type(error).__name__


def _refuse_inward_literal(host: str) -> None:
    """An address written out is not looked up, so :class:`_Names` does not see it."""
    try:
        address = ip_address(host)
    except ValueError:
        return
    if not is_fetchable(address):
        raise _InwardError(INWARD)


class _InwardError(ValueError):
    """The receiver is where none may be."""


class _Names(AbstractResolver):
    """Looks names up; unless ``loopback``, leaves out where no receiver may be."""

    def __init__(self, threads: ThreadPoolExecutor, loopback: bool) -> None:
        self._threads = threads
        self._loopback = loopback

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
        )
        fit = [result for result in found if self._loopback or is_fetchable(ip_address(_bare(result[4][0])))]
        if not fit:
            raise _InwardError(INWARD)
        return [_result(host, *result) for result in fit]

    async def close(self) -> None:
        """Nothing: the threads are the poster's."""


def _result(
    host: str, family: int, _type: int, protocol: int, _name: str, address: tuple[str, int] | tuple[str, int, int, int]
) -> ResolveResult:
    numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return ResolveResult(hostname=host, host=address[0], port=address[1], family=family, proto=protocol, flags=numeric)


def _bare(address: object) -> str:
    return str(address).partition("%")[0]
