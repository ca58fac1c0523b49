"""The operational log and the event loop: structlog, JSON in production and readable on a terminal; uvloop.

Invariants: what looks like a credential is masked before it is rendered, whoever logged it; a request is named by its
decision's id, never by its query, its headers or its body.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import re
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, MutableMapping
from pathlib import Path
from typing import Any, TextIO, TypeVar, cast

import structlog
import uvloop

from gateway.masking import MASK, masked

log = structlog.get_logger("gateway")
Result = TypeVar("Result")

_SECRET_KEY = re.compile(r"authorization|cookie|password|secret|token|credential|api_?key", re.IGNORECASE)
_TRACEBACKS = structlog.processors.ExceptionRenderer(  # without the values of variables: they hold tokens
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


def configure_logging(level: str, style: str) -> None:
    """Set the log up once, when a process starts.

    Args:
        level: ``debug`` to ``error``.
        style: ``json``, ``text``, or ``auto``: text on a terminal, else JSON.
    """
    readable = style == "text" or (style == "auto" and sys.stderr.isatty())
    renderer: Any = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if readable
        else structlog.processors.JSONRenderer()
    )
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *([] if readable else [_TRACEBACKS]),
        mask_secrets,
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(file=cast(TextIO, _Unfailing(sys.stderr))),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)  # each step of a migration is no news


class _Unfailing:
    """A stream on which what cannot be written is lost: a full disk under the log is no reason to leave anybody waiting
    who is to be told, too."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):  # ValueError: closed
            return self._stream.write(text)
        return 0

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


def mask_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: masks values under secret-looking keys, and secret-looking text anywhere."""
    for key, value in event.items():
        event[key] = MASK if _SECRET_KEY.search(key) else _masked(value)
    return event


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, dict):
        return {key: MASK if _SECRET_KEY.search(str(key)) else _masked(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_masked(item) for item in value]
    return value


def notify_systemd(state: str) -> None:
    """Tell systemd, where it asked for it (``Type=notify``; sd_notify(3)); elsewhere do nothing."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifier:
        notifier.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)


def resident_bytes() -> int | None:
    """How much memory the process takes, where the system says so (proc_pid_statm(5))."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None


class Tidying:
    """Looks for cycles whenever the process has grown, whatever the collector's thresholds say.

    A connection that was cut may leave few objects that hold much; counting objects does not see that.

    Args:
        growth_bytes: how much the process may grow before it is looked through.
        measure: how large it is; where that cannot be told, it is looked through each time.
    """

    def __init__(self, growth_bytes: int = 64 << 20, measure: Callable[[], int | None] = resident_bytes) -> None:
        self._growth_bytes = growth_bytes
        self._measure = measure
        self._looked_through_bytes = measure()

    def look(self) -> bool:
        """Look through the process if it is due; whether it was."""
        now, then = self._measure(), self._looked_through_bytes
        if now is not None and then is not None and now - then < self._growth_bytes:
            self._looked_through_bytes = min(now, then)
            return False
        gc.collect()
        self._looked_through_bytes = self._measure()
        return True


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Run a program's main coroutine on uvloop."""
    gc.set_threshold(50_000, 20, 100)  # a request leaves few cycles behind; looking for them took a tenth of its time
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # inherited as ignored, it would hide how a process of ours ended
    return uvloop.run(main)
