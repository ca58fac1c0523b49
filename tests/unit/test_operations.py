"""The operational log: nothing secret in it, whoever logs."""

from __future__ import annotations

import json
import logging
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


def _fail(canary: str) -> None:
    raise RuntimeError(f"failed after {len(canary)}")
