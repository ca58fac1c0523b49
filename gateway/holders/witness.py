"""A witness: verifies for itself that the ledger only ever grew, and cosigns (C2SP ``tlog-witness``).

It is sent the checkpoint, the size that it last cosigned, and a proof that the one tree is the beginning of the other.
A witness knows that size better than anybody, so where it says another one, that is what is gone by; unless it is less
than it was told, which is a witness that has lost it.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

from gateway.errors import ConfigurationError, HolderUnavailable, LedgerContradicted
from gateway.holders.client import Answer, HolderClient
from gateway.ledger.holding import Memory, Vouching, require_not_behind
from gateway.ledger.notary import size_of
from gateway.ledger.note import COSIGNATURE, NoteRefused, Verifier, opened, split
from gateway.settings import HolderSettings

SIZE_TYPE = "text/x.tlog.size"
_REASONS = {
    400: "it takes what was sent for malformed",
    403: "it does not trust the key that signs this ledger; give it the one that `ledger key` prints",
    404: "it does not know this ledger; give it the origin and key that `ledger key` prints, and check its url",
}


class Witness:
    """A :class:`gateway.ledger.holding.Holder` that cosigns.

    Args:
        settings: with its url (the submission prefix) and its key.
        memory: what it was told.

    Raises:
        ConfigurationError: the key is none of a witness, or ``tls_ca`` cannot be used.
    """

    def __init__(self, settings: HolderSettings, memory: Memory) -> None:
        self.name = settings.name
        self.required = settings.required
        self.timeout_s = settings.timeout_s
        self._key = _key(settings)
        self._client = HolderClient(settings)
        self._memory = memory

    async def check(self, ledger: Vouching) -> None:
        """See :class:`Holder`. A witness cannot be read; it is told again of the last checkpoint that there is.

        Without a key to sign even one over nothing there is nothing to ask with: whoever starts a ledger asks again
        once it names a key (:func:`gateway.ledger.checkpoints.begin`).
        """
        latest = await ledger.latest()
        if latest:
            await self.tell(latest, ledger)

    async def tell(self, note: str, ledger: Vouching) -> None:
        """See :class:`Holder`."""
        size = size_of(note)
        told = await self._memory.told()
        old = min(max(told, await ledger.cosigned(self._key.name)), size)
        answer = await self._add(note, old, ledger)
        if answer.status == 409 and (known := _size(answer)) != old:
            require_not_behind(known, told)
            if known > size:
                await self._require_not_ahead(known, ledger)
                return
            old = known
            answer = await self._add(note, old, ledger)
        if answer.status == 200:
            require_not_behind(old, told)
            await self._keep(note, answer, ledger)
            await self._memory.remember(note)
            return
        raise self._refusal(answer, old, size)

    async def close(self) -> None:
        """Let go of the connection."""
        await self._client.close()

    async def _add(self, note: str, old: int, ledger: Vouching) -> Answer:
        body = request(note, old, await ledger.consistency(old, size_of(note)))
        return await self._client.exchange("POST", "/add-checkpoint", body=body)

    async def _require_not_ahead(self, known: int, ledger: Vouching) -> None:
        now = await ledger.size()
        if known > now:
            told = f"it has cosigned {known} entries, and the ledger has {now}"
            raise LedgerContradicted(f"{told}: the ledger was rolled back, or is another one; put the newer one back")

    async def _keep(self, note: str, answer: Answer, ledger: Vouching) -> None:
        """Keep what it signed, unless that is nothing. Lines of keys that nobody named are passed over."""
        for line in answer.text.splitlines():
            try:
                alone = f"{split(note)[0]}\n{line}\n"
                opened(alone, [self._key])
            except NoteRefused:
                continue
            if size := size_of(note):
                await ledger.keep_cosignature(size, self._key.name, line)
            return
        raise HolderUnavailable(f"it answered without a cosignature of {self._key.name} ({self._key.id.hex()})")

    def _refusal(self, answer: Answer, old: int, size: int) -> HolderUnavailable | LedgerContradicted:
        if answer.status == 422 or (answer.status == 409 and old == size == _size(answer)):
            told = f"the tree of {old} entries that it cosigned is no beginning of this ledger"
            return LedgerContradicted(f"{told}: it was changed or forked; compare it with a copy")
        return HolderUnavailable(_REASONS.get(answer.status, f"it answered {answer.status}"))


def request(note: str, old: int, proof: Sequence[bytes]) -> str:
    """What ``add-checkpoint`` is sent."""
    lines = [f"old {old}", *(base64.b64encode(node).decode() for node in proof)]
    return "".join(f"{line}\n" for line in lines) + f"\n{note}"


def _size(answer: Answer) -> int:
    """The size that a conflict tells."""
    text = answer.text.removesuffix("\n")
    if answer.content_type != SIZE_TYPE or not (text.isascii() and text.isdigit() and len(text) < 19):
        raise HolderUnavailable(f"it answered 409 without its size; expected {SIZE_TYPE}")
    return int(text)


def _key(settings: HolderSettings) -> Verifier:
    try:
        key = Verifier.parse(settings.key)
    except NoteRefused as error:
        raise ConfigurationError([f"ledger.holder {settings.name}: key: {error}"]) from error
    if key.kind != COSIGNATURE:
        told = f"the key of {key.name} signs no cosignatures (type {key.kind:#04x})"
        raise ConfigurationError([f"ledger.holder {settings.name}: key: {told}; expected one of type 0x04"])
    return key
