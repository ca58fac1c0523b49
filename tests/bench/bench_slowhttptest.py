"""What good clients feel under slowhttptest, the program of that name: slow headers, slow bodies and slow reads.

As ``bench_slow.py``, with its store, gateway and good clients, but with an attacker that others wrote; it does not
come again when it is cut. It has no option for headers, but passes the cookie's value on as it is, whatever it holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable

from bench_slow import MODEST, PATH, SETTLE_S, SLOW, STRETCH_S, Gateway, measured, row, running, title

PROGRAM = shutil.which("slowhttptest")
LASTING_S = int(SETTLE_S + STRETCH_S + 3)
MODES = {
    "headers": ["-H", "-i", "1", "-x", "24"],
    "bodies": ["-B", "-i", "1", "-x", "10", "-s", "100000", "-t", "POST"],
    "reads": ["-X", "-n", "1", "-z", "5", "-w", "1", "-y", "512", "-t", "GET"],
}


def main() -> None:
    """Measure and print."""
    if PROGRAM is None:
        sys.exit("slowhttptest is not installed; it is a package of that name in Debian and Ubuntu")
    title()
    for mode, options in MODES.items():
        with running({}) as (gateway, tokens):
            row(mode, asyncio.run(measured(gateway, tokens["sam"], _attack(gateway, options, tokens["slow"]))))


@contextlib.asynccontextmanager
async def _attack(gateway: Gateway, options: list[str], token: str) -> AsyncIterator[Callable[[], int]]:
    url = f"{gateway.url}{PATH}{'?big' if '-X' in options else ''}"
    cookie = f"a=b\r\nAuthorization: Bearer {token}\r\nX-Forwarded-For: 10.20.0.7"
    command = [
        "nice",
        "-n",
        str(MODEST),
        str(PROGRAM),
        *options,
        "-c",
        str(SLOW),
        "-r",
        str(SLOW),
        "-l",
        str(LASTING_S),
        "-p",
        "3",
        "-v",
        "1",
    ]
    with subprocess.Popen([*command, "-j", cookie, "-u", url], stdout=subprocess.PIPE, text=True) as process:
        yield lambda: _closed(process.communicate(timeout=LASTING_S + 10)[0])


def _closed(said: str) -> int:
    """How many of its connections were closed on it, as it said the last time that it said so."""
    found = re.findall(r"closed:\s+(\d+)", re.sub(r"\x1b\[[\d;]*m", "", said))
    return int(found[-1]) if found else -1


if __name__ == "__main__":
    main()
