"""The order of system calls, as the kernel sees it: written, synced, and only then renamed, relied on or sent."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
from pathlib import Path

import aiohttp
import psutil
import pytest

from gateway.clock import SystemClock
from gateway.demo.stores import Addresses
from gateway.demo.world import RAJ, SAM, make_world
from gateway.ledger.entry import administrative
from gateway.ledger.writer import LedgerWriter
from tests.world.clock import FakeClock

CALLS = "pwrite64,pwritev,write,writev,sendto,sendmsg,fsync,fdatasync,sync,syncfs,rename,renameat,renameat2,unlink"
LONG = 100_000  # bytes of each call that are shown
STRACE = shutil.which("strace")
COMMAND = [sys.executable, "-c", "from gateway.cli import main; main()"]


def _why_untraced() -> str:
    """Why no program can be traced here, or ""."""
    if STRACE is None:
        return "strace is not installed (Debian package: strace)"
    tried = subprocess.run([STRACE, "-qq", "true"], capture_output=True, text=True, check=False, timeout=20)
    return f"strace may not trace here: {tried.stderr.strip()}" if tried.returncode else ""


UNTRACED = _why_untraced()
pytestmark = pytest.mark.skipif(bool(UNTRACED), reason=f"the order of syncs is NOT checked: {UNTRACED}")


def traced(trace: Path) -> list[str]:
    """The beginning of a command line whose calls are written there, each with the paths of its files."""
    return [str(STRACE), "-f", "-yy", "-qq", "-e", f"trace={CALLS}", "-s", str(LONG), "-o", str(trace)]


async def test_decision_is_synced_before_a_byte_of_it_goes_anywhere(tmp_path: Path, stores: Addresses) -> None:
    """A permit before the request goes to the store; a denial before its answer goes to the client."""
    trace = tmp_path / "trace"
    script = Path(__file__).with_name("serve_world.py")
    served = [sys.executable, str(script), str(tmp_path / "world"), stores.crm, stores.conversations]
    line = [*traced(trace), *served, stores.archive, stores.uploads]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        url, token, _ = (await asyncio.to_thread(process.stdout.readline)).split()
        async with aiohttp.ClientSession() as client:
            decisions = []
            for person in (SAM, RAJ):  # the same token: it is the address that one of them lacks
                headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": person.address}
                async with client.get(f"{url}/conversations/acme/7", headers=headers) as response:
                    decisions.append((response.status, response.headers["Residency-Decision"]))
        for traced_one in psutil.Process(process.pid).children():
            traced_one.terminate()
        await asyncio.to_thread(process.wait, 20)
    assert [status for status, _ in decisions] == [200, 403]
    calls = calls_in(trace)
    for status, decision in decisions:
        sent = first(calls, rf"(sendto|sendmsg|writev?)\(\d+<TCP(v6)?:.*{decision}")
        written = first(calls, written_to("ledger.db-wal", decision))
        synced = next(at for at, call in enumerate(calls[written:], written) if is_synced(call))
        assert written < synced < sent, (status, written, synced, sent)
        assert "GET /conversations" in calls[sent] if status == 200 else "403 Forbidden" in calls[sent]


def test_checkpoint_is_kept_before_it_is_told_and_told_before_it_is_remembered(tmp_path: Path) -> None:
    """The key before the entry that names it, the note in the ledger, the file of a holder, what it was told of: each
    is on the disk before the next one is begun."""
    world = World(tmp_path, entries=3)
    calls = world.run("ledger", "checkpoint", "--push")
    in_order(
        calls,
        *replaced("ledger.db.key", "PRIVATE KEY", "state"),
        written_to("ledger.db-wal", r"ledger\.key"),
        sync_of("ledger.db-wal"),
        written_to("ledger.db-wal", "demo/ledger\\\\n4\\\\n"),
        sync_of("ledger.db-wal"),
        *replaced("held", "demo/ledger\\\\n4\\\\n", "away"),
        written_to("gateway.db-wal", "demo/ledger away"),
        sync_of("gateway.db-wal"),
    )


def test_segment_is_on_the_disk_before_entries_leave_the_ledger(tmp_path: Path) -> None:
    """Its directory, its bytes and its name; then the entry ``ledger.seal``, with which they leave, is synced."""
    world = World(tmp_path, entries=600)
    world.run("ledger", "checkpoint")
    calls = world.run("ledger", "seal", "--older-than", "1d")
    name = "000000000000-000000000511.segment"
    in_order(
        calls,
        sync_of("state"),  # in which the directory of segments was made
        *replaced(name, "", "ledger.db.segments"),
        written_to("ledger.db-wal", r"ledger\.seal"),
        sync_of("ledger.db-wal"),
    )


@pytest.mark.parametrize(("words", "name"), [(("-o",), "out"), (("--bundle",), "out/checkpoint")])
def test_what_is_handed_out_is_on_the_disk(tmp_path: Path, words: tuple[str, ...], name: str) -> None:
    """What it holds before its name, and its name before anything else is done; of a bundle the checkpoint last. What
    others have yet to write on this machine is not waited for."""
    world = World(tmp_path, entries=3)
    world.run("ledger", "checkpoint")
    calls = world.run("ledger", "export", *words, str(tmp_path / "out"))
    path = tmp_path / name
    *before, last = [at for at, call in enumerate(calls) if re.search(rf'rename\w*\(.*"{tmp_path}/out', call)]
    assert f'"{path}"' in calls[last]
    assert re.search(sync_of(path.parent.name), "\n".join(calls[last:]), re.MULTILINE)
    for at in (*before, last):
        aside = re.findall(r'"([^"]+)"', calls[at])[0]
        assert any(re.search(rf"f(data)?sync\(\d+<{re.escape(aside)}>\)", call) for call in calls[:at]), calls[at]
    for directory in {str(Path(re.findall(r'"([^"]+)"', calls[at])[1]).parent) for at in before}:
        assert any("sync(" in call and f"<{directory}>" in call for call in calls[before[-1] : last]), directory
    assert not [call for call in calls if re.search(r"\bsync(fs)?\(", call)]


def test_ledger_that_is_whole_is_opened_without_a_write(tmp_path: Path) -> None:
    """Nor a sync: a command that only looks leaves nothing behind."""
    world = World(tmp_path, entries=600)
    opens = (
        "from gateway.ledger.writer import LedgerWriter; from pathlib import Path; import sys\n"
        "LedgerWriter(Path(sys.argv[1])).close()"
    )
    calls = world.trace(sys.executable, "-c", opens, str(world.ledger))
    touched = [call for call in calls if "ledger.db" in call and "-shm" not in call]
    assert [call.split()[1].partition("(")[0] for call in touched] == ["unlink"]  # of the empty log, at the end


def test_what_a_process_left_unsynced_is_synced_when_a_ledger_is_opened(tmp_path: Path) -> None:
    """What it is said to hold, is on the disk."""
    world = World(tmp_path, entries=3)
    leaves = f"{FILE}file._connection.execute('PRAGMA synchronous = OFF'); file.commit([entry]); os._exit(0)"
    subprocess.run([sys.executable, "-c", leaves, str(world.ledger)], check=True, timeout=20)
    calls = world.trace(
        sys.executable, "-c", f"{FILE}os.write(1, b'%d' % file.head()[0]); os._exit(0)", str(world.ledger)
    )
    in_order(calls, sync_of("ledger.db-wal"), r'write\(1<.*"4"')


@pytest.mark.parametrize("batch", ["", "entry"])
def test_nothing_new_is_synced_too(tmp_path: Path, batch: str) -> None:
    """A probe tells whether the disk takes what is written; and an entry that is there already may not be durable yet,
    for whoever wrote it may have died."""
    world = World(tmp_path, entries=3)
    commits = f"{FILE}file.commit([entry]); os.write(1, b'once'); file.commit([{batch}]); os.write(1, b'twice')"
    calls = world.trace(sys.executable, "-c", commits, str(world.ledger))
    log = r"ledger\.db-wal"
    in_order(
        calls, r'write\(1<.*"once"', rf"write\w*\(\d+<[^>]*/{log}>", sync_of("ledger.db-wal"), r'write\(1<.*"twice"'
    )


FILE = (
    "import os, sys; from pathlib import Path; from gateway.ledger.file import LedgerFile\n"
    "from gateway.ledger.entry import administrative, seal; from gateway.clock import SystemClock\n"
    "entry = seal(administrative(clock=SystemClock(), node='n', actor='a', act='act', subject='s', details={}))\n"
    "file = LedgerFile(Path(sys.argv[1])); file.open()\n"
)
"""A program that has opened a ledger, and has an entry for it."""


class World:
    """The sample world with a ledger of old entries and a file that holds checkpoints; commands are traced in it."""

    def __init__(self, directory: Path, *, entries: int) -> None:
        nowhere = Addresses(*["http://127.0.0.1:9"] * 3, "ftp://127.0.0.1:9")
        self._directory = directory
        self._world = made = make_world(directory, nowhere, clock=SystemClock(), ports=(0, 0))
        made.state.close()
        with made.config.open("a", encoding="utf-8") as config:
            config.write('[[ledger.holder]]\nname = "away"\nkind = "file"\npath = "away/held"\n')
        (directory / "away").mkdir()
        self.ledger = made.settings.ledger.path
        clock = FakeClock(1_700_000_000)
        with LedgerWriter(self.ledger) as writer:
            for _ in range(entries):
                writer.append(administrative(clock=clock, node="n", actor="dana", act="act", subject="s", details={}))

    def run(self, *words: str) -> list[str]:
        """The calls of a command."""
        return self.trace(*COMMAND, "--config", str(self._world.config), *words)

    def trace(self, *line: str) -> list[str]:
        """The calls of a program."""
        trace = self._directory / "trace"
        done = subprocess.run([*traced(trace), *line], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return calls_in(trace)


def calls_in(trace: Path) -> list[str]:
    """Each call in a line, although others were shown between its two halves: a sync where it ended, others where they
    began."""
    found: list[str] = []
    begun: dict[str, int] = {}
    for line in trace.read_text("utf-8", "replace").splitlines():
        process = line.partition(" ")[0]
        half = re.fullmatch(r"\d+ +<\.\.\. (\w+) resumed>(.*)", line)
        if half is None:
            found.append(line.removesuffix(" <unfinished ...>"))
            if line.endswith(" <unfinished ...>"):
                begun[process] = len(found) - 1
        elif process in begun:
            at = begun.pop(process)
            whole = found[at] + half[2]
            is_sync = half[1] in ("fsync", "fdatasync")
            found[at] = "" if is_sync else whole
            found += [whole] if is_sync else []
    return found


def written_to(name: str, content: str) -> str:
    """A write to a file of this name, with this in it."""
    return rf"(pwrite64|pwritev|write)\(\d+<[^>]*/{re.escape(name)}>.*{content}"


def sync_of(name: str) -> str:
    """A sync of a file or directory of this name that came back with success."""
    return rf"(fsync|fdatasync)\(\d+<[^>]*/{re.escape(name)}>\) += 0$"


def replaced(name: str, content: str, directory: str) -> tuple[str, str, str, str]:
    """A file is written aside, synced and renamed, and then its directory is synced."""
    aside = f".{name}.new"
    renamed = rf'rename\w*\(.*/{re.escape(aside)}".*/{re.escape(name)}"'
    return written_to(aside, content), sync_of(aside), renamed, sync_of(directory)


def in_order(calls: list[str], *patterns: str) -> None:
    """Each of these is there, behind the one before."""
    at = -1
    for pattern in patterns:
        found = [place for place in range(at + 1, len(calls)) if re.search(pattern, calls[place])]
        assert found, f"behind call {at} there is none like {pattern}"
        at = found[0]


def first(calls: list[str], pattern: str) -> int:
    """The place of the first call that is like this."""
    return next(at for at, call in enumerate(calls) if re.search(pattern, call))


def is_synced(call: str) -> bool:
    """Whether a sync of the ledger's log came back with success."""
    return re.search(sync_of("ledger.db-wal"), call) is not None
