"""Data connections of the FTP doors: from the control connection's peer alone, encrypted where that is asked for.

Invariants: nothing flows before a command asked for it and, with TLS, before the handshake is over; an upload is whole
only when its sender said so: by TLS's close_notify or TCP's end, with the control connection still there and no ABOR
on it; whatever else happens to the connection, the upload is abandoned.
"""

from __future__ import annotations

import errno
import random
import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from OpenSSL import SSL
from pyftpdlib.handlers.ftp.data import DTPHandler
from pyftpdlib.handlers.ftp.dispatchers import ActiveDTP, PassiveDTP
from pyftpdlib.handlers.ftps.ssl import SSLConnectionMixin
from pyftpdlib.ioloop import Acceptor, AsyncChat

from gateway.transfer.ahead import BLOCK_BYTES
from gateway.transfer.ftp_flows import Flow, Kept
from gateway.transfer.ftp_tls import was_resumed
from gateway.transfer.ftp_wire import Wire

if TYPE_CHECKING:
    from gateway.transfer.ftp_connections import Connections

RECORD_BYTES = 16 * 1024
ENCRYPTED_BYTES = 4 * RECORD_BYTES  # that are encrypted at once, and go or do not go as a whole
CONNECT_S = 30
MAX_STRANGERS = 10
RANDOM = random.SystemRandom()


class _Data(DTPHandler):  # type: ignore[misc]
    """What is under TLS, if there is TLS: pyftpdlib's connection, with what flows in the place of a file."""

    cmd_channel: Connections
    flow: Flow | None = None
    is_answered = False
    """Whether the client was told already what came of it."""
    _whole = False
    _failure: BaseException | None = None
    _lastdata: int

    def readable(self) -> bool:
        return self.flow is not None and self.receive

    def writable(self) -> bool:
        return self.flow is not None and not self.receive

    def handle_read_event(self) -> None:
        self.handle_read()

    def handle_close(self) -> None:
        """The connection is lost: what was under way is not whole."""
        self.close()

    def close(self) -> None:
        """Close, end what was under way, and tell the conversation; the first call counts."""
        if self._closed:
            return
        AsyncChat.close(self)
        if self._idler is not None and not self._idler.cancelled:
            self._idler.cancel()
        flow, self.flow = self.flow, None
        if flow is not None:
            try:
                flow.over(whole=self._whole)
            except Exception as error:
                self._failure, self._whole = self._failure or error, False
        self.cmd_channel.data_over(self, began=flow is not None, whole=self._whole, failure=self._failure)


class Data(SSLConnectionMixin, _Data):  # type: ignore[misc]
    """A data connection.

    Args:
        connection: as it was accepted or made; it is taken over.
        conversation: whose it is.
    """

    def __init__(self, connection: socket.socket, conversation: Connections) -> None:
        self.wire = Wire(connection)
        self.timeout = conversation.timeout
        self._block = memoryview(b"")
        conversation.line.add(self.wire)
        super().__init__(self.wire, conversation)
        if self._closed:
            return
        self._want(0)
        if conversation._prot:
            self._want(self.ioloop.READ)
            self.secure_connection(conversation.data_context)

    @property
    def is_over(self) -> bool:
        """Whether it is closed."""
        return bool(self._closed)

    @property
    def is_ready(self) -> bool:
        """Whether something may flow."""
        return not self._closed and (self._ssl_established or not self._ssl_requested)

    def begin(self, flow: Flow) -> None:
        """Let it flow."""
        self.flow, self.receive = flow, flow.receives
        self._want(self.ioloop.READ if flow.receives else self.ioloop.WRITE)

    def abort(self) -> None:
        """Cut it: what was under way is not whole, and what was not sent yet is dropped."""
        self._whole, self._error = False, True
        self.wire.cut()
        self.close()

    def close(self) -> None:
        """Close it; with TLS, once the client can know that this is the end. A second call does not wait for that."""
        if self._ssl_closing:
            self._error = True
        super().close()

    def handle_ssl_established(self) -> None:
        """Let what waits for the connection begin, where the handshake is as it has to be."""
        if self.cmd_channel.requires_reuse and not was_resumed(self.socket):
            self.is_answered = True
            self.cmd_channel.respond("522 The data connection has to resume the control connection's TLS session.")
            self.abort()
            return
        self._want(0)
        self.cmd_channel.data_ready()

    def handle_failed_ssl_handshake(self) -> None:
        """No data without TLS."""
        self.is_answered = True
        self.cmd_channel.respond("522 The TLS handshake failed.")
        self.abort()

    def handle_read(self) -> None:
        """A block came, or the end, or both."""
        flow = self.flow
        if not isinstance(flow, Kept):
            return
        data, at_end, meant = self._received()
        if data:
            self.tot_bytes_received += len(data)
            flow.take(data)
        if at_end:
            self._whole = meant and self.cmd_channel.is_undisturbed()
            self.close()

    def handle_write(self) -> None:
        """There is room for more: the next block goes, or all of them went."""
        flow = self.flow
        if flow is None or isinstance(flow, Kept):
            return
        if not self._block:
            self._block = memoryview(flow.more())
            if not self._block:
                self._whole = True
                self.close()
                return
        at_once = ENCRYPTED_BYTES if self._ssl_established else BLOCK_BYTES
        while self._block and not self._closed:
            sent = self._sent(self._block[:at_once])
            if not sent:
                return
            self._block = self._block[sent:]

    def handle_error(self) -> None:
        """Something failed: the conversation tells the client."""
        self._failure = sys.exc_info()[1]
        self.abort()

    def handle_timeout(self) -> None:
        """Called now and then: a transfer that stands still is over, and so is its session."""
        if self.get_transmitted_bytes() > self._lastdata:
            self._lastdata = self.get_transmitted_bytes()
            return
        conversation = self.cmd_channel
        self.abort()
        if not conversation._closed:
            conversation.respond("421 The data connection stood still for too long.")
            conversation.close_when_done()

    def use_sendfile(self) -> bool:
        """Never: a block is counted before it goes."""
        return False

    def _do_ssl_shutdown(self) -> None:
        """Tell the client that this is the end, and close; only a full send buffer is waited for."""
        with suppress(SSL.Error, OSError):
            super()._do_ssl_shutdown()
        if not self._closed and not self._ssl_want_write:
            self._ssl_accepting = self._ssl_established = self._ssl_closing = False
            _Data.close(self)

    def _sent(self, piece: memoryview) -> int:
        """How much of it went. In clear it goes as it is, where pyftpdlib would copy it for the sake of TLS."""
        return int(self.send(piece) if self._ssl_requested else _Data.send(self, piece))

    def _received(self) -> tuple[memoryview, bool, bool]:
        """What came, up to a block (TLS gives a record at a time); whether that was the end, and a meant one."""
        buffer = bytearray(BLOCK_BYTES)
        block = memoryview(buffer)
        at_once = RECORD_BYTES if self._ssl_established else BLOCK_BYTES
        size = 0
        at_end = meant = False
        while size < BLOCK_BYTES and not at_end:
            try:
                came = self.socket.recv_into(block[size : size + at_once])
            except (BlockingIOError, SSL.WantReadError):
                break
            except SSL.ZeroReturnError:
                at_end = meant = True
            except (OSError, SSL.Error):
                at_end = True
            else:
                size += came
                at_end = meant = not came
        block.release()
        del buffer[size:]  # gives back what a short block does not need
        return memoryview(buffer), at_end, meant

    def _want(self, events: int) -> None:
        self.modify_ioloop_events(events)
        self._wanted_io_events = events


