"""Lapses: what hangs on a ticket of another system ends for good once that system says that it carries it no longer.

What is judged looks at the tracker's answer itself. A lapse is what is left to do: an ending that stands in the record,
and that a ticket which is opened again does not undo. A tracker that does not say, or shows no such ticket, ends
nothing for good: it may only be out of reach, or have hidden it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.justification.mapping import Answer
from gateway.justification.nouns import AccessRequest, Authorization, Grant, Ticket, TicketKind

Hanging = Grant | AccessRequest | Authorization
"""What may hang on a ticket."""


@dataclass(frozen=True, slots=True)
class Lapse:
    """What a tracker said of a ticket on which something hung.

    Attributes:
        ticket: its id.
        said: as it is there; None where it is there, and nothing of it can be used.
        holder: who held it until it was sent to analysts at home, as far as that is known, or "".
    """

    ticket: str
    said: Ticket | None
    holder: str = ""

    @property
    def act(self) -> str:
        """What the ledger calls it."""
        if self.said is None or not self.said.is_open:
            return "ticket.close"
        return "ticket.handoff" if self.said.handed_off_us else "ticket.update"

    @property
    def why(self) -> str:
        """Why what ends does so, in words."""
        if self.said is None:
            return f"nothing of {self.ticket} can be used any more"
        if not self.said.is_open:
            return f"{self.ticket} was closed"
        if self.said.handed_off_us:
            return f"{self.ticket} was handed to a US analyst"
        return f"{self.ticket} is no bug of that customer any more"

    def carries(self, noun: Hanging) -> bool:
        """Whether the ticket still carries what hangs on it."""
        return carries(self.said, noun)


def carries(said: Ticket | None, noun: Hanging) -> bool:
    """Whether a ticket, as it is said to be, carries what hangs on it: as it would have to be for it to be granted.

    A request that is made once the ticket is at home may wait, as for one of the embedded desk; no grant outlasts that.
    """
    if said is None or not said.is_open or not said.covers(noun.customer):
        return False
    if isinstance(noun, Authorization):
        return True
    return said.kind is TicketKind.BUG and not (said.handed_off_us and isinstance(noun, Grant))


def lapse_of(ticket: str, before: Answer | None, answer: Answer, hanging: Iterable[Hanging]) -> Lapse | None:
    """What a tracker's answer ends, or None.

    Args:
        before: what it said the last time, if that is known.
        hanging: what hangs on the ticket.
    """
    said = answer.ticket
    if said is None and not answer.said:
        return None
    was = before.ticket if before else None
    went_home = bool(said and said.handed_off_us and was and not was.handed_off_us)
    holder = was.holder if went_home and was else ""
    if holder or any(not carries(said, noun) for noun in hanging):
        return Lapse(ticket, said, holder)
    return None
