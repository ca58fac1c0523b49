"""What flows over a data connection of the FTP doors: a file to the client, a listing, a file to the site.

A data connection asks for blocks, or brings them, in the thread of its session. The blocks that came last are on their
way to the site while the next one comes; what the site says against one of them is told with a later one, or at the
end.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future

from gateway.transfer.act import Fetch, Keep
from gateway.transfer.ahead import BLOCK_BYTES
from gateway.transfer.ftp_wire import Line
from gateway.transfer.site import Block

ON_THE_WAY = 4
"""Blocks that a session's thread need not wait for."""


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
        self._taking: deque[Future[None]] = deque()

    def take(self, data: Block) -> None:
        """The next block; raises what became of one before."""
        self._settle(but=ON_THE_WAY - 1)
        self._taking.append(self._line.begin(self._keep.write(data)))

    def over(self, *, whole: bool) -> None:
        """It is over; the file is there afterwards, or this raises."""
        try:
            self._settle()
        except BaseException:
            for taking in self._taking:
                taking.cancel()
            self._line.ask(self._keep.abandon())
            raise
        self._line.ask(self._keep.finish() if whole else self._keep.abandon())

    def _settle(self, *, but: int = 0) -> None:
        """Wait for what becomes of the blocks, but for so many of the last."""
        while len(self._taking) > but:
            self._line.wait(self._taking.popleft())


Flow = Sent | Told | Kept
