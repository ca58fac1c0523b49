"""Where checkpoints are kept outside the ledger: the state database always, and whatever ``[[ledger.holder]]`` names.

A file (another disk, a mount of another machine), an address that keeps a document (HTTP with ETags), or a witness that
cosigns (C2SP ``tlog-witness``). Each is a :class:`gateway.ledger.holding.Holder`. What each of these was told stands in
the state database, so that one that was emptied is no new one.
"""

from __future__ import annotations

from gateway.holders.document import Document
from gateway.holders.file import FilePlace
from gateway.holders.witness import Witness
from gateway.ledger.holding import Holder, Kept, Memory
from gateway.settings import HolderSettings, Settings
from gateway.storage import StateMemory, StatePlace, StateStore

__all__ = ["STATE", "holders", "memory_of"]

STATE = "state"
STATE_TIMEOUT_S = 10.0


def holders(settings: Settings, state: StateStore) -> list[Holder]:
    """Every holder of a configuration; to be closed.

    Raises:
        ConfigurationError: one cannot be used as it is configured.
    """
    place = StatePlace(state, settings.ledger_origin)
    first = Kept(STATE, place, None, required=True, timeout_s=STATE_TIMEOUT_S)
    return [first, *(_holder(one, memory_of(settings, state, one.name)) for one in settings.ledger.holder)]


def memory_of(settings: Settings, state: StateStore, holder: str) -> Memory:
    """What a holder of this configuration was told."""
    return StateMemory(state, settings.ledger_origin, holder)


def _holder(settings: HolderSettings, memory: Memory) -> Holder:
    match settings.kind:
        case "file":
            return _kept(settings, FilePlace(settings.file_path), memory)
        case "http":
            return _kept(settings, Document(settings), memory)
        case "witness":
            return Witness(settings, memory)


def _kept(settings: HolderSettings, place: FilePlace | Document, memory: Memory) -> Kept:
    return Kept(settings.name, place, memory, required=settings.required, timeout_s=settings.timeout_s)
