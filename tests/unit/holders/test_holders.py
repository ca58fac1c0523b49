"""Places that keep the last checkpoint: forward only, by compare-and-swap, and only of one ledger's past."""

from __future__ import annotations

import asyncio
import stat
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gateway.errors import ConfigurationError, HolderBehind, HolderUnavailable, LedgerContradicted, StateUnavailable
from gateway.files import locked
from gateway.holders import file as file_module
from gateway.holders import holders
from gateway.holders.document import Document
from gateway.holders.file import FilePlace
from gateway.holders.witness import Witness, request
from gateway.ledger.holding import Holder, Kept, Memory, Place
from gateway.ledger.notary import size_of
from gateway.ledger.note import Verifier, opened
from gateway.settings import HolderSettings, Settings
from gateway.storage import StateMemory, StatePlace, StateStore
from tests.world import witness as world
from tests.world.signed import ORIGIN, Signed, copy_ledger
from tests.world.witness import Shelf, serving


@pytest.fixture
def ledger(tmp_path: Path) -> Signed:
    found = Signed(tmp_path / "ledger.db")
    found.checkpoint()
    found.add(3)
    return found


def settings(**values: Any) -> HolderSettings:
    return HolderSettings(name="away", **values)


def names_in(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


class Remembered:
    """What a holder was told, for as long as a test lasts."""

    def __init__(self) -> None:
        self.size = 0

    async def told(self) -> int:
        return self.size

    async def remember(self, note: str) -> None:
        self.size = max(self.size, size_of(note))

    async def forget(self) -> None:
        self.size = 0


def kept(place: Place, memory: Memory | None = None) -> Kept:
    return Kept("away", place, memory or Remembered(), required=False, timeout_s=5)


@pytest.fixture
def state(tmp_path: Path, ledger: Signed) -> Iterator[StateStore]:
    store = StateStore(f"sqlite:///{tmp_path}/memory.db", ledger.clock)
    yield store
    store.close()


@asynccontextmanager
async def place(kind: str, directory: Path, ledger: Signed) -> AsyncIterator[Place]:
    """An empty one of each kind that can be read."""
    if kind == "file":
        found: Place = FilePlace(directory / "held")
        yield found
        await found.close()
    elif kind == "state":
        store = StateStore(f"sqlite:///{directory}/state.db", ledger.clock)
        yield StatePlace(store, ORIGIN)
        store.close()
    else:
        async with serving(Shelf()) as url:
            found = Document(settings(kind="http", url=url, unsafe_plain_http=True))
            yield found
            await found.close()


EACH = pytest.mark.parametrize("kind", ["file", "state", "http"])


@EACH
async def test_goes_forward_with_the_ledger(kind: str, tmp_path: Path, ledger: Signed) -> None:
    """The first time, again, and further; an earlier one does not take it back."""
    async with place(kind, tmp_path, ledger) as found:
        holder, ours = kept(found), ledger.voucher()
        await holder.check(ours)
        first = ledger.checkpoint()
        await holder.tell(first, ours)
        await holder.tell(first, ours)
        ledger.add(2)
        second = ledger.checkpoint()
        await holder.tell(second, ours)
        await holder.tell(first, ours)
        held = await found.read()
        assert held is not None
        assert held.note == second
        await holder.check(ours)


@EACH
async def test_older_copy_of_the_ledger_is_seen(kind: str, tmp_path: Path, ledger: Signed) -> None:
    """Also once it has gone on by itself."""
    backup = tmp_path / "backup"
    backup.mkdir()
    ledger.copy_to(backup)
    ledger.add(2)
    async with place(kind, tmp_path, ledger) as found:
        await kept(found).tell(ledger.checkpoint(), ledger.voucher())
        copy_ledger(backup / "ledger.db", ledger.path)
        with pytest.raises(LedgerContradicted, match="rolled back"):
            await kept(found).check(ledger.voucher())
        ledger.add(5, "another")
        held = await found.read()
        for asked in (kept(found).check(ledger.voucher()), kept(found).tell(ledger.checkpoint(), ledger.voucher())):
            with pytest.raises(LedgerContradicted, match="changed or forked"):
                await asked
        assert await found.read() == held


@EACH
async def test_what_is_not_ours_is_left_as_it_is(kind: str, tmp_path: Path, ledger: Signed) -> None:
    """Nothing of somebody else is overwritten."""
    async with place(kind, tmp_path, ledger) as found:
        assert await found.swap(None, "somebody else's")
        with pytest.raises(LedgerContradicted, match="no checkpoint"):
            await kept(found).tell(ledger.checkpoint(), ledger.voucher())
        held = await found.read()
        assert held is not None
        assert held.note == "somebody else's"


@EACH
async def test_swap_depends_on_what_was_read(kind: str, tmp_path: Path, ledger: Signed) -> None:
    """Whoever comes second begins anew."""
    async with place(kind, tmp_path, ledger) as found:
        assert await found.swap(None, "one")
        assert not await found.swap(None, "two")
        one = await found.read()
        assert await found.swap(one, "three")
        assert not await found.swap(one, "four")
        held = await found.read()
        assert held is not None
        assert held.note == "three"


def lose(kind: str, directory: Path, shelf: Shelf | None, note: str | None) -> None:
    """The holder has nothing any more, or only this."""
    if shelf:
        shelf.text = note
    elif note is None:
        (directory / "held").unlink()
    else:
        (directory / "held").write_text(note, "utf-8")


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("kind", ["file", "http"])
async def test_holder_that_lost_what_it_was_told_is_no_new_one(
    kind: str, older: bool, tmp_path: Path, ledger: Signed, state: StateStore
) -> None:
    """Emptied, or put back: it is named with what it was told, and left as it is until somebody says that it is new."""
    first, shelf = ledger.checkpoint(), Shelf() if kind == "http" else None
    ledger.add(2)
    second, ours = ledger.checkpoint(), ledger.voucher()
    memory = StateMemory(state, ORIGIN, "away")
    async with serving(shelf or Shelf()) as url:
        document = Document(settings(kind="http", url=url, unsafe_plain_http=True))
        holder = kept(document if shelf else FilePlace(tmp_path / "held"), memory)
        await holder.tell(first, ours)
        await holder.tell(second, ours)
        lose(kind, tmp_path, shelf, first if older else None)
        says = "has a checkpoint over 4 entries" if older else "holds nothing"
        for asked in (holder.check(ours), holder.tell(second, ours)):
            with pytest.raises(HolderBehind, match=rf"it {says}, and was told of 6 entries.*accept-holder"):
                await asked
        assert shelf.text == (first if older else None) if shelf else (tmp_path / "held").exists() == older
        await memory.forget()
        await holder.tell(second, ours)
        await holder.check(ours)
        assert await memory.told() == 6
        await holder.close()
        await document.close()


async def test_what_a_holder_was_told_goes_forward_only(ledger: Signed, state: StateStore) -> None:
    """Each under its own name and its ledger's; what was told twice at once is the larger."""
    first = ledger.checkpoint()
    ledger.add(2)
    second = ledger.checkpoint()
    one, other = StateMemory(state, ORIGIN, "one"), StateMemory(state, ORIGIN, "other")
    await one.remember(second)
    await one.remember(first)
    await other.remember(first)
    assert [await one.told(), await other.told()] == [6, 4]
    assert await StateMemory(state, "another/ledger", "one").told() == 0
    assert await StatePlace(state, ORIGIN).read() is None
    await one.forget()
    assert [await one.told(), await other.told()] == [0, 4]


async def test_it_is_remembered_only_once_it_is_held(tmp_path: Path, ledger: Signed) -> None:
    """A crash in between leaves a holder that is ahead of what is remembered, and that is no loss."""
    memory = Remembered()

    class Full(FilePlace):
        async def swap(self, held: object, note: str) -> bool:
            raise HolderUnavailable("no space left")

    with pytest.raises(HolderUnavailable, match="no space"):
        await kept(Full(tmp_path / "held"), memory).tell(ledger.checkpoint(), ledger.voucher())
    assert memory.size == 0


async def test_race_is_begun_anew_and_given_up_in_the_end(tmp_path: Path, ledger: Signed) -> None:
    """A gateway that was told of something newer in between is content."""
    first = ledger.checkpoint()
    ledger.add(1)
    second = ledger.checkpoint()
    shelf = Shelf(interrupt=first)
    async with serving(shelf) as url:
        document = Document(settings(kind="http", url=url, unsafe_plain_http=True))
        await kept(document).tell(second, ledger.voucher())
        assert shelf.text == second
        assert [method for method, _ in shelf.seen] == ["GET", "PUT", "GET", "PUT"]
        shelf.text, shelf.interrupt = first, second
        await kept(document).tell(first, ledger.voucher())
        assert shelf.text == second
        await document.close()

    class Never(FilePlace):
        async def swap(self, held: object, note: str) -> bool:
            return False

    with pytest.raises(HolderUnavailable, match="somebody else writes there"):
        await kept(Never(tmp_path / "held")).tell(second, ledger.voucher())


async def test_file_is_whole_and_its_owners(tmp_path: Path) -> None:
    """Nothing is left beside it but the lock."""
    found = FilePlace(tmp_path / "held")
    await found.swap(None, "one")
    await found.close()
    assert names_in(tmp_path) == {"held", "held.lock"}
    assert stat.S_IMODE((tmp_path / "held").stat().st_mode) == 0o600


async def test_file_without_its_directory_is_told(tmp_path: Path) -> None:
    """It is a disk that is not mounted: nothing is made there."""
    found = FilePlace(tmp_path / "mnt" / "held")
    with pytest.raises(HolderUnavailable, match="No such file or directory; check the path, its mount"):
        await found.read()
    with pytest.raises(HolderUnavailable, match="mount"):
        await found.swap(None, "one")
    await found.close()
    assert not (tmp_path / "mnt").exists()


async def test_file_that_somebody_holds_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In bounded time."""
    monkeypatch.setattr(file_module, "LOCK_TIMEOUT_S", 0.05)
    found = FilePlace(tmp_path / "held")
    with locked(tmp_path / "held.lock"), pytest.raises(HolderUnavailable, match="another process holds its lock"):
        await found.swap(None, "one")
    await found.close()


async def test_file_system_that_hangs_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the loop nor the next call; once it answers again, all is well."""
    gate = threading.Event()
    found = FilePlace(tmp_path / "held")
    monkeypatch.setattr(found, "_read", lambda: gate.wait(20) and None)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await found.read()
    with pytest.raises(HolderUnavailable, match="has not ended; check the disk, mount"):
        await found.read()
    gate.set()
    monkeypatch.undo()
    for _ in range(200):
        await asyncio.sleep(0.01)
        if not found._thread._busy:
            break
    assert await found.read() is None
    await found.close()


def answer(status: int = 200, body: bytes = b"", **headers: str) -> web.Response:
    return web.Response(status=status, body=body, headers=headers)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (answer(500), "answered 500"),
        (answer(403), "answered 403; check its credential"),
        (answer(302, Location="http://elsewhere.test/"), "a redirect"),
        (answer(200, b"x"), "without a strong ETag"),
        (answer(200, b"x", ETag='W/"1"'), "without a strong ETag"),
        (answer(200, b"x" * 70_000, ETag='"1"'), "more than 65536 bytes"),
        (answer(200, b"x", **{"ETag": '"1"', "Content-Encoding": "gzip"}), "packed"),
    ],
)
async def test_answer_that_cannot_be_used_is_told(said: web.Response, told: str) -> None:
    """Each by what is wrong with it."""
    async with serving(Shelf(answer=said)) as url:
        found = Document(settings(kind="http", url=url, unsafe_plain_http=True))
        with pytest.raises(HolderUnavailable, match=told):
            await found.read()
        await found.close()


