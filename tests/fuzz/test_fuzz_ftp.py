"""Random lines of FTP to a door: none crashes it, each is answered, and whatever the site is asked was judged before.

See :mod:`tests.fuzz.test_fuzz` for ``SOAK`` and ``SEED``.
"""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.attempt import Approach
from gateway.clock import SystemClock
from gateway.demo.stores import sample_stores
from gateway.proxy.pace import Pace
from gateway.settings import LimitSettings
from gateway.transfer.ftp_control import MAX_TRIES
from tests.fuzz.conftest import SEED, SOAK, count
from tests.world.ftp import Ftp, ftp_world
from tests.world.transfer import PASSWORD

pytestmark = pytest.mark.timeout(120 + round(3_600 * SOAK))

PATIENCE_S = 10
JUDGED = ["CWD", "MKD", "RMD", "LIST", "NLST", "MLSD", "MLST", "SIZE", "MDTM", "RETR", "STOR", "APPE", "DELE", "RNTO"]
PASSIVE = ["PASV", "EPSV"]
OTHERS = [
    *("USER", "PASS", "PBSZ", "PROT", "FEAT", "HELP", "NOOP", "OPTS", "STAT", "SYST", "TYPE", "STRU", "MODE", "REST"),
    *(
        "RNFR",
        "PWD",
        "CDUP",
        "ABOR",
        "ALLO",
        "PORT",
        "EPRT",
        "AUTH",
        "QUIT",
        "SITE",
        "STOU",
        "REIN",
        "XCUP",
        "",
        "\xff",
    ),
]
NAMES = [b"calls", b"made", b"folder", b"folder/calls", b"/folder", b"/", b"..", b".", b"../../../etc/passwd"]
HOSTILE = [
    *(
        b"a%2Fb",
        b"a\\b",
        b"nul\0l",
        b"\xff\xfe",
        "e\u0301".encode(),
        "\uff0e\uff0e/x".encode(),
        b"x" * 300,
        b"y/" * 600,
    ),
    *(b"-la", b"-la /", b".partial-0", b"*", b" ", b" calls", b"calls ", b"calls.", b"50% off;v1.csv", b"%s%n%x"),
    *(b"a\rb", b"a\nb", b"\x1b[2J", b"\xff\xf4\xf2", b"|1|127.0.0.1|80|", b"|9|::1|1|", b"127,0,0,1,4,1", b"1,2,3"),
    *(
        b"0",
        b"7",
        b"-1",
        b"1e9",
        b"999999999999999999",
        b"9" * 30,
        b"TLS",
        b"P",
        b"UTF8 ON",
        b"MLST size;x;",
        b"A",
        b"I",
    ),
    b"z" * 5_000,
]
ENDS = ("221", "234", "421", "500 The line is too long")
"""After these nothing more is said."""


def line(random: Random) -> bytes:
    """A command, most of them known; some with a hostile argument, some damaged, none of them two."""
    kind = random.random()
    verb = random.choice(JUDGED if kind < 0.6 else PASSIVE if kind < 0.8 else OTHERS)
    argument = random.choice(NAMES if random.random() < 0.6 else HOSTILE)
    if verb not in JUDGED and random.random() < (0.9 if verb in PASSIVE else 0.4):
        argument = b""
    said = verb.encode("latin-1") + (b" " + argument if argument and random.random() < 0.95 else b"")
    for _ in range(random.choice((0,) * 12 + (1, 3))):
        at = random.randrange(len(said) + 1)
        said = said[:at] + bytes((random.randrange(256),)) * random.choice((0, 1, 1, 30)) + said[at + 1 :]
    return said.replace(b"\r\n", b"\n")


class Watched:
    """A site that notes whatever is asked of it before anything was judged."""

    def __init__(self, site: Any, calls: list[Approach]) -> None:
        self._site, self._calls = site, calls
        self.unjudged: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if not self._calls:
            self.unjudged.append(name)
        found: Callable[..., Any] = getattr(self._site, name)
        return found


