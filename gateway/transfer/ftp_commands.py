"""What FTP's commands do with files and folders: each is asked of the session, and nothing of this machine.

Names go to the session as they came. A file goes as it is, also in ASCII mode: what is stored is what is fetched.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from gateway.transfer.ftp_conversation import Conversation
from gateway.transfer.ftp_flows import Kept, Sent, Told
from gateway.transfer.ftp_listing import facts_of, listed, moment, named, with_facts
from gateway.transfer.site import About, NoSuchName

_OPTIONS = re.compile(r"-[aAlL]+(?: +|$)")


class Commands(Conversation):
    """A control connection, with its commands."""

    # Folders.

    def ftp_PWD(self, line: str) -> None:
        """Where the client is."""
        del line
        self.respond(f"257 {_quoted(self.folder)}")

    def ftp_CWD(self, line: str) -> None:
        """Go to another folder."""
        name, about = self.line.ask(self.session.about(self.folder, line or "/", verb="CWD"))
        if not about.is_folder:
            raise NoSuchName("there is no such folder")
        self.folder = name
        self.respond(f"250 {_quoted(name)}")

    def ftp_CDUP(self, line: str) -> None:
        """Go to the folder above."""
        del line
        self.ftp_CWD("..")

    def ftp_MKD(self, line: str) -> None:
        """Make a folder."""
        name = self.line.ask(self.session.make_folder(self.folder, line))
        self.respond(f"257 {_quoted(name)}")

    def ftp_RMD(self, line: str) -> None:
        """Remove an empty folder."""
        self.line.ask(self.session.remove_folder(self.folder, line))
        self.respond("250 Removed.")

    def ftp_LIST(self, line: str) -> None:
        """A listing for people."""
        if self.require_data():
            self.start(Told(listed(self._found(_OPTIONS.sub("", line, count=1), "LIST"), time.time())))

    def ftp_NLST(self, line: str) -> None:
        """The names."""
        if self.require_data():
            self.start(Told(named(self._found(_OPTIONS.sub("", line, count=1), "NLST"))))

    def ftp_MLSD(self, line: str) -> None:
        """A listing for programs."""
        if self.require_data():
            found = self.line.ask(self.session.list(self.folder, line or ".", verb="MLSD"))
            self.start(Told(with_facts(found, self._current_facts)))

    def ftp_STAT(self, line: str) -> None:
        """How the session stands, or a listing over the control connection."""
        if not line:
            self.respond("211 All is well." if self.signed_in else "211 Nobody is signed in.")
            return
        found = listed(self._found(_OPTIONS.sub("", line, count=1), "STAT"), time.time()).decode()
        self.push("213-Status follows.\r\n")
        self.push("".join(f" {each}\r\n" for each in found.splitlines()))
        self.respond("213 End.")

    def _found(self, given: str, verb: str) -> Sequence[About]:
        """What a folder holds, or what is told of a file."""
        try:
            return self.line.ask(self.session.list(self.folder, given or ".", verb=verb))
        except NoSuchName:
            name, about = self.line.ask(self.session.about(self.folder, given or ".", verb=verb))
            if about.is_folder:
                raise
            return [about._replace(name=name.rpartition("/")[2])]

    # What is told of a file.

    def ftp_MLST(self, line: str) -> None:
        """Facts of a file or folder."""
        name, about = self.line.ask(self.session.about(self.folder, line or ".", verb="MLST"))
        self.push("250-Facts follow.\r\n")
        self.push(f" {facts_of(about, self._current_facts)} {name}\r\n")
        self.respond("250 End.")

    def ftp_SIZE(self, line: str) -> None:
        """How large a file is; of one that is not whole, how much of it came."""
        self.respond(f"213 {self._file(line, 'SIZE').size}")

    def ftp_MDTM(self, line: str) -> None:
        """When a file was changed."""
        self.respond(f"213 {moment(self._file(line, 'MDTM').modified_s)}")

    def _file(self, given: str, verb: str) -> About:
        _, about = self.line.ask(self.session.about(self.folder, given, verb=verb))
        if about.is_folder:
            raise NoSuchName("there is no such file")
        return about

    # Transfers.

    def ftp_RETR(self, line: str) -> None:
        """Fetch a file, from where ``REST`` said on."""
        offset = self._offset()
        if not self.require_data():
            return
        fetch = self.line.ask(self.session.fetch(self.folder, line, offset, cut=self.line.cut))
        if offset > fetch.size:
            self.line.ask(fetch.close(delivered=False))
            self.respond(f"554 There are {fetch.size} bytes; expected REST within them, got {offset}.")
            return
        self.start(Sent(self.line, fetch))

    def ftp_STOR(self, line: str) -> None:
        """Store a file, from where ``REST`` said on."""
        self._keep(line, "STOR", self._offset())

    def ftp_APPE(self, line: str) -> None:
        """Store more of a file."""
        if self._offset():
            self.respond("501 APPE begins at the end; expected no REST.")
        else:
            self._keep(line, "APPE", None)

    def _keep(self, given: str, verb: str, offset: int | None) -> None:
        if self.require_data():
            keeping = self.session.keep(self.folder, given, offset=offset, verb=verb, cut=self.line.cut)
            self.start(Kept(self.line, self.line.ask(keeping)))

    def ftp_REST(self, line: str) -> None:
        """Where the next transfer begins."""
        if not re.fullmatch(r"[0-9]{1,18}", line):
            self.respond("501 Expected a number of bytes.")
            return
        self._restart_position = int(line)
        self.respond(f"350 From {self._restart_position} on.")

    def _offset(self) -> int:
        offset, self._restart_position = self._restart_position, 0
        return int(offset)

    # Files.

    def ftp_DELE(self, line: str) -> None:
        """Remove a file."""
        self.line.ask(self.session.remove(self.folder, line))
        self.respond("250 Removed.")

    def ftp_RNFR(self, line: str) -> None:
        """Say which file or folder gets another name; it is judged with that."""
        self._rnfr = line
        self.respond("350 The new name?")

    def ftp_RNTO(self, line: str) -> None:
        """Give it the other name."""
        old, self._rnfr = self._rnfr, None
        if not old:
            self.respond("503 Expected RNFR first.")
            return
        self.line.ask(self.session.rename(self.folder, old, line))
        self.respond("250 Renamed.")


def _quoted(name: str) -> str:
    doubled = name.replace('"', '""')
    return f'"{doubled}"'
