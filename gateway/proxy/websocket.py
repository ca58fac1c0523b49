"""WebSocket (RFC 6455): the handshake as it is judged, and the tunnel that a permit opens.

A handshake is judged under the method name ``WEBSOCKET``, which a route has to give a meaning
(``methods = {WEBSOCKET = "write"}``); without one it is refused, since what goes through a tunnel is seen by nobody.
Frames pass as they are, extensions included; only their headers are read, to count them and to refuse what is no frame.

Invariants: nothing but a whole handshake opens a tunnel, on both sides; the tunnel ends when either side does, when
the admission does, or at the first byte that cannot be a frame; neither side is read faster than the other takes.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from hashlib import sha1
from urllib.parse import urlsplit

from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from gateway.admission import Admission
from gateway.catalog.routes import HANDSHAKE
from gateway.proxy.store import Capped, Incoming, StoreUnreachable

METHOD = HANDSHAKE
HIGH_WATER_BYTES = 256 * 1024
CLOSING_S = 1.0
CLOSE = 0x8
CONTROL = 0x8

_HANDSHAKE = ("Sec-WebSocket-Key", "Sec-WebSocket-Version", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions")
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_OPCODES = frozenset({0x0, 0x1, 0x2, 0x8, 0x9, 0xA})
_TOKEN = re.compile(r"\s*,\s*")


class NotAFrame(Exception):
    """Bytes that are no WebSocket frame, or a frame that this side may not send."""


def is_asked_for(headers: CIMultiDictProxy[str]) -> bool:
    """Whether a request asks for another protocol at all."""
    return "Upgrade" in headers


def fault(method: str, version: tuple[int, int], headers: CIMultiDictProxy[str], origins: Collection[str]) -> str:
    """Why a request with an ``Upgrade`` header is no WebSocket handshake that may go on, or "" (RFC 6455 §4.2.1).

    Args:
        method, version, headers: of the request.
        origins: more origins that browsers may connect from, beside the one that they talk to.
    """
    upgrade = headers.getall("Upgrade", ())
    if len(upgrade) != 1 or upgrade[0].strip().lower() != "websocket":
        return "an Upgrade came to something else than one websocket; this door speaks HTTP/1.1 and WebSocket"
    listed = {token.lower() for line in headers.getall("Connection", ()) for token in _TOKEN.split(line.strip())}
    if method != "GET" or version != (1, 1) or "upgrade" not in listed:
        return "an Upgrade came that is no WebSocket handshake; expected GET, HTTP/1.1 and Connection: Upgrade"
    if "Content-Length" in headers or "Transfer-Encoding" in headers:
        return "a WebSocket handshake came with a body; expected none"
    if headers.getall("Sec-WebSocket-Version", ()) != ["13"]:
        return "a WebSocket handshake came without its version; expected Sec-WebSocket-Version: 13"
    if not _is_key(headers.getall("Sec-WebSocket-Key", ())):
        return "a WebSocket handshake came without its key; expected one Sec-WebSocket-Key of 16 bytes"
    return _foreign(headers, origins)


def to_store(headers: CIMultiDictProxy[str], kept: CIMultiDict[str]) -> CIMultiDict[str]:
    """The headers of the handshake that a store receives: those that cross in any case, and the handshake's own."""
    kept["Connection"] = "Upgrade"
    kept["Upgrade"] = "websocket"
    for name in _HANDSHAKE:
        for value in headers.getall(name, ()):
            kept.add(name, value)
    return kept


def is_accepted(key: str, answer: Mapping[str, str]) -> bool:
    """Whether a store's 101 answers this key (RFC 6455 §4.1)."""
    expected = base64.b64encode(sha1(key.strip().encode() + _GUID, usedforsecurity=False).digest()).decode()
    switched = answer.get("Upgrade", "").lower() == "websocket" and "upgrade" in answer.get("Connection", "").lower()
    return switched and answer.get("Sec-WebSocket-Accept", "").strip() == expected


def _is_key(values: Collection[str]) -> bool:
    try:
        return len(values) == 1 and len(base64.b64decode(next(iter(values)).strip(), validate=True)) == 16
    except (binascii.Error, ValueError):
        return False


def _foreign(headers: CIMultiDictProxy[str], origins: Collection[str]) -> str:
    """A browser says from where its page is; a page of somebody else must not use its user's credentials."""
    given = headers.getall("Origin", ())
    if not given:
        return ""  # not a browser
    origin = given[0].strip().lower()
    if len(given) == 1 and (origin in origins or urlsplit(origin).netloc == headers.get("Host", "").lower()):
        return ""
    return "a WebSocket handshake came from a page of another origin; add it to gateway.websocket_origins if it may"


