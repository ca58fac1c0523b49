"""What stands where a step of the checkpoint failed, and the verdict on it: the policy is not asked then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from gateway.catalog import Action, Resource, Scope
from gateway.errors import GatewayError, Malformed, MethodNotAllowed, Unauthenticated
from gateway.identity import Kind, Principal
from gateway.location import Location
from gateway.policy import Effect, Verdict

Failure = TypeVar("Failure", bound=BaseException)

UNAUTHENTICATED = Verdict(Effect.DENY, ("unauthenticated",), "")
MALFORMED = Verdict(Effect.DENY, ("malformed",), "")
UNAVAILABLE = Verdict(Effect.DENY, ("unavailable",), "")
LIMITED = Verdict(Effect.DENY, ("too-many-requests",), "")
"""Their ids are not rules of the contract."""

UNWRITABLE = "the request holds what cannot be written down in one way"
"""What is recorded of a request whose own words cannot be: that it came, from whom, and that it was refused."""

NOBODY = Principal(subject="", issuer="", kind=Kind.PERSONNEL, roles=frozenset())
NOWHERE = Location(address="", signals=())
NOTHING = Resource(store="", data_class="", customer="", action=Action.READ, scope=Scope.UNROUTED)


def bare(failure: Failure) -> Failure:
    """A failure that was expected, without its traceback.

    Whoever keeps one holds on to every frame it passed, and with them to what was read; a frame that keeps it itself is
    then a cycle, which waits for the collector.
    """
    return failure.with_traceback(None)


def refusal(failures: Sequence[GatewayError]) -> tuple[Verdict | None, str]:
    """The verdict on what could not be established, and why; None only where nothing failed.

    The malformed comes first, then the unknown; whatever else failed is unavailable.
    """
    if not failures:
        return None, ""
    for kind, verdict in ((Malformed, MALFORMED), (Unauthenticated, UNAUTHENTICATED)):
        for failure in failures:
            if isinstance(failure, kind):
                return verdict, str(failure)
    return UNAVAILABLE, str(failures[0])


def allowed(failures: Sequence[GatewayError]) -> tuple[str, ...] | None:
    """The methods that could have come, where it is the method for which :func:`refusal` refuses; else None."""
    first = next((failure for failure in failures if isinstance(failure, Malformed)), None)
    return first.allowed if isinstance(first, MethodNotAllowed) else None
