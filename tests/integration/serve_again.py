"""Gateways over one sample world, one after the other, each in a process of its own that somebody else kills.

Each line on standard input starts one; it prints its process id, its address and an analyst's token. Everything is
imported once and each gateway is forked from there, so that very many can be started and killed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from gateway import operations
from gateway.app import serve
from gateway.clock import SystemClock
from gateway.demo.stores import Addresses
from gateway.demo.world import SAM, World, make_world


def main(directory: Path, addresses: Addresses) -> None:
    """Serve whenever a line comes, until it was killed."""
    world = make_world(directory, addresses, clock=SystemClock(), ports=(0, 0))
    world.state.close()
    token = world.token(SAM)
    for _line in sys.stdin:
        child = os.fork()
        if not child:
            _serve(world, token)
        os.waitpid(child, 0)
        print("gone", flush=True)


def _serve(world: World, token: str) -> None:
    operations.configure_logging("error", "json")
    operations.run(
        serve(
            world.settings,
            ready=lambda gateway: print(os.getpid(), f"http://127.0.0.1:{gateway.door_port}", token, flush=True),
        )
    )
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Addresses(*sys.argv[2:6]))
