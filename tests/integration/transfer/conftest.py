"""An SFTP door over a whole gateway."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.demo.stores import Addresses
from tests.world.sftp import OpenSsh, Sftp, sftp_world


@pytest.fixture
async def door(tmp_path: Path, stores: Addresses) -> AsyncIterator[Sftp]:
    """The door, open."""
    async with sftp_world(tmp_path, stores) as world:
        yield world


@pytest.fixture
def openssh(tmp_path: Path, door: Sftp) -> OpenSsh:
    """OpenSSH's client, towards the door."""
    require("sftp")
    directory = tmp_path / "client"
    directory.mkdir()
    return OpenSsh(directory, door.port, door.host_key)


def require(program: str) -> None:
    """Skip the test where a program is missing."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
