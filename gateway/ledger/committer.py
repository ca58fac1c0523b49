"""The committer: a process of its own that has the ledger's file, and does nothing but write and sync it.

An interpreter runs one thread at a time, so that a thread that commits and the event loop would wait for each other at
every batch. The gateway starts ``python -m gateway.ledger.committer`` instead, asks it over a pair of sockets
(:mod:`gateway.ledger.messages`), and gets one answer to each request, in their order:

=================================================  ====================================================
request                                            result
=================================================  ====================================================
``open``, and what :meth:`LedgerFile.open` takes   which file it is
``commit``, entries                                a problem with space, and what became of each entry
``head``                                           size and root
``keep_checkpoint``, size, note                    None
``keep_cosignature``, size, name, line             None
``close``                                          None; then the committer ends
=================================================  ====================================================

When the other end is closed, for whatever reason, it finishes what it is at, closes the file and ends. The signals that
end a gateway do not end it, for a gateway that ends still records.
"""

from __future__ import annotations

import gc
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from gateway.clock import SystemClock
from gateway.errors import LedgerUnavailable
from gateway.ledger.entry import Columns, Entry
from gateway.ledger.file import LedgerFile, Outcome
from gateway.ledger.free_space import FreeSpace
from gateway.ledger.messages import encode, received

Handed = tuple[bool, bytes, Columns]
"""An entry: whether it is a permit, body, columns."""
Written = tuple[str, list[int | str | None]]
"""Of a batch: the problem with space, if any, and of each entry its sequence, what is wrong with it, or None: it is a
permit, for which there is no space."""
Answer = tuple[Any, str, int, str, str]
"""A result, or why there is none; how many entries there are; why nothing will be written any more, or ""; and what
went wrong while tidying up since the last answer, or ""."""


class Committer:
    """Does what is asked of it with a ledger's file, and nothing else does.

    Args:
        file: opened, used and closed where this serves.
        space: asked before each batch.
    """

    def __init__(self, file: LedgerFile, space: FreeSpace) -> None:
        self._file = file
        self._space = space
        self._untidied = ""
        self._acts: Mapping[str, Callable[..., Any]] = {
            "open": file.open,
            "commit": self._commit,
            "head": file.head,
            "keep_checkpoint": file.keep_checkpoint,
            "keep_cosignature": file.keep_cosignature,
            "close": file.close,
        }

    def serve(self, end: socket.socket) -> None:
        """Answer until the other end is closed."""
        with end, closing(self._file), suppress(ConnectionError):
            for act, *arguments in received(end):
                end.sendall(encode(self._answer(act, arguments)))
                if act == "close":
                    return
                self._tidy()

    def _answer(self, act: str, arguments: Sequence[Any]) -> Answer:
        result, problem = None, ""
        try:
            result = self._acts[act](*arguments)
        except LedgerUnavailable as error:
            problem = str(error)
        except Exception as error:
            problem = f"the ledger: {error!r}"
        untidied, self._untidied = self._untidied, ""
        return result, problem, self._file.size, self._file.failure, untidied

    def _tidy(self) -> None:
        try:
            self._file.tidy()
        except Exception as error:
            self._untidied = repr(error)

    def _commit(self, batch: Sequence[Handed]) -> Written:
        low = self._space.problem()
        entries = [Entry(body, columns) for permit, body, columns in batch if not (low and permit)]
        outcomes = iter(self._file.commit(entries))
        self._file.require_in_place()
        return low, [None if low and permit else _plain(next(outcomes)) for permit, *_ in batch]


def _plain(outcome: Outcome) -> int | str:
    return outcome if isinstance(outcome, int) else str(outcome)


def main() -> None:
    """Serve whoever started this, at standard input. The arguments are the ledger and the bytes to leave free."""
    gc.set_threshold(50_000)  # nothing here is in a cycle but what an error leaves
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    path, minimum_bytes = Path(sys.argv[1]), int(sys.argv[2])
    space = FreeSpace(path, minimum_bytes=minimum_bytes, clock=SystemClock())
    Committer(LedgerFile(path), space).serve(socket.socket(fileno=sys.stdin.fileno()))


if __name__ == "__main__":
    main()
