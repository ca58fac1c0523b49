"""The policy room: may they?

:func:`load` reads a directory of rules (Cedar), their schema and the role table, and refuses it with a line for every
fault. The :class:`Policy` it returns turns :class:`Facts` into a :class:`Verdict`; :class:`RoleTable` says what roles
may use at most, which is one of the facts.

Promised: a verdict is a pure function of facts, with no input, output or clock; what nothing permits is denied, a
forbid beats every permit, and a rule that cannot be evaluated raises :class:`~gateway.errors.PolicyError` instead of
permitting. Every verdict names its rules, and every rule names its clause of the contract.

Around it: :mod:`~gateway.policy.space` enumerates every possible fact, :mod:`~gateway.policy.matrix` prints the
decision table, :mod:`~gateway.policy.prove` checks properties over every row, :mod:`~gateway.policy.fixtures` runs the
examples in ``policies/tests``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gateway.policy.roles import RoleScope, RoleTable

if TYPE_CHECKING:
    from gateway.policy.engine import Policy, default_directory, load
    from gateway.policy.facts import DataKind, Effect, Facts, Plan, Verdict

__all__ = [
    "DataKind",
    "Effect",
    "Facts",
    "Plan",
    "Policy",
    "RoleScope",
    "RoleTable",
    "Verdict",
    "default_directory",
    "load",
]


_FACTS = frozenset({"DataKind", "Effect", "Facts", "Plan", "Verdict"})


def __getattr__(name: str) -> Any:
    """Whoever needs more than roles imports the rest: Cedar takes longer than most commands."""
    if name not in __all__:
        raise AttributeError(name)
    return getattr(import_module(f"{__name__}.{'facts' if name in _FACTS else 'engine'}"), name)
