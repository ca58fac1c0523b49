"""What people do: each act says who may, keeps the rules, is written down, and only then takes effect.

Requests and approvals, tickets and hand-offs, customers' plans and authorizations: the command line and the API call
the same functions here. An :class:`Office` is what they work with, an :class:`Actor` who acts; a :class:`Steward` does
what time does.

Promised: an act takes effect as a whole or not at all; its entry is durable in the ledger before it does; two at once
come one after the other; nobody may do what no line of the permissions allows.
"""

from gateway.acts.actor import Actor, ActorKind
from gateway.acts.office import Change, Homeward, Office, Replayed
from gateway.acts.permissions import Permissions
from gateway.acts.steward import Steward
from gateway.acts.version import version_of

__all__ = ["Actor", "ActorKind", "Change", "Homeward", "Office", "Permissions", "Replayed", "Steward", "version_of"]
