"""What is said over a control connection of the FTP doors: who signs in, over which protection, and what comes of it.

Invariants: without TLS nobody signs in and nothing is transferred, unless the settings say "unsafe"; what came in clear
before the handshake is forgotten, the user's name included; whoever fails to sign in waits for the answer.
"""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from pyftpdlib.handlers import FTPHandler

from gateway.transfer.act import Ended
from gateway.transfer.ftp_answers import NEED_DATA, told
from gateway.transfer.ftp_connections import Connections
from gateway.transfer.ftp_control import MAX_TRIES
from gateway.transfer.session import Session
from gateway.transfer.signing_in import NotSignedIn


class Conversation(Connections):
    """A control connection on which somebody signs in; see :mod:`gateway.transfer.ftp_commands` for files."""

    _rnfr: str | None

    def process_command(self, cmd: str, *args: Any, **kwargs: Any) -> None:
        """Do what a command says, and tell what comes of it."""
        if cmd != "RNTO":
            self._rnfr = None
        if cmd in NEED_DATA and self._needs_tls and not self._prot:
            self.respond("521 Data goes over TLS only: send PBSZ 0 and PROT P first.")
            return
        try:
            FTPHandler.process_command(self, cmd, *args, **kwargs)
        except Exception as error:
            self.respond(told(error, self.hall.name))
            if isinstance(error, Ended):
                self.line.cut()

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
