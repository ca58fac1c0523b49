"""Files whose names hold what separates in paths: one file at the FTP door, the SFTP door and over HTTP."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from pydantic import SecretStr

from gateway.demo.stores import Addresses
from gateway.demo.world import ADA, SAM
from gateway.settings import StoreSettings
from gateway.transfer.site import Site
from gateway.transfer.sites import site_of
from tests.world.ftp import ftp_world

NAMES = ["50% off;v1?#2.csv", "#1", "M%FCller%20A.pdf", "a;b", "what??", "x&y=z+(1) [2]@$!,':~.txt"]


@pytest.mark.parametrize("name", NAMES)
async def test_a_name_is_one_file_at_every_door(tmp_path: Path, stores: Addresses, name: str) -> None:
    """Stored by FTP, fetched over HTTP under three spellings, all of one path in the record."""
    site = site_of(StoreSettings(name="uploads", country="US", url=SecretStr(stores.uploads)))
    async with aclosing_site(site), ftp_world(tmp_path, stores, site=site) as door:

        def store() -> list[str]:
            client = door.client()
            client.storbinary(f"STOR {name}", io.BytesIO(name.encode()))
            names = client.nlst()
            client.quit()
            return names

        assert name in await asyncio.to_thread(store)
        [stored] = (entry for entry in door.entries() if entry["method"] == "STOR")
        everywhere = "".join(f"%{octet:02x}" for octet in name.encode())
        for spelled in (quote(name, safe=""), quote(name, safe="!$&'()*+,=:@"), everywhere):
            status, headers, body = await door.running.ask(SAM, f"/uploads/acme/{spelled}")
            assert (status, body) == (200, name.encode()), spelled
            entry = door.running.entry(headers["Residency-Decision"])
            assert entry["path"] == stored["path"]
        status, _, listing = await door.running.ask(SAM, "/uploads/acme")
        assert name in [file["name"] for file in json.loads(listing)["files"]]
        status, _, _ = await door.running.ask(ADA, f"/uploads/acme/{everywhere}", method="DELETE")
        assert status == 200

        def names() -> list[str]:
            client = door.client()
            try:
                return client.nlst()
            finally:
                client.quit()

        assert name not in await asyncio.to_thread(names)


@asynccontextmanager
async def aclosing_site(site: Site) -> AsyncIterator[None]:
    """The site, closed at the end."""
    try:
        yield
    finally:
        await site.close()
