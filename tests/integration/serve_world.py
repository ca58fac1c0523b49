"""A gateway over the sample world in a process of its own: prints its address and an analyst's token, then serves."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from gateway import operations
from gateway.app import serve
from gateway.clock import SystemClock
from gateway.demo.stores import Addresses
from gateway.demo.world import SAM, make_world
from gateway.settings import Source


def main(directory: Path, addresses: Addresses) -> None:
    """Serve until terminated."""
    world = make_world(directory, addresses, clock=SystemClock(), ports=(0, 0))
    operations.configure_logging("warning", "json")
    operations.run(
        serve(
            world.settings,
            ready=lambda gateway: print(
                f"http://127.0.0.1:{gateway.door_port}",
                world.token(SAM),
                f"http://127.0.0.1:{gateway.control_port}",
                flush=True,
            ),
            source=Source(world.config, os.environ),
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Addresses(*sys.argv[2:6]))