class Client:
    """One connection in clear, and its data connection."""

    def __init__(self, random: Random, port: int) -> None:
        self._random = random
        self._wire = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self._read = self._wire.makefile("rb")
        self._data: socket.socket | None = None
        self._port = self._tries = 0
        assert self.reply().startswith("220")

    def sign_in(self) -> None:
        for said in (b"USER acme", b"PASS " + PASSWORD.encode()):
            self._wire.sendall(said + b"\r\n")
            code = self.reply()[:3]
        assert code == "230"

    def say(self, lines: list[bytes]) -> list[str]:
        """Say them at once: their answers, the last of each; fewer only where the door said that this is the end."""
        self._wire.sendall(b"".join(each + b"\r\n" for each in lines))
        answers: list[str] = []
        while len(answers) < len(lines):
            answer = self.reply()
            if not answer:
                assert self._tries >= MAX_TRIES or (answers and answers[-1].startswith(ENDS)), answers
                return [*answers, ""]
            if answer.startswith("1"):
                self._transfer()
            else:
                answers.append(answer)
                self._note(answer)
        return answers

    def reply(self) -> str:
        """The next answer, read by the book (RFC 959 §4.2); "" at the end."""
        said = self._line()
        if re.match(r"\d{3}-", said):
            while not (last := self._line()).startswith(said[:3] + " "):
                assert last, said
        assert not said or re.match(r"\d{3}[ -]", said), said
        return said

    def _line(self) -> str:
        try:
            said = self._read.readline()
        except ConnectionResetError:
            return ""
        assert not said or said.endswith(b"\r\n"), said
        return said.decode("utf-8", "surrogateescape")

    def _note(self, answer: str) -> None:
        """Where data goes, and who did not sign in; sometimes the client is there before it says what for."""
        self._tries += answer.startswith("530 nobody")
        passive = re.match(r"227 .*,(\d+),(\d+)\)|229 .*\|(\d+)\|", answer)
        if passive:
            high, low, whole = passive.groups()
            self._port = int(whole or 0) or int(high) * 256 + int(low)
            self._drop()
            if self._random.random() < 0.3:
                with suppress(OSError):  # another line of the same breath took the port away
                    self._connect()

    def _connect(self) -> None:
        self._data = socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE_S)

    def _transfer(self) -> None:
        """Something flows, whichever way; or it is broken off by its client, in the one way or the other."""
        try:
            if self._data is None:
                self._connect()
            assert self._data is not None
            self._data.sendall(b"x" * self._random.choice((0, 0, 1, 100_000)))
            self._data.shutdown(socket.SHUT_WR)
            while self._random.random() < 0.9 and self._data.recv(65_536):
                pass
        except OSError:
            pass  # another line of the same breath took the connection away
        self._drop()

    def _drop(self) -> None:
        if self._data is not None:
            self._data.close()
        self._data = None

    def close(self) -> None:
        self._drop()
        self._read.close()
        self._wire.close()


def talk(random: Random, door: Ftp, calls: list[Approach], tries: int) -> Counter[str]:
    """So many lines over many connections: how often which answer came."""
    codes: Counter[str] = Counter()
    said = 0
    while said < tries:
        client = Client(random, door.port)
        heard: list[Any] = []
        try:
            if random.random() < 0.95:
                client.sign_in()
            for _ in range(random.choice((1, 5, 30))):
                lines = [line(random) for _ in range(random.choice((1, 1, 1, 1, 2, 6)))]
                calls.clear()
                heard.append([each[:80] for each in lines])
                answers = client.say(lines)
                heard.append([each[:80] for each in answers])
                said += len(lines)
                codes.update(answer[:3] for answer in answers)
                verb = lines[0].partition(b" ")[0].decode("latin-1").upper()
                if len(lines) == 1 and verb in JUDGED and re.match("2|55", answers[0]):
                    assert calls, "nothing was judged"
                if answers[-1] == "" or answers[-1].startswith(ENDS):
                    break
        except Exception as error:
            raise AssertionError((SEED, said, heard[-6:])) from error
        finally:
            client.close()
    return codes


async def test_lines(tmp_path: Path, random: Random, calls: list[Approach], caplog: pytest.LogCaptureFixture) -> None:
    """Each is answered; what the site is asked was judged, and what was judged is on record, with its end."""
    judged = []
    async with (
        sample_stores(tmp_path / "sample") as stores,
        ftp_world(tmp_path, stores, unsafe_plaintext=True, max_sessions_per_address=1_000) as door,
    ):
        site = Watched(door.gate.site, calls)
        unhurried = Pace(LimitSettings(refusal_rate_per_s=0), SystemClock().monotonic_s)
        door.gate = replace(door.gate, site=site, pace=unhurried)
        (door.root / "folder").mkdir()
        (door.root / "calls").write_bytes(b"content" * 1_000)
        with capture_logs() as logs:
            codes = await asyncio.to_thread(talk, random, door, calls, count(1_500))
            for _ in range(500):
                if not any(thread.name == "ftp-session" for thread in threading.enumerate()):
                    break
                await asyncio.sleep(0.02)
        assert len(door.running.gateway.checkpoint.admissions) == 0
        assert not door.gate.uploads._busy
        await door.running.gateway.ledger.flush()  # a completion waits a moment for company
        judged = door.entries()
        ended = {entry["decision"] for entry in door.entries("completion")}
        outside = [path for path in door.root.parent.parent.rglob("*") if not path.is_relative_to(door.root.parent)]
    print(codes)
    assert site.unjudged == [], SEED
    assert outside == [], SEED
    assert {entry["id"] for entry in judged if entry["effect"] == "permit"} == ended, SEED
    assert [log for log in logs if log["log_level"] in ("error", "critical")] == [], SEED
    assert [record for record in caplog.records if record.levelname == "ERROR"] == [], SEED
    assert codes.keys() >= {"200", "213", "226", "227", "250", "350", "425", "500", "501", "550", "553"}, codes
