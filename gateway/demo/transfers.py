"""The sample transfer doors: FTP and SFTP on loopback, and what a customer and an analyst do there."""

from __future__ import annotations

import datetime
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import asyncssh
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.acts import Actor, Office
from gateway.acts.transfers import add_upload_account, set_upload_password
from gateway.demo.tour import Outcome, Step
from gateway.demo.world import SAM, Person, World
from gateway.identity.passwords import hashed
from gateway.settings import load

NIGHTLY = Person("acme/nightly", "by SFTP", "127.0.0.1", customer="acme")
PASSWORD = "sample-upload-password"
ANALYST = replace(SAM, place="by SFTP, nowhere known", address="127.0.0.1")
FILE = "/uploads/acme/nightly.csv"
STEPS = (
    Step("customer's account stores a file", NIGHTLY, "STOR", FILE, ("customer-own-data",), body=b"sample,data\n"),
    Step("… fetches it", NIGHTLY, "RETR", FILE, ("customer-own-data",)),
    Step("analyst with a pass fetches it", ANALYST, "RETR", FILE, ("ftp-upload",)),
    Step("… writes into it", ANALYST, "STOR", FILE, ("location-unassured", "outside-home"), body=b"no\n"),
)
_DOORS = """
[doors.ftp]
listen = "127.0.0.1:{ftp}"
store = "uploads"
tls_certificate = "{certificate}"
sign_in_timeout_s = 600

[doors.sftp]
listen = "127.0.0.1:{sftp}"
store = "uploads"
host_keys = ["{host_key}"]
"""

LastEntry = Callable[[str], dict[str, object] | None]
"""The latest decision of a method."""


def with_doors(world: World, ports: tuple[int, int]) -> World:
    """The sample world with an FTP and an SFTP door.

    Args:
        ports: of the two; with 0 the system picks a free one.
    """
    directory = world.directory / "doors"
    directory.mkdir()
    certificate, host_key = directory / "door.pem", directory / "ssh_host_key"
    certificate.write_bytes(_self_signed())
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(host_key)
    for path in (certificate, host_key):
        path.chmod(0o600)
    doors = _DOORS.format(ftp=ports[0], sftp=ports[1], certificate=certificate, host_key=host_key)
    with world.config.open("a", encoding="utf-8") as config:
        config.write(doors)
    return replace(world, settings=load(world.config, os.environ))


def sample_account(office: Office) -> None:
    """An upload account of acme's, whose password everybody knows."""
    admin = Actor("admin", frozenset({"admin"}))
    add_upload_account(office, admin, "acme", "nightly", hashed=hashed)
    set_upload_password(office, admin, NIGHTLY.name, hashed=hashed, password=PASSWORD)


async def walk(world: World, ports: Mapping[str, int], control: str, last: LastEntry) -> AsyncIterator[Outcome]:
    """Do each step by SFTP.

    Args:
        ports: of the transfer doors.
        control: the address of the control API.
        last: finds a step's entry in the ledger.
    """
    for step in STEPS:
        user, password = (NIGHTLY.name, PASSWORD) if step.person is NIGHTLY else await _pass(world, control)
        size = 0
        async with _signed_in(ports["sftp"], user, password) as client:
            with suppress(asyncssh.SFTPPermissionDenied):
                size = await _take(client, step)
        entry = last(step.method) or {}
        yield Outcome(step, 0, size, str(entry.get("id", "")), entry)


@asynccontextmanager
async def _signed_in(port: int, user: str, password: str) -> AsyncIterator[asyncssh.SFTPClient]:
    options: dict[str, Any] = {"known_hosts": None, "client_keys": None, "config": []}  # sample data, over loopback
    async with (
        asyncssh.connect("127.0.0.1", port, username=user, password=password, **options) as connection,
        connection.start_sftp_client() as client,
    ):
        yield client


async def _take(client: asyncssh.SFTPClient, step: Step) -> int:
    name = "/" + Path(step.path).name
    if step.body is None:
        async with client.open(name, "rb") as file:
            return len(await file.read())
    async with client.open(name, "wb") as file:
        await file.write(step.body)
    return len(step.body)


async def _pass(world: World, control: str) -> tuple[str, str]:
    """A pass of the analyst's, by the API: a user name, and a password for one session."""
    headers = {"Authorization": f"Bearer {world.token(SAM)}"}
    async with (
        aiohttp.ClientSession(headers=headers, raise_for_status=True) as session,
        session.post(f"{control}/api/v1/passes", json={"customer": "acme"}) as response,
    ):
        told = await response.json()
        return told["id"], told["password"]


def _self_signed() -> bytes:
    """A certificate for this machine alone, and its key, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + plain
