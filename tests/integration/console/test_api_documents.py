"""``docs/api.md``: what it shows works as it stands there, and it leaves no call out."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path

from gateway.console import OPERATIONS
from gateway.demo.world import ADA, DANA, PRIYA
from gateway.justification import AccessRequest, Grant
from tests.integration.console.callers import ANN, Api

TEXT = (Path(__file__).parents[3] / "docs" / "api.md").read_text("utf-8")


async def test_the_session_works_as_written(api: Api, tmp_path: Path) -> None:
    """Every line of it, in one shell, from the first to the last."""
    assert shutil.which("curl"), "docs/api.md is written for curl; install it"
    script = "set -euo pipefail\n" + "\n".join(re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL))
    people = {"ENGINEER": PRIYA, "APPROVER": DANA, "ADMIN": ANN, "ADA": ADA}
    environment = {name: api.site.world.token(person) for name, person in people.items()}
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", script),
        cwd=tmp_path,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "API": f"{api.site.control}/api/v1", **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, problems = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, said + problems
    acts = [entry["act"] for entry in api.entries(1)]  # behind the one that names the ledger's key
    assert len(acts) == script.count("curl ")
    done = ("access.request", "customer.change", "access.approve", "access.consent", "ticket.handoff")
    assert {*done, "authorization.withdraw"} <= set(acts)
    [grant] = [grant for grant in api.site.world.state.all(Grant) if grant.data_classes == ("configuration",)]
    [asked] = api.site.world.state.all(AccessRequest)
    assert (grant.request, grant.approved_by, asked.consented_by) == (asked.id, DANA.name, ADA.name)


def test_every_operation_stands_in_the_document_with_what_it_takes() -> None:
    """A line for each, with its path, its act and its summary."""
    missing = [
        operation.name
        for operation in OPERATIONS
        if f"| `{operation.method} {operation.path}` | {operation.summary} | "
        f"{f'`{operation.act}`' if operation.act else 'everybody'} |" not in TEXT
    ]
    assert missing == [], "docs/api.md lacks their lines"
