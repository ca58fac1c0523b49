"""The doors and the forwarding.

A :class:`DoorSite` accepts connections, and a :class:`DoorServer` speaks HTTP on them. An :class:`HttpDoor` turns a
request into an approach, asks the checkpoint, and forwards what was permitted to a :class:`Store`: an
:class:`HttpStore`, or one of another package. :func:`control_app`, run by a :class:`ControlRunner`, is the listener
beside it, for health, readiness and metrics, and for an :class:`ExternalAuthorization`, which decides for proxies that
do the forwarding themselves. A :class:`WebhookPoster` sends notices to whoever wants to know.

Promised: no byte of a client reaches a store, and none of a store a client, before the decision is durable; both ways
stream with back-pressure in constant memory; what was judged is what is sent.
"""

from gateway.proxy.arrival import DoorSite
from gateway.proxy.control import ControlRunner, control_app
from gateway.proxy.external import ExternalAuthorization
from gateway.proxy.http_door import HttpDoor
from gateway.proxy.http_store import HttpStore
from gateway.proxy.metrics import Metrics
from gateway.proxy.server import DoorServer, require_c_parser
from gateway.proxy.store import Store
from gateway.proxy.webhook import WebhookPoster

__all__ = [
    "ControlRunner",
    "DoorServer",
    "DoorSite",
    "ExternalAuthorization",
    "HttpDoor",
    "HttpStore",
    "Metrics",
    "Store",
    "WebhookPoster",
    "control_app",
    "require_c_parser",
]
