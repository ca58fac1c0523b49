"""What flows to an object store and from it: an object being read, one being written, copies within the store.

Invariants: what is held of a file is a part and a block; a file that broke off is no object, unless it is
abandoned: then it is one, as far as it came; what was finished is not written again; an object has the length that was
written, or is removed again; an answer of 200 that holds an error is an error.
"""

from __future__ import annotations

import calendar
from collections.abc import Mapping, Sequence
from contextlib import suppress
from email.utils import parsedate
from typing import NamedTuple
from xml.etree.ElementTree import Element, SubElement, tostring

from gateway.proxy.store import Incoming, StoreCut
from gateway.transfer.object_client import ObjectClient
from gateway.transfer.site import Admits, Block, SiteFailure, SiteUnavailable

LEAST_PART_BYTES = 5 * 1024 * 1024
"""A smaller part can only be the last (S3's limit), so that what is shorter is read back, not copied."""
PART_BYTES = LEAST_PART_BYTES
SMALL_BYTES = 64 * 1024
"""Blocks shorter than this are put together."""
LONGER_EVERY = 1_000
"""After so many parts they become longer by :data:`PART_BYTES`: a long file has no end at 10,000 of them."""
COPY_BYTES = 1024**3
"""At most so much by one copy; S3 takes five times as much."""
MAX_PARTS = 10_000


class Found(NamedTuple):
    """An object. ``tag``: of its content, as the store wants to be asked about it (``ETag``)."""

    size: int
    modified_s: int
    tag: str


class Nothing:
    """The end of a file."""

    async def read(self, size: int) -> bytes:  # noqa: ARG002 - as each Reading's
        return b""

    async def close(self) -> None: ...


class ObjectReading:
    """See :class:`gateway.transfer.site.Reading`.

    Args:
        incoming: what is left of an object of so many bytes from an offset on.

    Raises:
        SiteUnavailable: it is something else.
    """

    def __init__(self, client: ObjectClient, incoming: Incoming, offset: int, size: int) -> None:
        self._client, self._incoming = client, incoming
        self._left = memoryview(incoming.complete or b"")
        self._left_bytes = count(incoming.headers.get("Content-Length", ""))
        said = incoming.headers.get("Content-Range", "")
        is_asked = said == f"bytes {offset}-{size - 1}/{size}" if offset else incoming.status == 200
        if not is_asked or self._left_bytes != size - offset:
            raise SiteUnavailable(f"the site {client.name} gives other bytes of the file than were asked for")
        self._at_end = incoming.complete is not None

    async def read(self, size: int) -> bytes:
        while not self._left and not self._at_end:
            try:
                data = await anext(self._incoming.chunks, None)
            except StoreCut as error:
                raise self._client.broke_off() from error
            self._at_end = data is None
            self._left = memoryview(data or b"")
        data, self._left = bytes(self._left[:size]), self._left[size:]
        self._left_bytes -= len(data)
        if not data and self._left_bytes:
            raise self._client.broke_off()
        return data

    async def close(self) -> None:
        await self._incoming.close()


