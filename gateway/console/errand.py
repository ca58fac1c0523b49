"""Send to US Analyst for a ticket of another system, in the two halves that may wait: before the act, and behind it.

An act has one thread, in which nobody waits for another system. So the ticket is looked up before that is taken; the
act only says that it is to be written there, once it stands in the record; and that is done when the act is over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gateway.acts import Homeward
from gateway.acts.homeward import unfinished
from gateway.errors import NotFound, TrackerUnavailable, UsageError
from gateway.justification import Ticket


class Tracking(Protocol):
    """Tickets of other systems; see :class:`gateway.justification.TrackedTickets`."""

    async def find(self, ticket: str) -> Ticket: ...

    async def hand_off(self, ticket: str) -> None: ...

    def goes_home_there(self, ticket: str) -> bool:
        """Whether it is of a system that is asked, and so is handed off there, too.

        Raises:
            Contradicted: it is, and that system is not told of hand-offs.
        """
        ...


@dataclass(slots=True)
class Errand:
    """See the module.

    Attributes:
        ticket: the id, or "" where no ticket is sent home.
        found: as its system says it is, or why it cannot be sent home; None where it is of no other system.
        is_due: it is in force here that it goes home, and to be written there.
    """

    ticket: str
    found: Ticket | UsageError | NotFound | None = None
    is_due: bool = False

    @classmethod
    async def of(cls, ticket: str, tracking: Tracking) -> Errand:
        """Look the ticket up.

        Raises:
            TrackerUnavailable: its system does not say how it is.
        """
        try:
            return cls(ticket, await tracking.find(ticket) if ticket and tracking.goes_home_there(ticket) else None)
        except (UsageError, NotFound) as error:
            return cls(ticket, error)

    def homeward(self, ticket: str) -> Homeward | None:
        """For the act: see :class:`~gateway.acts.Office`. Neither half waits any more.

        Raises:
            Contradicted: see :meth:`Tracking.goes_home_there`.
        """
        if self.found is None or ticket != self.ticket:
            return None
        if isinstance(self.found, UsageError):
            raise self.found
        return Homeward(self._find, self._take)

    async def finish(self, tracking: Tracking) -> None:
        """Write there what is due.

        Raises:
            HandOffUnfinished: it is not known to be written.
        """
        if not self.is_due:
            return
        try:
            await tracking.hand_off(self.ticket)
        except TrackerUnavailable as error:
            raise unfinished(self.ticket, error) from error

    def _find(self) -> Ticket:
        if isinstance(self.found, Ticket):
            return self.found
        assert self.found is not None  # noqa: S101 - else nothing is sent home
        raise self.found

    def _take(self) -> None:
        self.is_due = True
