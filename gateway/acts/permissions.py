"""Which roles may do what on the control interface: data (``control.toml`` beside the rules), denied by default."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.acts.actor import Actor
from gateway.errors import Forbidden, PolicyError

FILE = "control.toml"
CUSTOMER = "customer"

ACTS = frozenset(
    """access.request access.approve access.consent access.deny access.withdraw access.revoke access.read
    access.read-all authorization.record authorization.withdraw authorization.read customer.add customer.change
    customer.weaken customer.read plan.order plan.enable plan.seats plan.end plan.quote ticket.open
    ticket.open-security ticket.close ticket.assign ticket.handoff
    ticket.widen ticket.severity ticket.read ticket.read-security ticket.report
    transfer.pass-mint transfer.pass-read transfer.pass-revoke""".split()  # noqa: SIM905  sixty quotation marks less
)
"""Every act that a line may allow."""


@dataclass(frozen=True, slots=True)
class Permissions:
    """For each act the roles that may do it."""

    roles: Mapping[str, frozenset[str]]

    @classmethod
    def load(cls, directory: Path) -> Permissions:
        """Those of a policy directory.

        Raises:
            PolicyError: a line for every fault.
        """
        path = directory / FILE
        try:
            document = tomllib.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            raise PolicyError([f"{path}: no such file; it says which roles may do what"]) from None
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise PolicyError([f"{path}: not a TOML file in UTF-8: {error}"]) from error
        problems = [f"{path}: {what}" for what in _faults(document)]
        if problems:
            raise PolicyError(problems)
        return cls({act: frozenset(roles) for act, roles in document["act"].items()})

    def allows(self, actor: Actor, act: str) -> bool:
        """Whether any role of the actor may do this. The role ``customer`` is that of customers' own users alone."""
        if actor.operator:
            return True
        roles = frozenset({CUSTOMER}) if actor.customer else actor.roles - {CUSTOMER}
        return not roles.isdisjoint(self.roles.get(act, ()))

    def require(self, actor: Actor, act: str) -> None:
        """
        Raises:
            Forbidden: the actor may not.
        """
        if not self.allows(actor, act):
            may = ", ".join(sorted(self.roles.get(act, ()))) or "nobody"
            raise Forbidden(f"{actor.name} may not {act}; it takes one of these roles: {may}")


def _faults(document: Mapping[str, Any]) -> Iterator[str]:
    acts = document.get("act")
    if not isinstance(acts, dict) or set(document) != {"act"}:
        yield "expected one table [act], which names acts and the roles that may do them"
        return
    for act, roles in acts.items():
        if act not in ACTS:
            yield f"act.{act}: unknown; expected one of {', '.join(sorted(ACTS))}"
        if not isinstance(roles, list) or not all(isinstance(role, str) and role for role in _each(roles)):
            yield f"act.{act}: expected a list of roles"


def _each(roles: Any) -> Iterable[Any]:
    return roles if isinstance(roles, list) else ()
