"""Whoever calls."""

from __future__ import annotations

from gateway.acts.permissions import ACTS
from gateway.console import shown
from gateway.console.call import Call
from gateway.console.operation import Answer, Operation


def _me(call: Call) -> Answer:
    actor, permissions = call.actor, call.office.permissions
    me = shown.Me(
        subject=actor.name,
        roles=sorted(actor.roles),
        customer=actor.customer or None,
        may=sorted(act for act in ACTS if permissions.allows(actor, act)),
    )
    return Answer.of(me)


OPERATIONS = (Operation("me", "GET", "/me", "Who you are, and what you may do", "", _me, shown.Me),)