async def test_write_that_is_refused_is_told() -> None:
    """Anything but stored and changed meanwhile."""
    async with serving(Shelf(answer=answer(507))) as url:
        found = Document(settings(kind="http", url=url, unsafe_plain_http=True))
        with pytest.raises(HolderUnavailable, match="answered 507"):
            await found.swap(None, "one")
        await found.close()


async def test_holder_out_of_reach_is_told_without_its_address() -> None:
    """An address may be a secret."""
    found = Document(settings(kind="http", url="http://127.0.0.1:9/secret", unsafe_plain_http=True))
    with pytest.raises(HolderUnavailable, match=r"cannot be reached") as refusal:
        await found.read()
    assert "secret" not in str(refusal.value)
    await found.close()


async def test_credential_and_condition_are_sent(tmp_path: Path) -> None:
    """The secret is read again once its file has changed."""
    shelf = Shelf()
    secret = tmp_path / "token"
    secret.write_text("one")
    async with serving(shelf) as url:
        told = settings(kind="http", url=url, unsafe_plain_http=True, credential={"bearer": "one"})
        found = Document(told)
        assert await found.swap(None, "note")
        await found.swap(await found.read(), "note")
        await found.close()
    (_, first), _, (_, second) = shelf.seen
    assert (first["Authorization"], first["If-None-Match"]) == ("Bearer one", "*")
    assert second["If-Match"].startswith('"')


