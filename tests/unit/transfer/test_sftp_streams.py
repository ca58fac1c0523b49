"""Files at any offset, over transfers that go from an offset to the end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.transfer.act import Ended, Refused
from gateway.transfer.sftp_streams import MAX_REOPENED, OpenedToRead, OpenedToWrite, Room
from gateway.transfer.site import SiteFailure

DATA = bytes(range(256)) * 4
ROOM = 64


class Fetching:
    """A transfer to the client, in small pieces; ``fails``: at which position."""

    def __init__(self, offset: int = 0, fails: int = -1) -> None:
        self.size = len(DATA)
        self.at, self.fails = offset, fails
        self.whole = False
        self.closed: list[bool] = []

    async def read(self, size: int) -> bytes:
        assert not self.closed, "it is closed"
        if 0 <= self.fails <= self.at:
            raise Ended("revoked")
        data = DATA[self.at : self.at + min(size, 7)]
        self.at += len(data)
        self.whole = not data
        return data

    async def close(self, *, delivered: bool = True) -> None:
        self.closed.append(delivered)


class Keeping:
    """A transfer from the client."""

    def __init__(self, offset: int = 0) -> None:
        self.offset = offset
        self.got = b""
        self.over = ""

    async def write(self, data: bytes) -> None:
        assert not self.over, "it is over"
        if data == b"!":
            raise SiteFailure("the site is full")
        self.got += data

    async def finish(self) -> None:
        assert not self.over
        self.over = "finished"

    async def abandon(self) -> None:
        assert not self.over
        self.over = "abandoned"


def reading(fetching: Fetching | None = None) -> tuple[OpenedToRead, list[Fetching]]:
    made = [fetching or Fetching()]

    async def again(offset: int) -> Fetching:
        made.append(Fetching(offset))
        return made[-1]

    return OpenedToRead(made[0], again, Room(ROOM)), made  # type: ignore[arg-type]


async def test_a_file_read_in_order_is_opened_once_and_whole() -> None:
    file, made = reading()
    got = b""
    while data := await file.read(len(got), 100):
        got += data
    await file.close()
    assert got == DATA
    assert made[0].closed == [True]
    assert len(made) == 1


async def test_whoever_stops_at_the_size_has_had_the_whole() -> None:
    """A client that knows the size does not ask for what comes after it."""
    file, made = reading()
    assert await file.read(0, len(DATA)) == DATA
    await file.close()
    assert made[0].whole


@pytest.mark.parametrize("delivered", [True, False])
async def test_whoever_stops_before_has_not(delivered: bool) -> None:
    file, made = reading()
    await file.read(0, len(DATA) if not delivered else 5)
    await file.close(delivered=delivered)
    assert not made[0].whole
    assert made[0].closed == [delivered]


async def test_what_is_asked_for_a_little_ahead_is_kept_for_later() -> None:
    file, made = reading()
    assert await file.read(30, 10) == DATA[30:40]
    assert await file.read(10, 10) == DATA[10:20]
    assert await file.read(0, 10) == DATA[0:10]
    assert await file.read(20, 100) == DATA[20:30], "as much as is kept; the rest is asked for again"
    assert await file.read(40, 10) == DATA[40:50]
    assert len(made) == 1


async def test_a_jump_opens_the_file_again_where_it_leads() -> None:
    file, made = reading()
    assert await file.read(0, 10) == DATA[:10]
    assert await file.read(500, 10) == DATA[500:510]
    assert await file.read(3, 10) == DATA[3:13]
    assert [each.closed for each in made] == [[True], [True], []]


async def test_jumps_are_bounded() -> None:
    file, made = reading()
    for _ in range(MAX_REOPENED // 2):
        await file.read(900, 1)
        await file.read(0, 1)
    with pytest.raises(SiteFailure, match="in 64 jumps"):
        await file.read(900, 1)
    await file.close()
    assert all(each.closed == [True] for each in made)
    assert len(made) == MAX_REOPENED + 1


async def test_what_was_cut_answers_nothing_but_that() -> None:
    file, made = reading(Fetching(fails=14))
    assert await file.read(0, 14) == DATA[:14]
    for offset in (14, 0, 2_000):
        with pytest.raises(Ended, match="revoked"):
            await file.read(offset, 10)
    await file.close()
    assert made[0].closed == [True]


@given(st.lists(st.tuples(st.integers(0, 1_100), st.integers(1, 300)), max_size=60))
async def test_whatever_is_asked_the_bytes_are_those_of_the_file(asked: list[tuple[int, int]]) -> None:
    """Or a refusal; never others, never nothing before the end."""
    file, _ = reading()
    for offset, size in asked:
        data = await file.read(offset, size)
        assert data == DATA[offset : offset + len(data)]
        assert data or offset >= len(DATA)
    await file.close()


def writing(offset: int = 0, *, resumes: bool = False, appends: bool = False) -> tuple[OpenedToWrite, list[Keeping]]:
    made = [Keeping(offset)]

    async def again(at: int) -> Keeping:
        made.append(Keeping(at))
        return made[-1]

    again_ = again if resumes or appends else None
    return OpenedToWrite(made[0], Room(ROOM), again_, appends=appends), made  # type: ignore[arg-type]


@given(st.permutations(range(6)))
async def test_pieces_out_of_order_are_put_in_order(order: list[int]) -> None:
    file, made = writing()
    for number in order:
        await file.write(number * 10, DATA[number * 10 : number * 10 + 10])
    await file.close()
    assert made[0].got == DATA[:60]
    assert made[0].over == "finished"


async def test_more_than_there_is_room_for_is_refused() -> None:
    file, made = writing()
    await file.write(10, bytes(ROOM))
    with pytest.raises(SiteFailure, match="expected the bytes from 0 on"):
        await file.write(100, b"x")
    with pytest.raises(SiteFailure, match="expected the bytes from 0 on"):
        await file.close()
    assert made[0].over == "abandoned"


async def test_a_file_with_a_hole_is_not_stored() -> None:
    file, made = writing()
    await file.write(0, b"0123")
    await file.write(5, b"5")
    with pytest.raises(SiteFailure, match="the bytes from 4 on never came"):
        await file.close()
    assert made[0].over == "abandoned"


async def test_what_came_is_not_written_again() -> None:
    file, made = writing()
    await file.write(0, b"0123")
    with pytest.raises(SiteFailure, match="not written again"):
        await file.write(2, b"xx")
    with pytest.raises(SiteFailure, match="not written again"):
        await file.close()
    assert made[0].over == "abandoned"


async def test_after_a_failure_nothing_more_is_taken() -> None:
    file, made = writing()
    with pytest.raises(SiteFailure, match="full"):
        await file.write(0, b"!")
    with pytest.raises(SiteFailure, match="full"):
        await file.write(0, b"x")
    with pytest.raises(SiteFailure, match="full"):
        await file.close()
    assert made[0].over == "abandoned"


async def test_an_empty_file_is_stored() -> None:
    file, made = writing()
    await file.close()
    assert made[0].over == "finished"


@pytest.mark.parametrize("kind", ["resumes", "appends"])
async def test_half_a_file_does_not_become_whole_by_being_opened(kind: str) -> None:
    """Opened to go on, and closed before anything came."""
    file, made = writing(500, **{kind: True})
    await file.close()
    assert made[0].over == "abandoned"


async def test_a_resumed_file_goes_on_where_its_client_says() -> None:
    file, made = writing(500, resumes=True)
    await file.write(480, DATA[480:600])
    await file.close()
    assert [(each.offset, each.over) for each in made] == [(500, "abandoned"), (480, "finished")]
    assert made[1].got == DATA[480:600]


async def test_a_part_written_over_does_not_shorten_a_file() -> None:
    """Where a server would write into the file, its end would stay: here it would go, so that it is refused."""
    file, made = writing(500, resumes=True)
    await file.write(0, b"x" * 20)
    assert file.size == 500
    with pytest.raises(SiteFailure, match="20 of the 500 bytes"):
        await file.close()
    assert made[1].over == "abandoned"


@pytest.mark.parametrize("offset", [0, 500])
async def test_an_appended_file_goes_on_at_its_end(offset: int) -> None:
    """Some clients say where that is, and others 0."""
    file, made = writing(500, appends=True)
    await file.write(offset, b"ab")
    await file.write(offset, b"cd")
    await file.close()
    assert made[0].got == b"abcd"
    assert made[0].over == "finished"


async def test_an_appended_file_of_another_length_is_refused() -> None:
    file, made = writing(500, appends=True)
    with pytest.raises(SiteFailure, match="there are 500 bytes of this file"):
        await file.write(300, b"x")
    await file.abandon()
    assert made[0].over == "abandoned"


async def test_a_resumption_that_is_refused_ends_the_file() -> None:
    made = Keeping(500)

    async def again(_offset: int) -> Keeping:
        raise Refused("no", "D-1")

    file = OpenedToWrite(made, Room(ROOM), again)  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(Refused):
            await file.write(10, b"x")
    with pytest.raises(Refused):
        await file.close()
    assert made.over == "abandoned"


async def test_the_room_is_given_back() -> None:
    """It is of a session: one file's pieces leave no less for the next."""
    room = Room(ROOM)
    for _ in range(3):
        keep = Keeping()
        file = OpenedToWrite(keep, room)  # type: ignore[arg-type]
        await file.write(1, bytes(ROOM))
        await file.abandon()
    assert room.has(ROOM)
    assert not room.has(ROOM + 1)
