"""Messages between the gateway and its committer, over a pair of sockets.

A message is its length in four bytes, the largest first, and then its values in the form of :mod:`marshal`: texts,
bytes, integers, booleans, None, and tuples and lists of these. Both ends are the same program in the same interpreter,
and nothing that has this form can be called.
"""

from __future__ import annotations

import contextlib
import marshal
import socket
from collections.abc import Iterator
from typing import Any

LENGTH_BYTES = 4
READ_BYTES = 1 << 16
MAX_BYTES = 64 << 20

Message = tuple[Any, ...]


def encode(message: Message) -> bytes:
    """A message as it goes over the socket.

    Raises:
        ValueError: a value is not plain.
        OverflowError: it is longer than four bytes can say.
    """
    body = marshal.dumps(message)
    return len(body).to_bytes(LENGTH_BYTES) + body


def take(unread: bytearray) -> Message | None:
    """The first message of what was read, which is taken out of it; None before it is whole.

    Raises:
        ValueError, EOFError, TypeError, MemoryError: it is none.
    """
    end = LENGTH_BYTES + int.from_bytes(unread[:LENGTH_BYTES])
    if end > MAX_BYTES:
        raise ValueError(f"a message of {end} bytes; expected at most {MAX_BYTES}")
    if len(unread) < end:
        return None
    body = bytes(unread[LENGTH_BYTES:end])
    del unread[:end]
    message = marshal.loads(body)  # noqa: S302  from our own process; nothing in this form can be called
    if not isinstance(message, tuple):
        raise TypeError(f"a message is a {type(message).__name__}; expected a tuple")
    return message


def received(end: socket.socket) -> Iterator[Message]:
    """What comes, until the other end is closed or gone."""
    unread = bytearray()
    with contextlib.suppress(ConnectionError):
        while data := end.recv(READ_BYTES):
            unread += data
            while (message := take(unread)) is not None:
                yield message
