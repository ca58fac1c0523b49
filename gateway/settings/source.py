"""Reading the file: everything that is wrong with it at once, or the settings."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError

from gateway.errors import ConfigurationError
from gateway.files import stamp
from gateway.settings.contradictions import contradictions
from gateway.settings.faults import lines
from gateway.settings.secrets import Secrets
from gateway.settings.sections import Settings


def load(path: Path, environ: Mapping[str, str]) -> Settings:
    """The settings in the file at ``path``.

    Raises:
        ConfigurationError: with one line for every fault: file, key, what came, what was expected.
    """
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigurationError([f"{path}: no such file; name one with --config"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"{path}: cannot be read ({error}); expected a TOML file in UTF-8"]) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError([f"{path}: not TOML: {error}"]) from error
    return parse(raw, path=path, environ=environ)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a configuration came from, to be read again."""

    path: Path
    environ: Mapping[str, str]

    def load(self) -> Settings:
        """See :func:`load`."""
        return load(self.path, self.environ)

    def fingerprint(self, settings: Settings) -> tuple[object, ...]:
        """Differs once the file or one of the policy's has changed; blocking."""
        files = (self.path, *sorted(settings.policy.directory.glob("*")))
        return tuple((file, stamp(file)) for file in files)


def parse(raw: Mapping[str, Any], *, path: Path, environ: Mapping[str, str]) -> Settings:
    """Validate an already parsed document; see :func:`load`."""
    base = path.absolute().parent
    secrets = Secrets(base, environ)
    document = secrets.resolve(dict(raw))
    problems = [f"{path}: {key}: {what}" for key, what in secrets.problems]
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(document, context={"base": base})
    except ValidationError as error:
        unread = {key for key, _ in secrets.problems}
        problems += [f"{path}: {line}" for line in lines(error, document, unread)]
    problems += [
        f"{path}: {key}: {what}" for key, what in contradictions(document, {key for key, _ in secrets.problems})
    ]
    if problems or settings is None:
        raise ConfigurationError(problems)
    return _with_absolute_database(settings, base)


def _with_absolute_database(settings: Settings, base: Path) -> Settings:
    """A relative ``sqlite:///file`` is relative to the configuration file, like every other path."""
    url = settings.state.url.get_secret_value()
    prefix = "sqlite:///"
    if not url.startswith(prefix) or url.startswith(prefix + "/"):
        return settings
    absolute = SecretStr(f"{prefix}{os.path.normpath(base / url.removeprefix(prefix))}")
    return settings.model_copy(update={"state": settings.state.model_copy(update={"url": absolute})})
