"""What the gateway shows a store: one header, of which no client and no log ever sees the value.

A secret from a file is read again once the file has changed; one that cannot be sent, or not be read, leaves the old
one in use.
"""

from __future__ import annotations

import asyncio
import base64
from urllib.parse import SplitResult, unquote

import structlog
from pydantic import SecretStr

from gateway.proxy.file_changes import FileChanges
from gateway.settings import CredentialSettings, Secret, read_secret

log = structlog.get_logger(__name__)
NOWHERE = SplitResult("", "", "", "", "")


class StoreCredential:
    """The credential for one store.

    Args:
        store: for messages.
        settings: with what to show it.

    Attributes:
        name: of the header.
        line: the header as it is sent.
        changes: when to :meth:`renew`.
    """

    def __init__(self, store: str, settings: CredentialSettings) -> None:
        self._store = store
        self._settings = settings
        self.name = settings.header or "Authorization"
        self.changes = FileChanges(settings.secret.file, read=False)  # it was read before, by the settings
        self.line = self._line(settings.secret.text.get_secret_value())

    @classmethod
    def of(cls, store: str, settings: CredentialSettings | None, url: SplitResult = NOWHERE) -> StoreCredential | None:
        """The credential of a configuration, or the one in the store's address; None where there is none."""
        user, _, _ = url.netloc.rpartition("@")
        if user:
            text = unquote(user if ":" in user else f"{user}:")
            settings = CredentialSettings.model_construct(basic=Secret(SecretStr(text)))  # whatever it is can be sent
        return cls(store, settings) if settings else None

    async def shown(self) -> dict[str, str]:
        """The header as it is to be sent now; its file is read again when that is due."""
        if asyncio.get_running_loop().time() >= self.changes.due_s:
            await self.renew()
        name, _, value = self.line.strip().partition(": ")
        return {name: value}

    async def renew(self) -> bool:
        """Read the secret again if its file has changed; whether that made a difference."""
        self.changes.looked(asyncio.get_running_loop().time())
        return await asyncio.to_thread(self._reread)

    def _reread(self) -> bool:
        file = self._settings.secret.file
        if file is None or not self.changes.changed():
            return False
        try:
            text = read_secret(file)
        except (OSError, ValueError) as error:
            log.error("store_credential_not_reread", store=self._store, problem=type(error).__name__)
            return False
        if not self._settings.fits(text):
            log.error("store_credential_not_reread", store=self._store, problem=f"expected {self._settings.expected}")
            return False
        before, self.line = self.line, self._line(text)
        if self.line == before:
            return False
        log.info("store_credential_reread", store=self._store)
        return True

    def _line(self, text: str) -> str:
        if self._settings.basic:
            text = f"Basic {base64.b64encode(text.encode()).decode()}"
        elif self._settings.bearer:
            text = f"Bearer {text}"
        return f"{self.name}: {text}\r\n"
