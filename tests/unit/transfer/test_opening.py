"""Opening the transfer doors: what is wrong in the configuration is told before, all of it; they close together."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import ConfigurationError
from gateway.settings import Settings, parse
from gateway.transfer import opening

BARE = {"listen": "127.0.0.1:2121", "store": "files"}
FTP = BARE | {"tls_certificate": "door.pem"}
SFTP = {"listen": "127.0.0.1:2222", "store": "files", "host_keys": ["host_key"]}
DOCUMENT: dict[str, Any] = {
    "gateway": {"listen": "127.0.0.1:8080"},
    "policy": {"directory": "policies", "home": ["US"]},
    "identity": {
        "issuer": [{"issuer": "https://login.test/", "audience": "gw", "jwks": "keys.json", "algorithms": ["RS256"]}]
    },
    "location": {"country_database": "country.mmdb"},
    "store": [{"name": "files", "url": "file:///nowhere/at/all", "country": "US"}],
    "route": [{"path": "/files/{customer}/{rest...}", "store": "files", "data_class": "ftp_upload"}],
}


def settings_with(directory: Path, **doors: Any) -> Settings:
    document = copy.deepcopy(DOCUMENT) | {"doors": doors}
    return parse(document, path=directory / "gateway.toml", environ={})


@pytest.mark.parametrize(
    ("doors", "says"),
    [
        ({"ftp": FTP | {"store": "crm"}}, "ftp.store: got 'crm'; expected the name of a [[store]]"),
        ({"ftp": BARE}, "ftp.tls_certificate: is missing; expected the door's certificate"),
        ({"ftps": BARE}, "ftps.tls_certificate: is missing; expected the door's certificate, for"),
        (
            {"ftps": BARE | {"unsafe_plaintext": True}},
            "ftps.tls_certificate: is missing; expected the door's certificate, for tls is implicit",
        ),
        ({"ftp": FTP | {"passive_ports": "50100-50000"}}, "ftp.passive_ports: got '50100-50000'; expected the first"),
        ({"ftp": FTP | {"passive_ports": "50000-65536"}}, "ftp.passive_ports: got '50000-65536'; expected the first"),
        ({"ftp": FTP | {"passive_ports": "80-90"}}, "ftp.passive_ports: got '80-90'; expected the first"),
        ({"ftp": FTP | {"passive_ports": "50000"}}, "ftp.passive_ports: got '50000'; expected the first"),
        ({"ftp": FTP | {"passive_address": "1.2.3.999"}}, "ftp.passive_address: got '1.2.3.999'; expected an IPv4"),
        ({"sftp": SFTP | {"host_keys": []}}, "sftp.host_keys: "),
        (
            {"ftp": FTP, "sftp": SFTP | {"listen": FTP["listen"]}},
            "sftp.listen: got '127.0.0.1:2121', the same as doors.ftp.listen; expected an address of its own",
        ),
        (
            {"sftp": SFTP | {"listen": "127.0.0.1:8080"}},
            "sftp.listen: got '127.0.0.1:8080', the same as gateway.listen; expected an address of its own",
        ),
    ],
)
def test_fault_of_a_door_is_one_line(tmp_path: Path, doors: dict[str, Any], says: str) -> None:
    """It names the key, what came and what was expected."""
    with pytest.raises(ConfigurationError) as refusal:
        settings_with(tmp_path, **doors)
    [line] = refusal.value.problems
    assert f": doors.{says}" in line


def test_files_that_cannot_be_used_are_told_all_at_once(tmp_path: Path) -> None:
    """Of doors and sites: which it is, and why."""
    with pytest.raises(ConfigurationError) as refusal:
        opening.require_doors(settings_with(tmp_path, ftp=FTP, sftp=SFTP))
    certificate, key, folder = refusal.value.problems
    assert certificate.startswith("doors.ftp: tls_certificate")
    assert key.startswith("doors.sftp.host_keys")
    assert folder.startswith("store files: the folder /nowhere/at/all")
    assert all("(No such file or directory); expected " in line for line in refusal.value.problems)


async def test_doors_finish_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each may take as long as the settings say, and all together no longer."""
    both = asyncio.Barrier(2)

    @asynccontextmanager
    async def door(*_: Any, **__: Any) -> AsyncIterator[int]:
        yield 1
        await both.wait()

    monkeypatch.setattr(opening, "ftp_door", door)
    monkeypatch.setattr(opening, "sftp_door", door)
    async with asyncio.timeout(10):
        async with opening.open_doors(settings_with(tmp_path, ftp=FTP, sftp=SFTP), object, object()) as ports:  # type: ignore[arg-type]
            assert ports == {"ftp": 1, "sftp": 1}


async def test_door_that_does_not_open_closes_those_that_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is let in by half a gateway."""
    closed = []

    @asynccontextmanager
    async def door(*_: Any, **__: Any) -> AsyncIterator[int]:
        yield 1
        closed.append("ftp")

    monkeypatch.setattr(opening, "ftp_door", door)
    with pytest.raises(ConfigurationError, match="host_keys"):
        async with opening.open_doors(settings_with(tmp_path, ftp=FTP, sftp=SFTP), object, object()):  # type: ignore[arg-type]
            raise AssertionError("it is open")
    assert closed == ["ftp"]
