"""The site as the HTTP door shows it: ``GET`` a file, with ranges, or a folder as JSON or a page; ``PUT`` and
``DELETE`` a file. Who may, and that it is written down, is the door's affair, as for every store."""

from __future__ import annotations

import html
import json
import re
from collections.abc import AsyncIterator
from email.utils import formatdate
from typing import NamedTuple
from urllib.parse import quote, unquote

from multidict import CIMultiDict, CIMultiDictProxy

from gateway.errors import Malformed
from gateway.proxy.store import Incoming, Outgoing, StoreCut, StoreElsewhere, StoreUnreachable
from gateway.transfer.names import folder_of, is_nameable, resolve, target_of
from gateway.transfer.site import (
    About,
    Admits,
    NameTaken,
    NoSuchName,
    Reading,
    Site,
    SiteElsewhere,
    SiteFailure,
    SiteSlow,
)
from gateway.transfer.uploads import Uploads, to_the_end

BLOCK_BYTES = 256 * 1024
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")  # more digits than any file has are no range


class SiteStore:
    """A :class:`gateway.proxy.store.Store` before a site.

    Args:
        name: for messages.

    Attributes:
        uploads: those under way, at every door.
    """

    def __init__(self, name: str, site: Site) -> None:
        self._name = name
        self.site, self.uploads = site, Uploads()

    async def close(self) -> None:
        """Let go of the site."""
        await self.site.close()

    async def exchange(self, outgoing: Outgoing) -> Incoming:
        """See :class:`gateway.proxy.store.Store`."""
        try:
            path = _named(outgoing.path)
        except Malformed as error:
            return _said(404, {"detail": str(error)})
        try:
            return await self._serve(path, outgoing)
        except NoSuchName:
            return _said(404, {"detail": "there is no such file"})
        except NameTaken as error:
            return _said(409, {"detail": str(error)})
        except SiteElsewhere as error:
            raise StoreElsewhere(self._name) from error
        except SiteFailure as error:
            raise StoreUnreachable(504 if isinstance(error, SiteSlow) else 502, str(error)) from error

    async def _serve(self, path: str, outgoing: Outgoing) -> Incoming:
        match outgoing.method:
            case "GET" | "HEAD":
                return await self._show(path, outgoing)
            case "PUT":
                return await self._keep(path, outgoing.body, outgoing.admits)
            case "DELETE":
                await self.site.remove(path)
                return _said(200, {"removed": path.rpartition("/")[2]})
        return _said(405, {"detail": f"{outgoing.method} has no meaning for a file; use GET, HEAD, PUT or DELETE"})

    async def _show(self, path: str, outgoing: Outgoing) -> Incoming:
        about = await self.site.about(path)
        if about is None:
            raise NoSuchName
        if about.is_folder:
            return await self._list(path, accept=outgoing.headers.get("Accept", ""))
        asked = _asked(outgoing.headers, about)
        if asked is None:
            return _said(416, {"detail": "the range begins behind the end"}, {"Content-Range": f"bytes */{about.size}"})
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(asked.size),
            "Accept-Ranges": "bytes",
            **_modified(about),
            **({"Content-Range": f"bytes {asked.first}-{asked.last}/{about.size}"} if asked.is_part else {}),
        }
        status, reason = (206, "Partial Content") if asked.is_part else (200, "OK")
        if outgoing.method == "HEAD":
            return _answer(status, reason, headers, _nothing())
        reading = await self.site.read(path, asked.first)
        incoming = _answer(status, reason, headers, _blocks(reading, asked.size))
        return incoming._replace(close=reading.close)

    async def _list(self, path: str, *, accept: str) -> Incoming:
        found = sorted(about for about in await self.site.list(path) if is_nameable(about.name))
        if accept.partition(",")[0].strip().startswith("text/html"):
            return _whole(200, _page(path, found).encode(), "text/html; charset=utf-8")
        files = [
            {
                "name": about.name,
                "type": "dir" if about.is_folder else "file",
                "size": about.size,
                **({"modified": formatdate(about.modified_s, usegmt=True)} if about.modified_s else {}),
            }
            for about in found
        ]
        return _said(200, {"files": files})

    async def _keep(self, path: str, body: AsyncIterator[bytes] | None, admits: Admits) -> Incoming:
        """Store a file; it appears when it is whole."""
        await self._require_folder(folder_of(path), admits)
        upload = await self.uploads.begin(self.site, path, admits=admits)
        try:
            if body is not None:
                async for chunk in body:
                    await upload.write(chunk)
            await upload.settle()
        except BaseException:
            await upload.discard()
            raise
        await to_the_end(upload.appear())
        return _said(201, {"stored": path.rpartition("/")[2]})

    async def _require_folder(self, folder: str, admits: Admits) -> None:
        about = await self.site.about(folder)
        if about is None:
            await self._require_folder(folder_of(folder), admits)
            await self.site.make_folder(folder, admits=admits)
        elif not about.is_folder:
            raise NameTaken("a file has the name of this folder")


