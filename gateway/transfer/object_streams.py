"""What flows to an object store and from it: an object being read, one being written, copies within the store.

Invariants: what is held of a file is two parts of :data:`PART_BYTES`; a file that broke off is no object, unless it is
abandoned: then it is one, as far as it came; an answer of 200 that holds an error is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from xml.etree.ElementTree import Element, SubElement, tostring

from gateway.proxy.store import Incoming, StoreCut
from gateway.transfer.object_client import ObjectClient
from gateway.transfer.site import Admits, Block, SiteFailure, SiteUnavailable

PART_BYTES = 8 * 1024 * 1024
LEAST_PART_BYTES = 5 * 1024 * 1024
"""A smaller part can only be the last (S3's limit), so that what is shorter is read back, not copied."""
COPY_BYTES = 1024**3
"""At most so much by one copy; S3 takes five times as much."""


class Nothing:
    """The end of a file."""

    async def read(self, size: int) -> bytes:  # noqa: ARG002 - as each Reading's
        return b""

    async def close(self) -> None: ...


class ObjectReading:
    """See :class:`gateway.transfer.site.Reading`."""

    def __init__(self, client: ObjectClient, incoming: Incoming, offset: int) -> None:
        self._client, self._incoming = client, incoming
        if incoming.headers.get("Content-Range", "bytes 0-").partition("-")[0] != f"bytes {offset}":
            raise SiteUnavailable(f"the site {client.name} does not begin in the middle of a file")
        self._left = memoryview(incoming.complete or b"")
        self._left_bytes = count(incoming.headers.get("Content-Length", ""))
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
        self._kept = bytearray()
        self._upload = ""
        self._parts: list[str] = []

    async def write(self, data: Block) -> None:
        self._kept += data
        while len(self._kept) >= PART_BYTES:
            part = bytes(memoryview(self._kept)[:PART_BYTES])
            await self._send(part)
            del self._kept[:PART_BYTES]

    async def copy(self, key: str, size: int) -> None:
        """Begin with the first bytes of an object; no copy of them leaves the store."""
        await self._begin()
        at = 0
        while at < size:
            left = size - at
            count = left if left <= COPY_BYTES else min(COPY_BYTES, left - LEAST_PART_BYTES)
            source = {"x-amz-copy-source": self._client.source(key)}
            source["x-amz-copy-source-range"] = f"bytes={at}-{at + count - 1}"
            said = await self._client.ask("PUT", self._key, self._part(), headers=source, admits=self._admits)
            etag = self._client.told(said.body, "CopyPartResult").findtext("ETag", "")
            self._parts.append(etag)
            at += count

    async def finish(self) -> None:
        """All of it is an object now."""
        if not self._upload:
            await self._client.ask("PUT", self._key, body=bytes(self._kept), admits=self._admits)
            return
        if self._kept:
            await self._send(bytes(self._kept))
            self._kept.clear()
        listed = Element("CompleteMultipartUpload")
        for number, etag in enumerate(self._parts, 1):
            part = SubElement(listed, "Part")
            SubElement(part, "PartNumber").text = str(number)
            SubElement(part, "ETag").text = etag
        query = {"uploadId": self._upload}
        said = await self._client.ask("POST", self._key, query, body=tostring(listed), admits=self._admits)
        self._client.told(said.body, "CompleteMultipartUploadResult")
        self._upload = ""

    async def abandon(self) -> None:
        """What came is kept for whoever goes on; where that fails, nothing is."""
        try:
            await self.finish()
        except SiteFailure:
            await self.drop()

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

    async def _send(self, part: bytes) -> None:
        if not self._upload:
            await self._begin()
        said = await self._client.ask("PUT", self._key, self._part(), body=part, admits=self._admits)
        self._parts.append(said.headers.get("ETag", ""))

    def _part(self) -> Mapping[str, str]:
        return {"partNumber": str(len(self._parts) + 1), "uploadId": self._upload}


async def copied(client: ObjectClient, key: str, to: str, size: int, admits: Admits) -> None:
    """Copy an object within the store."""
    if key.endswith("/"):  # a folder's own, which holds nothing
        await client.ask("PUT", to, body=b"", admits=admits)
        return
    if size <= COPY_BYTES:
        said = await client.ask("PUT", to, headers={"x-amz-copy-source": client.source(key)}, admits=admits)
        client.told(said.body, "CopyObjectResult")
        return
    writing = ObjectWriting(client, to, admits)
    try:
        await writing.copy(key, size)
        await writing.finish()
    except BaseException:
        await writing.drop()
        raise


def count(said: str) -> int:
    """A length, as a store told it.

    Raises:
        SiteUnavailable: it is none.
    """
    if not (said.isascii() and said.isdecimal() and len(said) < 20):
        raise SiteUnavailable("the site does not say how long the file is")
    return int(said)
