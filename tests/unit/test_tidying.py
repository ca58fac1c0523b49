"""Memory that hangs on cycles is let go of when the process has grown, and what is expected leaves no cycles."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.errors import Malformed
from gateway.operations import Tidying, resident_bytes
from gateway.refusal import bare
from tests.world.door import door_in

MIB = 1 << 20


class Holder:
    """Something in a cycle."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Nothing is collected but on purpose."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def forgotten() -> weakref.ref[Holder]:
    return weakref.ref(Holder())


@pytest.mark.usefixtures("uncollected")
def test_process_that_has_grown_is_looked_through() -> None:
    """By so much since it was last looked through; shrinking in between counts."""
    sizes = iter((100, 163, 90, 153, 154, 100, 163))
    tidying = Tidying(64 * MIB, lambda: next(sizes) * MIB)
    held = forgotten()
    assert [tidying.look() for _ in range(3)] == [False, False, False]
    assert held() is not None
    assert tidying.look()
    assert held() is None
    assert not tidying.look()


@pytest.mark.usefixtures("uncollected")
def test_process_whose_size_cannot_be_told_is_looked_through_each_time() -> None:
    """Memory is bounded on every system."""
    held = forgotten()
    assert Tidying(64 * MIB, lambda: None).look()
    assert held() is None


def test_size_is_told_in_bytes() -> None:
    """An interpreter takes some MiB, and less than some GiB."""
    found = resident_bytes()
    assert found is None or 4 * MIB < found < 8_192 * MIB


@pytest.mark.usefixtures("uncollected")
def test_expected_failure_keeps_no_frame() -> None:
    """What the frame held is gone with it."""

    def fails(held: list[object]) -> Malformed:
        holder, failures = Holder(), []
        holder.itself = None  # type: ignore[assignment]
        held.append(weakref.ref(holder))
        try:
            raise Malformed("as expected")  # noqa: TRY301  what a frame holds is what it is about
        except Malformed as error:
            failures.append(bare(error))
        return failures[0]

    held: list[object] = []
    failure = fails(held)
    assert failure.__traceback__ is None
    [reference] = held
    assert isinstance(reference, weakref.ref)
    assert reference() is None


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("said", [b"no HTTP\r\n\r\n", b"GET / HTTP/1.1\r\nHost: gw.test\r\na b\r\n\r\n"])
async def test_what_cannot_be_parsed_leaves_no_frames_behind(tmp_path: Path, said: bytes) -> None:
    """Such a frame would hold all that was read."""
    async with door_in(tmp_path) as door:
        await door.say(said)
        gc.collect()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            await door.say(said)
            gc.collect()
            left = [type(one).__name__ for one in gc.garbage]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
        assert not {"frame", "traceback"} & set(left), left
