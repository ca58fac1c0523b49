"""Files that are read again once they have changed, looked at no more often than every few seconds."""

from __future__ import annotations

from pathlib import Path

from gateway.files import stamp

LOOK_S = 2.0


class FileChanges:
    """Whether files have changed since they were last looked at.

    Args:
        files: those that there are.
        read: whether what they hold now is read after this; else the first look finds them changed.

    Attributes:
        due_s: from when on, by the event loop's clock, it is time to look; without files, never.
    """

    def __init__(self, *files: Path | None, read: bool = True) -> None:
        self._files = tuple(filter(None, files))
        self._seen = tuple(map(stamp, self._files)) if read else ()
        self.due_s = 0.0 if self._files else float("inf")

    def looked(self, now_s: float) -> None:
        """Not due again before the interval is over."""
        self.due_s = now_s + LOOK_S

    def hurry(self) -> None:
        """Look the next time, whether or not it is due."""
        if self._files:
            self.due_s = 0.0

    def changed(self) -> bool:
        """Look; blocking. A change is told once."""
        before, self._seen = self._seen, tuple(map(stamp, self._files))
        return before != self._seen
