"""A witness as C2SP ``tlog-witness`` describes it, and a shelf for one document (RFC 9110): both can be damaged."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.ledger.merkle import EMPTY_ROOT
from gateway.ledger.note import COSIGNATURE, Checkpoint, NoteRefused, Signer, Verifier, opened
from tests.world.consistency import is_consistent

NAME = "witness.test/w1"
TIME_S = 1_800_000_000


@dataclass
class Witness:
    """Knows logs by their keys, and of each the last tree that it cosigned.

    Attributes:
        known: who signs for which origin.
        before: lines that it sends before its own.
        cosigner: who signs what it answers.
    """

    known: dict[str, Verifier] = field(default_factory=dict)
    last: dict[str, Checkpoint] = field(default_factory=dict)
    cosigner: Signer = field(
        default_factory=lambda: Signer(NAME, Ed25519PrivateKey.from_private_bytes(bytes([77]) * 32))
    )
    before: str = ""
    asked: list[str] = field(default_factory=list)

    @property
    def key(self) -> Verifier:
        return Verifier(NAME, self.cosigner.verifier.public, COSIGNATURE)

    async def add_checkpoint(self, request: web.Request) -> web.Response:
        body = (await request.read()).decode()
        self.asked.append(body)
        head, _, note = body.partition("\n\n")
        first, *lines = head.split("\n")
        assert first.startswith("old ")
        assert len(lines) <= 63
        old, proof = int(first.removeprefix("old ")), [base64.b64decode(line, validate=True) for line in lines]
        trusted = self.known.get(note.partition("\n")[0])
        if trusted is None:
            return web.Response(status=404)
        try:
            found = Checkpoint.parse(opened(note, [trusted])[0])
        except NoteRefused:
            return web.Response(status=403)
        if old > found.size:
            return web.Response(status=400)
        last = self.last.get(found.origin, Checkpoint(found.origin, 0, EMPTY_ROOT))
        if old != last.size or (old == found.size and last.root != found.root):
            return web.Response(status=409, text=f"{last.size}\n", content_type="text/x.tlog.size")
        if not is_consistent(old, last.root, found.size, found.root, proof):
            return web.Response(status=422)
        self.last[found.origin] = found
        return web.Response(text=self.before + self.cosigner.cosignature(found.text, TIME_S))


@dataclass
class Shelf:
    """Keeps one document at an address; ``answer`` takes the place of what it would say."""

    text: str | None = None
    weak: bool = False
    answer: web.Response | None = None
    delay_s: float = 0.0
    interrupt: str | None = None
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        self.seen.append((request.method, dict(request.headers)))
        await asyncio.sleep(self.delay_s)
        if self.answer is not None:
            return web.Response(status=self.answer.status, body=self.answer.body, headers=self.answer.headers)
        if request.method == "GET":
            return self._read()
        if self.interrupt is not None:  # somebody else was quicker
            self.text, self.interrupt = self.interrupt, None
        matches = request.headers.get("If-Match") == self._tag() if self.text else "If-None-Match" in request.headers
        if not matches:
            return web.Response(status=412)
        self.text = await request.text()
        return web.Response(status=204, headers={"ETag": self._tag()})

    def _read(self) -> web.Response:
        if self.text is None:
            return web.Response(status=404)
        return web.Response(text=self.text, headers={"ETag": ("W/" if self.weak else "") + self._tag()})

    def _tag(self) -> str:
        return f'"{sha256((self.text or "").encode()).hexdigest()[:16]}"'


@asynccontextmanager
async def serving(what: Witness | Shelf) -> AsyncIterator[str]:
    """Where it answers."""
    app = web.Application()
    if isinstance(what, Witness):
        app.router.add_post("/w/add-checkpoint", what.add_checkpoint)
    else:
        app.router.add_route("*", "/ledger", what.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/{'w' if isinstance(what, Witness) else 'ledger'}"
    finally:
        await runner.cleanup()