def _named(path: str) -> str:
    """The name that was judged.

    Raises:
        Malformed: it is none, or its path in the record is another.
    """
    name = resolve("/", unquote(path))
    if target_of("", name) != path.rstrip("/"):
        raise Malformed("the path is not the one that the record has for this file")
    return name


class _Asked(NamedTuple):
    """The bytes that are asked for."""

    first: int
    last: int
    is_part: bool

    @property
    def size(self) -> int:
        return self.last - self.first + 1


def _asked(headers: CIMultiDict[str], about: About) -> _Asked | None:
    """Which bytes (RFC 9110 §14.2); of several ranges none, so that all come; None where there is no such byte."""
    whole = _Asked(0, about.size - 1, is_part=False)
    match = _RANGE.fullmatch(headers.get("Range", "").replace(" ", ""))
    if match is None or match[0] == "bytes=-" or headers.get("If-Range", _since(about)) != _since(about):
        return whole
    if not match[1]:
        first, last = max(0, about.size - int(match[2])), about.size - 1
    else:
        first, last = int(match[1]), min(int(match[2] or about.size - 1), about.size - 1)
    return _Asked(first, last, is_part=True) if first <= last else None


def _since(about: About) -> str:
    return formatdate(about.modified_s, usegmt=True) if about.modified_s else ""


def _modified(about: About) -> dict[str, str]:
    return {"Last-Modified": _since(about)} if about.modified_s else {}


async def _blocks(reading: Reading, size: int) -> AsyncIterator[bytes]:
    try:
        left = size
        while left and (data := await reading.read(min(left, BLOCK_BYTES))):
            left -= len(data)
            yield data
    except SiteFailure as error:
        raise StoreCut(str(error)) from error


def _page(path: str, found: list[About]) -> str:
    rows = "".join(
        f'<tr><td><a href="{html.escape(quote(about.name, safe=""))}{"/" if about.is_folder else ""}">'
        f"{html.escape(about.name)}</a></td><td>{'' if about.is_folder else about.size}</td>"
        f"<td>{html.escape(_since(about))}</td></tr>"
        for about in found
    )
    title, base = html.escape(path), quote(path.rpartition("/")[2])
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><base href="{base}/"></head>'
        f"<body><h1>{title}</h1><table><tr><th>Name</th><th>Bytes</th><th>Changed</th></tr>{rows}</table></body></html>"
    )


def _answer(status: int, reason: str, headers: dict[str, str], chunks: AsyncIterator[bytes]) -> Incoming:
    kept = CIMultiDictProxy(CIMultiDict(headers))
    return Incoming(status=status, reason=reason, headers=kept, chunks=chunks, close=_stay)


def _whole(status: int, text: bytes, kind: str, more: dict[str, str] | None = None) -> Incoming:
    headers = {"Content-Type": kind, "Content-Length": str(len(text)), **(more or {})}
    return _answer(status, "", headers, _nothing())._replace(complete=text)


def _said(status: int, body: object, more: dict[str, str] | None = None) -> Incoming:
    return _whole(status, json.dumps(body).encode(), "application/json", more)


async def _stay() -> None:
    """Nothing to end."""


async def _nothing() -> AsyncIterator[bytes]:
    no_chunks: tuple[bytes, ...] = ()
    for chunk in no_chunks:
        yield chunk