class Passive(PassiveDTP):  # type: ignore[misc]
    """Listens for one data connection of the control connection's peer.

    Args:
        conversation: whose it is.
        extended: whether ``EPSV`` asked for it.

    Raises:
        OSError: no port is free.
    """

    timeout = CONNECT_S

    def __init__(self, conversation: Connections, extended: bool = False) -> None:
        self.cmd_channel = conversation
        self.log, self.log_exception = conversation.log, conversation.log_exception
        self._strangers = 0
        Acceptor.__init__(self, ioloop=conversation.ioloop)
        host = conversation.wire.getsockname()[0]
        self.create_socket(conversation.wire.family, socket.SOCK_STREAM)
        try:
            self._bind(host, conversation.passive_ports)
        except OSError:
            self.close()
            raise
        self.listen(MAX_STRANGERS)
        port = self.socket.getsockname()[1]
        if extended:
            conversation.respond(f"229 Entering extended passive mode (|||{port}|).")
        else:
            address = (conversation.masquerade_address or host).replace(".", ",")
            conversation.respond(f"227 Entering passive mode ({address},{port // 256},{port % 256}).")
        self.call_later(self.timeout, self.handle_timeout)

    def _bind(self, host: str, ports: range | None) -> None:
        """Take a port by chance, so that nobody knows the next one."""
        if ports is None:
            self.bind((host, 0))
            return
        for port in RANDOM.sample(ports, len(ports)):
            self.set_reuse_addr()
            try:
                self.bind((host, port))
            except OSError as error:
                if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    raise
                continue
            return
        raise OSError(errno.EADDRINUSE, "all passive ports are taken")

    def handle_accepted(self, sock: socket.socket, addr: tuple[str, int]) -> None:
        """Take the control connection's peer; refuse anybody else, on record."""
        conversation = self.cmd_channel
        if plain_address(addr[0]) != conversation.peer:
            sock.close()
            self._strangers += 1
            if self._strangers >= MAX_STRANGERS:
                self.close()
            conversation.stranger_came(plain_address(addr[0]))
            return
        self.close()
        conversation.connected_data(sock)

    def handle_timeout(self) -> None:
        """Nobody came."""
        self.close()
        self.cmd_channel.nobody_came()


class Active(ActiveDTP):  # type: ignore[misc]
    """Makes a data connection to the control connection's peer."""

    timeout = CONNECT_S

    def handle_connect(self) -> None:
        """It is made, or failed."""
        error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, "cannot connect")
        made = self.socket.dup()
        conversation = self.cmd_channel
        self.close()
        conversation._dtp_connector = None
        conversation.respond("200 The data connection is made.")
        conversation.connected_data(made)

    def handle_error(self) -> None:
        """It cannot be made."""
        self.handle_close()


def plain_address(address: str) -> str:
    """An address, also where an IPv6 socket tells of an IPv4 peer."""
    return address.removeprefix("::ffff:") if "." in address else address.partition("%")[0]
