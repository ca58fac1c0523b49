"""Sites behind an object store: SeaweedFS, which verifies signatures, and servers that lie, hang or break off."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from hashlib import sha256
from pathlib import Path

import pytest
from aiohttp import web
from pydantic import SecretStr
from structlog.testing import capture_logs

from gateway.demo.stores import Addresses
from gateway.errors import ConfigurationError
from gateway.settings import StoreSettings
from gateway.transfer import object_client, object_site, object_streams
from gateway.transfer.object_site import ObjectSite
from gateway.transfer.object_streams import PART_BYTES
from gateway.transfer.opening import _look_at_site
from gateway.transfer.site import NameTaken, NoSuchName, SiteElsewhere, SiteFailure, SiteSlow, SiteUnavailable
from gateway.transfer.uploads import Uploads, partial_of
from tests.integration.transfer.conftest import require
from tests.integration.transfer.test_ftp_clients import lftp
from tests.world.certificates import Authority
from tests.world.ftp import ftp_world
from tests.world.object_store import SECRET, object_store, site_at, url_of
from tests.world.sftp import OpenSsh, sftp_world
from tests.world.sites import content, store

SIZE = 100_003
LONG = 2 * PART_BYTES + 12_345


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    with object_store() as port:
        yield port


@pytest.fixture
async def site(server: int) -> AsyncIterator[ObjectSite]:
    """With a folder of the test's own, and a customer's in it."""
    made = site_at(url_of(server, folder=f"/{os.urandom(4).hex()}"))
    await made.make_folder("/acme")
    yield made
    await made.close()


@pytest.mark.parametrize("name", ["a", "b c  d", "é ü 漢", "-rf", "*.csv", "{x,y}", "a;b#c%41&=?+", "x -> y", '"<q>&'])
async def test_a_file_is_stored_described_listed_read_moved_and_removed(site: ObjectSite, name: str) -> None:
    """Whatever it is called; byte for byte, from any offset."""
    data, path = os.urandom(SIZE), f"/acme/in/{name}"
    await site.make_folder("/acme/in")
    assert await site.about(path) is None
    await store(site, path, data)
    about = await site.about(path)
    assert about is not None
    assert about[:3] == (name, False, SIZE)
    assert about.modified_s > 0
    [listed] = await site.list("/acme/in")
    assert listed[:3] == (name, False, SIZE)
    assert abs(listed.modified_s - about.modified_s) < 2
    assert await content(site, path) == data
    assert await content(site, path, SIZE - 5) == data[-5:]
    assert await content(site, path, SIZE) == b""
    await store(site, "/acme/b", b"older")
    await site.move(path, "/acme/b")
    assert await content(site, "/acme/b") == data
    assert await site.list("/acme/in") == []
    await site.remove("/acme/b")
    await site.remove_folder("/acme/in")
    assert await site.list("/acme") == []


async def test_what_is_there_and_what_is_not_is_told(site: ObjectSite) -> None:
    """Each refusal in the words of a site."""
    await site.make_folder("/acme/in")
    await store(site, "/acme/in/a", b"")
    assert (await site.about("/")) is not None
    about = await site.about("/acme/in")
    assert about is not None
    assert (about.name, about.is_folder) == ("in", True)
    assert [found.name for found in await site.list("/")] == ["acme"]
    for taken in (
        site.remove_folder("/acme"),
        site.make_folder("/acme/in"),
        site.make_folder("/acme/in/a"),
        site.move("/acme/in/a", "/acme/in"),
        site.move("/acme/in", "/acme/in/a/b"),
    ):
        with pytest.raises(SiteFailure):
            await taken
    absent = [
        *(act("/acme/none") for act in (site.read, site.list, site.remove, site.remove_folder)),
        *(act("/acme/in") for act in (site.read, site.write, site.remove)),
        site.list("/acme/in/a"),
        site.write("/none/a"),
        site.make_folder("/none/a"),
        site.move("/acme/none", "/acme/b"),
    ]
    for act in absent:
        with pytest.raises(NoSuchName):
            await act
    assert await site.about("/acme/none/x") is None
    assert await site.about("/acme/in/a/x") is None


async def test_a_long_file_goes_in_parts_and_appears_whole(site: ObjectSite) -> None:
    data = os.urandom(LONG)
    upload = await Uploads().begin(site, "/acme/a")
    for at in range(0, LONG, 1_000_000):
        await upload.write(data[at : at + 1_000_000])
    assert await site.list("/acme") == []
    await upload.settle()
    assert await site.about("/acme/a") is None
    await upload.appear()
    assert await content(site, "/acme/a", size=1_000_000) == data
    assert [about[:3] for about in await site.list("/acme")] == [("a", False, LONG)]


@pytest.mark.parametrize("at", [1_000_003, PART_BYTES + 7])
async def test_a_transfer_that_broke_off_goes_on(site: ObjectSite, at: int) -> None:
    """What is short is read back, what is longer copied by the store; where a client goes back a little, too."""
    data = os.urandom(LONG)
    upload = await Uploads().begin(site, "/acme/a")
    await upload.write(data[:at])
    await upload.abandon()
    assert await site.about("/acme/a") is None
    about = await site.about(partial_of("/acme/a"))
    assert about is not None
    assert about.size == at
    with pytest.raises(NameTaken):
        await site.write(partial_of("/acme/a"), offset=at + 1)
    await store(site, "/acme/a", data[at - 3 :], offset=at - 3)
    assert await content(site, "/acme/a", size=1_000_000) == data
    assert [about.name for about in await site.list("/acme")] == ["a"]


async def test_copies_in_pieces_are_whole(site: ObjectSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a file that is too long for one."""
    monkeypatch.setattr(object_streams, "COPY_BYTES", 10 * 1024 * 1024)
    data = os.urandom(13 * 1024 * 1024)
    await store(site, "/acme/a", data)
    await site.move("/acme/a", "/acme/b")
    assert await content(site, "/acme/b", size=1_000_000) == data
    assert [about.name for about in await site.list("/acme")] == ["b"]


