"""A site in a folder: what is not a plain file or folder in it does not exist."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.transfer import folder_site
from gateway.transfer.folder_site import FolderSite
from gateway.transfer.site import NameTaken, NoSuchName, SiteUnavailable
from gateway.transfer.uploads import Uploads, partial_of, to_the_end


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "site" / "acme").mkdir(parents=True)
    (tmp_path / "site2").mkdir()
    (tmp_path / "site2" / "secret").write_bytes(b"of somebody else")
    return tmp_path / "site"


@pytest.fixture
async def site(root: Path) -> AsyncIterator[FolderSite]:
    made = FolderSite(root)
    yield made
    await made.close()


async def content(site: FolderSite, path: str, offset: int = 0) -> bytes:
    reading = await site.read(path, offset)
    got = b""
    while data := await reading.read(3):
        got += data
    await reading.close()
    return got


async def store(site: FolderSite, path: str, data: bytes) -> None:
    upload = await Uploads().begin(site, path)
    await upload.write(data)
    await upload.settle()
    await upload.appear()


async def test_a_file_is_stored_described_listed_read_moved_and_removed(site: FolderSite) -> None:
    await site.make_folder("/acme/in")
    await store(site, "/acme/in/a", b"content")
    about = await site.about("/acme/in/a")
    assert about is not None
    assert about[:3] == ("a", False, 7)
    assert [found[:3] for found in await site.list("/acme/in")] == [("a", False, 7)]
    assert await content(site, "/acme/in/a") == b"content"
    assert await content(site, "/acme/in/a", 4) == b"ent"
    await site.move("/acme/in/a", "/acme/b")
    with pytest.raises(NameTaken):
        await site.remove_folder("/acme")
    await site.remove("/acme/b")
    await site.remove_folder("/acme/in")
    assert await site.list("/acme") == []


@pytest.mark.parametrize("to", ["../site2", "../site2/secret"])
async def test_no_link_is_followed(site: FolderSite, root: Path, to: str) -> None:
    (root / "acme" / "link").symlink_to(root / to)
    for path in ("/acme/link", "/acme/link/secret"):
        assert await site.about(path) is None
        for act in (site.read, site.write, site.list, site.make_folder):
            with pytest.raises((NoSuchName, NameTaken)):
                await act(path)
        with pytest.raises(NoSuchName):
            await site.remove(path)
    assert await site.list("/acme") == []
    assert (root.parent / "site2" / "secret").read_bytes() == b"of somebody else"


async def test_what_is_neither_file_nor_folder_does_not_exist(site: FolderSite, root: Path) -> None:
    os.mkfifo(root / "acme" / "pipe")
    assert await site.about("/acme/pipe") is None
    for act in (site.read, site.write):
        with pytest.raises(NoSuchName):
            await act("/acme/pipe")
    assert await site.list("/acme") == []


async def test_a_file_appears_when_it_is_whole(site: FolderSite, root: Path) -> None:
    uploads = Uploads()
    upload = await uploads.begin(site, "/acme/a")
    await upload.write(b"half")
    assert await site.about("/acme/a") is None
    with pytest.raises(NameTaken):
        await uploads.begin(site, "/acme/a")
    await upload.abandon()
    assert await site.about("/acme/a") is None
    assert await site.about(partial_of("/acme/a")) is not None
    upload = await uploads.begin(site, "/acme/a", offset=4)
    await upload.write(b" and half")
    await upload.settle()
    await upload.appear()
    assert await content(site, "/acme/a") == b"half and half"
    assert [path.name for path in (root / "acme").iterdir()] == ["a"]


@pytest.mark.parametrize(("offset", "whole"), [(None, b"whole more"), (2, b"wh more"), (5, b"whole more")])
async def test_what_is_whole_is_not_written_into(site: FolderSite, offset: int | None, whole: bytes) -> None:
    await store(site, "/acme/a", b"whole")
    upload = await Uploads().begin(site, "/acme/a", offset=offset)
    await upload.write(b" more")
    assert await content(site, "/acme/a") == b"whole"
    await upload.settle()
    await upload.appear()
    assert await content(site, "/acme/a") == whole


@pytest.mark.parametrize("there", [b"", b"whole"])
async def test_no_hole_is_left_behind_the_end(site: FolderSite, there: bytes) -> None:
    if there:
        await store(site, "/acme/a", there)
    with pytest.raises(NameTaken, match="expected an offset within them, got 9"):
        await Uploads().begin(site, "/acme/a", offset=9)


async def test_a_resumed_transfer_may_begin_earlier_than_where_it_broke_off(site: FolderSite) -> None:
    uploads = Uploads()
    upload = await uploads.begin(site, "/acme/a")
    await upload.write(b"0123456789")
    await upload.abandon()
    upload = await uploads.begin(site, "/acme/a", offset=4)
    await upload.write(b"x")
    await upload.settle()
    await upload.appear()
    assert await content(site, "/acme/a") == b"0123x"


async def test_a_folder_is_no_file_and_stays(site: FolderSite) -> None:
    await site.make_folder("/acme/in")
    with pytest.raises(NameTaken):
        await Uploads().begin(site, "/acme/in")
    with pytest.raises(NameTaken):
        await site.make_folder("/acme/in")
    with pytest.raises(NoSuchName):
        await site.remove("/acme/in")
    about = await site.about("/acme/in")
    assert about is not None
    assert about.is_folder


async def test_a_folder_in_which_something_broke_off_can_be_removed(site: FolderSite, root: Path) -> None:
    await site.make_folder("/acme/in")
    upload = await Uploads().begin(site, "/acme/in/a")
    await upload.write(b"half")
    await upload.abandon()
    await site.remove_folder("/acme/in")
    assert not any((root / "acme").iterdir())


async def test_a_name_that_cannot_be_given_closes_no_other_file(
    site: FolderSite, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By then the file is closed, and its descriptor may be somebody else's."""
    upload = await Uploads().begin(site, "/acme/a")
    await upload.settle()
    others = [os.open(root / "acme", os.O_RDONLY) for _ in range(8)]

    async def refuse(*_given: object, **_named: object) -> None:
        raise SiteUnavailable("no")

    monkeypatch.setattr(site, "move", refuse)
    with pytest.raises(SiteUnavailable):
        await upload.appear()
    await upload.abandon()
    for descriptor in others:
        os.close(descriptor)  # raises if somebody did already


