"""What every kind of store offers a door: one exchange, streamed both ways."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from typing import NamedTuple, Protocol

from multidict import CIMultiDict, CIMultiDictProxy


class StoreUnreachable(Exception):
    """The store did not answer; the message is safe to show.

    ``status`` is 502, 504 when it was too slow, or 503 when it was not asked; ``retry_after_s``: when it may be again.
    """

    def __init__(self, status: int, message: str, *, retry_after_s: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s


class StoreElsewhere(StoreUnreachable):
    """The connection leads to where the data may not be stored: nothing of the request went out (``storage-home``)."""

    def __init__(self, store: str) -> None:
        super().__init__(503, f"the store {store} was found outside the customer's home; nothing was sent to it")


class StoreCut(Exception):
    """The store broke off in the middle of an answer."""


class ClientCut(Exception):
    """The client broke off in the middle of its request, or sent something else than it announced."""


class Capped(Exception):
    """A grant's cap would be passed."""


class Outgoing(NamedTuple):
    """What goes to a store: the method, path and query that were judged, headers, and a body to be read once.

    ``upgrading``: the headers ask for another protocol, and a 101 may come. ``owner``: whose request it is; the store's
    connections are shared fairly among owners. ``admits``: whether any of it may go to a peer of this address; None: to
    any.
    """

    method: str
    path: str
    query: str
    headers: CIMultiDict[str]
    body: AsyncIterator[bytes] | None
    upgrading: bool = False
    owner: Hashable = ""
    admits: Callable[[str], bool] | None = None


class Incoming(NamedTuple):
    """What a store answers: a status, headers, and the body in chunks as they come.

    ``complete`` is the whole body where it has arrived already and is small; then ``chunks`` is not read. ``close``
    ends the exchange; whoever got the answer calls it, whatever happened. After a 101 ``send`` passes bytes to the
    store and waits while it is behind, and ``chunks`` is what comes back. ``octets``: the reason or a header is more
    than ASCII, and octets that are no UTF-8 stand in it as surrogates (PEP 383).
    """

    status: int
    reason: str
    headers: CIMultiDictProxy[str]
    chunks: AsyncIterator[bytes]
    close: Callable[[], Awaitable[None]]
    complete: bytes | None = None
    send: Callable[[bytes], Awaitable[None]] | None = None
    octets: bool = False


class Store(Protocol):
    """A store that a door can forward to."""

    async def exchange(self, outgoing: Outgoing) -> Incoming:
        """Send, and receive the head of the answer.

        Raises:
            StoreUnreachable: no answer came.
            ClientCut: from the request's body, handed on.
            StoreCut: from the chunks, when the answer breaks off.
        """
        ...

    async def close(self) -> None: ...
