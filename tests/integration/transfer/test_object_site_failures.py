"""A site in a bucket whose store does not do what it is asked for, or says what cannot be."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from gateway.transfer import object_client, object_site, object_streams
from gateway.transfer.object_site import ObjectSite
from gateway.transfer.site import NameTaken, NoSuchName, SiteElsewhere, SiteFailure, SiteSlow, SiteUnavailable
from tests.world.object_store import KEY, SECRET, site_at, url_of
from tests.world.scripted_s3 import Said, ScriptedS3, scripted_s3
from tests.world.sites import content

Act = Callable[[ObjectSite], Awaitable[object]]
EVERY_ACT: dict[str, Act] = {
    "about": lambda site: site.about("/x"),
    "list": lambda site: site.list("/"),
    "read": lambda site: content(site, "/x"),
    "write": lambda site: write(site),
    "move": lambda site: site.move("/x", "/y"),
    "remove": lambda site: site.remove("/x"),
    "make folder": lambda site: site.make_folder("/y"),
    "remove folder": lambda site: site.remove_folder("/y"),
}
BOMB = '<!DOCTYPE r [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><ListBucketResult>&b;</ListBucketResult>'
REDIRECT = {"Location": "http://127.0.0.1:1/elsewhere"}
LAST = "<IsTruncated>false</IsTruncated>"


async def write(site: ObjectSite, data: bytes = b"of acme") -> None:
    writing = await site.write("/x")
    try:
        await writing.write(data)
        await writing.finish()
    finally:
        await writing.abandon()


@asynccontextmanager
async def facing(*said: Said, **more: object) -> AsyncIterator[tuple[ScriptedS3, ObjectSite]]:
    """A store that answers with each of these in turn, the last of them for ever, and the gateway's side."""
    async with scripted_s3(*said) as server:
        site = site_at(url_of(server.port), **more)
        try:
            async with asyncio.timeout(30):
                yield server, site
        finally:
            await site.close()


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_client, "PAUSES_S", (0.0, 0.0))


@pytest.mark.parametrize("act", EVERY_ACT.values(), ids=EVERY_ACT)
@pytest.mark.parametrize(
    "said",
    [
        Said(drops=True),
        Said(raw=b"220 hello\r\n"),
        Said(301, headers=REDIRECT),
        Said(307, headers=REDIRECT),
        Said(400, "<Error><Code>AuthorizationHeaderMalformed</Code></Error>"),
        Said(403, "<Error><Code>RequestTimeTooSkewed</Code></Error>"),
        Said(500, "<html>s3cret</html>"),
        Said(503, "<Error><Code>SlowDown</Code></Error>"),
        Said(200, "<html/>"),
        Said(200, BOMB),
        Said(200, "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"),
        Said(202, f"<ListBucketResult>{LAST}</ListBucketResult>"),
    ],
    ids=lambda said: f"{said.status} {said.body[:12] or said.raw[:4].decode() or said.drops}",
)
async def test_what_is_no_answer_is_no_word_about_files(act: Act, said: Said) -> None:
    """Whatever is asked: it is told that the site failed, and not that there is nothing."""
    async with facing(said, breaker_failures=0) as (server, site):
        with capture_logs() as logs, pytest.raises(SiteUnavailable) as raised:
            await act(site)
    assert len(server.asked) <= 3 * (1 + (act is EVERY_ACT["write"]))
    assert "\n" not in str(raised.value)
    assert not any(word in f"{raised.value}{logs}" for word in (SECRET, "s3cret", "elsewhere", "Signature"))


@pytest.mark.parametrize("act", EVERY_ACT.values(), ids=EVERY_ACT)
async def test_a_store_that_does_not_answer_is_not_waited_for(act: Act) -> None:
    async with facing(Said(hangs=True), read_timeout_s=0.1) as (_, site):
        with pytest.raises(SiteSlow, match="did not answer in time"):
            await act(site)


