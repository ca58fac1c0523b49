"""Lines of the command line as its public interface has them, and how a test runs one."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from typing import Any

import pytest

from gateway.cli import run
from tests.world.forked import run_command

LINES = """\
customers add acme --name "Acme Health" --plan us-only --seats 400 --new
customers add globex --name "Globex"
tickets add INC-7 --kind security --customer acme --title "Odd sign-ins"
tickets add BUG-9 --kind bug --customer acme --title "Crash in export"
tickets add CASE-5 --kind support --severity 3 --customer acme --title "No sound"
"""
REQUEST = (
    "access request --as priya --ticket BUG-9 --customer acme --data-class conversation --action read --for 4h "
    '--reason "stack trace needs the recording" --json'
)
CHECK = (
    "check --subject priya --roles engineer --from 49.36.0.1 --method GET --path /conversations/acme/7 "
    "--ticket BUG-9 --json"
)
PATIENCE_S = 60.0


def said(capsys: pytest.CaptureFixture[str], line: str, status: int = 0) -> list[dict[str, Any]]:
    """Run a line; the JSON objects it printed."""
    capsys.readouterr()
    assert run(shlex.split(line)) == status, capsys.readouterr().err
    return [json.loads(text) for text in capsys.readouterr().out.splitlines()]


def one(capsys: pytest.CaptureFixture[str], line: str, status: int = 0) -> dict[str, Any]:
    """Run a line that prints one JSON object."""
    [found] = said(capsys, line, status)
    return found


def for_people(capsys: pytest.CaptureFixture[str], line: str, status: int = 0) -> tuple[str, str]:
    """Run a line without ``--json``: what it printed, and what it told beside."""
    capsys.readouterr()
    assert run(shlex.split(line)) == status
    told = capsys.readouterr()
    return told.out, told.err


def is_refused(capsys: pytest.CaptureFixture[str], line: str, status: int, says: str) -> None:
    """A wrong line ends with its status and one message, and leaves no act in the record."""
    before = len(said(capsys, "ledger tail -n 99 --json"))
    _, error = for_people(capsys, line, status)
    assert says in error
    assert "Traceback" not in error
    assert len(said(capsys, "ledger tail -n 99 --json")) == before


async def in_a_process(line: str, *, first: str = "", **environment: str) -> tuple[int, str, str]:
    """Run a line as a process of its own: status, output, errors.

    Args:
        first: Python that the process runs before; without it, it is forked off one that has imported every command.
    """
    if not first:
        done = await asyncio.to_thread(run_command, shlex.split(line), environment)
        return done.returncode, done.stdout, done.stderr
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", f"{first}\nfrom gateway.cli import main; main()", *shlex.split(line)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            output, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        raise
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()
