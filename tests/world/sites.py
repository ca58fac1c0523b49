"""A file at a site, whole: to it and from it."""

from __future__ import annotations

from gateway.transfer.site import Site
from gateway.transfer.uploads import Uploads

BLOCK_BYTES = 1_000_000


async def content(site: Site, path: str, offset: int = 0, size: int = 100_000) -> bytes:
    """What a file holds, read in blocks of ``size`` bytes at most."""
    reading = await site.read(path, offset)
    parts = []
    while data := await reading.read(size):
        parts.append(data)
    await reading.close()
    return b"".join(parts)


async def store(site: Site, path: str, data: bytes, offset: int | None = 0) -> None:
    """Upload a file, or what is left of it, until it is there."""
    upload = await Uploads().begin(site, path, offset=offset)
    for start in range(0, len(data), BLOCK_BYTES):
        await upload.write(data[start : start + BLOCK_BYTES])
    await upload.settle()
    await upload.appear()