class FrameCounter:
    """Counts the frames of one direction, however they are cut into pieces (RFC 6455 §5.2).

    Args:
        masked: whether frames of this direction are masked: a client's are, a server's are not.

    Attributes:
        frames: how many began.
        closed: whether a close frame was among them.
    """

    def __init__(self, *, masked: bool) -> None:
        self.frames = 0
        self.closed = False
        self._masked = masked
        self._head = b""
        self._left = 0  # of the payload under way

    def feed(self, data: bytes) -> bytes:
        """Read on.

        Returns:
            What may be passed on: all that came, but for the header of a frame that is not whole yet.

        Raises:
            NotAFrame: it is none, or none that this side may send.
        """
        at, came = 0, self._head + data
        while at < len(data):
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                at += step
                continue
            need = self._needed(self._head)
            self._head += data[at : at + need]
            at += need
            if self._needed(self._head) == 0:
                self._begin(self._head)
                self._head = b""
        return came[: len(came) - len(self._head)] if self._head else came

    def _needed(self, head: bytes) -> int:
        """How many more bytes the header takes, as far as it can be told."""
        if len(head) < 2:
            return 2 - len(head)
        extended = {126: 2, 127: 8}.get(head[1] & 0x7F, 0)
        return 2 + extended + (4 if self._masked else 0) - len(head)

    def _begin(self, head: bytes) -> None:
        opcode, length = head[0] & 0x0F, head[1] & 0x7F
        if bool(head[1] & 0x80) is not self._masked:
            raise NotAFrame("a frame came masked otherwise than its side has to")
        if opcode not in _OPCODES:
            raise NotAFrame("a frame came with an opcode that is not defined")
        if opcode & CONTROL and (length > 125 or not head[0] & 0x80):
            raise NotAFrame("a control frame came that is too long, or in fragments")
        if length > 125:
            length = int.from_bytes(head[2 : 4 if length == 126 else 10])
        if length >= 1 << 63:
            raise NotAFrame("a frame came with an impossible length")
        self.frames += 1
        self.closed = self.closed or opcode == CLOSE
        self._left = length


class ClientBytes:
    """What a client sends once its connection is a tunnel: stands where aiohttp's own WebSocket reader would."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._transport = request.transport
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._paused = False
        self._ended = False
        self._more = asyncio.Event()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """aiohttp's server calls this with what came."""
        self._chunks.append(data)
        self._buffered += len(data)
        if self._buffered > HIGH_WATER_BYTES and not self._paused and self._transport:
            self._paused = True
            self._transport.pause_reading()
        self._more.set()
        return False, b""

    def feed_eof(self) -> None:
        """aiohttp's server calls this when the connection is gone."""
        self._ended = True
        self._more.set()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self._chunks or not self._ended:
            while self._chunks:
                data = self._chunks.popleft()
                self._buffered -= len(data)
                yield data
            self._more.clear()
            if self._paused and self._transport:
                self._paused = False
                self._transport.resume_reading()
            if not self._ended:
                await self._more.wait()


async def tunnel(
    request: web.BaseRequest, incoming: Incoming, kept: CIMultiDict[str], admission: Admission
) -> tuple[web.StreamResponse, bool]:
    """Open the tunnel that both sides agreed to, and pass frames until it ends.

    Args:
        kept: the headers of the store's answer that the client receives.

    Returns:
        The response, sent; and whether the tunnel was closed as the protocol has it, not broken off.

    Raises:
        StoreUnreachable: the store did not agree.
        NotAFrame: one side sent something else; nothing of it was passed on.
        Capped: a grant's cap would have been passed.
    """
    if incoming.send is None or not is_accepted(request.headers["Sec-WebSocket-Key"], incoming.headers):
        raise StoreUnreachable(502, f"the store answered {incoming.status} and did not agree to a WebSocket")
    kept["Connection"], kept["Upgrade"] = "Upgrade", "websocket"
    response = web.StreamResponse(status=101, headers=kept)
    response.force_close()
    client = ClientBytes(request)
    request.protocol.set_parser(client)  # type: ignore[arg-type]  # it has the two methods that are called
    await response.prepare(request)
    to_client, to_store_ = FrameCounter(masked=False), FrameCounter(masked=True)
    loop = asyncio.get_running_loop()
    up = loop.create_task(relay(aiter(client), incoming.send, to_store_, admission.count_in))
    down = loop.create_task(relay(incoming.chunks, response.write, to_client, admission.count_out))
    try:
        await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait((up, down), timeout=CLOSING_S)  # the other side may still answer the close
    finally:
        admission.frames_in, admission.frames_out = to_store_.frames, to_client.frames
        admission.closed = to_client.closed or to_store_.closed
        for task in (up, down):
            task.cancel()
        results = await asyncio.gather(up, down, return_exceptions=True)
    for result in results:
        if isinstance(result, (NotAFrame, Capped)):
            raise result
    return response, admission.closed


async def relay(
    incoming: AsyncIterator[bytes],
    send: Callable[[bytes], Awaitable[object]],
    counter: FrameCounter,
    count: Callable[[int], bool],
) -> None:
    """Pass one direction on until it ends.

    Args:
        incoming: what comes.
        send: passes it on, and waits while the other side is behind.
        counter: of this direction.
        count: counts bytes; ``False`` where no more may pass.

    Raises:
        NotAFrame: what came is none; it was not passed on.
        Capped: a cap would have been passed.
    """
    async for data in incoming:
        judged = counter.feed(data)
        if not count(len(judged)):
            raise Capped
        if judged:
            await send(judged)
