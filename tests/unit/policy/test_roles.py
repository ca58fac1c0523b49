"""The role table: the reading's table, row by row."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.catalog.resource import Action
from gateway.errors import PolicyError
from gateway.policy import RoleScope, RoleTable, default_directory
from gateway.policy.roles import load_roles

SHIPPED = load_roles(default_directory() / "roles.toml")
CLASSES = ["crm_account", "case", "conversation", "configuration", "analytics", "ftp_upload"]
# role → data classes, and for read, write, delete, export: yes, no, or by grant
TABLE = {
    "support": (["crm_account", "case", "conversation", "ftp_upload", "configuration"], "yynn"),
    "account_manager": (["crm_account", "case"], "yynn"),
    "infosec": (CLASSES, "ynnn"),
    "engineer": (CLASSES[1:], "yggg"),
    "customer": (CLASSES, "yyyy"),
    "service": ([], "nnnn"),
    "auditor": ([], "nnnn"),
    "approver": ([], "nnnn"),
    "admin": ([], "nnnn"),
    "nobody-knows": ([], "nnnn"),
}
MEANS = {"y": RoleScope.ALLOWED, "n": RoleScope.DENIED, "g": RoleScope.BY_GRANT}


@pytest.mark.parametrize("role", TABLE)
@pytest.mark.parametrize("data_class", [*CLASSES, "unheard-of", ""])
def test_shipped_table_is_the_readings(role: str, data_class: str) -> None:
    """Each role, data class and action as the reading's table has it."""
    classes, uses = TABLE[role]
    expected = [MEANS[use] if data_class in classes else RoleScope.DENIED for use in uses]
    assert [SHIPPED.scope(frozenset({role}), data_class, action) for action in Action] == expected


def test_no_role_is_denied() -> None:
    """Nobody is nobody."""
    assert SHIPPED.scope(frozenset(), "case", Action.READ) is RoleScope.DENIED


@settings(max_examples=150)
@given(
    st.frozensets(st.sampled_from([r for r in TABLE if r != "customer"])),
    st.sampled_from(CLASSES),
    st.sampled_from(Action),
)
def test_best_of_several_roles_counts(roles: frozenset[str], data_class: str, action: Action) -> None:
    """Several roles give the best that one of them gives."""
    order = list(RoleScope)
    best = max(
        (SHIPPED.scope(frozenset({role}), data_class, action) for role in roles), key=order.index, default=order[0]
    )
    assert SHIPPED.scope(roles, data_class, action) is best


def test_customer_beside_another_role_gives_nothing() -> None:
    """A person of the vendor's cannot borrow a customer's rights by a group of that name."""
    assert SHIPPED.scope(frozenset({"customer", "support"}), "case", Action.EXPORT) is RoleScope.DENIED
    assert SHIPPED.scope(frozenset({"customer", "support"}), "case", Action.WRITE) is RoleScope.ALLOWED


def test_known_data_classes_are_the_readings() -> None:
    """What a route may name."""
    assert sorted(CLASSES) == sorted(SHIPPED.known_data_classes)


def table(tmp_path: Path, text: str) -> RoleTable:
    path = tmp_path / "roles.toml"
    path.write_text(text, "utf-8")
    return load_roles(path)


def test_service_has_what_stands_under_its_subject(tmp_path: Path) -> None:
    """Another subject, or another role with that subject, has nothing."""
    roles = table(tmp_path, 'data_classes = ["a"]\n[service."bot"]\ndata_classes = ["a"]\nactions = ["export"]')
    one = frozenset({"service"})
    assert roles.scope(one, "a", Action.EXPORT, subject="bot") is RoleScope.ALLOWED
    assert roles.scope(one, "a", Action.READ, subject="bot") is RoleScope.DENIED
    assert roles.scope(one, "a", Action.EXPORT, subject="other") is RoleScope.DENIED
    assert roles.scope(one, "a", Action.EXPORT) is RoleScope.DENIED
    assert roles.scope(frozenset({"bot"}), "a", Action.EXPORT, subject="bot") is RoleScope.DENIED


def test_added_data_class_is_part_of_all(tmp_path: Path) -> None:
    """ "all" means every known class, the added one too."""
    roles = table(
        tmp_path, 'data_classes = ["a", "b"]\n[role.r]\ndata_classes = "all"\nexcept = ["a"]\nactions = "all"'
    )
    assert roles.scope(frozenset({"r"}), "b", Action.DELETE) is RoleScope.ALLOWED
    assert roles.scope(frozenset({"r"}), "a", Action.DELETE) is RoleScope.DENIED


def test_action_both_allowed_and_by_grant_is_allowed(tmp_path: Path) -> None:
    """The better of the two counts."""
    line = 'data_classes = ["a"]\n[role.r]\ndata_classes = "all"\nactions = ["read"]\nby_grant = ["read"]'
    assert table(tmp_path, line).scope(frozenset({"r"}), "a", Action.READ) is RoleScope.ALLOWED


GOOD = 'data_classes = ["a"]\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "data_classes: expected a list of names"),
        ("data_classes = []", "data_classes: expected a list of names"),
        ("data_classes = [1]", "data_classes: expected a list of names"),
        (GOOD + "x = 1", "x: unknown key; expected data_classes"),
        (GOOD + "role = 1", "role: expected tables, such as [role.NAME]"),
        (GOOD + "[role]\nr = 1", "role.r: expected a table"),
        (GOOD + '[role.r]\ndata_classes = "all"', "role.r.actions: got None; expected a list or"),
        (GOOD + '[role.r]\ndata_classes = "every"\nactions = "all"', "role.r.data_classes: got 'every'"),
        (GOOD + '[role.r]\ndata_classes = ["b"]\nactions = "all"', "role.r.data_classes: got 'b'; expected one of a"),
        (
            GOOD + '[role.r]\ndata_classes = "all"\nactions = ["raed"]',
            "role.r.actions: got 'raed'; expected one of read",
        ),
        (GOOD + '[role.r]\ndata_classes = "all"\nactions = "all"\nby_grant = "all"', "role.r.by_grant: got 'all'"),
        (GOOD + '[role.r]\ndata_classes = "all"\nactions = "all"\nexept = []', "role.r.exept: unknown key"),
        (GOOD + '[role.service]\ndata_classes = "all"\nactions = "all"', "role.service: a service is configured by"),
        (GOOD + '[service.b]\ndata_classes = "all"\nactions = [1]', "service.b.actions: got 1; expected one of read"),
        ("data_classes = [", "not a TOML file"),
    ],
)
def test_fault_is_one_clear_line(tmp_path: Path, text: str, expected: str) -> None:
    """File, key, what came and what was expected."""
    with pytest.raises(PolicyError) as caught:
        table(tmp_path, text)
    assert len(caught.value.problems) == 1
    assert expected in caught.value.problems[0]
    assert caught.value.problems[0].startswith(str(tmp_path / "roles.toml"))


def test_missing_file_is_refused(tmp_path: Path) -> None:
    """No table is not an empty one."""
    with pytest.raises(PolicyError, match="no such file"):
        load_roles(tmp_path / "roles.toml")
