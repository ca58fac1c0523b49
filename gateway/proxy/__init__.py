"""The doors and the forwarding.

A :class:`DoorSite` accepts connections, and a :class:`DoorServer` speaks HTTP on them. An :class:`HttpDoor` turns a
request into an approach, asks the checkpoint, and forwards what was permitted to a :class:`Store`: an
:class:`HttpStore` or an :class:`FtpStore`. :func:`control_app` is the listener beside it, for health, readiness and
metrics, and for an :class:`ExternalAuthorization`, which decides for proxies that do the forwarding themselves.

Promised: no byte of a client reaches a store, and none of a store a client, before the decision is durable; both ways
stream with back-pressure in constant memory; what was judged is what is sent.
"""

from gateway.proxy.arrival import DoorSite
from gateway.proxy.control import control_app
from gateway.proxy.external import ExternalAuthorization
from gateway.proxy.ftp_store import FtpStore
from gateway.proxy.http_door import HttpDoor
from gateway.proxy.http_store import HttpStore
from gateway.proxy.metrics import Metrics
from gateway.proxy.server import DoorServer, require_c_parser
from gateway.proxy.store import Store

__all__ = [
    "DoorServer",
    "DoorSite",
    "ExternalAuthorization",
    "FtpStore",
    "HttpDoor",
    "HttpStore",
    "Metrics",
    "Store",
    "control_app",
    "require_c_parser",
]
