"""What: the resource that a request is for."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Action(StrEnum):
    """What is done to the data."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    EXPORT = "export"


class Scope(StrEnum):
    """Whose data the answer covers."""

    ONE = "one"  # one customer that the gateway knows
    MANY = "many"  # several customers at once
    UNKNOWN = "unknown"  # the customer cannot be told, or is not known here
    UNROUTED = "unrouted"  # no route: neither store nor data class can be told


class Resource(NamedTuple):
    """A piece of customer data.

    Attributes:
        store: the store that holds it, or "".
        data_class: such as ``conversation``, or "".
        customer: the customer's id as asked for, or "".
        action: what is to be done.
        scope: how far the customer can be told.
    """

    store: str
    data_class: str
    customer: str
    action: Action
    scope: Scope