async def test_what_comes_in_short_blocks_is_kept_in_long_ones() -> None:
    """A client that sends a byte at a time takes no more memory than one that does not; every byte is in its place."""
    async with facing(*NEW, Said(200), Said(200, headers=FILE | {"Content-Length": "300007"}), Said(204)) as (
        server,
        site,
    ):
        writing = await site.write("/x")
        data = os.urandom(300_007)
        for start in range(100_000):
            await writing.write(data[start : start + 1])
        await writing.write(data[100_000:200_000])
        for start in range(200_000, len(data), 7):
            await writing.write(data[start : start + 7])
        assert len(writing._kept) <= 5
        await writing.finish()
    [put] = [asked for asked in server.asked if asked.method == "PUT"]
    assert put.body == data


async def test_parts_become_longer_so_that_a_long_file_has_no_end_at_ten_thousand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every thousand by the first length; here every second part, by four bytes."""
    monkeypatch.setattr(object_streams, "PART_BYTES", 4)
    monkeypatch.setattr(object_streams, "LONGER_EVERY", 2)
    whole = Said(200, "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>")
    stored = Said(200, headers=FILE | {"Content-Length": "33"})
    async with facing(*NEW, BEGUN, *[PUT] * 5, whole, stored) as (server, site):
        await write(site, bytes(range(33)))
    parts = [asked.body for asked in server.asked if "partNumber" in asked.target]
    assert [len(part) for part in parts] == [4, 4, 8, 8, 9]
    assert b"".join(parts) == bytes(range(33))


async def test_an_open_breaker_is_told_once() -> None:
    """By the breaker itself; whoever asks meanwhile is refused, and the log is not filled."""
    async with facing(Said(drops=True), breaker_failures=1, breaker_open_s=60) as (server, site):
        with capture_logs() as logs:
            for _ in range(5):
                with pytest.raises(SiteUnavailable):
                    await site.list("/acme")
    assert len(server.asked) == 1
    assert [each["event"] for each in logs].count("object_site_failed") <= 1
    assert "store_circuit_opened" in {each["event"] for each in logs}


async def test_a_folder_that_holds_too_much_is_not_begun_to_be_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    """One file more than may be; nothing of it is copied."""
    monkeypatch.setattr(object_site, "MAX_MOVED", 1)
    files = "".join(f'<Contents><Key>in/{name}</Key><Size>7</Size><ETag>"e"</ETag></Contents>' for name in ("a", "b"))
    listed = Said(200, f"<ListBucketResult>{files}{LAST}</ListBucketResult>")
    async with facing(ABSENT, listed, ABSENT, EMPTY, listed) as (server, site):
        with pytest.raises(NameTaken, match="more than 1 files"):
            await site.move("/in", "/out")
    assert {asked.method for asked in server.asked} <= {"GET", "HEAD"}


async def test_an_answer_that_drips_is_not_waited_for() -> None:
    """White space, as stores send it while they are busy; but not for ever."""
    async with facing(Said(200, drips=True), read_timeout_s=0.1) as (_, site):
        with pytest.raises(SiteSlow):
            await site.list("/")


async def test_an_answer_without_end_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_client, "MAX_TOLD_BYTES", 100_000)
    async with facing(Said(200, "<ListBucketResult>" + " " * 200_000)) as (_, site):
        with pytest.raises(SiteUnavailable, match="cannot be reached, refused or broke off"):
            await site.list("/")


FILE = {"ETag": '"e"', "Content-Length": "10"}


@pytest.mark.parametrize(
    ("offset", "said"),
    [
        (0, Said(200, raw=b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")),
        (0, Said(200, raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n")),
        (0, Said(200, "too short")),
        (0, Said(206, "0123456789", {"Content-Range": "bytes 0-9/10"})),
        (0, Said(412, "<Error><Code>PreconditionFailed</Code></Error>")),
        (4, Said(200, "0123456789")),
        (4, Said(206, "456789")),
        (4, Said(206, "012345", {"Content-Range": "bytes 0-5/10"})),
        (4, Said(206, "45678", {"Content-Range": "bytes 4-8/10"})),
        (4, Said(206, "456789", {"Content-Range": "bytes 4-9/11"})),
    ],
)
async def test_other_bytes_than_were_asked_for_are_no_file(offset: int, said: Said) -> None:
    """Fewer of them, others, or of a file that changed meanwhile."""
    async with facing(Said(200, headers=FILE), said) as (_, site):
        with pytest.raises(SiteUnavailable):
            await content(site, "/x", offset)


async def test_a_file_that_is_gone_when_it_is_read_is_not_there() -> None:
    async with facing(Said(200, headers=FILE), Said(404, "<Error><Code>NoSuchKey</Code></Error>")) as (_, site):
        with pytest.raises(NoSuchName):
            await site.read("/x")


EMPTY = Said(200, f"<ListBucketResult>{LAST}</ListBucketResult>")
ABSENT = Said(404)
NEW = [EMPTY, EMPTY]  # the folder is there, and no other has the name of the file that is written
PUT = Said(200, headers={"ETag": '"e"'})
BEGUN = Said(200, "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
FAILED = Said(200, "<Error><Code>InternalError</Code></Error>")


async def test_a_store_that_has_another_length_has_no_file() -> None:
    """It is removed; so that nobody goes on from there."""
    done = [PUT, Said(200, headers=FILE), Said(204)]
    async with facing(*NEW, *done, *done) as (server, site):
        with pytest.raises(SiteUnavailable, match="has 10 bytes of this file; expected 7"):
            await write(site)
    assert [asked.method for asked in server.asked[2:5]] == ["PUT", "HEAD", "DELETE"]


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([BEGUN, Said(400)], ["POST", "PUT", "PUT", "DELETE"]),
        ([BEGUN, Said(200)], ["POST", "PUT", "PUT", "DELETE"]),
        ([BEGUN, PUT, PUT, FAILED, FAILED, Said(204)], ["POST", "PUT", "PUT", "POST", "POST", "DELETE"]),
        ([BEGUN, PUT, PUT, Said(drops=True)], ["POST", "PUT", "PUT", "POST", "POST", "DELETE"]),
    ],
)
async def test_an_upload_in_parts_that_fails_is_aborted(
    monkeypatch: pytest.MonkeyPatch, answers: list[Said], expected: list[str]
) -> None:
    """Also where the store says 200 first and only then that it could not; nothing of it is ever seen."""
    monkeypatch.setattr(object_streams, "PART_BYTES", 4)
    async with facing(*NEW, *answers, breaker_failures=0) as (server, site):
        with pytest.raises(SiteUnavailable):
            await write(site)
    asked = server.asked[2 : 2 + len(expected)]
    assert [each.method for each in asked] == expected
    assert asked[-1].target == "/uploads/x?uploadId=u"


async def test_a_cut_upload_that_cannot_be_kept_is_aborted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its client is gone in the middle of a part, and then the store does not go on, either."""
    monkeypatch.setattr(object_streams, "PART_BYTES", 4)
    async with facing(*NEW, BEGUN, Said(hangs=True), Said(400), Said(204)) as (server, site):
        writing = await site.write("/x")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await writing.write(b"of acme")
        with pytest.raises(SiteUnavailable):
            await writing.abandon()
        await writing.abandon()
    assert [asked.method for asked in server.asked[2:]] == ["POST", "PUT", "PUT", "DELETE"]


