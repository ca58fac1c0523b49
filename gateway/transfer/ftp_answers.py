"""The words of the FTP doors: which commands there are, and what is answered where something is not done.

Invariants: commands outside the table do not exist; no answer holds a line that a client's name could have put there,
and none tells more of a failure than its client may know.
"""

from __future__ import annotations

from typing import Any

import structlog
from OpenSSL import SSL

from gateway.errors import Unavailable
from gateway.transfer.act import Ended, Refused, Unrecorded
from gateway.transfer.site import NameTaken, SiteFailure, SiteUnavailable

log = structlog.get_logger(__name__)

CLOSING = "421 The service ends; try again later."
_WITHOUT_SIGN_IN = ("USER", "PASS", "AUTH", "PBSZ", "PROT", "FEAT", "HELP", "NOOP", "OPTS", "QUIT", "STAT", "SYST")
_WITH_ARGUMENT = (
    "USER AUTH PBSZ PROT OPTS TYPE STRU MODE SIZE MDTM RETR STOR APPE REST RNFR RNTO DELE MKD RMD PORT EPRT"
)
_WITHOUT_ARGUMENT = "FEAT SYST PWD CDUP PASV ABOR NOOP QUIT"
_EITHER = "PASS CWD LIST NLST MLSD MLST STAT EPSV ALLO HELP"
NEED_DATA = frozenset(("PASV", "EPSV", "PORT", "EPRT", "LIST", "NLST", "MLSD", "RETR", "STOR", "APPE"))


def commands() -> dict[str, dict[str, Any]]:
    """The table of commands, as pyftpdlib has it: what is not in it does not exist here."""
    takes = [(_WITH_ARGUMENT, True), (_WITHOUT_ARGUMENT, False), (_EITHER, None)]
    return {
        name: {"perm": None, "auth": name not in _WITHOUT_SIGN_IN, "arg": argument, "help": f"Syntax: {name}"}
        for names, argument in takes
        for name in names.split()
    }


def told(error: BaseException, door: str) -> str:
    """An answer that tells why something was not done; what nobody foresaw is logged, with the door's name."""
    if isinstance(error, Unrecorded | Unavailable | SiteUnavailable):
        return f"451 {error}"
    if isinstance(error, Ended):
        return f"426 The transfer was ended: {error}"
    if isinstance(error, Refused):
        return f"550 {error} (decision {error.decision})" if error.decision else f"550 {error}"
    if isinstance(error, NameTaken):
        return f"553 {error}"
    if isinstance(error, SiteFailure):
        return f"550 {error}"
    if isinstance(error, OSError | SSL.Error):
        return "426 The data connection was lost."
    log.error("ftp_command_failed", door=door, problem=type(error).__name__, exc_info=error)
    return "451 Something failed here; try again later."


def in_one_line(answer: str) -> str:
    """An answer without what would end its line, or show nothing."""
    return "".join(char if char.isprintable() else "?" for char in answer)
