"""Secrets: never in the file, and never shown; ``{ env = "NAME" }`` or ``{ file = "path" }`` says where they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, SecretStr


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret, and the file that it came from, where it can be read again."""

    text: SecretStr
    file: Path | None = None


def _secret(value: object) -> object:
    if isinstance(value, str):
        return Secret(SecretStr(str(value)), getattr(value, "file", None))
    if isinstance(value, Secret):
        return value
    raise ValueError('expected { env = "NAME" }, { file = "path" }, or text')


SecretText = Annotated[Secret, BeforeValidator(_secret)]


class _Secret(str):
    """Text that no error shows, wherever it stands, and the file that it came from."""

    __slots__ = ("file",)
    file: Path | None

    def __repr__(self) -> str:
        return "a secret"


@dataclass(slots=True)
class Secrets:
    """Replaces ``{env}`` and ``{file}`` in a document by their values; ``problems`` says where that failed."""

    base: Path
    environ: Mapping[str, str]
    problems: list[tuple[str, str]] = field(default_factory=list)

    def resolve(self, node: Any, key: str = "") -> Any:
        if isinstance(node, list):
            return [self.resolve(item, f"{key}[{index}]") for index, item in enumerate(node)]
        if not isinstance(node, dict):
            return node
        if set(node) in ({"env"}, {"file"}):
            secret = _Secret(self._read(node, key))
            secret.file = self.base / str(node["file"]) if "file" in node else None
            return secret
        return {name: self.resolve(item, f"{key}.{name}" if key else name) for name, item in node.items()}

    def _read(self, node: dict[str, Any], key: str) -> str:
        [(source, name)] = node.items()
        try:
            if source == "env":
                return self.environ[str(name)]
            return read_secret(self.base / str(name))
        except KeyError:
            self.problems.append((key, f"the environment has no {name}; set it, or name another variable"))
        except (OSError, ValueError) as error:  # not UTF-8, or a name that no file can have
            self.problems.append(
                (key, f"cannot read the file {str(name)!r} ({error.__class__.__name__}); check path and permissions")
            )
        return ""


def read_secret(path: Path) -> str:
    """The secret in a file: its text less the last line's end; blocking.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not UTF-8.
    """
    return path.read_text("utf-8").rstrip("\n")