# A witness.


@asynccontextmanager
async def witnessed(ledger: Signed, memory: Memory | None = None) -> AsyncIterator[tuple[Witness, world.Witness]]:
    """A witness that knows the ledger, and what speaks to it."""
    there = world.Witness()
    key = ledger.key.signer()
    assert key is not None
    there.known[ORIGIN] = key.verifier
    async with serving(there) as url:
        told = settings(kind="witness", url=url + "/", key=str(there.key), unsafe_plain_http=True)
        found = Witness(told, memory or Remembered())
        yield found, there
        await found.close()


async def test_witness_cosigns_what_grows(ledger: Signed) -> None:
    """From nothing on, again, and further; each cosignature is kept, and verifies with the note."""
    async with witnessed(ledger) as (witness, there):
        ours = ledger.voucher()
        await witness.check(ours)
        first = ledger.checkpoint()
        await witness.tell(first, ours)
        await witness.tell(first, ours)
        ledger.add(300)
        second = ledger.checkpoint()
        await witness.tell(second, ours)
        assert [size for size, _, _ in ledger.cosignatures] == [1, 4, 4, 304]
        assert opened(second + ledger.cosignatures[-1][2] + "\n", [there.key])
        assert [asked.partition("\n")[0] for asked in there.asked] == ["old 0", "old 1", "old 4", "old 4"]


