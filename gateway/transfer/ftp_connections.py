"""The data connections of a control connection, one at a time, and what flows over them.

Invariants: what a command let begin is over once, whatever becomes of its connection, and its client is told once;
nothing new begins before that, or when the door is ending; whoever else comes for the data is put on record.
"""

from __future__ import annotations

from typing import Any

from gateway.attempt import Approach
from gateway.proxy.http_door import decided
from gateway.transfer.act import Ended
from gateway.transfer.ftp_answers import CLOSING, told
from gateway.transfer.ftp_control import Control
from gateway.transfer.ftp_data import Active, Data, Passive
from gateway.transfer.ftp_flows import Flow
from gateway.transfer.names import target_of

STRANGER = "a data connection came from another address than its control connection"


class Connections(Control):
    """A control connection with its data connections."""

    dtp_handler = Data
    active_dtp = Active
    passive_dtp = Passive
    data_channel: Data | None
    _waiting: Flow | None = None
    _dtp_acceptor: Passive | None
    _dtp_connector: Active | None

    def _leave(self) -> None:
        data = self.data_channel
        if data is not None:
            data.abort()
        self._drop_waiting()

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
        if self._waiting is not None:
            self._drop_waiting()
            self.respond("426 The transfer was broken off: another data connection is asked for.")
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
            aborted = told(failure, self.hall.name) if failure else "426 The transfer broke off."
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
                told(error, self.hall.name)

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
