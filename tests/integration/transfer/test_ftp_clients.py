"""Real FTP clients towards the doors: curl and lftp, with TLS asked for and from the first byte."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.demo.stores import Addresses
from tests.world.ftp import Ftp, ftp_world
from tests.world.transfer import PASSWORD

KINDS = {"explicit": {}, "implicit": {"tls": "implicit"}, "reused": {"session_reuse": True}}


@pytest.fixture(params=KINDS)
async def door(request: pytest.FixtureRequest, tmp_path: Path, stores: Addresses) -> AsyncIterator[Ftp]:
    """Each kind of door."""
    async with ftp_world(tmp_path, stores, **KINDS[request.param]) as world:
        world.kind = request.param  # type: ignore[attr-defined]
        yield world


async def run(program: str, *args: str) -> tuple[int, str]:
    """Run a program to its end: status, and what it wrote."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    process = await asyncio.create_subprocess_exec(
        program, *args, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=os.environ | {"HOME": "/"}
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(), 60)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return process.returncode, out.decode(errors="replace")


async def curl(door: Ftp, path: str, *args: str) -> tuple[int, str]:
    scheme = "ftps" if door.kind == "implicit" else "ftp"  # type: ignore[attr-defined]
    given = ["-sS", "--ssl-reqd", "--cacert", str(door.authority.path), "-u", f"acme:{PASSWORD}"]
    return await run("curl", *given, *args, f"{scheme}://127.0.0.1:{door.port}{path}")


async def lftp(door: Ftp, *commands: str) -> tuple[int, str]:
    scheme = "ftps" if door.kind == "implicit" else "ftp"  # type: ignore[attr-defined]
    settings = [
        "set cmd:fail-exit yes",
        f"set ssl:ca-file {door.authority.path}",
        "set ftp:ssl-force yes",
        "set ftp:ssl-protect-data yes",
        "set net:max-retries 1",
        "set net:timeout 10",
        f"open -u acme,'{PASSWORD}' {scheme}://127.0.0.1:{door.port}",
    ]
    return await run("lftp", "-c", "; ".join([*settings, *commands]))


async def test_curl_stores_resumes_lists_and_fetches(door: Ftp, tmp_path: Path) -> None:
    """What curl can do with FTP."""
    content = os.urandom(3_000_000)
    (tmp_path / "up").write_bytes(content)
    status, said = await curl(door, "/new/up", "-T", str(tmp_path / "up"), "--ftp-create-dirs")
    assert (status, said) == (0, "")
    assert (door.root / "new" / "up").read_bytes() == content
    (tmp_path / "down").write_bytes(content[:1_000_000])
    assert await curl(door, "/new/up", "-C", "-", "-o", str(tmp_path / "down")) == (0, "")
    assert (tmp_path / "down").read_bytes() == content
    status, said = await curl(door, "/new/", "--list-only")
    assert (status, said.split()) == (0, ["up"])
    status, said = await curl(door, "/new/")
    assert said.startswith("-rw-r-----")
    status, said = await curl(door, "/new/absent")
    assert status == 78


async def test_lftp_mirrors_up_and_down_in_parallel_and_resumes(door: Ftp, tmp_path: Path) -> None:
    """Whole trees, several files at a time, and what broke off."""
    source, back = tmp_path / "source", tmp_path / "back"
    for name in ("a", "b/c", "b/d/e", "f g"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(os.urandom(300_000))
    status, said = await lftp(door, f"mirror -R --parallel=4 {source} tree", f"mirror --parallel=4 tree {back}")
    assert status == 0, said
    for each in (path.relative_to(source) for path in source.rglob("*") if path.is_file()):
        assert (back / each).read_bytes() == (source / each).read_bytes()
    (back / "a").write_bytes((source / "a").read_bytes()[:1_000])
    status, said = await lftp(door, f"get -c tree/a -o {back}/a")
    assert status == 0, said
    assert (back / "a").read_bytes() == (source / "a").read_bytes()


async def test_lftp_resumes_what_another_session_began(door: Ftp, tmp_path: Path) -> None:
    """What broke off is told by its size, and stored on from there."""
    content = os.urandom(900_000)
    (tmp_path / "up").write_bytes(content)
    if door.kind == "explicit":  # type: ignore[attr-defined]

        def break_off() -> None:
            client = door.client()
            data = client.transfercmd("STOR up")
            data.sendall(content[:500_000])
            client.putcmd("ABOR")
            assert client.getmultiline().startswith("426")
            assert client.getmultiline().startswith("226")
            data.close()
            client.close()

        await asyncio.to_thread(break_off)
        assert not (door.root / "up").exists()
    status, said = await lftp(door, f"put -c {tmp_path}/up")
    assert status == 0, said
    assert (door.root / "up").read_bytes() == content
