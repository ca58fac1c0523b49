"""Handshakes that may open a tunnel, and frames counted as they pass."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from gateway.proxy.websocket import FrameCounter, NotAFrame, fault, is_accepted

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
WHOLE = {
    "Host": "gateway.example",
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}


def proxied(*pairs: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(pairs))


def handshake(**changes: str | None) -> CIMultiDictProxy[str]:
    named = {name.replace("_", "-"): value for name, value in changes.items()}
    return proxied(*((name, value) for name, value in (WHOLE | named).items() if value is not None))


def test_a_whole_handshake_is_accepted() -> None:
    """As programs send it, and as a browser on the gateway's own page does."""
    for headers in (handshake(), handshake(Origin="https://gateway.example"), handshake(Upgrade="WebSocket")):
        assert fault("GET", (1, 1), headers, ()) == ""
    assert fault("GET", (1, 1), handshake(Origin="https://console.example"), {"https://console.example"}) == ""


@pytest.mark.parametrize(
    ("method", "version", "headers", "told"),
    [
        ("POST", (1, 1), handshake(), "no WebSocket handshake"),
        ("GET", (1, 0), handshake(), "no WebSocket handshake"),
        ("GET", (1, 1), handshake(Connection="close"), "no WebSocket handshake"),
        ("GET", (1, 1), handshake(Upgrade="h2c"), "something else"),
        ("GET", (1, 1), handshake(Upgrade="websocket, h2c"), "something else"),
        ("GET", (1, 1), proxied(*WHOLE.items(), ("Upgrade", "websocket")), "something else"),
        ("GET", (1, 1), handshake(Content_Length="0"), "with a body"),
        ("GET", (1, 1), handshake(Transfer_Encoding="chunked"), "with a body"),
        ("GET", (1, 1), handshake(Sec_WebSocket_Version="8"), "version"),
        ("GET", (1, 1), handshake(Sec_WebSocket_Key=None), "key"),
        ("GET", (1, 1), handshake(Sec_WebSocket_Key="c2hvcnQ="), "key"),
        ("GET", (1, 1), handshake(Sec_WebSocket_Key="?"), "key"),
        ("GET", (1, 1), proxied(*WHOLE.items(), ("Sec-WebSocket-Key", KEY)), "key"),
        ("GET", (1, 1), handshake(Origin="https://evil.example"), "another origin"),
        ("GET", (1, 1), handshake(Origin="null"), "another origin"),
        ("GET", (1, 1), handshake(Origin="https://gateway.example.evil.example"), "another origin"),
        ("GET", (1, 1), proxied(*WHOLE.items(), *[("Origin", "https://gateway.example")] * 2), "another origin"),
    ],
)
def test_anything_else_is_told_what_is_missing(
    method: str, version: tuple[int, int], headers: CIMultiDictProxy[str], told: str
) -> None:
    """One line each."""
    assert told in fault(method, version, headers, ())


def test_the_stores_answer_has_to_fit_the_key() -> None:
    """The example of RFC 6455 §1.3."""
    answer = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    }
    assert is_accepted(KEY, answer)
    for name in answer:
        assert not is_accepted(KEY, answer | {name: "x"})


def frame(opcode: int, payload: bytes, *, masked: bool, final: bool = True) -> bytes:
    """A frame, written from RFC 6455 §5.2."""
    mask = 0x80 if masked else 0
    if len(payload) < 126:
        length = bytes([mask | len(payload)])
    elif len(payload) < 65_536:
        length = bytes([mask | 126]) + len(payload).to_bytes(2)
    else:
        length = bytes([mask | 127]) + len(payload).to_bytes(8)
    return bytes([(0x80 if final else 0) | opcode]) + length + (b"mask" if masked else b"") + payload


FRAMES = st.lists(
    st.tuples(st.sampled_from([0, 1, 2]), st.sampled_from([0, 1, 125, 126, 127, 65_535, 65_536])), max_size=6
)


@given(FRAMES, st.booleans(), st.lists(st.integers(1, 70_000), max_size=12))
def test_frames_are_counted_however_they_are_cut(frames: list[tuple[int, int]], masked: bool, cuts: list[int]) -> None:
    """Pieces of any size, headers cut in the middle included."""
    stream = b"".join(frame(opcode, b"x" * size, masked=masked) for opcode, size in frames)
    counter, at, passed = FrameCounter(masked=masked), 0, b""
    for cut in cuts:
        passed += counter.feed(stream[at : at + cut])
        assert stream.startswith(passed)
        at += cut
    assert passed + counter.feed(stream[at:]) == stream
    assert (counter.frames, counter.closed, counter._left, counter._head) == (len(frames), False, 0, b"")


def test_every_cut_of_a_close_frame_counts_it_once() -> None:
    """One byte at a time."""
    counter = FrameCounter(masked=True)
    for byte in frame(8, b"\x03\xe8", masked=True):
        counter.feed(bytes([byte]))
    assert (counter.frames, counter.closed) == (1, True)


def test_the_header_of_a_frame_is_held_back_until_it_is_whole() -> None:
    """Four bytes that turn out to begin no frame have reached nobody."""
    counter = FrameCounter(masked=True)
    assert [counter.feed(bytes([byte])) for byte in b"\x81\x81mas"] == [b""] * 5
    assert counter.feed(b"kx") == b"\x81\x81maskx"


@pytest.mark.parametrize(
    ("masked", "data"),
    [
        (True, frame(1, b"x", masked=False) + b"1234"),
        (False, frame(1, b"x", masked=True)),
        (False, frame(3, b"x", masked=False)),
        (False, frame(0xB, b"", masked=False)),
        (False, frame(9, b"x" * 126, masked=False)),
        (False, frame(8, b"", masked=False, final=False)),
        (False, b"\x82\x7f" + b"\xff" * 8),
        (False, b"GET / HTTP/1.1\r\n"),
    ],
)
def test_what_is_no_frame_is_refused(masked: bool, data: bytes) -> None:
    """The wrong side's mask, an undefined opcode, a control frame too long or cut, an impossible length, HTTP."""
    with pytest.raises(NotAFrame):
        FrameCounter(masked=masked).feed(data)
