"""A site behind an FTP server that does not do what it is asked for, or says what cannot be."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from gateway.settings import StoreSettings
from gateway.transfer.ftp_site import FtpSite
from gateway.transfer.site import NoSuchName, SiteElsewhere, SiteFailure, SiteSlow, SiteUnavailable
from gateway.transfer.sites import site_of
from gateway.transfer.uploads import Uploads
from tests.world.certificates import Authority
from tests.world.upstream_ftp import PASSWORD, Answer, ScriptedFtp, scripted_ftp

Acts = dict[str, Callable[[FtpSite], Awaitable[object]]]
EVERY_ACT: Acts = {
    "about": lambda site: site.about("/x"),
    "list": lambda site: site.list("/"),
    "read": lambda site: read(site, "/x"),
    "write": lambda site: write(site, "/x"),
    "move": lambda site: site.move("/x", "/y"),
    "remove": lambda site: site.remove("/x"),
    "make folder": lambda site: site.make_folder("/y"),
    "remove folder": lambda site: site.remove_folder("/y"),
}
ABSENT = "550 nothing there"
FACTS = "250-facts\r\n type={};size=5; /x\r\n250 that is all"
FAST = {"connect_timeout_s": 1.0, "read_timeout_s": 0.3}


@asynccontextmanager
async def facing(url: str, **more: object) -> AsyncIterator[FtpSite]:
    """The gateway's side; patient unless told otherwise."""
    given = {"name": "uploads", "country": "US", "url": SecretStr(url), "connect_timeout_s": 10, "read_timeout_s": 10}
    site = site_of(StoreSettings.model_validate(given | more))
    assert isinstance(site, FtpSite)
    try:
        async with asyncio.timeout(60):
            yield site
    finally:
        await site.close()


@asynccontextmanager
async def scripted(
    data: bytes = b"", answers: dict[str, Answer] | None = None, **more: object
) -> AsyncIterator[tuple[ScriptedFtp, FtpSite]]:
    async with scripted_ftp(data, **(answers or {})) as server, facing(server.url, **more) as site:
        yield server, site


async def read(site: FtpSite, path: str) -> bytes:
    reading = await site.read(path)
    try:
        data = b""
        while more := await reading.read(1_000):
            data += more
        return data
    finally:
        await reading.close()


async def write(site: FtpSite, path: str) -> None:
    writing = await site.write(path)
    try:
        await writing.write(b"of acme")
        await writing.finish()
    finally:
        await writing.abandon()


async def mute(_server: ScriptedFtp, _writer: asyncio.StreamWriter) -> None:
    """Say nothing, ever."""
    await asyncio.Event().wait()


async def agree(_server: ScriptedFtp, writer: asyncio.StreamWriter) -> None:
    """To TLS, and then say nothing."""
    writer.write(b"234 yes\r\n")
    await asyncio.Event().wait()


async def leave(_server: ScriptedFtp, writer: asyncio.StreamWriter) -> None:
    """Close the connection."""
    writer.close()


async def until_unusable(site: FtpSite) -> None:
    """Until the one connection that is kept has heard of its end, or more than that."""
    [(_, client)] = site._idle
    async with asyncio.timeout(10):
        while client.is_idle:  # noqa: ASYNC110 - nothing tells when bytes have come
            await asyncio.sleep(0.01)


async def test_only_550_means_that_nothing_is_there() -> None:
    async with scripted(answers={"MLST": ABSENT}) as (_, site):
        assert await site.about("/x") is None


@pytest.mark.parametrize("reply", [421, 425, 426, 450, 451, 501, 530, 532, 553, 200, 350])
async def test_another_answer_about_a_file_is_a_failure(reply: int) -> None:
    """It may well be there: an upload would think otherwise, and begin anew."""
    async with scripted(answers={"MLST": f"{reply} no"}) as (_, site):
        with pytest.raises(SiteFailure):
            await site.about("/x")


