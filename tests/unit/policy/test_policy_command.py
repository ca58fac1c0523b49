"""``policy test``, ``matrix`` and ``prove`` on the command line."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from gateway.errors import ConfigurationError, PolicyError
from gateway.policy import Policy
from gateway.policy.prove import Proof
from gateway.policy.space import Row

command = import_module("gateway.cli.policy")  # gateway.cli.policy, the attribute, is the group itself


class NoConfiguration:
    """An operation for which no configuration is found."""

    @property
    def config_path(self) -> Path:
        raise ConfigurationError(["no configuration"])


def invoke(*arguments: str, operation: object = None) -> Result:
    return CliRunner().invoke(command.policy, list(arguments), obj=operation)


@pytest.fixture
def ready(monkeypatch: pytest.MonkeyPatch, rows: list[Row]) -> None:
    """The table as already worked out."""
    monkeypatch.setattr(command, "decide_every", lambda _policy, *, advance: advance(len(rows)) or rows)


@pytest.mark.parametrize("operation", [None, NoConfiguration()], ids=["alone", "no configuration"])
def test_shipped_policy_is_the_default(operation: object) -> None:
    """Without a configuration the shipped examples run, and hold."""
    result = invoke("test", operation=operation)
    assert result.exit_code == 0
    assert "examples hold" in result.output


def test_configured_directory_is_used(directory: Path) -> None:
    """The configuration's policy comes before the shipped one."""
    settings = SimpleNamespace(policy=SimpleNamespace(directory=directory / "nowhere"))
    result = invoke("test", operation=SimpleNamespace(config_path=Path("x"), settings=settings))
    assert isinstance(result.exception, PolicyError)


def test_failing_example_exits_one(directory: Path) -> None:
    """The example, its sentence and the difference are shown."""
    path = directory / "tests" / "place.toml"
    path.write_text(path.read_text("utf-8").replace('rule = "no-plan"', 'rule = "role"', 1), "utf-8")
    result = invoke("test", "--directory", str(directory))
    assert result.exit_code == 1
    assert "✗ place.toml: case 7: A customer that has no plan" in result.output
    told = [json.loads(line) for line in invoke("test", "--directory", str(directory), "--json").output.splitlines()]
    assert [each["case"] for each in told if not each["passed"]] == ["place.toml: case 7"]


def test_broken_policy_is_refused(directory: Path) -> None:
    """The error that the command line ends with 2 comes out as it is."""
    (directory / "us_only.cedar").write_text("permit", "utf-8")
    assert isinstance(invoke("prove", "--directory", str(directory)).exception, PolicyError)


@pytest.mark.usefixtures("ready")
def test_matrix_is_readable_from_the_top() -> None:
    """People see the facts that matter, and what happens to the rest."""
    result = invoke("matrix")
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.output.splitlines()]
    assert lines[0] == "when effect rule obligations combinations"
    assert lines[1].startswith("principal customer, own customer no deny other-customer")
    assert lines[-1].startswith("anything else deny outside-home")


@pytest.mark.usefixtures("ready")
def test_matrix_formats() -> None:
    """CSV, Markdown and JSON; --json is --format json."""
    assert invoke("matrix", "--format", "csv").output.startswith("principal,role,")
    assert invoke("matrix", "--format", "markdown").output.startswith("| when | effect |")
    as_json = invoke("matrix", "--json").output
    assert as_json == invoke("matrix", "--format", "json").output
    assert json.loads(as_json.splitlines()[-1])["rule"] == "outside-home"


@pytest.mark.usefixtures("ready")
def test_full_matrix_has_every_combination(rows: list[Row]) -> None:
    """One line each, below the titles."""
    assert invoke("matrix", "--full", "--format", "csv").output.count("\n") == len(rows) + 1


@pytest.mark.usefixtures("ready")
def test_prove_tells_each_property(policy: Policy, proofs: list[Proof], monkeypatch: pytest.MonkeyPatch) -> None:
    """All hold: exit 0, and how many cases each speaks about."""
    monkeypatch.setattr(command, "prove", lambda _policy, _rows: proofs)
    result = invoke("prove")
    assert result.exit_code == 0
    assert "✓ consent-needed" in result.output
    told = [json.loads(line) for line in invoke("prove", "--json").output.splitlines()]
    assert all(each["holds"] and each["policy"] == policy.version for each in told)


def test_prove_with_a_counterexample_exits_one(monkeypatch: pytest.MonkeyPatch, rows: list[Row]) -> None:
    """The property that fails shows a case, one that speaks of nothing says so."""
    few = [row for row in rows[::50] if row.verdict.rules != ("crm-account",)]
    monkeypatch.setattr(command, "decide_every", lambda _policy, *, advance: few)
    result = invoke("prove")
    assert result.exit_code == 1
    assert "dead: crm-account" in result.output
    monkeypatch.setattr(command, "decide_every", lambda _policy, *, advance: [])
    assert "speaks about no case" in invoke("prove").output
