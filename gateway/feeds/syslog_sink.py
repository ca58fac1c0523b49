"""Syslog over TLS: RFC 5424 messages, each behind its length (RFC 5425 §4.3).

Syslog knows no acknowledgement. A batch counts as arrived once the receiver's machine has acknowledged every byte and
the connection still stands; what was sent last over a connection that the receiver ended is sent again over the next
one, as much as :data:`WINDOW_BYTES`. What a receiver took in and lost later is gone: it is for ``feeds rewind``.
"""

from __future__ import annotations

import contextlib
import fcntl
import select
import socket
import ssl
import struct
import termios
import time
from collections import deque
from collections.abc import Sequence

from gateway.errors import FeedUnavailable
from gateway.feeds.item import Item
from gateway.feeds.tls import tls_context
from gateway.feeds.yielding import yielding
from gateway.ledger.own_thread import OwnThread
from gateway.settings import FeedSettings

WINDOW_BYTES = 1024 * 1024
HEARING_S = 0.2
"""After a handshake: by then a receiver that does not like the gateway's certificate has said so (TLS 1.3)."""
APP_NAME = "residency-gateway"
_WARNING, _NOTICE, _INFORMATIONAL = 4, 5, 6
_BOM = b"\xef\xbb\xbf"
_PIECES = 64


class SyslogSink:
    """A :class:`~gateway.feeds.sink.Sink` that speaks to one of several receivers.

    Args:
        node: this gateway's name.
    """

    def __init__(self, settings: FeedSettings, node: str) -> None:
        self._settings = settings
        self._node = node
        of_each_s = settings.timeout_s  # of connecting, shaking hands, sending
        self._thread = OwnThread("feed", FeedUnavailable, timeout_s=4 * of_each_s)
        self._connection: _Connection | None = None
        self._sent: deque[bytes] = deque()

    async def send(self, batch: Sequence[Item]) -> None:
        """See :class:`~gateway.feeds.sink.Sink`."""
        await self._thread.do(lambda: self._send(batch))

    async def close(self) -> None:
        """See :class:`~gateway.feeds.sink.Sink`."""
        await self._thread.do(self._close)
        self._thread.stop()

    def _send(self, batch: Sequence[Item]) -> None:
        framed = b"".join(frame(message(item, self._settings, node=self._node)) for item in yielding(batch))
        try:
            if self._connection is None:
                self._connection = self._connected()
                self._connection.send(b"".join(self._sent))
            self._connection.send(framed)
        except (OSError, ValueError) as error:
            self._close()
            raise FeedUnavailable(_problem(error)) from error
        self._sent.append(framed)
        while sum(map(len, self._sent)) > WINDOW_BYTES and len(self._sent) > 1:
            self._sent.popleft()

    def _connected(self) -> _Connection:
        """A connection to the first receiver that can be reached."""
        context = tls_context(self._settings)
        *others, last = self._settings.addresses
        for address in others:
            with contextlib.suppress(OSError):
                return _Connection(address, context, self._settings)
        return _Connection(last, context, self._settings)

    def _close(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None


class _Connection:
    """A TLS connection that only ever sends. Blocking.

    Raises:
        OSError: it cannot be made, or the receiver ends it at once.
    """

    def __init__(self, address: str, context: ssl.SSLContext, settings: FeedSettings) -> None:
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        self._timeout_s = settings.timeout_s
        plain = socket.create_connection((host, int(port)), timeout=self._timeout_s)
        try:
            self._socket = context.wrap_socket(plain, server_hostname=settings.tls_server_name or host)
        except BaseException:
            plain.close()
            raise
        try:
            self._require_open(HEARING_S)
        except BaseException:
            self.close()
            raise

    def send(self, data: bytes) -> None:
        """Send, and wait until the receiver's machine has all of it."""
        self._require_open()
        self._socket.sendall(data)
        self._wait_for_acknowledgement()
        self._require_open()

    def close(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._socket.settimeout(1.0)
            self._socket.unwrap()  # RFC 5425 §4.4
        self._socket.close()

    def _require_open(self, wait_s: float = 0.0) -> None:
        """A receiver has nothing to say, but that it goes."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        if not poll.poll(wait_s * 1_000):
            return
        self._socket.settimeout(0)
        try:
            for _ in range(_PIECES):
                if not self._socket.recv(4_096):
                    raise ConnectionResetError("the receiver ended the connection")
        except ssl.SSLWantReadError:  # session tickets and the like
            pass
        finally:
            self._socket.settimeout(self._timeout_s)

    def _wait_for_acknowledgement(self) -> None:
        until_s, pause_s = time.monotonic() + self._timeout_s, 0.0005
        while _unacknowledged(self._socket):
            if time.monotonic() > until_s:
                raise TimeoutError("it takes nothing in")
            time.sleep(pause_s)
            pause_s = min(0.05, pause_s * 2)


def _unacknowledged(connection: socket.socket) -> int:
    """Bytes that the other side's machine has not acknowledged (``SIOCOUTQ`` of tcp(7))."""
    packed = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
    return int(struct.unpack("i", packed)[0])


def frame(said: bytes) -> bytes:
    """A message behind its length."""
    return b"%d %b" % (len(said), said)


def message(item: Item, settings: FeedSettings, *, node: str) -> bytes:
    """The message (RFC 5424 §6) of an entry: facts as structured data, and its JSON."""
    facts = item.facts
    priority = settings.facility * 8 + severity(item)
    told = {
        "sequence": str(item.sequence),
        "id": item.id,
        "decision": facts.decision,
        "rule": facts.rule,
        "effect": facts.effect,
        "customer": facts.customer,
    }
    parameters = "".join(f' {name}="{_escaped(value)}"' for name, value in told.items() if value)
    head = f"<{priority}>1 {facts.time or '-'} {node} {APP_NAME} - {facts.kind or '-'}"
    return f"{head} [residency@{settings.enterprise}{parameters}] ".encode() + _BOM + item.body


def severity(item: Item) -> int:
    """Of RFC 5424 §6.2.1: a denial and what belongs to it is a warning, an act a notice, all else informational."""
    if item.facts.effect == "deny":
        return _WARNING
    return _NOTICE if item.facts.kind == "administrative" else _INFORMATIONAL


def _escaped(value: str) -> str:
    """As §6.3.3 says."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")


def _problem(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused ({error.verify_message}); check tls_ca and tls_server_name"
    if isinstance(error, ssl.SSLError):
        return f"TLS fails ({error.reason or type(error).__name__}); check tls_certificate, and what the receiver wants"
    if isinstance(error, TimeoutError):
        return "the receiver does not answer, or takes nothing in; check it and the way there"
    return f"the receiver cannot be reached, or broke off ({type(error).__name__}); check addresses and the receiver"
