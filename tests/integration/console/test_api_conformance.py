"""The running API and its OpenAPI document, held to each other: what the document allows, and what it does not.

schemathesis makes calls from the document, valid and invalid ones, alone and in sequence, and checks every answer: no
server error, no status, media type, header or body that is not described, wrong data refused and right data taken, no
call without its token.
"""

from __future__ import annotations

import asyncio
import sysconfig
from pathlib import Path

import pytest

from gateway.demo.world import ADA, Person
from tests.integration.console.callers import EVERY_ROLE, Api

PROGRAM = Path(sysconfig.get_path("scripts")) / "schemathesis"
CONFIGURATION = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "409", "412", "422", "429"]  # a rule may say no to sound data
"""
CALLS = 500  # and more, far more


async def conform(api: Api, who: Person, directory: Path, *options: str) -> None:
    """Let schemathesis call as somebody."""
    configuration = directory / "schemathesis.toml"
    configuration.write_text(CONFIGURATION, "utf-8")
    process = await asyncio.create_subprocess_exec(
        *(PROGRAM, "--config-file", configuration, "run", f"{api.site.control}/api/v1/openapi.json"),
        *("--header", f"Authorization: Bearer {api.site.world.token(who)}", "--checks", "all", "--seed", "7"),
        *("--generation-database", "none", "--no-color", *options),
        cwd=directory,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), 200)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, said.decode()[-8_000:]


@pytest.mark.timeout(240)
async def test_the_api_is_as_its_document_says(api: Api, tmp_path: Path) -> None:
    """To somebody with every role; and every one of the calls is on record."""
    await conform(api, EVERY_ROLE, tmp_path, "--max-examples", "6")
    entries = api.entries(1)  # behind the one that names the ledger's key
    assert len(entries) > CALLS
    assert {entry["kind"] for entry in entries} == {"administrative"}
    assert {entry["details"]["client_address"] for entry in entries} == {"127.0.0.1"}


@pytest.mark.timeout(240)
async def test_the_api_is_as_its_document_says_to_a_customers_user(api: Api, tmp_path: Path) -> None:
    """Who may less, and is shown nothing of anybody else's."""
    await conform(api, ADA, tmp_path, "--max-examples", "2", "--phases", "fuzzing,stateful")