@pytest.mark.parametrize("command", ["CWD", "EPSV", "LIST"])
@pytest.mark.parametrize("reply", [421, 450, 530])
async def test_nor_where_its_folder_cannot_be_listed(command: str, reply: int) -> None:
    """For a server without MLST."""
    async with scripted(answers={"MLST": "500 what?", command: f"{reply} no"}) as (_, site):
        with pytest.raises(SiteUnavailable):
            await site.about("/x")


@pytest.mark.parametrize("greeting", ["421 too many", "530 no", "550 no", "what is this?", "\0\r\n" * 10])
@pytest.mark.parametrize("act", EVERY_ACT)
async def test_a_server_that_lets_nobody_in_says_nothing_about_files(act: str, greeting: str) -> None:
    """Before, and after the password; 550 is no absence there."""
    for answers in ({"greeting": greeting}, {"PASS": greeting}):
        async with scripted(answers=answers, **FAST) as (_, site):
            with pytest.raises(SiteUnavailable):
                await EVERY_ACT[act](site)


async def test_no_password_is_in_what_is_logged_or_said() -> None:
    async with scripted(answers={"PASS": "530 no"}) as (_, site):
        with capture_logs() as logs, pytest.raises(SiteUnavailable) as raised:
            await site.about("/x")
        assert "530" in str(logs)
        assert PASSWORD not in str(logs) + str(raised.value)


SILENCES = {
    "greeting": "about",
    "USER": "about",
    "PASS": "about",
    "MLST": "about",
    "TYPE": "read",
    "EPSV": "read",
    "RETR": "read",
    "STOR": "write",
    "SIZE": "write",
    "MLSD": "list",
    "RNFR": "move",
    "RNTO": "move",
    "DELE": "remove",
    "MKD": "make folder",
}


@pytest.mark.parametrize("command", SILENCES)
async def test_a_server_that_says_nothing_is_slow(command: str) -> None:
    """Whichever command it is that it does not answer."""
    facts = ABSENT if command == "MKD" else FACTS.format("file")
    answers: dict[str, Answer] = {"MLST": facts, command: mute}
    async with scripted(answers=answers, connect_timeout_s=1.0, read_timeout_s=0.5) as (_, site):
        with pytest.raises(SiteSlow):
            await EVERY_ACT[SILENCES[command]](site)


async def test_data_that_stops_flowing_is_slow() -> None:
    """In the middle of a file."""

    async def half(server: ScriptedFtp, writer: asyncio.StreamWriter) -> None:
        writer.write(b"150 here it comes\r\n")
        _, data = await server.accept()
        data.write(b"half")
        await data.drain()
        server._writers.append(data)

    async with scripted(answers={"RETR": half}, read_timeout_s=2.0) as (server, site):
        reading = await site.read("/x")
        assert await reading.read(10) == b"half"
        with pytest.raises(SiteSlow):
            await reading.read(10)
        await reading.close()
        server._writers[-1].close()


@pytest.mark.parametrize("reply", ["421 I go", "426 broken", "451 error", "552 too much", "452 full", "550 no", ""])
async def test_a_file_that_breaks_off_is_not_whole(reply: str) -> None:
    """Whatever the server says of it: data end as if it were the end of the file."""

    async def broken(server: ScriptedFtp, writer: asyncio.StreamWriter) -> None:
        writer.write(b"150 here it comes\r\n")
        await server.send(b"half")
        writer.write(f"{reply}\r\n".encode()) if reply else writer.close()

    async with scripted(answers={"RETR": broken}) as (_, site):
        reading = await site.read("/x")
        assert await reading.read(10) == b"half"
        with pytest.raises(SiteFailure):
            await reading.read(10)
        await reading.close()
        assert not site._idle


