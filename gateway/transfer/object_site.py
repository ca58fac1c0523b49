"""A site behind an object store (S3): keys with ``/`` in them are files in folders.

A folder is there when something lies below it, or when the empty object of its name and a ``/`` does, which is what
making one makes, and what stays of a folder when its last file goes. Objects appear whole or not at all; a file is
moved by a copy within the store and the removal of the first, so that what fails in between leaves both, and loses
none.

Invariants: what cannot be told for certain is a failure, and never an absence; nothing is removed before its copy was
seen to be whole, nor if it changed meanwhile.
"""

from __future__ import annotations

import calendar
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from urllib.parse import unquote_plus
from xml.etree.ElementTree import Element

from gateway.settings import StoreSettings
from gateway.transfer.names import PARTIAL, folder_of
from gateway.transfer.object_client import ObjectClient
from gateway.transfer.object_streams import (
    LEAST_PART_BYTES,
    Found,
    Nothing,
    ObjectReading,
    ObjectWriting,
    copied,
    count,
    is_marker,
    object_at,
    tag_of,
)
from gateway.transfer.site import (
    About,
    Admits,
    NameTaken,
    NoSuchName,
    Reading,
    SiteUnavailable,
    Writing,
)

PAGE = 1_000
MAX_KEY_BYTES = 1_024
_ABSENT = "there is nothing of this name, or not of this kind"
MAX_MOVED = 1_000
"""Files that are moved with their folder, one by one."""


