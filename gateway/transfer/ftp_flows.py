"""What flows over a data connection of the FTP doors: a file to the client, a listing, a file to the site.

A data connection asks for blocks, or brings them, in the thread of its session. A block that came is on its way to the
site while the next one comes; what the site says against it is told with that next one, or at the end.
"""

from __future__ import annotations

from concurrent.futures import Future

from gateway.transfer.act import Fetch, Keep
from gateway.transfer.ahead import BLOCK_BYTES
from gateway.transfer.ftp_wire import Line
from gateway.transfer.site import Block


class Sent:
    """A file on its way to the client."""

    receives = False

    def __init__(self, line: Line, fetch: Fetch) -> None:
        self._line, self._fetch = line, fetch

    def more(self) -> Block:
        """The next block; none at the end."""
        return self._line.ask(self._fetch.read(BLOCK_BYTES))

    def over(self, *, whole: bool) -> None:
        """It is over. ``whole``: all of it went."""
        self._line.ask(self._fetch.close(delivered=whole))


class Told:
    """A listing, which was made already."""

    receives = False

    def __init__(self, text: bytes) -> None:
        self._text = text

    def more(self) -> bytes:
        """All of it, once."""
        text, self._text = self._text, b""
        return text

    def over(self, *, whole: bool) -> None:
        """It is over. ``whole``: all of it went."""


class Kept:
    """A file on its way to the site."""

    receives = True

    def __init__(self, line: Line, keep: Keep) -> None:
        self._line, self._keep = line, keep
        self._taking: Future[None] | None = None

    def take(self, data: Block) -> None:
        """The next block; raises what became of the one before."""
        self._settle()
        self._taking = self._line.begin(self._keep.write(data))

    def over(self, *, whole: bool) -> None:
        """It is over; the file is there afterwards, or this raises."""
        try:
            self._settle()
        except BaseException:
            self._line.ask(self._keep.abandon())
            raise
        self._line.ask(self._keep.finish() if whole else self._keep.abandon())

    def _settle(self) -> None:
        taking, self._taking = self._taking, None
        if taking is not None:
            self._line.wait(taking)


Flow = Sent | Told | Kept