async def test_empty_ledger_asks_a_witness_too(ledger: Signed, tmp_path: Path) -> None:
    """A new one under the old key shows; without a key there is nothing to ask with."""
    empty = ledger.fork(tmp_path / "empty")
    empty.path.unlink()
    with empty.open():
        pass
    async with witnessed(ledger) as (witness, there):
        await witness.check(empty.voucher())
        assert there.last[ORIGIN].size == 0
        assert empty.cosignatures == []
        await witness.tell(ledger.checkpoint(), ledger.voucher())
        with pytest.raises(LedgerContradicted, match="it has cosigned 4 entries, and the ledger has 0"):
            await witness.check(empty.voucher())
        asked = len(there.asked)
        assert empty.key.file
        empty.key.file.unlink()
        await witness.check(empty.voucher())
        assert len(there.asked) == asked


def test_request_is_as_the_specification_has_it() -> None:
    """Size, proof, an empty line, the checkpoint."""
    assert request("note\n", 7, [bytes(3), b"abc"]) == "old 7\nAAAA\nYWJj\n\nnote\n"


async def test_witness_that_knows_another_size_is_asked_once_more(ledger: Signed) -> None:
    """Cosignatures that were not kept: it says how far it is."""
    memory = Remembered()
    async with witnessed(ledger, memory) as (witness, there):
        await witness.tell(ledger.checkpoint(), ledger.voucher())
        ledger.add(2)
        ledger.checkpoint()
        ours = ledger.voucher()
        ours.cosigned = lambda name: asyncio.sleep(0, 0)  # type: ignore[method-assign]  # as if nothing was kept
        await memory.forget()
        await witness.tell(ledger.checkpoint(), ours)
        assert [asked.partition("\n")[0] for asked in there.asked] == ["old 0", "old 0", "old 4"]
        assert there.last[ORIGIN].size == 6