class ObjectSite:
    """See the module.

    Args:
        settings: see :class:`gateway.transfer.object_client.ObjectClient`.
    """

    def __init__(self, settings: StoreSettings) -> None:
        self._client = ObjectClient(settings)

    async def close(self) -> None:
        await self._client.close()

    async def about(self, path: str) -> About | None:
        """See :class:`gateway.transfer.site.Site`."""
        name = path.rpartition("/")[2]
        if path == "/":
            return About("", is_folder=True)
        if _is_too_long(self._below(path)):
            return None
        try:
            found = await object_at(self._client, self._key(path))
        except NoSuchName:
            return About(name, is_folder=True) if await self._is_folder(path) else None
        return About(name, is_folder=False, size=found.size, modified_s=found.modified_s)

    async def list(self, path: str) -> Sequence[About]:
        """See :class:`gateway.transfer.site.Site`."""
        found: dict[str, About] = {}
        below = self._below(path)
        folders: dict[str, About] = {}
        is_there = path == "/"
        async for page in self._pages(below, delimiter="/"):
            for each in page.iter("Contents"):
                is_there = True
                name = self._beyond(below, self._named(page, each, "Key"))
                if _is_name(name):
                    size, modified = each.findtext("Size", ""), each.findtext("LastModified", "")
                    found[name] = About(name, is_folder=False, size=count(size), modified_s=_instant(modified))
            for each in page.iter("CommonPrefixes"):
                is_there = True
                name = self._beyond(below, self._named(page, each, "Prefix")).removesuffix("/")
                if _is_name(name):
                    folders.setdefault(name, About(name, is_folder=True))
        if not is_there:
            raise NoSuchName(_ABSENT)
        return [*(folders | found).values()]  # what has the name of both is the file

    async def read(self, path: str, offset: int = 0) -> Reading:
        """See :class:`gateway.transfer.site.Site`."""
        found = await self._found(path)
        if offset >= found.size:
            return Nothing()
        headers = {"If-Match": found.tag} | ({"Range": f"bytes={offset}-"} if offset else {})
        incoming = await self._client.begin("GET", self._key(path), headers=headers)
        try:
            return ObjectReading(self._client, incoming, offset, found.size)
        except SiteUnavailable:
            await incoming.close()
            raise

    async def write(self, path: str, *, offset: int = 0, admits: Admits = None) -> Writing:
        """See :class:`gateway.transfer.site.Site`."""
        await self._require_folder(folder_of(path), admits)
        if await self._is_folder(path):
            raise NoSuchName("there is no such file")
        writing = ObjectWriting(self._client, self._key(path), admits)
        if offset:
            found = await self._found(path)
            if found.size < offset:
                raise NameTaken(f"there are {found.size} bytes of this file; expected an offset within them")
            await self._begin_with(writing, path, found, offset)
        return writing

    async def _begin_with(self, writing: ObjectWriting, path: str, found: Found, size: int) -> None:
        """The first bytes of a file begin what is written in its place."""
        if size < LEAST_PART_BYTES:  # nothing goes out before the whole is longer
            await writing.write(await self._first(path, size))
            return
        try:
            await writing.copy(self._key(path), found.tag, size)
        except BaseException:
            await writing.drop()
            raise

    async def _first(self, path: str, size: int) -> bytes:
        reading = await self.read(path)
        found = bytearray()
        try:
            while len(found) < size and (data := await reading.read(size - len(found))):
                found += data
        finally:
            await reading.close()
        if len(found) < size:
            raise SiteUnavailable("the file became shorter meanwhile")
        return bytes(found)

    async def move(self, path: str, to: str, *, admits: Admits = None) -> None:
        """See :class:`gateway.transfer.site.Site`; of a folder, all is copied before the first of it is removed."""
        about = await self.about(path)
        if about is None:
            raise NoSuchName("there is nothing of this name")
        below, below_to = self._below(path), self._below(to)
        if below_to.startswith(below):
            raise NameTaken("nothing can be moved to itself, nor a folder into itself")
        there = await self.about(to)
        if there is not None and (there.is_folder or about.is_folder):
            raise NameTaken("something of this name is there")
        await self._require_folder(folder_of(to), admits)
        if not about.is_folder:
            found = await self._found(path)
            await copied(self._client, self._key(path), found, self._key(to), admits)
            if folder_of(path) != folder_of(to):
                await self._keep_folder(path, admits)
            await self._remove_copied(self._key(path), found)
            return
        held = await self._held_by(below)
        for key, found in held:
            await copied(self._client, key, found, below_to + key.removeprefix(below), admits)
        await self._keep_folder(path, admits)
        for key, found in reversed(held):  # what a folder holds goes before the folder
            await self._remove_copied(key, found)

    async def _remove_copied(self, key: str, found: Found) -> None:
        if not is_marker(key, found) and (await object_at(self._client, key)).tag != found.tag:
            raise NameTaken("the file changed while it was moved; it is there under both names")
        await self._client.ask("DELETE", key)

    async def remove(self, path: str) -> None:
        """See :class:`gateway.transfer.site.Site`."""
        await self._found(path)
        await self._keep_folder(path)
        await self._client.ask("DELETE", self._key(path))

    async def make_folder(self, path: str, *, admits: Admits = None) -> None:
        """See :class:`gateway.transfer.site.Site`."""
        if await self.about(path) is not None:
            raise NameTaken("something of this name is there")
        await self._require_folder(folder_of(path), admits)
        await self._client.ask("PUT", self._below(path), body=(b"",), admits=admits)

    async def remove_folder(self, path: str) -> None:
        """See :class:`gateway.transfer.site.Site`; what broke off in there goes with it."""
        found = await self.list(path)
        if any(about.is_folder or not about.name.startswith(PARTIAL) for about in found):
            raise NameTaken("the folder is not empty")
        for about in found:
            await self._client.ask("DELETE", self._below(path) + about.name)
        await self._keep_folder(path)
        with suppress(NoSuchName):
            await self._client.ask("DELETE", self._below(path))

    def _key(self, path: str) -> str:
        return f"{self._client.folder}{path}".strip("/")

    def _below(self, path: str) -> str:
        """What the keys of all that a folder holds begin with."""
        key = self._key(path)
        return f"{key}/" if key else ""

    async def _found(self, path: str) -> Found:
        """A file.

        Raises:
            NoSuchName: there is none of this name.
        """
        if path == "/" or _is_too_long(self._below(path)):
            raise NoSuchName(_ABSENT)
        return await object_at(self._client, self._key(path))

    async def _require_folder(self, path: str, admits: Admits = None) -> None:
        if not await self._is_folder(path, admits):
            raise NoSuchName("there is no such folder")

    async def _keep_folder(self, path: str, admits: Admits = None) -> None:
        """The folder of what goes now stays, also when this was the last in it."""
        below = self._below(folder_of(path))
        if below != self._below("/"):
            await self._client.ask("PUT", below, body=(b"",), admits=admits)

    async def _is_folder(self, path: str, admits: Admits = None) -> bool:
        if _is_too_long(self._below(path)):
            return False
        query = {"list-type": "2", "prefix": self._below(path), "max-keys": "1"}
        said = await self._client.ask("GET", query=query, admits=admits)
        page = self._client.told(said.body, "ListBucketResult")
        return path == "/" or page.find("Contents") is not None or page.find("CommonPrefixes") is not None

    async def _held_by(self, below: str) -> Sequence[tuple[str, Found]]:
        """As :meth:`_held`, if it can be moved while a client waits.

        Raises:
            NameTaken: it is too much.
        """
        held: list[tuple[str, Found]] = []
        async for each in self._held(below):
            held.append(each)
            if len(held) > MAX_MOVED:
                raise NameTaken(f"the folder holds more than {MAX_MOVED} files; move some of them first")
        return held

    async def _held(self, below: str) -> AsyncIterator[tuple[str, Found]]:
        """The objects below a folder, by their keys."""
        async for page in self._pages(below):
            for each in page.iter("Contents"):
                key, size = self._named(page, each, "Key"), count(each.findtext("Size", ""))
                self._beyond(below, key)
                yield key, Found(size, 0, tag_of(each.findtext("ETag", "")))

    def _beyond(self, below: str, key: str) -> str:
        """What a key has beyond a folder's."""
        if not key.startswith(below):
            raise SiteUnavailable(f"the site {self._client.name} lists what it was not asked for")
        return key.removeprefix(below)

    @staticmethod
    def _named(page: Element, element: Element, name: str) -> str:
        found = element.findtext(name, "")
        is_quoted = page.findtext("EncodingType") == "url"
        return unquote_plus(found, errors="surrogateescape") if is_quoted else found

    async def _pages(self, prefix: str, **more: str) -> AsyncIterator[Element]:
        query = {"list-type": "2", "prefix": prefix, "max-keys": str(PAGE), "encoding-type": "url", **more}
        while True:
            said = await self._client.ask("GET", query=query)
            page = self._client.told(said.body, "ListBucketResult")
            yield page
            further = page.findtext("NextContinuationToken", "")
            if page.findtext("IsTruncated") != "true":
                return
            if not further or further == query.get("continuation-token"):
                raise SiteUnavailable(f"the site {self._client.name} does not say how its listing goes on")
            query["continuation-token"] = further


def _is_name(name: str) -> bool:
    """Whether a key is what a client could ask for; others are nobody's files."""
    return name not in ("", ".", "..") and "/" not in name and name.isprintable()


def _is_too_long(key: str) -> bool:
    """Whether no store has such a key."""
    return len(key.encode()) > MAX_KEY_BYTES


def _instant(text: str) -> int:
    """Seconds since the epoch of a date such as ``2026-03-01T09:00:00.000Z``; 0 where it is none."""
    try:
        return calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return 0
