"""Sample stores: a CRM, conversations and recordings, an archive abroad, an FTP site. All of the data is made up."""

from __future__ import annotations

import array
import io
import logging
import math
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aioftp
from aiohttp import web

NOTICE = "sample data: nobody and nothing in it is real"
CUSTOMERS = ("acme", "borealis", "cascade", "delta")
FTP_USER, FTP_PASSWORD = "gateway", "sample-password"
RECORDING_S = 180
SAMPLE_RATE_HZ = 8_000


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the sample stores listen."""

    crm: str
    conversations: str
    archive: str
    uploads: str


@asynccontextmanager
async def sample_stores(directory: Path) -> AsyncIterator[Addresses]:
    """Run the sample stores on loopback; the FTP site's files lie in ``directory``."""
    recording = tone(RECORDING_S)
    runners = [web.AppRunner(app, access_log=None) for app in (_crm(), _conversations(recording), _archive())]
    logging.getLogger("aioftp.server").setLevel(logging.CRITICAL)  # that a client has hung up is no news
    ftp = aioftp.Server([_ftp_user(directory)])
    try:
        crm, conversations, archive = [await _start(runner) for runner in runners]
        await ftp.start("127.0.0.1", 0)
        uploads = f"ftp://{FTP_USER}:{FTP_PASSWORD}@127.0.0.1:{ftp.server_port}/"
        yield Addresses(crm, conversations, archive, uploads)
    finally:
        await ftp.close()
        for runner in runners:
            await runner.cleanup()


def tone(seconds: int) -> bytes:
    """A WAV file of a quiet tone: what stands in for a recorded call."""
    period = SAMPLE_RATE_HZ // 440
    wave_form = array.array("h", (int(3_000 * math.sin(2 * math.pi * step / period)) for step in range(period)))
    samples = wave_form * (seconds * SAMPLE_RATE_HZ // period)
    file = io.BytesIO()
    with wave.open(file, "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(SAMPLE_RATE_HZ)
        audio.writeframes(samples.tobytes())
    return file.getvalue()


def _crm() -> web.Application:
    async def account(request: web.Request) -> web.Response:
        customer = request.match_info["customer"]
        return web.json_response({"customer": customer, "contact": f"Pat of {customer}", "notice": NOTICE})

    async def case(request: web.Request) -> web.Response:
        return web.json_response(
            {"customer": request.match_info["customer"], "case": "No sound on line 2", "notice": NOTICE}
        )

    async def search(_request: web.Request) -> web.Response:
        return web.json_response({"customers": list(CUSTOMERS), "notice": NOTICE})

    app = web.Application()
    app.router.add_get("/crm/search", search)
    app.router.add_route("*", "/crm/{customer}/accounts/{rest:.*}", account)
    app.router.add_route("*", "/crm/{customer}/cases/{rest:.*}", case)
    return app


def _conversations(recording: bytes) -> web.Application:
    async def conversation(request: web.Request) -> web.Response:
        customer = request.match_info["customer"]
        return web.json_response({"customer": customer, "transcript": ["Hello.", "Good morning."], "notice": NOTICE})

    async def audio(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=recording, content_type="audio/wav")

    app = web.Application()
    app.router.add_route("*", "/conversations/{customer}/{rest:.*}", conversation)
    app.router.add_get("/recordings/{customer}/{rest:.*}", audio)
    return app


def _archive() -> web.Application:
    async def keep(request: web.Request) -> web.Response:
        size = len(await request.read())
        return web.json_response({"kept": size, "notice": NOTICE}, status=201)

    app = web.Application()
    app.router.add_route("*", "/archive/{rest:.*}", keep)
    return app


def _ftp_user(directory: Path) -> aioftp.User:
    for customer in CUSTOMERS:
        folder = directory / "uploads" / customer
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "call-log.csv").write_text(f"when,line,note\n2026-01-05,2,{NOTICE}\n", "utf-8")
    return aioftp.User(FTP_USER, FTP_PASSWORD, base_path=str(directory), home_path="/")


async def _start(runner: web.AppRunner) -> str:
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}"