MOVING = [Said(200, headers=FILE), ABSENT, EMPTY, EMPTY, Said(200, headers=FILE)]  # what there is, twice, what is not
COPIED = Said(200, '<CopyObjectResult><ETag>"e"</ETag></CopyObjectResult>')


@pytest.mark.parametrize(
    "answers",
    [
        [FAILED],
        [Said(200)],
        [Said(412)],
        [Said(hangs=True)],
        [COPIED, Said(200, headers=FILE | {"Content-Length": "9"}), Said(204)],
        [COPIED, Said(200, headers=FILE), Said(200, headers=FILE | {"ETag": '"other"'})],
        [COPIED, Said(200, headers=FILE), Said(404)],
    ],
)
async def test_a_move_that_fails_removes_nothing_of_what_was_to_be_moved(answers: list[Said]) -> None:
    """It was not copied, or not as a whole, or changed meanwhile."""
    async with facing(*MOVING, *answers, read_timeout_s=0.2) as (server, site):
        with pytest.raises(SiteFailure):
            await site.move("/x", "/y")
        assert len(server.asked) >= len(MOVING) + len(answers)
    assert [asked.target for asked in server.asked if asked.method == "DELETE"] in ([], ["/uploads/y"])


async def test_a_long_file_is_moved_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of which names what is copied, and that it has to be the same still."""
    monkeypatch.setattr(object_streams, "COPY_BYTES", 6)
    monkeypatch.setattr(object_streams, "LEAST_PART_BYTES", 2)
    part = Said(200, '<CopyPartResult><ETag>"p"</ETag></CopyPartResult>')
    whole = Said(200, "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>")
    file = Said(200, headers=FILE)
    async with facing(*MOVING, BEGUN, part, part, whole, file, file, Said(204)) as (server, site):
        await site.move("/x", "/y z")
    spans = [asked.headers.get("x-amz-copy-source-range") for asked in server.asked]
    assert list(filter(None, spans)) == ["bytes=0-5", "bytes=6-9"]
    sources = {asked.headers["x-amz-copy-source"] for asked in server.asked if "x-amz-copy-source" in asked.headers}
    assert sources == {"/uploads/x"}
    assert {asked.headers.get("x-amz-copy-source-if-match") for asked in server.asked} == {None, '"e"'}
    assert [(asked.method, asked.target) for asked in server.asked[-1:]] == [("DELETE", "/uploads/x")]


@pytest.mark.parametrize("busy", [Said(503), Said(500), Said(drops=True)])
async def test_a_store_that_is_busy_is_asked_again(busy: Said) -> None:
    """Twice; and everything of it, its body too."""
    async with facing(*NEW, busy, busy, PUT, Said(200, headers=FILE | {"Content-Length": "7"})) as (server, site):
        await write(site)
    assert [asked.method for asked in server.asked[2:]] == ["PUT", "PUT", "PUT", "HEAD"]
    assert {asked.body for asked in server.asked[2:5]} == {b"of acme"}


async def test_a_request_is_signed_and_carries_what_tells_if_it_changed() -> None:
    """With both digests of its body, for the url's region."""
    async with facing(*NEW, PUT, Said(200, headers=FILE | {"Content-Length": "7"})) as (server, site):
        await write(site)
    headers: Mapping[str, str] = server.asked[2].headers
    assert headers["Content-MD5"] == "Y/eajfEfF7A3V5lCDxvaBg=="
    assert headers["X-Amz-Content-SHA256"] == hashlib.sha256(b"of acme").hexdigest()
    said = headers["Authorization"]
    assert said.startswith(f"AWS4-HMAC-SHA256 Credential={KEY}/")
    assert "/us-east-1/s3/aws4_request, SignedHeaders=content-md5;host;x-amz-content-sha256;x-amz-date, " in said


async def test_nothing_goes_to_a_peer_that_is_not_admitted() -> None:
    """Of an upload neither a byte nor the name."""
    allowed = [True]
    async with facing(*NEW) as (server, site):
        writing = await site.write("/x", admits=lambda _peer: bool(allowed))
        await writing.write(b"of acme")
        allowed.clear()
        for act in (writing.finish(), writing.abandon(), site.write("/x", admits=lambda _peer: False)):
            with pytest.raises(SiteElsewhere):
                await act
    assert [asked.method for asked in server.asked] == ["GET", "GET"]