@pytest.mark.parametrize(
    ("reply", "said"),
    [("452 full", "no room left"), ("552 too much", "no room left"), ("421 I go", "broke off"), ("", "broke off")],
)
async def test_an_upload_that_is_refused_at_the_end_is_no_file(reply: str, said: str) -> None:
    async def refuse(server: ScriptedFtp, writer: asyncio.StreamWriter) -> None:
        writer.write(b"150 give\r\n")
        await server.take()
        writer.write(f"{reply}\r\n".encode()) if reply else writer.close()

    async with scripted(answers={"MLST": ABSENT, "STOR": refuse, "RNTO": "250 done"}) as (server, site):
        upload = await Uploads().begin(site, "/x")
        await upload.write(b"of acme")
        with pytest.raises(SiteUnavailable, match=said):
            await upload.settle()
        await upload.abandon()
        assert not any(command.startswith("RN") for command in server.heard)


async def test_an_upload_of_which_a_part_was_lost_is_no_file() -> None:
    """The server says that it has it, and what it has is shorter."""
    async with scripted(answers={"MLST": ABSENT, "SIZE": "213 3"}) as (_, site):
        writing = await site.write("/x")
        await writing.write(b"of acme")
        with pytest.raises(SiteUnavailable, match="3 bytes of this file; expected 7"):
            await writing.finish()
        await writing.abandon()


async def test_a_passive_reply_that_points_elsewhere_is_not_followed() -> None:
    """Data goes to where commands go (RFC 2577 §3): a server cannot make the gateway talk to others."""

    async def point(server: ScriptedFtp, writer: asyncio.StreamWriter) -> None:
        port = await server.listen()
        writer.write(f"227 there (127,0,0,2,{port >> 8},{port & 255})\r\n".encode())

    async with scripted(b"hello", {"EPSV": "500 what?", "PASV": point}) as (_, site):
        assert await read(site, "/x") == b"hello", "nobody listens at 127.0.0.2"


async def test_nothing_goes_over_a_data_connection_that_is_not_admitted() -> None:
    """Commands went to where they may, and then the answer about the peer was another."""
    heard_epsv = False

    async def told(server: ScriptedFtp, writer: asyncio.StreamWriter) -> None:
        nonlocal heard_epsv
        heard_epsv = True
        writer.write(f"229 here (|||{await server.listen()}|)\r\n".encode())

    async with scripted(answers={"MLST": ABSENT, "EPSV": told}) as (server, site):
        with pytest.raises(SiteElsewhere):
            await site.write("/x", admits=lambda peer: not heard_epsv)
        assert not any(command.startswith("STOR") for command in server.heard)


@pytest.mark.parametrize(
    "facts",
    ["250 nothing", "250-x\r\n250 x", FACTS.format("file").replace("size=5", "size=many"), "250-\r\n \r\n250 x"],
)
async def test_facts_that_cannot_be_read_are_a_failure_or_nothing(facts: str) -> None:
    """And no error of the gateway's own."""
    async with scripted(answers={"MLST": facts}) as (_, site):
        with suppress(SiteUnavailable):
            assert await site.about("/x") is None


@pytest.mark.parametrize("kind", ["OS.unix=slink:/etc/passwd", "OS.unix=symlink", "link", ""])
async def test_what_is_said_to_be_a_link_does_not_exist(kind: str) -> None:
    listing = f"type={kind};size=5; link\r\ntype=cdir; .\r\nType=File;Size=5; own\r\nsize=3; untyped\r\n".encode()
    async with scripted(listing, {"MLST": FACTS.format(kind)}) as (server, site):
        assert await site.about("/x") is None
        assert [about[:3] for about in await site.list("/")] == [("own", False, 5)]
        for act in ("read", "write", "remove", "move"):
            with pytest.raises(NoSuchName):
                await EVERY_ACT[act](site)
        assert not {command.split(" ")[0] for command in server.heard} & {"RETR", "STOR", "DELE", "RNTO"}


async def test_names_that_lead_elsewhere_are_not_listed() -> None:
    """Nothing that a server lists is outside the folder."""
    async with scripted(b"type=file; ../secret\r\ntype=file; a/b\r\ntype=file; c\r\n") as (_, site):
        assert [about.name for about in await site.list("/")] == ["c"]
    old = b"total 3\r\n" + b"".join(
        b"-rw-r--r--    1 0        0               3 Nov 26 10:57 %b\r\n" % name
        for name in (b"../secret", b"a/b", b"c")
    )
    async with scripted(old, {"MLSD": "502 no"}) as (_, site):
        assert [about.name for about in await site.list("/")] == ["c"]


