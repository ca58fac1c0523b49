"""What stands where a step of the checkpoint failed, and the verdict on it: the policy is not asked then."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.catalog import Action, Resource, Scope
from gateway.errors import GatewayError, Malformed, Unauthenticated
from gateway.identity import Kind, Principal
from gateway.location import Location
from gateway.policy import Effect, Verdict

UNAUTHENTICATED = Verdict(Effect.DENY, ("unauthenticated",), "")
MALFORMED = Verdict(Effect.DENY, ("malformed",), "")
UNAVAILABLE = Verdict(Effect.DENY, ("unavailable",), "")
"""Their ids are not rules of the contract."""

UNWRITABLE = "the request holds what cannot be written down in one way"
"""What is recorded of a request whose own words cannot be: that it came, from whom, and that it was refused."""

NOBODY = Principal(subject="", issuer="", kind=Kind.PERSONNEL, roles=frozenset())
NOWHERE = Location(address="", signals=())
NOTHING = Resource(store="", data_class="", customer="", action=Action.READ, scope=Scope.UNROUTED)


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
