"""The control API: JSON over ``/api/v1`` on the control listener, for people, their scripts and the console's pages.

An :class:`Operation` says what can be called; the table of all of them, :data:`OPERATIONS`, makes the routes, the
permission that each takes, what the ledger calls it, and the OpenAPI document. A :class:`Console` takes a call from its
first byte to its answer; a :class:`Call` is what its handler gets. Acts are those of :mod:`gateway.acts`: no rule is
kept here.

Promised: nobody may call what no line of the permissions allows; what somebody may not see is not there for them; every
call is recorded before its answer goes out; the same call with the same key acts once.
"""

from gateway.console.api import Console
from gateway.console.document import document
from gateway.console.operation import Answer, Operation
from gateway.console.operations import OPERATIONS
from gateway.console.visit import Surroundings

__all__ = ["OPERATIONS", "Answer", "Console", "Operation", "Surroundings", "document"]
