"""Where the state is kept: customers, plans, tickets, requests, grants, authorizations.

A :class:`StateStore` reads and writes nouns in the state database; a :class:`StateFollower` keeps the rooms' memory
equal to it, so that the hot path reads no database; a :class:`StateOutbox` keeps what is to be told to whom; a
:class:`StatePlace` keeps the ledger's last checkpoint, a :class:`StateMemory` what another holder of them was told;
:class:`FeedCursors` say how far each feed of the ledger is.

Promised: a change is visible to every process within a second, and in the feed exactly once.
"""

from gateway.storage.cursors import PASSED_OVER, Cursor, FeedCursors
from gateway.storage.follower import StateFollower
from gateway.storage.held import StateMemory, StatePlace
from gateway.storage.outbox import StateOutbox
from gateway.storage.pruning import prune, prune_passes, prune_replays
from gateway.storage.replay import KEPT_US, Replay
from gateway.storage.store import StateStore

__all__ = [
    "KEPT_US",
    "PASSED_OVER",
    "Cursor",
    "FeedCursors",
    "Replay",
    "StateFollower",
    "StateMemory",
    "StateOutbox",
    "StatePlace",
    "StateStore",
    "prune",
    "prune_passes",
    "prune_replays",
]
