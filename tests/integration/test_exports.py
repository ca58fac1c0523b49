"""What is handed out of the record of the demo's tour, against what the contract says of each step of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.demo import tour, transfers
from gateway.demo.tour import Step
from gateway.demo.world import DANA, SAM
from tests.verifier.verify import check_report
from tests.world.forked import run_command
from tests.world.ocsf import faults

VERIFIER = Path(__file__).parents[1] / "verifier" / "verify.py"
STEPS = (*tour.STEPS, *transfers.STEPS)
AT_HOME = (SAM, DANA)
CONSENTS = {
    "crm-account": "consent 1",
    "security-incident": "consent 2",
    "ftp-upload": "consent 3",
    "code-level-bug": "consent 4",
    "customer-authorized": "unless otherwise authorized by Customer",
    "customer-own-data": "binds the vendor's personnel",
}
"""Why the contract lets anybody outside home reach a protected customer's data; there is no other reason."""

COUNTRIES = {"Chennai": "IN", "Galway": "IE", "Manila": "PH", "London": "GB"}


@pytest.fixture(scope="module")
def toured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample world after the tour, with a signed checkpoint."""
    folder = tmp_path_factory.mktemp("demo") / "world"
    command(folder, "demo", "--once", "--directory", str(folder))
    command(folder, "ledger", "checkpoint")
    return folder


def command(folder: Path, *arguments: str) -> str:
    """What a command prints, over the configuration of a folder."""
    environment: Mapping[str, str] = {"RESIDENCY_GATEWAY_CONFIG": str(folder / "gateway.toml"), "PATH": "/usr/bin:/bin"}
    done = run_command(arguments, environment)
    done.check_returncode()
    return done.stdout


def is_from_outside(step: Step, customer: str) -> bool:
    """Whether a step of the tour is somebody outside home who gets at a customer's data, by the contract alone."""
    permitted = bool(set(step.expected) & set(CONSENTS))
    return permitted and step.person not in AT_HOME and f"/{customer}/" in step.path


@pytest.mark.parametrize("customer", ["acme", "borealis"])
def test_the_report_has_the_accesses_that_the_contract_tells_of(toured: Path, customer: str) -> None:
    """Each step of the tour that a consent covers, in order, under that consent, and nothing else."""
    expected = [step for step in STEPS if is_from_outside(step, customer)]
    report = json.loads(
        command(toured, "ledger", "report", "--customer", customer, "--since", "1h", "--format", "json")
    )
    rows = report["accesses"]
    assert [(row["subject"], row["method"], row["path"]) for row in rows] == [
        (step.person.name, step.method, step.path) for step in expected
    ]
    for row, step in zip(rows, expected, strict=True):
        assert row["rule"] in step.expected
        assert CONSENTS[row["rule"]] in row["clause"]
        assert row["country"] == COUNTRIES.get(step.person.place, row["country"])
        assert row["ticket"] == step.ticket or (not step.ticket and row["grant"])  # that of the only grant there is
    assert expected
    denied = sum(group["attempts"] for group in report["denied"])
    assert denied == sum(is_denied_outside(step, customer) for step in STEPS)
    key = command(toured, "ledger", "key").split()[-1]
    assert check_report(report, key) == []
    written = toured.parent / f"{customer}.json"
    for changes, status in (({}, 0), ({"customer": "nobody"}, 1)):
        written.write_text(json.dumps(report | changes))
        verifier = [sys.executable, str(VERIFIER), "--key", key, "--report", str(written)]
        checked = subprocess.run(verifier, capture_output=True, text=True, check=False)
        assert checked.returncode == status, checked.stdout + checked.stderr


def is_denied_outside(step: Step, customer: str) -> bool:
    """Whether a step is somebody abroad who is refused this customer's data, and says who they are."""
    refused = set(step.expected) & {"outside-home", "location-unassured", "role", "other-customer"}
    return bool(refused) and step.person not in AT_HOME and f"/{customer}/" in step.path and step.signed_in


def test_who_asks_for_a_report_is_recorded(toured: Path) -> None:
    """With what they asked for."""
    command(toured, "ledger", "report", "--customer", "acme", "--since", "1h", "--pseudonyms", "--format", "csv")
    [entry] = map(json.loads, command(toured, "ledger", "tail", "-n", "1", "--json").splitlines())
    assert entry["act"] == "ledger.report"
    assert entry["details"]["asked"] == ["customer=acme", "format=csv", "pseudonyms", "since=1h"]


def test_every_event_of_the_tour_is_one_that_the_schema_allows(toured: Path) -> None:
    """Decisions by every rule of the contract, and every act of those between."""
    events: list[dict[str, Any]] = [
        json.loads(line) for line in command(toured, "ledger", "export", "--format", "ocsf").splitlines()
    ]
    assert [fault for event in events for fault in faults(event)] == []
    assert {event["class_uid"] for event in events} == {4008, 6001, 6003}
    assert {rule for step in STEPS for rule in step.expected} >= {
        event["status_code"] for event in events if event["class_uid"] != 6003
    }
    sequences = [event["metadata"]["sequence"] for event in events]
    assert sequences == sorted(set(sequences))


def test_an_event_that_the_schema_does_not_allow_is_found(toured: Path) -> None:
    """Else the test above would say nothing."""
    events = map(json.loads, command(toured, "ledger", "export", "--format", "ocsf", "--kind", "decision").splitlines())
    event = next(events)
    damages: list[dict[str, Any]] = [
        {"type_uid": 1},
        {"severity_id": 7},
        {"web_resources": [{}]},
        {"time": "now"},
        {"strange": 1},
        {"metadata": {}},
        {"class_uid": 1},
        {"src_endpoint": {"location": {}}},
    ]
    for damage in damages:
        assert faults({**event, **damage}), damage
    for name in ("web_resources", "metadata", "activity_id", "time", "severity_id"):
        assert faults({key: value for key, value in event.items() if key != name}), name
