"""Where the private key is that signs a ledger's checkpoints, and how another takes its place.

It is in a file, or in a value of the settings that this program cannot replace. While a key follows another, what a
crash leaves, and what is done with it:

==========================  =====================================  =================================================
crash                       leaves                                 next time
==========================  =====================================  =================================================
before the entry            the new key set aside, unused          the old one signs; a later rotation overwrites it
after the entry             the ledger names the key set aside     it is found there, signs, and is put in place
within putting in place     the old key under its own name, too    the same
==========================  =====================================  =================================================
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.errors import ConfigurationError
from gateway.files import locked, replace_file, sync_directory
from gateway.ledger.keys import parse_private, private_pem, signer_in
from gateway.ledger.note import Signer, Verifier
from gateway.settings import LedgerSettings

LOCK_TIMEOUT_S = 10.0


class SigningKey:
    """The private key of a ledger.

    Args:
        ledger: the path of the ledger.
        origin: its name in checkpoints.
        file: where the key is; None: beside the ledger.
        value: the key itself, where it is in no file.
    """

    def __init__(self, ledger: Path, origin: str, *, file: Path | None = None, value: str = "") -> None:
        self.origin = origin
        self.file = None if value else file or ledger.with_name(f"{ledger.name}.key")
        self._is_own = file is None and not value  # may be made here
        self._value = value
        self._lock = ledger.with_name(f"{ledger.name}.key.lock")

    @classmethod
    def of(cls, settings: LedgerSettings, origin: str) -> SigningKey:
        """The key of a configuration."""
        given = settings.signing_key
        if given is None:
            return cls(settings.path, origin)
        if given.file is not None:
            return cls(settings.path, origin, file=given.file)
        return cls(settings.path, origin, value=given.text.get_secret_value())

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """As long as this lasts, nobody else makes this ledger's next key.

        Raises:
            ConfigurationError: the lock cannot be had.
        """
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(locked(self._lock, timeout_s=LOCK_TIMEOUT_S))
            except OSError as error:
                raise ConfigurationError([f"{self._lock}: {error.strerror}; see what else changes the key"]) from error
            yield

    def signer(self) -> Signer | None:
        """Whoever signs with the key in place; None where there is no key yet, and one may be made.

        Raises:
            ConfigurationError: it cannot be read, or is none.
        """
        if self.file is None:
            return parse_private(self._value, self.origin, "ledger.signing_key")
        if self._is_own and not self.file.exists():
            return None
        return self._in(self.file)

    def made(self) -> Signer:
        """Whoever signs with the key in place, or with a new one that is put there.

        Raises:
            ConfigurationError: it cannot be read or made, or is none.
        """
        return self.signer() or signer_in(self._own_file(), self.origin)

    def signer_of(self, verifier: Verifier) -> Signer | None:
        """Whoever signs so that this key verifies it, also if the key has yet to be put in place; None: nobody here."""
        for signer in (self.signer(), self._staged()):
            if signer and signer.verifier == verifier:
                return signer
        return None

    def stage(self, new: Signer) -> None:
        """Set the next key aside, before an entry names it.

        Raises:
            ConfigurationError: it cannot be written.
        """
        with self._told():
            replace_file(self._aside(), private_pem(new.key))

    def settle(self, verifier: Verifier) -> None:
        """Put the key that was set aside in place, if it is this one. The old one stays beside it, under its id.

        Raises:
            ConfigurationError: it cannot be written.
        """
        staged = self._staged()
        if staged is None or staged.verifier != verifier:
            return
        file = self._own_file()
        before = self.signer()
        with self._told():
            if before and before.verifier != verifier:
                with contextlib.suppress(FileExistsError):
                    self.former(before.verifier).hardlink_to(file)
            self._aside().replace(file)
            sync_directory(file.parent)

    def former(self, verifier: Verifier) -> Path:
        """Where a key stays that another one followed."""
        file = self._own_file()
        return file.with_name(f"{file.name}.{verifier.id.hex()}")

    def _staged(self) -> Signer | None:
        return self._in(self._aside()) if self.file and self._aside().exists() else None

    def _aside(self) -> Path:
        file = self._own_file()
        return file.with_name(f"{file.name}.next")

    def _own_file(self) -> Path:
        if self.file is None:
            raise ConfigurationError(["ledger.signing_key: is in no file, so it cannot be replaced here"])
        return self.file

    def _in(self, file: Path) -> Signer:
        try:
            return parse_private(file.read_text("ascii"), self.origin, str(file))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError([f"{file}: the ledger's key cannot be read ({type(error).__name__})"]) from error

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ConfigurationError(
                [f"{self.file}: the ledger's key cannot be replaced ({error.strerror})"]
            ) from error


def new_signer(origin: str) -> Signer:
    """Somebody who signs with a key that nobody had before."""
    return Signer(origin, Ed25519PrivateKey.generate())