class ObjectWriting:
    """See :class:`gateway.transfer.site.Writing`: one request for a short file, parts for a longer one."""

    def __init__(self, client: ObjectClient, key: str, admits: Admits) -> None:
        self._client, self._key, self._admits = client, key, admits
        self._kept: list[Block] = []
        self._small = bytearray()  # what came last, in short blocks
        self._kept_bytes = 0
        self._upload = ""
        self._parts: list[str] = []
        self._size = 0
        self._is_over = False

    async def write(self, data: Block) -> None:
        self._keep(data)
        self._size += len(data)
        while self._kept_bytes >= (size := PART_BYTES * (1 + len(self._parts) // LONGER_EVERY)):
            await self._send(size)

    async def copy(self, key: str, tag: str, size: int) -> None:
        """Begin with the first bytes of an object, if it is still the same; no copy of them leaves the store."""
        await self._begin()
        self._size = size
        at = 0
        while at < size:
            left = size - at
            count = left if left <= COPY_BYTES else min(COPY_BYTES, left - LEAST_PART_BYTES)
            span = {"x-amz-copy-source-range": f"bytes={at}-{at + count - 1}"}
            headers = source_of(self._client, key, tag) | span
            said = await self._client.ask("PUT", self._key, self._part(), headers=headers, admits=self._admits)
            self._parts.append(tag_of(self._client.told(said.body, "CopyPartResult").findtext("ETag", "")))
            at += count

    async def finish(self) -> None:
        """All of it is an object now."""
        if self._upload:
            await self._complete()
        else:
            await self._client.ask("PUT", self._key, body=self._put_together(), admits=self._admits)
        await require_size(self._client, self._key, self._size)
        self._is_over = True

    async def _complete(self) -> None:
        if self._kept_bytes:
            await self._send(self._kept_bytes)
        listed = Element("CompleteMultipartUpload")
        for number, etag in enumerate(self._parts, 1):
            part = SubElement(listed, "Part")
            SubElement(part, "PartNumber").text = str(number)
            SubElement(part, "ETag").text = etag
        query = {"uploadId": self._upload}
        said = await self._client.ask("POST", self._key, query, body=(tostring(listed),), admits=self._admits)
        self._client.told(said.body, "CompleteMultipartUploadResult")
        self._upload = ""

    async def abandon(self) -> None:
        """What came is kept for whoever goes on; where that fails, or is cut, nothing is."""
        if self._is_over:
            return
        self._is_over = True
        try:
            await self.finish()
        except BaseException:
            await self.drop()
            raise

    async def drop(self) -> None:
        """Nothing of it stays."""
        if self._upload:
            with suppress(SiteFailure):
                await self._client.ask("DELETE", self._key, {"uploadId": self._upload})
            self._upload = ""

    async def _begin(self) -> None:
        said = await self._client.ask("POST", self._key, {"uploads": ""}, admits=self._admits)
        self._upload = self._client.told(said.body, "InitiateMultipartUploadResult").findtext("UploadId", "")
        if not self._upload:
            raise SiteUnavailable(f"the site {self._client.name} began an upload without an id")

    def _keep(self, data: Block) -> None:
        self._kept_bytes += len(data)
        if len(data) >= SMALL_BYTES:
            self._put_together().append(data)
            return
        self._small += data
        if len(self._small) >= SMALL_BYTES:
            self._put_together()

    def _put_together(self) -> list[Block]:
        """All that is kept, in order; a short block that comes later begins anew."""
        if self._small:
            self._kept.append(memoryview(self._small))
            self._small = bytearray()
        return self._kept

    async def _send(self, size: int) -> None:
        """So many of the bytes that are kept are the next part; they are kept until the store has it."""
        if not self._upload:
            await self._begin()
        part, left = _split(self._put_together(), size)
        said = await self._client.ask("PUT", self._key, self._part(), body=part, admits=self._admits)
        self._parts.append(tag_of(said.headers.get("ETag", "")))
        self._kept, self._kept_bytes = left, self._kept_bytes - size

    def _part(self) -> Mapping[str, str]:
        if len(self._parts) == MAX_PARTS:
            raise SiteUnavailable(f"the file has more than {MAX_PARTS} parts; resume the upload to go on")
        return {"partNumber": str(len(self._parts) + 1), "uploadId": self._upload}


def _split(blocks: Sequence[Block], size: int) -> tuple[list[Block], list[Block]]:
    """The blocks up to so many bytes, and those behind them; one that is in both is divided, not copied."""
    first: list[Block] = []
    for number, block in enumerate(blocks):
        if len(block) > size:
            view = memoryview(block)
            return [*first, view[:size]], [view[size:], *blocks[number + 1 :]]
        first.append(block)
        size -= len(block)
    return first, []


async def copied(client: ObjectClient, key: str, found: Found, to: str, admits: Admits) -> None:
    """Copy an object within the store, if it is still the one that was found."""
    if is_marker(key, found):
        await client.ask("PUT", to, body=(b"",), admits=admits)
        return
    if found.size <= COPY_BYTES:
        said = await client.ask("PUT", to, headers=source_of(client, key, found.tag), admits=admits)
        client.told(said.body, "CopyObjectResult")
        await require_size(client, to, found.size)
        return
    writing = ObjectWriting(client, to, admits)
    try:
        await writing.copy(key, found.tag, found.size)
        await writing.finish()
    except BaseException:
        await writing.drop()
        raise


def is_marker(key: str, found: Found) -> bool:
    """Whether an object says no more than that there is a folder; some stores have those, and copy none."""
    return key.endswith("/") and not found.size


async def object_at(client: ObjectClient, key: str) -> Found:
    """What the store says of an object."""
    headers = (await client.ask("HEAD", key)).headers
    at_s = _moment(headers.get("Last-Modified", ""))
    return Found(count(headers.get("Content-Length", "")), at_s, tag_of(headers.get("ETag", "")))


async def require_size(client: ObjectClient, key: str, size: int) -> None:
    """That an object is as long as it was written; one that is not is removed."""
    found = await object_at(client, key)
    if found.size != size:
        await client.ask("DELETE", key)
        raise SiteUnavailable(f"the site {client.name} has {found.size} bytes of this file; expected {size}")


def source_of(client: ObjectClient, key: str, tag: str) -> dict[str, str]:
    """The headers that name what is copied, and that it has to be the same still."""
    return {"x-amz-copy-source": client.source(key), "x-amz-copy-source-if-match": tag}


def _moment(text: str) -> int:
    """Seconds since the epoch of an HTTP date; 0 where it is none."""
    found = parsedate(text)
    try:
        return calendar.timegm(found) if found else 0
    except (ValueError, OverflowError):
        return 0


def tag_of(said: str) -> str:
    """An ``ETag``, as a store told it.

    Raises:
        SiteUnavailable: it is none.
    """
    if not said or not said.isascii() or not said.isprintable() or " " in said:
        raise SiteUnavailable("the site does not say what it has of the file")
    return said


def count(said: str) -> int:
    """A length, as a store told it.

    Raises:
        SiteUnavailable: it is none.
    """
    if not (said.isascii() and said.isdecimal() and len(said) < 20):
        raise SiteUnavailable("the site does not say how long the file is")
    return int(said)
