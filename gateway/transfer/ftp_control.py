"""A control connection of the FTP doors as it carries lines: its handshake, commands in, answers out, its end.

pyftpdlib reads and writes it, in a thread of its own.

Invariants: a line that is too long ends the session; commands that come while an upload's end is looked at wait for
it; whatever ends the connection ends once what is under way; nothing that a client sent is logged.
"""

from __future__ import annotations

import sys

import structlog
from OpenSSL import SSL
from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler
from pyftpdlib.ioloop import AsyncChat, IOLoop

from gateway.transfer.ftp_answers import commands, in_one_line
from gateway.transfer.ftp_hall import Hall
from gateway.transfer.ftp_listing import FACTS
from gateway.transfer.ftp_wire import Line, Wire
from gateway.transfer.signing_in import SignedIn

log = structlog.get_logger(__name__)

MAX_TRIES = 3
MAX_LINE_BYTES = 4_096


class Control(TLS_FTPHandler):  # type: ignore[misc]  # pyftpdlib has no types
    """One control connection; see the module, and :mod:`gateway.transfer.ftp_conversation` for what is said.

    Args:
        wire: the connection.
        hall: what all share.
        line: to the event loop.
        peer: the client's address.
    """

    proto_cmds = commands()
    banner = "Ready."
    unicode_errors = "surrogateescape"
    max_login_attempts = MAX_TRIES
    ssl_context: SSL.Context | None
    data_context: SSL.Context | None
    _in_buffer: list[bytes]
    _in_buffer_len: int

    def __init__(self, wire: Wire, hall: Hall, line: Line, peer: str, ioloop: IOLoop) -> None:
        self.wire, self.hall, self.line, self.peer = wire, hall, line, peer
        self.timeout = hall.idle_timeout_s
        self.requires_reuse = hall.requires_reuse
        self.passive_ports = hall.passive_ports
        self.masquerade_address = hall.passive_address or None
        self.folder = "/"
        self.signed_in: SignedIn | None = None
        self._held: list[bytes] | None = None
        self._lines: list[bytes] = []
        self._error = self._is_leaving = False
        super().__init__(wire, hall, ioloop)
        if self._closed or not self.connected:
            return
        self.ssl_context, self.data_context = hall.tls.contexts() if hall.tls else (None, None)
        self._available_facts = list(FACTS)
        self._current_facts = list(FACTS)
        self._extra_feats = ["AUTH TLS", "PBSZ", "PROT"] if hall.tls else []
        self._prot = hall.implicit
        self.call_later(hall.sign_in_timeout_s, self._late)

    @classmethod
    def get_ssl_context(cls) -> None:
        """For pyftpdlib: each connection gets its own."""
        return

    # What the thread calls.

    def handle(self) -> None:
        """Greet, after the handshake where TLS comes first."""
        if self.hall.implicit:
            self.secure_connection(self.ssl_context)
        else:
            self.respond(f"220 {self.banner}")

    def handle_ssl_established(self) -> None:
        """The handshake is over."""
        if self.hall.implicit:
            self.respond(f"220 {self.banner}")

    def handle_failed_ssl_handshake(self) -> None:
        """Without it nothing can be said."""
        self._error = True
        self.close()

    def close(self) -> None:
        """End the session; a transfer that is under way is not whole."""
        if self._closed:
            return
        if not self._is_leaving:
            self._is_leaving = True
            self._leave()
        super().close()

    def handle_error(self) -> None:
        """Something failed that nothing else tells of."""
        if not isinstance(sys.exc_info()[1], OSError | SSL.Error):  # such as a client that is gone
            log.error("ftp_session_failed", door=self.hall.name, exc_info=sys.exc_info()[1])
        self._error = True
        self.close()

    def _do_ssl_shutdown(self) -> None:
        try:
            super()._do_ssl_shutdown()
        except (SSL.Error, OSError):
            self._ssl_closing = False
        if not self._closed:
            self._ssl_accepting = self._ssl_established = self._ssl_closing = False
            FTPHandler.close(self)

    def _late(self) -> None:
        if self.signed_in is None:
            self._error = True
            if not self._ssl_accepting:
                self.respond("421 Nobody signed in in time.")
            self.close()

    def send(self, data: bytes) -> int:
        """Send what can be sent now; nothing where the client is gone."""
        try:
            return int(super().send(data))
        except SSL.Error:
            self._error = True
            self.close()
            return 0

    def _leave(self) -> None:
        """End what is under way; the session ends."""

    # Lines, answers and the log.

    def collect_incoming_data(self, data: bytes) -> None:
        """Part of a line came; one that is too long ends the session, since its rest is no command."""
        self._in_buffer.append(data)
        self._in_buffer_len += len(data)
        if self._in_buffer_len > MAX_LINE_BYTES and not self._closed:
            self.respond("500 The line is too long.")
            self._error = True
            self.close()

    def found_terminator(self) -> None:
        """A line is complete; while an upload's end is looked at, it waits."""
        if self._closed:
            return
        if self._held is None:
            super().found_terminator()
            return
        self._held.append(b"".join(self._in_buffer))
        self._in_buffer, self._in_buffer_len = [], 0

    def is_undisturbed(self) -> bool:
        """Whether the control connection is there, and no ABOR is on it; other commands wait for the upload's end."""
        if self.line.is_cut:
            return False
        self._held = []
        heard: tuple[int, int] | None = None
        try:
            while not self._closed and heard != (len(self._held), self._in_buffer_len):
                heard = len(self._held), self._in_buffer_len
                self.handle_read_event()  # its end lies behind the last line
        finally:
            held, self._held = self._held, None
        if self._closed:
            return False
        aborted = any(line.strip(b"\xff\xf4\xf2 ").upper().endswith(b"ABOR") for line in held)
        self._lines += held
        self.call_later(0, self._resume)
        return not aborted

    def _resume(self) -> None:
        while self._lines and not self._closed:
            self._in_buffer = [self._lines.pop(0)]
            super().found_terminator()

    def push(self, data: str) -> None:
        """Send; octets of a name that are no UTF-8 go out as they came."""
        AsyncChat.push(self, data.encode(self.encoding, self.unicode_errors))

    def respond(self, resp: str, logfun: object = None) -> None:
        """Answer, in one line."""
        if not (self._closed or self._is_leaving):
            self._last_response = ""
            self.push(in_one_line(resp) + "\r\n")

    def log(self, msg: str, logfun: object = None) -> None:
        """Nothing: the ledger holds what was done; a command may hold a name."""

    logline = log

    def log_cmd(self, cmd: str, arg: str, respcode: int, respstr: str) -> None:
        """Nothing, as above."""

    def log_exception(self, instance: object) -> None:
        """Say what failed, without what the client sent."""
        log.error("ftp_session_failed", door=self.hall.name, exc_info=sys.exc_info()[1])
