"""The operational log: nothing secret in it, whoever logs."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
import structlog

from gateway import operations

TOKEN = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJwcml5YSJ9.c2lnbmF0dXJl"


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """The logging of other tests is left as it was."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("authorization", "Bearer abc"),
        ("Set-Cookie", "sid=1"),
        ("api_key", "k"),
        ("db_password", "p"),
        ("message", f"got Bearer {TOKEN}"),
        ("message", f"a token {TOKEN} came"),
        ("url", "ftp://user:hunter2@host/"),
        ("nested", {"token": "abc", "deep": ["basic dXNlcjpwdw=="]}),
    ],
)
def test_a_secret_is_masked_wherever_it_stands(key: str, value: object) -> None:
    """By its key, or by its looks."""
    masked = json.dumps(operations.mask_secrets(None, "info", {"event": "x", key: value}))
    assert operations.MASK in masked
    for secret in ("abc", "sid=1", "hunter2", "dXNlcjpwdw", TOKEN, '"k"', '"p"'):
        assert secret not in masked


def test_a_traceback_shows_no_values_of_variables(capsys: pytest.CaptureFixture[str]) -> None:
    """In production an exception is logged as JSON, without what variables held."""
    operations.configure_logging("info", "json")
    try:
        _fail("canary-value")
    except RuntimeError:
        structlog.get_logger("t").exception("failed")
    line = capsys.readouterr().err
    assert json.loads(line)["exception"][0]["exc_type"] == "RuntimeError"
    assert "canary-value" not in line


def test_the_log_is_json_in_production_and_text_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    """One event, two renderings."""
    operations.configure_logging("info", "json")
    structlog.get_logger("t").info("listening", door="http")
    assert json.loads(capsys.readouterr().err)["door"] == "http"
    structlog.reset_defaults()
    operations.configure_logging("info", "text")
    structlog.get_logger("t").info("listening", door="http")
    assert "listening" in capsys.readouterr().err


def test_how_a_process_of_ours_ended_is_seen_whatever_was_inherited() -> None:
    """A parent that ignores SIGCHLD hands that down, and the system would keep no status."""
    program = (
        "import asyncio, subprocess, sys; from gateway import operations\n"
        "async def main(): return subprocess.run([sys.executable, '-c', 'raise SystemExit(7)']).returncode\n"
        "print(operations.run(main()))"
    )
    ignoring = (
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    )
    line = [sys.executable, "-c", ignoring, sys.executable, "-c", program]
    done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "7\n"


def _fail(canary: str) -> None:
    raise RuntimeError(f"failed after {len(canary)}")


class Stream(io.StringIO):
    """One that may fail."""

    error: Exception | None = None

    def write(self, text: str) -> int:
        if self.error:
            raise self.error
        return super().write(text)


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), BrokenPipeError(), ValueError("I/O operation on closed file")]
)
def test_a_log_that_cannot_be_written_stops_nobody(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """A full disk under it, or a reader that is gone; what can be written again is."""
    stream = Stream()
    monkeypatch.setattr(sys, "stderr", stream)
    operations.configure_logging("info", "json")
    stream.error = error
    structlog.get_logger().error("lost")
    stream.error = None
    structlog.get_logger().error("kept")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["kept"]