async def test_a_listing_that_cannot_be_read_is_a_failure() -> None:
    """A file that is there would be missing."""
    async with scripted(b"what is this?\r\n", {"MLSD": "502 no"}) as (_, site):
        with pytest.raises(SiteUnavailable):
            await site.list("/")


async def test_a_passive_reply_that_cannot_be_read_is_a_failure() -> None:
    for answers in ({"EPSV": "229 here"}, {"EPSV": "500 what?", "PASV": "227 (1,2)"}, {"EPSV": "229 (|||0|)"}):
        async with scripted(answers=answers) as (_, site):
            with pytest.raises(SiteUnavailable):
                await read(site, "/x")


async def test_what_was_said_unasked_is_not_taken_for_an_answer() -> None:
    """A kept connection on which something lies unread is not used again."""
    said = asyncio.Event()

    async def twice(_server: ScriptedFtp, writer: asyncio.StreamWriter) -> None:
        writer.write(f"{ABSENT}\r\n".encode())
        await writer.drain()
        said.set()
        writer.write(b"421 idle for too long\r\n")
        await writer.drain()

    async with scripted(answers={"MLST": twice}) as (server, site):
        assert await site.about("/x") is None
        await said.wait()
        await until_unusable(site)
        assert await site.about("/x") is None
        assert server.heard.count("MLST /x") == 2
        assert sum(command.startswith("USER") for command in server.heard) == 2


async def test_a_connection_that_the_server_closed_is_made_again() -> None:
    async with scripted(answers={"MLST": ABSENT}) as (server, site):
        assert await site.about("/x") is None
        server._writers[0].close()
        await until_unusable(site)
        assert await site.about("/x") is None


@pytest.mark.parametrize("agreed", ["502 no", "234 yes\r\n230 you are in"])
async def test_without_tls_nobody_signs_in_where_it_was_asked_for(tmp_path: Path, agreed: str) -> None:
    """A server that refuses it; and somebody who adds, in clear, to a server's agreement."""
    async with (
        scripted_ftp(AUTH=agreed) as server,
        facing(server.url.replace("ftp:", "ftpes:"), tls_ca=Authority(tmp_path / "authority").path) as site,
    ):
        with capture_logs() as logs, pytest.raises(SiteUnavailable):
            await site.about("/x")
        assert not any(command.startswith(("USER", "PASS")) for command in server.heard)
        assert agreed.startswith("502") or "in clear" in str(logs)


@pytest.mark.parametrize("scheme", ["ftps", "ftpes"])
async def test_a_handshake_that_does_not_end_is_slow(tmp_path: Path, scheme: str) -> None:
    async with (
        scripted_ftp(greeting="220 hello" if scheme == "ftpes" else mute, AUTH=agree) as server,
        facing(
            server.url.replace("ftp:", f"{scheme}:"),
            tls_ca=Authority(tmp_path / "authority").path,
            connect_timeout_s=0.3,
        ) as site,
    ):
        with pytest.raises(SiteSlow):
            await asyncio.wait_for(site.about("/x"), 20)


async def test_data_in_clear_are_not_read_where_commands_have_tls(tmp_path: Path) -> None:
    """Server answers a data connection without a handshake."""
    authority = Authority(tmp_path / "authority")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.server())
    answers: dict[str, Answer] = {"PBSZ": "200 so be it", "PROT": "200 so be it"}
    async with (
        scripted_ftp(b"in clear, by somebody else", tls=context, **answers) as server,
        facing(server.url.replace("ftp:", "ftps:"), tls_ca=authority.path, connect_timeout_s=2.0) as site,
    ):
        with pytest.raises(SiteUnavailable):
            await read(site, "/x")
