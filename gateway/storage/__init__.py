"""Where the state is kept: customers, plans, tickets, requests, grants, authorizations.

A :class:`StateStore` reads and writes nouns in the state database; a :class:`StateFollower` keeps the rooms' memory
equal to it, so that the hot path reads no database.

Promised: a change is visible to every process within a second, and in the feed exactly once.
"""

from gateway.storage.follower import StateFollower
from gateway.storage.store import StateStore

__all__ = ["StateFollower", "StateStore"]