async def test_witness_that_lost_what_it_was_told_is_no_new_one(ledger: Signed) -> None:
    """It knows nothing, or an earlier tree: it is told nothing more until somebody says that it is new."""
    memory = Remembered()
    async with witnessed(ledger, memory) as (witness, there):
        ours = ledger.voucher()
        await witness.tell(ledger.checkpoint(), ours)
        earlier = there.last[ORIGIN]
        ledger.add(2)
        await witness.tell(ledger.checkpoint(), ours)
        assert memory.size == 6
        for last, says in (({ORIGIN: earlier}, "has a checkpoint over 4 entries"), ({}, "holds nothing")):
            there.last = dict(last)
            for asked in (witness.check(ours), witness.tell(ledger.checkpoint(), ours)):
                with pytest.raises(HolderBehind, match=rf"it {says}, and was told of 6 entries"):
                    await asked
            assert there.last == last
        await memory.forget()
        await witness.check(ours)
        assert (there.last[ORIGIN].size, memory.size) == (6, 6)


async def test_emptied_witness_under_a_new_ledger_is_seen(ledger: Signed, tmp_path: Path) -> None:
    """Neither the ledger nor the witness says that there was more; what is remembered does."""
    memory = Remembered()
    async with witnessed(ledger, memory) as (witness, there):
        await witness.tell(ledger.checkpoint(), ledger.voucher())
        there.last.clear()
        empty = ledger.fork(tmp_path / "empty")
        empty.path.unlink()
        with empty.open():
            pass
        with pytest.raises(HolderBehind, match="it holds nothing, and was told of 4 entries"):
            await witness.check(empty.voucher())


async def test_witness_that_was_told_of_more_is_content(ledger: Signed) -> None:
    """By somebody else, of the same ledger."""
    first = ledger.checkpoint()
    ledger.add(1)
    async with witnessed(ledger) as (witness, _):
        ours = ledger.voucher()
        await witness.tell(ledger.checkpoint(), ours)
        await witness.tell(first, ours)
        assert len(ledger.cosignatures) == 1


async def test_witness_sees_an_older_copy_and_a_fork(ledger: Signed, tmp_path: Path) -> None:
    """Behind it, of the same size, and gone on."""
    backup = tmp_path / "backup"
    backup.mkdir()
    ledger.checkpoint()
    ledger.copy_to(backup)
    async with witnessed(ledger) as (witness, _):
        ledger.add(3)
        await witness.tell(ledger.checkpoint(), ledger.voucher())
        copy_ledger(backup / "ledger.db", ledger.path)
        with pytest.raises(LedgerContradicted, match="it has cosigned 7 entries, and the ledger has 4"):
            await witness.check(ledger.voucher())
        for count in (3, 1):
            ledger.add(count, "another")
            with pytest.raises(LedgerContradicted, match="no beginning of this ledger"):
                await witness.tell(ledger.checkpoint(), ledger.voucher())


@pytest.mark.parametrize(("origin", "says"), [("", "does not know this ledger"), (ORIGIN, "does not trust the key")])
async def test_witness_that_does_not_know_us_is_told(ledger: Signed, origin: str, says: str) -> None:
    """404 and 403."""
    async with witnessed(ledger) as (witness, there):
        there.known = {origin: Verifier(origin or "x", bytes(32))}
        with pytest.raises(HolderUnavailable, match=says):
            await witness.tell(ledger.checkpoint(), ledger.voucher())