async def test_what_was_begun_in_a_thread_is_over_before_its_file_is_closed(
    site: FolderSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or else it would be written into whichever file got the descriptor next."""
    upload = await Uploads().begin(site, "/acme/a")
    begun, go_on, write = threading.Event(), threading.Event(), folder_site._write_all

    def slowly(descriptor: int, data: bytes) -> None:
        begun.set()
        go_on.wait(5)
        write(descriptor, data)

    monkeypatch.setattr(folder_site, "_write_all", slowly)
    writing = asyncio.ensure_future(upload.write(b"of acme"))
    await asyncio.to_thread(begun.wait, 5)
    writing.cancel()
    closing = asyncio.ensure_future(upload.abandon())
    await asyncio.sleep(0.1)
    assert not closing.done()
    go_on.set()
    await closing
    assert await content(site, partial_of("/acme/a")) == b"of acme"
    with pytest.raises(SiteUnavailable):
        await upload.write(b"more")


@pytest.mark.skipif(sys.platform != "linux", reason="only there the disk can be told to begin")
async def test_the_disk_begins_before_the_end(site: FolderSite, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After each so many bytes, with those since the last time; what is in the file is the same."""
    begun: list[tuple[int, int]] = []
    monkeypatch.setattr(folder_site, "FLUSH_BYTES", 10)
    monkeypatch.setattr(os, "posix_fadvise", lambda _file, offset, size, _advice: begun.append((offset, size)))
    writing = await site.write("/acme/a")
    for size in (4, 7, 3, 12, 1):
        await writing.write(b"x" * size)
    await writing.finish()
    assert begun == [(0, 11), (11, 15)]
    assert (root / "acme" / "a").read_bytes() == b"x" * 27


async def test_a_site_that_was_closed_says_so(site: FolderSite) -> None:
    """Its folder's descriptor may be another's by then."""
    await site.close()
    for act in (site.list, site.read, site.write, site.remove):
        with pytest.raises(SiteUnavailable):
            await act("/acme")


async def test_a_file_that_has_its_name_is_there_whoever_is_cut() -> None:
    """What cannot be half done is done to the end, and told as it came out."""
    begun, go_on, done = asyncio.Event(), asyncio.Event(), []

    async def move() -> None:
        begun.set()
        await go_on.wait()
        done.append("moved")

    async def finishing(act: Any) -> str:
        await to_the_end(act)
        return "told"

    task = asyncio.ensure_future(finishing(move()))
    await begun.wait()
    task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    assert (await task, done, task.cancelling()) == ("told", ["moved"], 0)


async def test_a_name_that_could_not_be_given_is_no_success_for_whoever_is_cut() -> None:
    """They are cut as ever."""
    go_on = asyncio.Event()

    async def move() -> None:
        await go_on.wait()
        raise SiteUnavailable("no")

    task = asyncio.ensure_future(to_the_end(move()))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
