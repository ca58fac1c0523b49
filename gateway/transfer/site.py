"""The site behind the transfer doors: files in folders, wherever they lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

Block = bytes | memoryview
"""Bytes of a file, which nobody changes any more."""

Admits = Callable[[str], bool] | None
"""Whether anything may go to a peer of this address; None: to any."""


class About(NamedTuple):
    """What a site says of a file or folder; ``modified_s``: seconds since the epoch, 0 where it does not say."""

    name: str
    is_folder: bool
    size: int = 0
    modified_s: int = 0


class SiteFailure(Exception):
    """The site did not do it; the message is safe to show."""


class NoSuchName(SiteFailure):
    """There is nothing of this name, or not of this kind."""


class NameTaken(SiteFailure):
    """Something of this name is there, or a folder is not empty."""


class SiteUnavailable(SiteFailure):
    """It cannot be reached, is too slow, is somewhere else than it may be, or broke off."""


class SiteSlow(SiteUnavailable):
    """It did not answer in time."""


class SiteElsewhere(SiteUnavailable):
    """The connection leads to where the data may not be stored: nothing went out (``storage-home``)."""

    def __init__(self, site: str) -> None:
        super().__init__(f"the site {site} was found outside the customer's home; nothing was sent to it")


class Reading(Protocol):
    """A file being read."""

    async def read(self, size: int) -> bytes:
        """The next bytes, at most so many; none at the end."""
        ...

    async def close(self) -> None: ...


class Writing(Protocol):
    """A file being written; it is durable when ``finish`` returned, as far as the site can say."""

    async def write(self, data: Block) -> None: ...

    async def finish(self) -> None: ...

    async def abandon(self) -> None:
        """Stop; what was written so far may stay."""
        ...


class Site(Protocol):
    """Where files lie. Paths are absolute, of plain text, and come from :mod:`gateway.transfer.names`.

    Every method raises :class:`SiteFailure` where the site does not do it. Nothing follows a link out of the site.
    """

    async def about(self, path: str) -> About | None:
        """What is there, or None."""
        ...

    async def list(self, path: str) -> Sequence[About]:
        """What a folder holds, in no order."""
        ...

    async def read(self, path: str, offset: int = 0) -> Reading: ...

    async def write(self, path: str, *, offset: int = 0, admits: Admits = None) -> Writing:
        """Write a file from an offset on: 0 begins it anew, else it is as long as that."""
        ...

    async def move(self, path: str, to: str, *, admits: Admits = None) -> None:
        """Give a file or folder another path; a file that is there is replaced."""
        ...

    async def remove(self, path: str) -> None: ...

    async def make_folder(self, path: str, *, admits: Admits = None) -> None: ...

    async def remove_folder(self, path: str) -> None:
        """Remove an empty folder."""
        ...

    async def close(self) -> None: ...
