"""A control connection of the FTP doors: pyftpdlib reads its commands and writes its answers, in a thread of its own.

Invariants: without TLS nobody signs in and nothing is transferred, unless the settings say "unsafe"; what came in clear
before the handshake is forgotten, the user's name included; commands outside the table do not exist; no answer holds a
line that a client's name could have put there.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog
from OpenSSL import SSL
from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler
from pyftpdlib.ioloop import AsyncChat, IOLoop

from gateway.attempt import Approach
from gateway.errors import Unavailable
from gateway.proxy.http_door import decided
from gateway.transfer.act import Ended, Refused, Unrecorded
from gateway.transfer.ftp_data import Active, Data, Passive
from gateway.transfer.ftp_flows import Flow
from gateway.transfer.ftp_listing import FACTS
from gateway.transfer.ftp_tls import DoorTls
from gateway.transfer.ftp_wire import Line, Wire
from gateway.transfer.names import target_of
from gateway.transfer.session import Gate, Session
from gateway.transfer.signing_in import NotSignedIn, SignedIn, SigningIn
from gateway.transfer.site import NameTaken, SiteFailure, SiteUnavailable

log = structlog.get_logger(__name__)

MAX_TRIES = 3
MAX_LINE_BYTES = 4_096
STRANGER = "a data connection came from another address than its control connection"
CLOSING = "421 The service ends; try again later."
_WITHOUT_SIGN_IN = ("USER", "PASS", "AUTH", "PBSZ", "PROT", "FEAT", "HELP", "NOOP", "OPTS", "QUIT", "STAT", "SYST")
_WITH_ARGUMENT = (
    "USER AUTH PBSZ PROT OPTS TYPE STRU MODE SIZE MDTM RETR STOR APPE REST RNFR RNTO DELE MKD RMD PORT EPRT"
)
_WITHOUT_ARGUMENT = "FEAT SYST PWD CDUP PASV ABOR NOOP QUIT"
_EITHER = "PASS CWD LIST NLST MLSD MLST STAT EPSV ALLO HELP"
_DATA = frozenset(("PASV", "EPSV", "PORT", "EPRT", "LIST", "NLST", "MLSD", "RETR", "STOR", "APPE"))


def _commands() -> dict[str, dict[str, Any]]:
    takes = [(_WITH_ARGUMENT, True), (_WITHOUT_ARGUMENT, False), (_EITHER, None)]
    return {
        name: {"perm": None, "auth": name not in _WITHOUT_SIGN_IN, "arg": argument, "help": f"Syntax: {name}"}
        for names, argument in takes
        for name in names.split()
    }


@dataclass
class Hall:
    """What the sessions of a door share; pyftpdlib takes it for its server.

    Attributes:
        name: of the door.
        gate: what acts are judged by, as it is now.
        tls: None where the door is in clear.
        is_ending: whether nothing new may begin.
    """

    name: str
    gate: Callable[[], Gate]
    signing_in: SigningIn
    loop: asyncio.AbstractEventLoop
    tls: DoorTls | None
    implicit: bool
    unsafe_plaintext: bool
    requires_reuse: bool
    active: bool
    passive_ports: range | None
    passive_address: str
    sign_in_timeout_s: float
    idle_timeout_s: float
    failed_delay_s: float
    is_ending: bool = False
    ip_map: list[str] = field(default_factory=list)

    def _accept_new_cons(self) -> bool:
        """For pyftpdlib, before a data connection: sessions are counted when they begin."""
        return True


class Conversation(TLS_FTPHandler):  # type: ignore[misc]
    """One control connection; see the module, and :mod:`gateway.transfer.ftp_commands` for what is done with files.

    Args:
        wire: the connection.
        hall: what all share.
        line: to the event loop.
        peer: the client's address.
    """

    proto_cmds = _commands()
    dtp_handler = Data
    active_dtp = Active
    passive_dtp = Passive
    banner = "Ready."
    unicode_errors = "surrogateescape"
    max_login_attempts = MAX_TRIES
    ssl_context: SSL.Context | None
    data_context: SSL.Context | None
    data_channel: Data | None
    _in_buffer: list[bytes]
    _in_buffer_len: int
    _dtp_acceptor: Passive | None
    _dtp_connector: Active | None
    _rnfr: str | None

    def __init__(self, wire: Wire, hall: Hall, line: Line, peer: str, ioloop: IOLoop) -> None:
        self.wire, self.hall, self.line, self.peer = wire, hall, line, peer
        self.timeout = hall.idle_timeout_s
        self.requires_reuse = hall.requires_reuse
        self.passive_ports = hall.passive_ports
        self.masquerade_address = hall.passive_address or None
        self.folder = "/"
        self.signed_in: SignedIn | None = None
        self._waiting: Flow | None = None
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
            data = self.data_channel
            if data is not None:
                data.abort()
            self._drop_waiting()
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
        try:
            self.handle_read_event()
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
            self.push("".join(char if char.isprintable() else "?" for char in resp) + "\r\n")

    def log(self, msg: str, logfun: object = None) -> None:
        """Nothing: the ledger holds what was done; a command may hold a name."""

    logline = log

    def log_cmd(self, cmd: str, arg: str, respcode: int, respstr: str) -> None:
        """Nothing, as above."""

    def log_exception(self, instance: object) -> None:
        """Say what failed, without what the client sent."""
        log.error("ftp_session_failed", door=self.hall.name, exc_info=sys.exc_info()[1])

    # Commands.

    def process_command(self, cmd: str, *args: Any, **kwargs: Any) -> None:
        """Do what a command says, and tell what comes of it."""
        if cmd != "RNTO":
            self._rnfr = None
        if cmd in _DATA and self._needs_tls and not self._prot:
            self.respond("521 Data goes over TLS only: send PBSZ 0 and PROT P first.")
            return
        try:
            FTPHandler.process_command(self, cmd, *args, **kwargs)
        except Exception as error:
            self.respond(self.told(error))
            if isinstance(error, Ended):
                self.line.cut()

    def told(self, error: BaseException) -> str:
        """An answer that tells why something was not done."""
        if isinstance(error, Unrecorded | Unavailable | SiteUnavailable):
            return f"451 {error}"
        if isinstance(error, Ended):
            return f"426 The transfer was ended: {error}"
        if isinstance(error, Refused):
            return f"550 {error} (decision {error.decision})" if error.decision else f"550 {error}"
        if isinstance(error, NameTaken):
            return f"553 {error}"
        if isinstance(error, SiteFailure):
            return f"550 {error}"
        if isinstance(error, OSError | SSL.Error):
            return "426 The data connection was lost."
        log.error("ftp_command_failed", door=self.hall.name, problem=type(error).__name__, exc_info=error)
        return "451 Something failed here; try again later."

    @property
    def _needs_tls(self) -> bool:
        return not self.hall.unsafe_plaintext

    def ftp_AUTH(self, line: str) -> None:
        """TLS from here on; what came in clear behind this command is thrown away (CVE-2011-1575)."""
        if self.hall.tls is None:
            self.respond("502 There is no TLS here.")
        elif isinstance(self.socket, SSL.Connection):
            self.respond("503 TLS is there already.")
        elif self.signed_in:
            self.respond("503 Too late: somebody is signed in.")
        elif line.upper() not in ("TLS", "TLS-C", "SSL"):
            self.respond("504 Expected AUTH TLS.")
        else:
            self.respond("234 Begin the handshake.")
            self.ac_in_buffer = b""
            self._in_buffer, self._in_buffer_len = [], 0
            self.username = ""
            self.secure_connection(self.ssl_context)

    def ftp_PROT(self, line: str) -> None:
        """How data connections are protected."""
        if line.upper() == "C" and self._needs_tls:
            self.respond("534 Data goes over TLS only.")
        else:
            super().ftp_PROT(line)

    def ftp_USER(self, line: str) -> None:
        """Who signs in; whether there is such a user is not told."""
        if self._needs_tls and not isinstance(self.socket, SSL.Connection):
            self.respond("534 Send AUTH TLS first: nobody signs in in clear.")
        elif self.signed_in:
            self.respond("503 Somebody is signed in already.")
        else:
            self.username = line
            self.respond("331 The password?")

    def ftp_PASS(self, line: str) -> None:
        """Sign in."""
        user, self.username = self.username, ""
        if self.signed_in or not user:
            self.respond("503 Expected USER first.")
            return
        try:
            asked = self.hall.signing_in.by_password(self.hall.name, user, line, self.peer)
            self.signed_in = self.line.ask(asked)
        except NotSignedIn as error:
            self._not_signed_in(str(error))
            return
        self.authenticated = True
        self.respond("230 Signed in.")

    def _not_signed_in(self, why: str) -> None:
        """Say so, later; what else the client sends waits."""
        self.line.pause(self.hall.failed_delay_s)
        self.attempted_logins += 1
        self.respond(f"530 {why or 'Not signed in.'}")
        if self.attempted_logins >= MAX_TRIES:
            self.close_when_done()

    def ftp_QUIT(self, line: str) -> None:
        """Go, after the transfer that is under way."""
        del line
        self.respond("221 Goodbye.")
        if self.line.is_busy and self.data_channel is not None:
            self._quit_pending = True
            self.del_channel()
        else:
            self._shutdown_connecting_dtp()
            self.close_when_done()

    # Data connections.

    def ftp_PORT(self, line: str) -> None:
        """Have the door connect to the client, where that is on."""
        if self._active_is_on():
            super().ftp_PORT(line)

    def ftp_EPRT(self, line: str) -> None:
        """See :meth:`ftp_PORT`."""
        if self._active_is_on():
            super().ftp_EPRT(line)

    def _active_is_on(self) -> bool:
        if not self.hall.active:
            self.respond("504 Data connections are passive here: use PASV or EPSV.")
        return self.hall.active

    def ftp_PASV(self, line: str) -> None:
        """Listen for a data connection over IPv4."""
        if ":" in self.wire.getsockname()[0] and not self.masquerade_address:
            self.respond("425 This connection is over IPv6: use EPSV.")
        else:
            super().ftp_PASV(line)

    def _make_epasv(self, extmode: bool = False) -> None:
        if self._is_clear_for_data():
            try:
                super()._make_epasv(extmode)
            except OSError:
                self.respond("425 No port is free; try again later.")

    def _make_eport(self, ip: str, port: int) -> None:
        if self._is_clear_for_data():
            super()._make_eport(ip, port)

    def _is_clear_for_data(self) -> bool:
        if self.line.is_busy and self.data_channel is not None:
            self.respond("450 A transfer is under way.")
            return False
        self._drop_waiting()
        return True

    def connected_data(self, connection: Any) -> None:
        """A data connection is there; without TLS what waits for it begins."""
        self._dtp_acceptor = None
        data = Data(connection, self)
        self.data_channel = None if data.is_over else data  # it may have been reset before it was taken
        if data.is_ready:
            self.data_ready()

    def data_ready(self) -> None:
        """What waits for the data connection begins."""
        if self._idler is not None and not self._idler.cancelled:
            self._idler.cancel()
        flow, data = self._waiting, self.data_channel
        if flow is not None and data is not None and data.is_ready:
            self._waiting = None
            data.begin(flow)

    def start(self, flow: Flow) -> None:
        """Let something flow over the data connection, as soon as there is one."""
        self._drop_waiting()
        if self.hall.is_ending:
            self._waiting = flow
            self._drop_waiting()
            self.respond(CLOSING)
            self.close_when_done()
            return
        self.line.is_busy, self._waiting = True, flow
        self.respond("125 It begins." if self.data_channel is not None else "150 The data connection?")
        self.data_ready()

    def require_data(self) -> bool:
        """Whether a data connection is there or on its way, and free; else the client is told."""
        if self.line.is_busy:
            self.respond("450 A transfer is under way.")
        elif self.data_channel is None and all(way is None or way._closed for way in self._ways()):
            self.respond("425 Use PASV or EPSV first.")
        else:
            return True
        return False

    def _ways(self) -> tuple[Passive | None, Active | None]:
        return self._dtp_acceptor, self._dtp_connector

    def data_over(self, data: Data, *, began: bool, whole: bool, failure: BaseException | None) -> None:
        """A data connection is closed: the client is told what came of it."""
        if self.data_channel is data:
            self.data_channel = None
        waited = self._waiting is not None and not data.is_answered
        self._drop_waiting()
        if isinstance(failure, Ended):
            self.line.cut()
        if self._closed or self._is_leaving:
            return
        if began or waited:
            aborted = self.told(failure) if failure else "426 The transfer broke off."
            self.respond("226 All of it." if whole else aborted)
        self.line.is_busy = False
        self._on_dtp_close()

    def nobody_came(self) -> None:
        """No data connection was made in time."""
        self._dtp_acceptor = None
        self._drop_waiting()
        self.respond("425 No data connection came in time.")

    def _drop_waiting(self) -> None:
        flow, self._waiting = self._waiting, None
        if flow is not None:
            self.line.is_busy = False
            try:
                flow.over(whole=False)
            except Exception as error:
                self.told(error)

    def ftp_ABOR(self, line: str) -> None:
        """Break off what is under way."""
        del line
        waited = self._waiting is not None
        self._drop_waiting()
        self._shutdown_connecting_dtp()
        data = self.data_channel
        busy = data is not None and data.flow is not None
        if data is not None:
            data.abort()
        elif waited:
            self.respond("426 The transfer was broken off.")
        self.respond("226 Broken off." if busy or waited else "225 Nothing is under way.")

    def stranger_came(self, address: str) -> None:
        """Put on record that somebody else came for the data."""
        assert self.signed_in is not None  # noqa: S101 - else there is no passive port
        gate = self.hall.gate()
        target = target_of(f"{gate.prefix}/{self.signed_in.customer}", self.folder)
        account = self.signed_in.account
        approach = Approach(self.hall.name, "PASV", target, "", address, account=account, ambiguity=STRANGER)
        self.line.ask(decided(gate.checkpoint.decide(approach), gate.metrics))

    @property
    def session(self) -> Session:
        """What may be done by whoever signed in, as it is judged now."""
        assert self.signed_in is not None  # noqa: S101 - pyftpdlib asks for a sign-in before
        account, customer, ticket, reason = self.signed_in
        return Session(
            self.hall.gate(),
            door=self.hall.name,
            account=account,
            customer=customer,
            peer=self.peer,
            ticket=ticket,
            reason=reason,
        )
