"""Messages between the gateway and its committer: they arrive as they were sent, however the socket divides them."""

from __future__ import annotations

import asyncio
import socket
import threading

from hypothesis import given
from hypothesis import strategies as st

from gateway.ledger.channel import Channel
from gateway.ledger.messages import Message, encode, received, take
from tests.world.waiting import until

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(max_size=300),
    lambda inner: st.lists(inner, max_size=4) | st.lists(inner, max_size=4).map(tuple),
    max_leaves=10,
)
messages = st.lists(st.lists(values, min_size=1, max_size=4).map(tuple), max_size=5)


@given(messages, st.lists(st.integers(1, 50), min_size=1))
def test_messages_are_whole_however_they_arrive(sent: list[Message], pieces: list[int]) -> None:
    stream, unread, found, at = b"".join(map(encode, sent)), bytearray(), [], 0
    while at < len(stream):
        for piece in pieces:
            unread += stream[at : at + piece]
            at += piece
            while message := take(unread):
                found.append(message)
    assert found == sent
    assert not unread


@given(messages)
def test_messages_go_through_a_socket_in_order(sent: list[Message]) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            for message in sent:
                ours.sendall(encode(message))
        assert list(received(theirs)) == sent


def test_message_that_broke_off_is_none() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            ours.sendall(encode((1,)) + encode((b"x" * 100,))[:-1])
        assert list(received(theirs)) == [(1,)]


async def test_channel_sends_more_than_a_socket_holds_without_waiting() -> None:
    """And in order; who sends goes on."""
    ours, theirs = socket.socketpair()
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    channel = Channel(loop, ours, lambda _: None, ended.set)
    for number in range(50):
        channel.send(encode((number, b"x" * 100_000)))
    found: list[Message] = []
    reading = threading.Thread(target=lambda: found.extend(received(theirs)), daemon=True)
    reading.start()
    await until(lambda: not channel._unsent)
    channel.close()
    await asyncio.to_thread(reading.join, 5)
    theirs.close()
    assert [number for number, _ in found] == list(range(50))
    assert not ended.is_set()


async def test_channel_tells_once_that_the_other_end_is_gone() -> None:
    """Also while there was something to send to it."""
    ours, theirs = socket.socketpair()
    told: list[Message] = []
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    channel = Channel(asyncio.get_running_loop(), ours, told.append, lambda: ended.set_result(None))
    theirs.sendall(encode(("last", 1)))
    channel.send(encode((b"x" * 1_000_000,)))
    theirs.close()
    channel.send(encode(("more",)))
    await asyncio.wait_for(ended, 5)
    assert told in ([("last", 1)], [])  # what was unread on the other side takes with it what that one sent
    assert ours.fileno() == -1