async def test_a_folder_is_moved_with_all_that_it_holds(site: ObjectSite) -> None:
    await site.make_folder("/acme/in")
    await site.make_folder("/acme/in/empty")
    for name in ("a", "b"):
        await store(site, f"/acme/in/{name}", name.encode())
    await site.move("/acme/in", "/acme/out")
    assert [about.name for about in await site.list("/acme")] == ["out"]
    assert sorted(about.name for about in await site.list("/acme/out")) == ["a", "b", "empty"]
    assert await content(site, "/acme/out/b") == b"b"


async def test_a_folder_in_which_something_broke_off_can_be_removed(site: ObjectSite) -> None:
    await site.make_folder("/acme/in")
    upload = await Uploads().begin(site, "/acme/in/a")
    await upload.write(b"half")
    await upload.abandon()
    await site.remove_folder("/acme/in")
    assert await site.list("/acme") == []


async def test_a_listing_has_every_page(site: ObjectSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_site, "PAGE", 3)
    await asyncio.gather(*(store(site, f"/acme/{number}", b"") for number in range(8)))
    assert sorted(about.name for about in await site.list("/acme")) == [str(number) for number in range(8)]


async def test_nothing_is_written_to_a_peer_that_is_not_admitted(site: ObjectSite) -> None:
    """Rule storage-home, for each act that writes."""
    await store(site, "/acme/a", b"x")
    asked: list[str] = []

    def admits(peer: str) -> bool:
        asked.append(peer)
        return False

    for act in (
        site.write("/acme/new", admits=admits),
        site.make_folder("/acme/new", admits=admits),
        site.move("/acme/a", "/acme/new", admits=admits),
    ):
        with pytest.raises(SiteElsewhere):
            await act
    assert asked == ["127.0.0.1"] * 3
    assert [about.name for about in await site.list("/acme")] == ["a"]


async def unfinished(site: ObjectSite) -> int:
    """How many uploads in parts are neither complete nor ended."""
    said = await site._client.ask("GET", query={"uploads": "", "prefix": site._below("/")})
    return said.body.count(b"<UploadId>")


@pytest.mark.parametrize("path", ["/acme/a", "/acme/in"])
async def test_what_is_moved_to_where_it_is_stays(site: ObjectSite, path: str) -> None:
    """A copy onto itself, and then the removal of the first, would leave nothing."""
    await store(site, "/acme/a", b"data")
    await site.make_folder("/acme/in")
    with pytest.raises(NameTaken, match="moved to itself"):
        await site.move(path, path)
    assert await content(site, "/acme/a") == b"data"
    assert sorted(about.name for about in await site.list("/acme")) == ["a", "in"]


