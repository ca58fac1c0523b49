"""What a client of a transfer door may do, whatever its protocol: each act is judged, written down, and then done.

A session is of one account and one customer, whose tree is all that it sees. The doors (FTP, SFTP) read commands and
write answers; everything between is here.

Invariants: nothing is asked of the site before the decision about it is durable; a name is judged in the form in which
the site is asked for it; each admission is completed once; when it ends before its time, the transfer is cut, and
whoever waits for it is told.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from urllib.parse import quote

from gateway.attempt import Approach, Decision
from gateway.checkpoint import Checkpoint
from gateway.errors import Malformed
from gateway.explanation import Explainer
from gateway.policy import Plan
from gateway.proxy.http_door import client_of, decided
from gateway.proxy.limits import SubjectLimits, Turn
from gateway.proxy.metrics import Metrics
from gateway.proxy.pace import Pace
from gateway.transfer.act import Act, Fetch, Keep, Refused, Unrecorded
from gateway.transfer.names import is_nameable, resolve, target_of
from gateway.transfer.site import About, Admits, NameTaken, NoSuchName, Site, SiteFailure
from gateway.transfer.uploads import Uploads, partial_of


@dataclass(frozen=True, slots=True)
class Gate:
    """What every session of a door shares.

    Attributes:
        prefix: what stands before the customer in the targets of the site's route, such as ``/uploads``.
        is_peer_home: whether a connection that leads to an address stays within a home.
        pace: at which refusals are answered.
    """

    checkpoint: Checkpoint
    explainer: Explainer
    metrics: Metrics
    limits: SubjectLimits
    site: Site
    uploads: Uploads
    prefix: str
    is_peer_home: Callable[[str, str, frozenset[str]], bool]
    pace: Pace


class Session:
    """One signed-in client.

    Args:
        gate: what all share.
        door: ``ftp``, ``ftps`` or ``sftp``.
        account: who signed in, as the authenticator knows them.
        customer: whose tree this is.
        peer: the client's address.
        ticket, reason: why, as cited when the credential was made.
    """

    def __init__(
        self, gate: Gate, *, door: str, account: str, customer: str, peer: str, ticket: str = "", reason: str = ""
    ) -> None:
        self._gate = gate
        self._root = f"{gate.prefix}/{customer}"
        self._approach = Approach(door, "", "", "", peer, account=account, ticket=ticket, reason=reason)

    async def about(self, folder: str, given: str, verb: str = "STAT") -> tuple[str, About]:
        """What is said of a name; of a file that is not whole, how much of it came.

        Returns:
            The name in its one form, and what the site says.

        Raises:
            Refused: it may not be told.
            SiteFailure: there is nothing, or the site does not say.
        """
        async with self._done(verb, folder, given) as act:
            return act.name, await self._known(act.path)

    async def list(self, folder: str, given: str, verb: str = "LIST") -> Sequence[About]:
        """What a folder holds, by name, without what no client could name."""
        async with self._done(verb, folder, given) as act:
            return sorted(about for about in await self._gate.site.list(act.path) if is_nameable(about.name))

    async def fetch(self, folder: str, given: str, offset: int = 0, cut: Callable[[], object] | None = None) -> Fetch:
        """Begin to fetch a file.

        Args:
            offset: where to begin.
            cut: called, once, when the transfer is ended before its time.
        """
        async with self._begun("RETR", folder, given) as act:
            about = await self._gate.site.about(act.path)
            if about is None or about.is_folder:
                raise NoSuchName("there is no such file")
            return Fetch(act, await self._gate.site.read(act.path, offset), about.size, offset, cut)

    async def keep(
        self,
        folder: str,
        given: str,
        *,
        offset: int | None = 0,
        verb: str = "STOR",
        cut: Callable[[], object] | None = None,
    ) -> Keep:
        """Begin to store a file; see :meth:`Uploads.begin` and :meth:`fetch`."""
        async with self._begun(verb, folder, given) as act:
            path, admits = _below_root(act), self._admits(act.admission.decision)
            upload = await self._gate.uploads.begin(self._gate.site, path, offset=offset, admits=admits)
            return Keep(act, upload, cut)

    async def remove(self, folder: str, given: str) -> None:
        """Remove a file."""
        async with self._done("DELE", folder, given) as act:
            await self._gate.site.remove(_below_root(act))

    async def make_folder(self, folder: str, given: str) -> str:
        """Make a folder; its name."""
        async with self._done("MKD", folder, given) as act:
            admits = self._admits(act.admission.decision)
            await self._gate.site.make_folder(_below_root(act), admits=admits)
            return act.name

    async def remove_folder(self, folder: str, given: str) -> None:
        """Remove an empty folder."""
        async with self._done("RMD", folder, given) as act:
            await self._gate.site.remove_folder(_below_root(act))

    async def rename(self, folder: str, given: str, to: str, *, over: bool = True) -> None:
        """Give a file or folder another name: both are judged, as a removal and as something new.

        Args:
            over: whether a file of that name may be replaced.
        """
        async with self._done("RNFR", folder, given) as old, self._done("RNTO", folder, to) as new:
            if not over and await self._gate.site.about(new.path) is not None:
                raise NameTaken("something of this name is there")
            admits = self._admits(new.admission.decision)
            await self._gate.site.move(_below_root(old), _below_root(new), admits=admits)

    async def _known(self, path: str) -> About:
        about = await self._gate.site.about(path)
        if about is None:
            about = await self._gate.site.about(partial_of(path))
        if about is None:
            raise NoSuchName("there is nothing of this name")
        return about

    @asynccontextmanager
    async def _done(self, verb: str, folder: str, given: str) -> AsyncIterator[Act]:
        """An act that is allowed, and over at the end."""
        act = await self._judged(verb, folder, given)
        outcome = "cut"
        try:
            yield act
            outcome = "whole"
        except SiteFailure:
            outcome = "refused"
            raise
        finally:
            act.over(outcome)

    @asynccontextmanager
    async def _begun(self, verb: str, folder: str, given: str) -> AsyncIterator[Act]:
        """An act that is allowed and goes on afterwards; over at the end only where it does not begin."""
        act = await self._judged(verb, folder, given)
        try:
            yield act
        except BaseException as error:
            act.over("refused" if isinstance(error, SiteFailure) else "cut")
            raise

    async def _judged(self, verb: str, folder: str, given: str) -> Act:
        approach, name = self._approach_to(verb, folder, given)
        gate = self._gate
        with ExitStack() as stack:
            turn = stack.enter_context(Turn(gate.limits))
            decision = await decided(gate.checkpoint.decide(approach, limit=turn.take), gate.metrics)
            if decision is None:
                raise Unrecorded("decisions cannot be written down now; try again later")
            if not decision.permitted:
                await gate.pace.wait(client_of(decision, approach.peer))
                raise Refused(gate.explainer.explain(decision).detail, decision.id)
            return Act(gate.checkpoint.admit(decision, approach), name, stack.pop_all())

    def _approach_to(self, verb: str, folder: str, given: str) -> tuple[Approach, str]:
        try:
            name = resolve(folder, given)
        except Malformed as error:
            target = f"{self._root}/{quote(given, errors='surrogateescape')}"
            return self._approach._replace(method=verb, target=target, ambiguity=str(error)), ""
        return self._approach._replace(method=verb, target=target_of(self._root, name)), name

    def _admits(self, decision: Decision) -> Admits:
        """To which addresses what is written may go (rule ``storage-home``); without a plan there is no home."""
        attempt, facts = decision.attempt, decision.facts
        if facts is None or facts.plan is Plan.NONE or not facts.storage_home:
            return None
        return lambda peer: self._gate.is_peer_home(attempt.resource.store, peer, attempt.home)


def _below_root(act: Act) -> str:
    if act.name == "/":
        raise NameTaken("the root stays as it is")
    return act.path
