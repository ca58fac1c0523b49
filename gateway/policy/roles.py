"""The role table: the most that roles let a principal do with a data class and action.

The table is data (``roles.toml`` beside the rules); what it does not name is denied.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from pathlib import Path
from typing import Any

from gateway.catalog.resource import Action
from gateway.errors import PolicyError


class RoleScope(StrEnum):
    """The most that a principal's roles let it do with a data class and action (``policies/roles.toml``)."""

    DENIED = "denied"
    BY_GRANT = "by_grant"  # only under a grant that names the action
    ALLOWED = "allowed"


ALL = "all"
SERVICE = "service"
CUSTOMER = "customer"
_KEYS = ("data_classes", "except", "actions", "by_grant")

Uses = Mapping[tuple[str, str], RoleScope]  # (data class, action) → the most that is allowed


@dataclass(frozen=True, slots=True)
class RoleTable:
    """What each role may use.

    Attributes:
        known_data_classes: the data classes that a route may name.
        roles: by role; what is absent is denied.
        services: by the subject of a principal that holds the role ``service``.
    """

    known_data_classes: frozenset[str]
    roles: Mapping[str, Uses]
    services: Mapping[str, Uses]

    def scope(self, roles: frozenset[str], data_class: str, action: Action, *, subject: str = "") -> RoleScope:
        """The best that any of the roles allows.

        ``customer`` counts only as the one role held: beside another it would lend somebody else a customer's rights
        over its own data.

        Args:
            roles: of the principal.
            data_class: of the resource; "" or an unknown one is denied.
            action: what is to be done.
            subject: of the principal; names the line of a service.
        """
        best = RoleScope.DENIED
        for role in roles:
            found = self._uses(role, subject, alone=len(roles) == 1).get((data_class, action))
            if found is RoleScope.ALLOWED:
                return found
            best = found or best
        return best

    def _uses(self, role: str, subject: str, *, alone: bool) -> Uses:
        if role == SERVICE:
            return self.services.get(subject, {})
        return self.roles.get(role, {}) if alone or role != CUSTOMER else {}


def load_roles(path: Path) -> RoleTable:
    """The role table in a TOML file.

    Raises:
        PolicyError: a line ``file: key: what, and what to do`` for every fault.
    """
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise PolicyError([f"{path}: no such file; a policy directory needs a role table"]) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PolicyError([f"{path}: not a TOML file in UTF-8: {error}"]) from error
    problems = [f"{path}: {what}" for what in _faults(document)]
    if problems:
        raise PolicyError(problems)
    return _table(document)


def _table(document: Mapping[str, Any]) -> RoleTable:
    known = frozenset(document["data_classes"])
    roles, services = (
        {name: _expand(line, known) for name, line in document.get(section, {}).items()}
        for section in ("role", SERVICE)
    )
    return RoleTable(known, roles, services)


def _expand(line: Mapping[str, Any], known: Iterable[str]) -> Uses:
    named = known if line["data_classes"] == ALL else line["data_classes"]
    classes = frozenset(named).difference(line.get("except", ()))
    actions = tuple(Action) if line["actions"] == ALL else line["actions"]
    by_grant = product(classes, line.get("by_grant", ()))
    return dict.fromkeys(by_grant, RoleScope.BY_GRANT) | dict.fromkeys(product(classes, actions), RoleScope.ALLOWED)


def _faults(document: Mapping[str, Any]) -> Iterator[str]:
    for key in document.keys() - {"data_classes", "role", SERVICE}:
        yield f"{key}: unknown key; expected data_classes, [role.NAME] or [service.SUBJECT]"
    known = document.get("data_classes")
    if not isinstance(known, list) or not known or not all(isinstance(name, str) and name for name in known):
        yield 'data_classes: expected a list of names, such as ["case", "conversation"]'
        known = []
    for section in ("role", SERVICE):
        lines = document.get(section, {})
        if not isinstance(lines, dict):
            yield f"{section}: expected tables, such as [{section}.NAME]"
            continue
        for name, line in lines.items():
            yield from (f"{section}.{name}{what}" for what in _line_faults(line, known))
        if section == "role" and SERVICE in lines:
            yield "role.service: a service is configured by its subject; write [service.SUBJECT]"


def _line_faults(line: Any, known: list[str]) -> Iterator[str]:
    if not isinstance(line, dict):
        yield ": expected a table with data_classes and actions"
        return
    for key in line.keys() - set(_KEYS):
        yield f".{key}: unknown key; expected one of {', '.join(_KEYS)}"
    for key, among, optional in (
        ("data_classes", known, False),
        ("except", known, True),
        ("actions", list(Action), False),
        ("by_grant", list(Action), True),
    ):
        yield from _list_faults(line, key, among=[str(name) for name in among], optional=optional)


def _list_faults(line: Mapping[str, Any], key: str, *, among: list[str], optional: bool) -> Iterator[str]:
    value = line.get(key, [] if optional else None)
    if value == ALL and not optional:
        return
    if not isinstance(value, list):
        expected = "a list" if optional else 'a list or "all"'
        yield f".{key}: got {value!r}; expected {expected}"
        return
    for name in value:
        if name not in among:
            yield f".{key}: got {name!r}; expected one of {', '.join(among)}"
