"""The policy as shipped, and its full table, worked out once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gateway.catalog.resource import Action, Scope
from gateway.identity.principal import Kind
from gateway.location.location import Assurance
from gateway.policy import DataKind, Facts, Plan, Policy, RoleScope, default_directory, load
from gateway.policy.prove import Proof, prove
from gateway.policy.space import Row, decide_every


@pytest.fixture(scope="session")
def policy() -> Policy:
    """The policy as shipped."""
    return load(default_directory())


@pytest.fixture(scope="session")
def rows(policy: Policy) -> list[Row]:
    """Every possible combination of facts with its verdict."""
    return decide_every(policy)


@pytest.fixture(scope="session")
def proofs(policy: Policy, rows: list[Row]) -> list[Proof]:
    """Every property over the full table."""
    return prove(policy, rows)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A copy of the shipped directory, to be damaged."""
    return Path(shutil.copytree(default_directory(), tmp_path / "policies"))


@pytest.fixture
def facts() -> Facts:
    """The plain case: a person at home reads a protected customer's data."""
    return Facts(
        principal=Kind.PERSONNEL,
        role=RoleScope.ALLOWED,
        infosec=False,
        engineer=False,
        own_customer=False,
        location=Assurance.HOME,
        scope=Scope.ONE,
        plan=Plan.IN_EFFECT,
        data=DataKind.OTHER,
        action=Action.READ,
        incident=False,
        grant=False,
        authorization=False,
        storage_home=True,
        support_closed=False,
    )
