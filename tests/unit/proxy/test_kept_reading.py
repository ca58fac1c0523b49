"""How a request was read is remembered by its connection, within bounds."""

from __future__ import annotations

from typing import cast

from gateway.attempt import Approach
from gateway.proxy.server import REMEMBERED_BYTES, DoorConnection

APPROACH = Approach("http", "GET", "/a", "gw.test", "10.0.0.1", ("Bearer t",), ticket="BUG-9", reason="why")


class Connection:
    """As much of a connection as remembers."""

    latest = None


def remembered(size: int) -> bool:
    connection = cast(DoorConnection, Connection())
    DoorConnection.remember(connection, ((b"x" * size, b""),), ("said",), APPROACH)
    return connection.latest is not None


def test_no_more_than_the_bound_is_remembered() -> None:
    """Memory for a connection that waits does not grow with what a client sends."""
    assert remembered(REMEMBERED_BYTES)
    assert not remembered(REMEMBERED_BYTES + 1)


def test_towards_another_target_all_else_is_the_same() -> None:
    """Only the target differs."""
    assert APPROACH.towards("/b") == APPROACH._replace(target="/b")