async def test_an_upload_that_came_whole_and_could_not_appear_is_kept_whole(
    site: ObjectSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For whoever tries again; giving it up afterwards writes nothing anew."""

    async def fails(*_args: object, **_named: object) -> None:
        raise SiteUnavailable("it broke off")

    upload = await Uploads().begin(site, "/acme/a")
    await upload.write(bytes(PART_BYTES + 1))
    await upload.settle()
    with monkeypatch.context() as broken:
        broken.setattr(site, "move", fails)
        with pytest.raises(SiteUnavailable):
            await upload.appear()
    await upload.abandon()
    about = await site.about(partial_of("/acme/a"))
    assert about is not None
    assert about.size == PART_BYTES + 1


async def test_a_file_that_changes_while_it_is_moved_is_not_lost(
    site: ObjectSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there under both names then."""
    await store(site, "/acme/a", b"older")
    real = object_site.copied

    async def copied_and_changed(*args: object) -> None:
        await real(*args)
        await site._client.ask("PUT", site._key("/acme/a"), body=(b"newer",))

    monkeypatch.setattr(object_site, "copied", copied_and_changed)
    with pytest.raises(NameTaken, match="under both names"):
        await site.move("/acme/a", "/acme/b")
    assert (await content(site, "/acme/a"), await content(site, "/acme/b")) == (b"newer", b"older")


async def test_bytes_that_change_on_the_way_are_noticed(site: ObjectSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the store, which says so; nothing of them stays."""

    async def other(size: int) -> AsyncIterator[bytes]:
        yield bytes(size)

    monkeypatch.setattr(object_client, "_sliced", lambda body: body and other(sum(map(len, body))))
    upload = await Uploads().begin(site, "/acme/a")
    with capture_logs() as logs, pytest.raises(SiteUnavailable):
        await upload.write(os.urandom(PART_BYTES))
    await upload.abandon()
    assert "answered 400 BadDigest" in {line.get("problem") for line in logs}
    assert (await site.list("/acme"), await unfinished(site)) == ([], 0)


async def test_an_upload_that_is_cut_while_it_is_given_up_leaves_no_parts(site: ObjectSite) -> None:
    writing = await site.write("/acme/a")
    await writing.write(os.urandom(PART_BYTES + 1))
    giving_up = asyncio.ensure_future(writing.abandon())
    await asyncio.sleep(0)
    giving_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await giving_up
    assert await unfinished(site) == 0


async def test_a_name_that_no_key_can_have_is_not_there(site: ObjectSite) -> None:
    """A key has 1,024 bytes at most, a name twice as many."""
    long = "/acme/" + "/".join(["x" * 200] * 6)
    assert await site.about(long) is None
    for act in (site.read, site.write, site.remove, site.make_folder):
        with pytest.raises(NoSuchName):
            await act(long)


async def test_what_has_the_name_of_a_file_and_of_a_folder_is_the_file() -> None:
    """As what is said of it alone: nothing is listed twice."""
    item = "<Contents><Key>a</Key><Size>7</Size></Contents><CommonPrefixes><Prefix>a/</Prefix></CommonPrefixes>"
    async with answering(says(200, f"<ListBucketResult>{item}</ListBucketResult>")) as site:
        assert [about[:3] for about in await site.list("/")] == [("a", False, 7)]


async def test_a_bucket_that_is_not_there_is_no_word_about_files(server: int) -> None:
    site = site_at(url_of(server).replace("/uploads", "/others"))
    for act in (site.about, site.list, site.write, site.make_folder):
        with pytest.raises(SiteUnavailable):
            await act("/acme")
    await site.close()


def test_a_configuration_with_an_object_store_can_be_looked_at() -> None:
    """As ``serve`` and ``doctor`` do, before there is an event loop."""
    url = SecretStr("s3://key:secret@host/bucket")
    _look_at_site(StoreSettings.model_validate({"name": "uploads", "country": "US", "url": url}))


async def test_the_folder_that_a_moved_file_leaves_is_kept_at_home_alone(site: ObjectSite) -> None:
    """The peer is asked about for what keeps the folder, too; refused there, the file is under both names."""
    await site.make_folder("/acme/in")
    await store(site, "/acme/in/a", b"x")
    asked: list[str] = []

    def admits(peer: str) -> bool:
        asked.append(peer)
        return len(asked) < 3  # the target's folder, and the copy

    with pytest.raises(SiteElsewhere):
        await site.move("/acme/in/a", "/acme/b", admits=admits)
    assert await content(site, "/acme/in/a") == await content(site, "/acme/b") == b"x"


async def test_a_wrong_secret_is_no_word_about_files(server: int) -> None:
    """And stands in no message or log."""
    site = site_at(url_of(server, secret="wrong-secret"))
    with capture_logs() as logs:
        for act in (site.about, site.list, site.read, site.write):
            with pytest.raises(SiteUnavailable, match="cannot be reached, refused or broke off") as raised:
                await act("/acme")
            assert "wrong-secret" not in str(raised.value)
    assert "wrong-secret" not in str(logs)
    assert SECRET not in str(logs)
    await site.close()


async def test_lftp_stores_resumes_fetches_lists_and_deletes(
    site: ObjectSite, tmp_path: Path, stores: Addresses
) -> None:
    """A real client before the door; half an upload is nobody's file."""
    require("lftp")
    await site.make_folder("/uploads")
    await site.make_folder("/uploads/acme")
    data, half = os.urandom(SIZE), SIZE // 2
    (tmp_path / "a b").write_bytes(data)
    async with ftp_world(tmp_path, stores, site=site) as door:
        door.kind = "explicit"
        status, said = await lftp(door, f"put '{tmp_path}/a b' -o first", "ls", "mkdir in", "mv first in/second")
        assert status == 0, said
        assert "first" in said
        writing = await site.write(partial_of("/uploads/acme/a b"))
        await writing.write(data[:half])
        await writing.abandon()
        status, said = await lftp(door, "ls")
        assert (status, "a b" in said, "partial" in said) == (0, False, False), said
        status, said = await lftp(door, f"put -c '{tmp_path}/a b'", f"get 'a b' -o {tmp_path}/back", "cls -1")
        assert status == 0, said
        assert (tmp_path / "back").read_bytes() == data
        resumed = next(each for each in door.entries("completion") if each.get("offset") == half)
        assert resumed["bytes_in"] == SIZE - half
        status, said = await lftp(door, "rm 'a b'", "rm in/second", "rmdir in", "cls -1")
        assert (status, said) == (0, "")
    assert await site.list("/uploads/acme") == []


async def test_openssh_stores_lists_renames_fetches_and_removes(
    site: ObjectSite, tmp_path: Path, stores: Addresses
) -> None:
    """SFTP in front, objects behind; many small writes are parts of five MiB."""
    require("sftp")
    await site.make_folder("/uploads")
    await site.make_folder("/uploads/acme")
    data = os.urandom(LONG)
    (tmp_path / "up").write_bytes(data)
    (tmp_path / "client").mkdir()
    async with sftp_world(tmp_path, stores, site=site) as door:
        client = OpenSsh(tmp_path / "client", door.port, door.host_key)
        status, said = await client.sftp(f"put {tmp_path}/up 'a b'", "mkdir in", "rename 'a b' in/c", "ls in")
        assert (status, "c" in said) == (0, True), said
        status, said = await client.sftp(f"get in/c {tmp_path}/down", "rm in/c", "rmdir in")
        assert status == 0, said
        assert (tmp_path / "down").read_bytes() == data
        stored = next(each for each in door.entries("completion") if each.get("bytes_in"))
        assert (stored["bytes_in"], stored["sha256"]) == (LONG, sha256(data).hexdigest())
    assert (await site.list("/uploads/acme"), await unfinished(site)) == ([], 0)


async def test_over_tls_the_store_is_verified_before_anything_is_signed(tmp_path: Path) -> None:
    """By the authority that is configured, and by no other."""
    authority, stranger = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs", "other authority")
    data = os.urandom(LONG)
    with ExitStack() as stack:
        port = await asyncio.to_thread(stack.enter_context, object_store(tls=authority))
        made = site_at(url_of(port, tls=True), tls_ca=authority.path)
        await store(made, "/long", data)
        assert await content(made, "/long") == data
        assert await content(made, "/long", LONG - 5) == data[-5:]
        await made.close()
        for url, known in ((url_of(port, tls=True), stranger), (url_of(port), None)):
            other = site_at(url, **({"tls_ca": known.path} if known else {}))
            with pytest.raises(SiteUnavailable):
                await other.about("/long")
            await other.close()


# ── servers that are none ────────────────────────────────────────────────────────────────────────────────────────────

Answering = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
LISTED = '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Contents><Key>a</Key></Contents>{}{}</ListBucketResult>'


@asynccontextmanager
async def answering(answer: Answering, **more: object) -> AsyncIterator[ObjectSite]:
    """A site whose server answers so."""
    server = web.Server(answer)
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site = site_at(url_of(runner.addresses[0][1]), **more)
    try:
        yield site
    finally:
        await site.close()
        await runner.cleanup()


def says(status: int = 200, text: str = "", charset: str = "utf-8", **headers: str) -> Answering:
    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(status=status, body=text.encode(charset), headers=headers)

    return answer


@pytest.mark.parametrize(
    "answer",
    [
        says(200, ""),
        says(200, "<html>"),
        says(200, "<ListBucketResult>"),
        says(200, "<Error><Code>InternalError</Code></Error>"),
        says(200, '<!DOCTYPE x [<!ENTITY a "b">]><ListBucketResult>&a;</ListBucketResult>'),
        says(200, '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]><ListBucketResult/>', charset="utf-16"),
        says(200, "<ListBucketResult><Contents><Key>of/others</Key><Size>1</Size></Contents></ListBucketResult>"),
        says(404, "<Error><Code>NoSuchBucket</Code></Error>"),
        says(404, "<html>"),
        says(200, LISTED.format("<IsTruncated>true</IsTruncated>", "")),
        says(200, "<ListBucketResult>" + "x" * 5_000_000 + "</ListBucketResult>"),
        says(301, Location="http://127.0.0.1:9/"),
        says(403, "<Error><Code>AccessDenied</Code></Error>"),
        says(500),
        says(503, "<Error><Code>SlowDown</Code></Error>"),
    ],
    ids=[
        "nothing",
        "html",
        "broken",
        "error",
        "entities",
        "entities in UTF-16",
        "foreign",
        "no bucket",
        "404",
        "no further page",
        "endless",
        "301",
        "403",
        "500",
        "503",
    ],
)
async def test_what_cannot_be_read_is_a_failure_and_no_absence(answer: Answering) -> None:
    async with answering(answer) as site:
        with pytest.raises(SiteUnavailable):
            await site.list("/acme")


async def test_a_copy_that_failed_after_its_200_removes_nothing() -> None:
    """S3 answers so where it has begun to answer."""
    asked: list[str] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        asked.append(request.method)
        if request.method == "HEAD" and request.path.endswith("/b"):
            return web.Response(status=404)
        if request.method == "PUT":
            return web.Response(text="<Error><Code>InternalError</Code></Error>")
        empty = "" if request.query.get("prefix") == "acme/b/" else "<Contents><Key>x</Key></Contents>"
        return web.Response(text=f"<ListBucketResult>{empty}</ListBucketResult>")

    async with answering(answer) as site:
        with pytest.raises(SiteUnavailable):
            await site.move("/acme/a", "/acme/b")
    assert "DELETE" not in asked


async def test_an_answer_that_breaks_off_is_no_whole_file() -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000000", "ETag": "e"})
        await response.prepare(request)
        if request.method == "GET":
            await response.write(b"half")
            assert request.transport is not None
            request.transport.close()
        return response

    async with answering(answer) as site:
        reading = await site.read("/acme/a")
        with pytest.raises(SiteUnavailable):
            while await reading.read(1_000):
                pass
        await reading.close()


async def test_an_offset_that_is_not_heeded_is_a_failure() -> None:
    other = {"Content-Range": "bytes 0-8/9"}
    for answer in (says(200, "all of it", ETag="e"), says(206, "all of it", ETag="e", **other)):
        async with answering(answer) as site:
            with pytest.raises(SiteUnavailable, match="other bytes"):
                await site.read("/acme/a", 3)


async def test_a_server_that_hangs_is_slow() -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(30)
        return web.Response()

    async with answering(answer, read_timeout_s=0.2) as site:
        with pytest.raises(SiteSlow):
            await site.about("/acme")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("s3://host/bucket", "lacks a key and its secret"),
        ("s3://key@host/bucket", "lacks its secret"),
        ("s3://key:secret@host", "lacks a bucket"),
        ("s3://key:secret@host/bucket?regoin=x", "cannot be read"),
        ("s3://key:secret@host/bucket?region=", "cannot be read"),
    ],
)
async def test_a_url_that_lacks_something_says_what(url: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as raised:
        site_at(url)
    assert "secret@" not in str(raised.value)