async def test_lines_of_others_are_passed_over(ledger: Signed) -> None:
    """And an answer with nothing else is none; so is a line of its name that it did not sign."""
    note = ledger.checkpoint()
    async with witnessed(ledger) as (witness, there):
        stranger = world.Signer("stranger.test", there.cosigner.key)
        there.before = "nonsense\n\n" + stranger.cosignature("text\n", 5)
        await witness.tell(note, ledger.voucher())
        [(_, name, line)] = ledger.cosignatures
        assert (name, line.split(" ")[1]) == (world.NAME, world.NAME)
        there.cosigner = stranger
        with pytest.raises(HolderUnavailable, match=r"without a cosignature of witness\.test/w1"):
            await witness.tell(note, ledger.voucher())


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (answer(500), "answered 500"),
        (answer(400), "malformed"),
        (answer(409), "409 without its size"),
        (answer(409, b"-1\n", **{"Content-Type": "text/x.tlog.size"}), "409 without its size"),
        (answer(409, b"3\n", **{"Content-Type": "text/x.tlog.size"}), "answered 409"),
        (answer(200, b"\xff\xfe"), "without a cosignature"),
    ],
)
async def test_witness_that_answers_otherwise_is_told(ledger: Signed, said: web.Response, told: str) -> None:
    """Nothing of it is believed."""
    note = ledger.checkpoint()
    app = web.Application()

    async def handle(_request: web.Request) -> web.Response:
        return web.Response(status=said.status, body=said.body, headers=said.headers)

    app.router.add_post("/add-checkpoint", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    given = settings(kind="witness", url=url, key=str(world.Witness().key), unsafe_plain_http=True)
    witness = Witness(given, Remembered())
    with pytest.raises(HolderUnavailable, match=told):
        await witness.tell(note, ledger.voucher())
    await witness.close()
    await runner.cleanup()


def test_key_that_signs_no_cosignatures_is_a_fault() -> None:
    """And one that is none."""
    log_key = str(Verifier("w", bytes(32)))
    for key, told in ((log_key, "signs no cosignatures"), (log_key.replace("w+", "v+"), "expected a verifier key")):
        with pytest.raises(ConfigurationError, match=told):
            Witness(settings(kind="witness", url="https://w", key=key), Remembered())


def test_authority_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    """It names the holder."""
    with pytest.raises(ConfigurationError, match=r"ledger.holder away: tls_ca"):
        Document(settings(kind="http", url="https://h", tls_ca=tmp_path / "none.pem"))


async def test_every_kind_is_made_of_its_settings(tmp_path: Path, ledger: Signed) -> None:
    """The state database first, and required."""
    from tests.unit.test_settings import SMALLEST, read

    holder = [
        {"name": "f", "kind": "file", "path": "held"},
        {"name": "h", "kind": "http", "url": "https://h/l", "required": True},
        {"name": "w", "kind": "witness", "url": "https://w", "key": str(world.Witness().key)},
    ]
    found: Settings = read(SMALLEST | {"ledger": {"holder": holder}})
    store = StateStore(f"sqlite:///{tmp_path}/state.db", ledger.clock)
    made: list[Holder] = holders(found, store)
    assert [(one.name, one.required) for one in made] == [("state", True), ("f", False), ("h", True), ("w", False)]
    for one in made:
        await one.close()
    store.close()


async def test_state_that_cannot_be_read_is_told(state: StateStore) -> None:
    """As ever; also what is remembered of a holder, and is no checkpoint."""
    memory = StateMemory(state, ORIGIN, "away")
    with state.connection(writing=True) as connection:
        connection.exec_driver_sql(f"INSERT INTO held_checkpoint VALUES ('{ORIGIN} away', 'x', 1)")
    with pytest.raises(StateUnavailable, match="is no checkpoint"):
        await memory.told()
    with state.connection(writing=True) as connection:
        connection.exec_driver_sql("DROP TABLE held_checkpoint")
    for asked in (StatePlace(state, ORIGIN).read(), memory.told()):
        with pytest.raises(StateUnavailable):
            await asked
