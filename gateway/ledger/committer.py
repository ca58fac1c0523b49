"""The committer: a process of its own that has the ledger's file, and does nothing but write and sync it.

An interpreter runs one thread at a time, so that a thread that commits and the event loop would wait for each other at
every batch. The gateway starts this process instead, asks it over a pair of sockets (:mod:`gateway.ledger.messages`),
and gets one answer to each request, in their order and under their number:

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

What goes wrong while it tidies up, it says unasked, under the number 0. When the other end is closed, for whatever
reason, it finishes what it is at, closes the file and ends.
"""

from __future__ import annotations

import gc
import os
import platform
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from gateway.clock import SystemClock
from gateway.errors import LedgerUnavailable
from gateway.ledger.entry import Columns, Entry
from gateway.ledger.file import LedgerFile, Outcome
from gateway.ledger.free_space import FreeSpace
from gateway.ledger.messages import encode, received


def _build() -> str:
    """A digest of the ledger's modules, as they lie there when a process starts."""
    modules = sorted(Path(__file__).parent.glob("*.py"))
    return sha256(b"".join(module.read_bytes() for module in modules)).hexdigest()[:16]


PROGRAM = f"ledger {_build()}, Python {platform.python_version()}"
"""What a gateway and its committer have to have in common."""
OTHER_PROGRAM = 3
"""Exit status of a committer that was installed after its gateway was started, and is not what that knows."""

Handed = tuple[bool, bytes, Columns]
"""An entry: whether it is a permit, body, columns."""
Written = tuple[str, list[int | str | None]]
"""Of a batch: the problem with space, if any, and of each entry its sequence, what is wrong with it, or None: it is a
permit, for which there is no space."""
Answer = tuple[int, Any, str, int, str]
"""The number of the request; its result, or what went wrong; how many entries there are; and why nothing will be
written any more, or ""."""


class Committer:
    """Does what is asked of it with a ledger's file, and nothing else does.

    Args:
        file: opened, used and closed where this serves.
        space: asked before each batch.
    """

    def __init__(self, file: LedgerFile, space: FreeSpace) -> None:
        self._file = file
        self._space = space
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
            for number, act, *arguments in received(end):
                end.sendall(encode(self._answer(number, self._acts.get(act, _unknown), arguments)))
                if act == "close":
                    return
                tidied = self._answer(0, self._tidy, ())
                if tidied[2]:
                    end.sendall(encode(tidied))

    def _answer(self, number: int, act: Callable[..., Any], arguments: Sequence[Any]) -> Answer:
        result, problem = None, ""
        try:
            result = act(*arguments)
        except LedgerUnavailable as error:
            problem = str(error)
        except Exception as error:
            problem = f"the ledger: {error!r}"
        return number, result, problem, self._file.size, self._file.failure

    def _tidy(self) -> None:
        failure = self._file.failure
        self._file.tidy()
        if self._file.failure != failure:
            raise LedgerUnavailable(self._file.failure)

    def _commit(self, batch: Sequence[Handed]) -> Written:
        low = self._space.problem()
        entries = [Entry(body, columns) for permit, body, columns in batch if not (low and permit)]
        outcomes = iter(self._file.commit(entries))
        self._file.require_in_place()
        return low, [None if low and permit else _plain(next(outcomes)) for permit, *_ in batch]


def _plain(outcome: Outcome) -> int | str:
    return outcome if isinstance(outcome, int) else str(outcome)


def _unknown(*_arguments: Any) -> None:
    raise LedgerUnavailable("the ledger: this is nothing that a committer does")


def main(program: str, path: str, minimum_free_bytes: str) -> None:
    """Serve whoever started this, at standard input.

    Args:
        program: what whoever started this takes it for; see :data:`PROGRAM`.
        path: the ledger.
        minimum_free_bytes: see :class:`FreeSpace`.
    """
    if program != PROGRAM:
        sys.exit(OTHER_PROGRAM)
    gc.set_threshold(50_000)  # nothing here is in a cycle but what an error leaves
    file = LedgerFile(Path(path))
    space = FreeSpace(file.path, minimum_bytes=int(minimum_free_bytes), clock=SystemClock())
    try:
        Committer(file, space).serve(socket.socket(fileno=sys.stdin.fileno()))
    finally:
        if file.failure:
            os._exit(1)  # else SQLite would move a log that cannot be relied on, as it lets go of the file
