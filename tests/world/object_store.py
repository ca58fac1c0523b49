"""SeaweedFS on loopback: an object store that speaks S3 and verifies what is signed, with one bucket."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from subprocess import DEVNULL, Popen
from urllib.parse import quote

from pydantic import SecretStr

from gateway.settings import StoreSettings
from gateway.transfer.object_site import ObjectSite
from tests.world.certificates import Authority

PROGRAM = Path(sysconfig.get_path("scripts")) / "weed"
KEY, SECRET, BUCKET = "AKIASAMPLE", "sec/ret+of the gateway", "uploads"
PATIENCE_S = 60
_IDENTITIES = {
    "identities": [
        {
            "name": "gateway",
            "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "Write", "List"],
        }
    ]
}


@contextmanager
def object_store(tls: Authority | None = None) -> Iterator[int]:
    """Run it; the port. ``tls``: signs its certificate, and it is spoken to with TLS alone."""
    directory = Path(tempfile.mkdtemp(prefix="weed-"))
    (directory / "identities.json").write_text(json.dumps(_IDENTITIES))
    names = ("master", "volume", "filer", "s3")
    ports = dict(zip((f"{name}.port{kind}" for name in names for kind in ("", ".grpc")), free_ports(8), strict=True))
    given = {**ports, "s3.port.iceberg": 0, "s3.port.lance": 0, "s3.config": directory / "identities.json"}
    given |= {"dir": directory, "ip": "127.0.0.1", "ip.bind": "127.0.0.1", "volume.max": 4, "master.telemetry": "false"}
    more: dict[str, object] = {}
    if tls:
        given["s3.cert.file"], given["s3.key.file"] = tls.server("weed")
        more["tls_ca"] = tls.path
    words = [f"-{name}={value}" for name, value in given.items()]
    log = (directory / "log").open("wb")
    process = Popen([PROGRAM, "server", "-filer", "-s3", *words], stdin=DEVNULL, stdout=log, stderr=log, cwd=directory)
    try:
        asyncio.run(_until_it_stores(url_of(ports["s3.port"], tls=bool(tls)), **more))
        yield ports["s3.port"]
    finally:
        process.kill()
        process.wait()
        log.close()
        shutil.rmtree(directory)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at."""
    with ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in taken:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in taken]


def url_of(port: int, *, secret: str = SECRET, folder: str = "", tls: bool = False) -> str:
    return f"s3{'' if tls else '+http'}://{KEY}:{quote(secret, safe='')}@127.0.0.1:{port}/{BUCKET}{folder}"


def site_at(url: str, **more: object) -> ObjectSite:
    given = {"name": "uploads", "country": "US", "url": SecretStr(url), "connect_timeout_s": 5, "read_timeout_s": 10}
    return ObjectSite(StoreSettings.model_validate(given | more))


async def _until_it_stores(url: str, **more: object) -> None:
    """The bucket is made, and takes an object."""
    site = site_at(url, breaker_failures=0, **more)
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with suppress(Exception):
                await site._client.ask("PUT")
                await site._client.ask("PUT", "first", body=(b"x",))
                await site._client.ask("DELETE", "first")
                break
            await asyncio.sleep(0.1)
    await site.close()
