"""A site behind an FTP server: pyftpdlib's and vsftpd, in clear, with TLS asked for, and with TLS from the start."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway.settings import StoreSettings
from gateway.transfer.ftp_site import FtpSite
from gateway.transfer.site import NameTaken, NoSuchName, SiteElsewhere, SiteUnavailable
from gateway.transfer.sites import site_of
from gateway.transfer.uploads import Uploads, partial_of
from tests.world.certificates import Authority
from tests.world.sites import content, store
from tests.world.upstream_ftp import UpstreamFtp, pyftpd
from tests.world.vsftpd import CannotRun, vsftpd

SIZE = 3_000_017
SERVERS = [f"{program} {scheme}" for program in ("pyftpdlib", "vsftpd") for scheme in ("ftp", "ftpes", "ftps")]


@asynccontextmanager
async def running(kind: str, directory: Path, authority: Authority, **more: str) -> AsyncIterator[UpstreamFtp]:
    """A server of a kind; skips where it cannot run."""
    program, scheme = kind.split(" ")
    tls = None if scheme == "ftp" else authority.server()
    async with AsyncExitStack() as stack:
        if program == "vsftpd":
            try:
                server = await stack.enter_async_context(vsftpd(scheme, tls, **more))
            except CannotRun as why:
                pytest.skip(str(why))
            yield server
        else:
            (directory / "root").mkdir()
            yield stack.enter_context(pyftpd(directory / "root", scheme, tls, **more))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture(params=SERVERS)
async def server(request: pytest.FixtureRequest, tmp_path: Path, authority: Authority) -> AsyncIterator[UpstreamFtp]:
    """Each of them."""
    async with running(request.param, tmp_path, authority) as upstream:
        (upstream.root / "acme").mkdir()
        yield upstream


def site_before(url: str, authority: Authority | None = None, **more: object) -> FtpSite:
    given = {"name": "uploads", "country": "US", "url": SecretStr(url), "connect_timeout_s": 10, "read_timeout_s": 10}
    tls = {"tls_ca": authority.path} if authority and not url.startswith("ftp:") else {}
    made = site_of(StoreSettings.model_validate(given | tls | more))
    assert isinstance(made, FtpSite)
    return made


@pytest.fixture
async def site(server: UpstreamFtp, authority: Authority) -> AsyncIterator[FtpSite]:
    made = site_before(server.url, authority)
    yield made
    await made.close()


@pytest.mark.parametrize("name", ["a", "b c  d", "é ü 漢", "-rf", "*.csv", "{x,y}?", "a;b#c%41&=", "x -> y", '"q"'])
async def test_a_file_is_stored_described_listed_read_moved_and_removed(
    site: FtpSite, server: UpstreamFtp, name: str
) -> None:
    """Whatever characters its name has that mean something elsewhere."""
    data = os.urandom(SIZE)
    path = f"/acme/in/{name}"
    await site.make_folder("/acme/in")
    assert await site.about(path) is None
    await store(site, path, data)
    assert (server.root / "acme" / "in" / name).read_bytes() == data
    about = await site.about(path)
    assert about is not None
    assert about[:3] == (name, False, SIZE)
    assert about.modified_s > 0
    assert [found[:3] for found in await site.list("/acme/in")] == [(name, False, SIZE)]
    assert await content(site, path) == data
    assert await content(site, path, SIZE - 5) == data[-5:]
    assert await content(site, path, SIZE) == b""
    await store(site, "/acme/b", b"older")
    await site.move(path, "/acme/b")
    assert (server.root / "acme" / "b").read_bytes() == data
    await site.remove("/acme/b")
    await site.remove_folder("/acme/in")
    assert await site.list("/acme") == []
    assert len(site._idle) == 1, "one connection did all of it"


async def test_what_is_there_and_what_is_not_is_told(site: FtpSite) -> None:
    """Each refusal in the words of a site, and the connection is good for the next act."""
    await site.make_folder("/acme/in")
    await store(site, "/acme/in/a", b"")
    assert (await site.about("/")) is not None
    about = await site.about("/acme/in")
    assert about is not None
    assert (about.name, about.is_folder) == ("in", True)
    assert [found.name for found in await site.list("/")] == ["acme"]
    for taken in (site.remove_folder("/acme"), site.make_folder("/acme/in"), site.make_folder("/acme/in/a")):
        with pytest.raises(NameTaken):
            await taken
    absent = [
        *(act("/acme/none") for act in (site.read, site.list, site.remove, site.remove_folder)),
        *(act("/acme/in") for act in (site.read, site.write, site.remove)),
        site.list("/acme/in/a"),
        site.write("/none/a"),
        site.move("/acme/none", "/acme/b"),
    ]
    for act in absent:
        with pytest.raises(NoSuchName):
            await act
    assert await site.about("/acme/none/x") is None
    assert await site.about("/acme/in/a/x") is None


async def test_a_transfer_that_broke_off_goes_on(site: FtpSite, server: UpstreamFtp) -> None:
    """What came is hidden from nobody but clients, and complete when the upload was given up."""
    data = os.urandom(SIZE)
    upload = await Uploads().begin(site, "/acme/a")
    await upload.write(data[:1_000_003])
    await upload.abandon()
    assert await site.about("/acme/a") is None
    about = await site.about(partial_of("/acme/a"))
    assert about is not None
    assert about.size == 1_000_003
    with pytest.raises(NameTaken, match="at the end of a file alone"):
        await site.write(partial_of("/acme/a"), offset=7)
    await store(site, "/acme/a", data[1_000_003:], offset=1_000_003)
    assert (server.root / "acme" / "a").read_bytes() == data
    assert [about.name for about in await site.list("/acme")] == ["a"]


async def test_a_folder_in_which_something_broke_off_can_be_removed(site: FtpSite, server: UpstreamFtp) -> None:
    await site.make_folder("/acme/in")
    upload = await Uploads().begin(site, "/acme/in/a")
    await upload.write(b"half")
    await upload.abandon()
    await site.remove_folder("/acme/in")
    assert not any((server.root / "acme").iterdir())


async def test_a_reading_may_stop_in_the_middle(site: FtpSite, server: UpstreamFtp) -> None:
    (server.root / "acme" / "a").write_bytes(bytes(20_000_000))
    reading = await site.read("/acme/a")
    assert await reading.read(1) == b"\0"
    await reading.close()
    await reading.close()
    assert await content(site, "/acme/a", 19_999_999) == b"\0"


@pytest.mark.parametrize("to", ["outside", "outside/secret"])
async def test_no_link_out_of_the_site_is_followed(site: FtpSite, server: UpstreamFtp, to: str) -> None:
    """vsftpd tells what is a link, and is not asked for it; pyftpdlib does not, and confines its account."""
    outside = server.root.parent / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"of somebody else")
    (server.root / "acme" / "link").symlink_to(server.root.parent / to)
    for path in ("/acme/link", "/acme/link/secret", "/acme/link/new"):
        assert await site.about(path) is None
        for act in (site.read, site.write, site.list, site.remove, site.make_folder, site.remove_folder):
            with pytest.raises((NoSuchName, NameTaken)):
                await act(path)
        with pytest.raises(NoSuchName):
            await site.move(path, "/acme/got")
    await store(site, "/acme/own", b"x")
    with pytest.raises(NoSuchName):
        await site.move("/acme/own", "/acme/link/own")
    assert (outside / "secret").read_bytes() == b"of somebody else"
    assert [path.name for path in outside.iterdir()] == ["secret"]


async def test_a_link_within_the_site_does_not_exist_where_the_server_tells(
    tmp_path: Path, authority: Authority
) -> None:
    """It could lead from one customer's tree into another's."""
    async with running("vsftpd ftp", tmp_path, authority) as server:
        for name in ("acme", "globex"):
            (server.root / name).mkdir()
        (server.root / "globex" / "secret").write_bytes(b"of somebody else")
        (server.root / "acme" / "link").symlink_to("../globex")
        site = site_before(server.url)
        assert await site.list("/acme") == []
        assert await site.about("/acme/link/secret") is None
        for act in (site.read, site.write, site.remove):
            with pytest.raises(NoSuchName):
                await act("/acme/link/secret")
        await site.close()


async def test_a_name_that_is_no_text_is_not_in_the_way_of_others(site: FtpSite, server: UpstreamFtp) -> None:
    (server.root / "acme" / "caf\udce9").write_bytes(b"")
    await store(site, "/acme/a", b"x")
    assert "a" in {about.name for about in await site.list("/acme")}
    assert await site.about("/acme/a") is not None


async def test_nothing_is_written_to_a_peer_that_is_not_admitted(site: FtpSite, server: UpstreamFtp) -> None:
    """Rule storage-home, over a new connection and over a kept one, for each act that writes."""
    asked: list[str] = []

    def admits(peer: str) -> bool:
        asked.append(peer)
        return False

    for _ in range(2):
        for act in (site.write, site.make_folder):
            with pytest.raises(SiteElsewhere):
                await act("/acme/new", admits=admits)
        with pytest.raises(SiteElsewhere):
            await site.move("/acme/a", "/acme/new", admits=admits)
        await store(site, "/acme/a", b"x")
    assert asked == ["127.0.0.1"] * 6
    assert [path.name for path in (server.root / "acme").iterdir()] == ["a"]


async def test_the_peer_of_data_is_asked_about_too(site: FtpSite, server: UpstreamFtp) -> None:
    """The control connection was admitted; the one for the file is not."""
    asked: list[str] = []
    most = 1_000

    def admits(peer: str) -> bool:
        asked.append(peer)
        return len(asked) < most

    writing = await site.write("/acme/a", admits=admits)
    await writing.finish()
    most = len(asked)
    asked.clear()
    (server.root / "acme" / "a").unlink()
    await site.close()
    with pytest.raises(SiteElsewhere):
        await site.write("/acme/a", admits=admits)
    assert len(asked) == most >= 2
    assert set(asked) == {"127.0.0.1"}
    assert not (server.root / "acme" / "a").exists()


async def test_a_wrong_password_is_no_word_about_files(server: UpstreamFtp, authority: Authority) -> None:
    site = site_before(server.url_by("wrong"), authority)
    for act in (site.about, site.list, site.read, site.write):
        with pytest.raises(SiteUnavailable, match="cannot be reached, refused or broke off") as raised:
            await act("/acme")
        assert "wrong" not in str(raised.value)


@pytest.mark.parametrize("kind", [kind for kind in SERVERS if not kind.endswith("ftp")])
async def test_a_certificate_that_does_not_verify_is_not_spoken_to(
    kind: str, tmp_path: Path, authority: Authority
) -> None:
    """Signed by somebody else, or for another name."""
    async with running(kind, tmp_path, authority) as server:
        other = Authority(tmp_path / "other", "another authority")
        for site in (site_before(server.url, other), site_before(server.url, authority, tls_server_name="ftp.example")):
            with pytest.raises(SiteUnavailable):
                await site.about("/acme")
        right = site_before(server.url, authority)
        assert await right.about("/acme") is None
        await right.close()


async def test_a_server_that_ends_in_the_middle_leaves_nothing_whole(tmp_path: Path) -> None:
    """Both ways; what is asked next says so, too."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "long").write_bytes(bytes(50_000_000))
    with pyftpd(tmp_path / "root") as server:
        site = site_before(server.url)
        reading = await site.read("/long")
        upload = await Uploads().begin(site, "/new")
        await upload.write(b"half")
    with pytest.raises(SiteUnavailable):
        while await reading.read(1_000_000):
            pass
    await reading.close()
    with pytest.raises(SiteUnavailable):
        await upload.settle()
    await upload.abandon()
    with pytest.raises(SiteUnavailable):
        await site.about("/long")
    await site.close()
    assert not (tmp_path / "root" / "new").exists()
