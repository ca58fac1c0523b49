"""What a session does: an act that was admitted, and the transfers among them, which go on for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from typing import TypeVar
from urllib.parse import unquote

from gateway.admission import Admission
from gateway.transfer.ahead import ReadAhead, WriteBehind
from gateway.transfer.digest import Digest
from gateway.transfer.site import Block, Reading, SiteFailure
from gateway.transfer.uploads import Upload, to_the_end

Answered = TypeVar("Answered")


class Refused(Exception):
    """It may not be done; the message is what the client is told. ``decision``: its id, or ""."""

    def __init__(self, message: str, decision: str = "") -> None:
        super().__init__(message)
        self.decision = decision


class Unrecorded(Refused):
    """Nothing may be done now: decisions cannot be written down."""


class Ended(Refused):
    """A transfer was cut: what allowed it holds no longer, or its cap is passed."""


class Act:
    """Something that was admitted.

    Attributes:
        name: what it is done to, in its one form.
        path: the same, as the site is asked for it.
    """

    def __init__(self, admission: Admission, name: str, places: ExitStack) -> None:
        attempt = admission.decision.attempt
        assert attempt.route is not None and attempt.target is not None  # noqa: S101, PT018 - a permit has both
        self.admission = admission
        self.name = name
        self.path = unquote(attempt.route.upstream_path(attempt.target.path))
        self._places = places

    def over(self, outcome: str) -> None:
        """It is over: ``whole``, ``cut``, ``capped``, ``ended`` or ``refused`` by the site; the first call counts."""
        self.admission.complete(outcome, 0)
        self._places.close()


class _Transfer:
    """Bytes that flow under an act.

    Args:
        cut: called, once, when it is ended before its time.
    """

    def __init__(self, act: Act, offset: int, cut: Callable[[], object] | None) -> None:
        self._act, self._cut = act, cut
        self._digest = Digest()
        self._waiting: asyncio.Task[object] | None = None
        act.admission.offset = offset
        act.admission.on_end(self._stop)

    async def _unless_ended(self, asked: Callable[[], Awaitable[Answered]]) -> Answered:
        """What the site answers; cut as soon as the admission ends.

        Raises:
            Ended: it ended.
        """
        admission, task = self._act.admission, asyncio.current_task()
        self._require_going_on()
        self._waiting = task
        try:
            return await asked()
        except asyncio.CancelledError:
            if task and admission.ended:
                task.uncancel()
            self._require_going_on()
            raise
        finally:
            self._waiting = None

    def _require_going_on(self) -> None:
        if self._act.admission.ended:
            raise Ended(self._act.admission.ended)

    def _stop(self) -> None:
        if self._waiting:
            self._waiting.cancel()
        if self._cut:
            self._cut()

    def _over(self, outcome: str) -> None:
        self._act.admission.digest = self._digest.hexdigest()
        self._act.over("ended" if self._act.admission.ended and outcome != "whole" else outcome)


class Fetch(_Transfer):
    """A file on its way to the client; ``close`` ends it.

    Attributes:
        size: of the whole file.
    """

    def __init__(self, act: Act, reading: Reading, size: int, offset: int, cut: Callable[[], object] | None) -> None:
        super().__init__(act, offset, cut)
        self.size = size
        self._reading = ReadAhead(reading)
        self._whole = self._capped = False

    async def read(self, size: int) -> Block:
        """The next bytes, at most so many; none at the end.

        Raises:
            Ended: it was cut.
            SiteFailure: the site broke off.
        """
        data = await self._unless_ended(lambda: self._reading.read(size))
        self._whole = not data
        if not self._act.admission.count_out(len(data)):
            self._capped = True
            raise Ended("the cap of the grant would be passed")
        await self._digest.add(data)
        return data

    async def close(self, *, delivered: bool = True) -> None:
        """It is over.

        Args:
            delivered: whether the client took all that was read.
        """
        try:
            with suppress(SiteFailure):
                await self._reading.close()
        finally:
            outcome = "whole" if self._whole and delivered else "cut"
            self._over("capped" if self._capped else outcome)


class Keep(_Transfer):
    """A file on its way to the site; ``finish`` or ``abandon`` ends it.

    Attributes:
        offset: where it began.
    """

    def __init__(self, act: Act, upload: Upload, cut: Callable[[], object] | None) -> None:
        super().__init__(act, upload.offset, cut)
        self.offset = upload.offset
        self._upload = upload
        self._writing = WriteBehind(upload.write)
        self._is_broken = False  # a block was not written: none that came behind it may be, or a part had a hole
        self._turn = asyncio.Lock()  # fair: blocks keep the order in which they were brought

    async def write(self, data: Block) -> None:
        """The next bytes; they may still be on the way to the site when this returns. Whoever brings more meanwhile
        waits for its turn.

        Raises:
            Ended: it was cut.
            SiteFailure: the site broke off, or is full, at these bytes or at those before.
        """
        try:
            await self._write(data)
        except BaseException:
            self._is_broken = True
            raise

    async def _write(self, data: Block) -> None:
        async with self._turn:
            self._require_going_on()
            if self._is_broken:
                raise SiteFailure("bytes before these did not come")
            if not self._act.admission.count_in(len(data)):
                self._act.admission.end("capped: the cap of the grant would be passed")
            await self._digest.add(data)
            await self._unless_ended(lambda: self._writing.write(data))

    async def finish(self) -> None:
        """All of it came: from now on it is there.

        Raises:
            Ended: it was cut meanwhile, and is not there.
            SiteFailure: the site did not take it, and it is not there.
        """
        outcome = "cut"
        try:
            await self._unless_ended(self._settle)
            await to_the_end(self._upload.appear())
            outcome = "whole"
        except BaseException:
            await self._broken_off()
            raise
        finally:
            self._over(outcome)

    async def abandon(self) -> None:
        """It broke off."""
        self._is_broken = True
        try:
            async with self._turn:  # nothing is written any more
                pass
            if not self._act.admission.ended:  # whoever resumes it goes on behind all that came
                with suppress(SiteFailure):
                    await self._writing.settle()
        finally:
            try:
                await self._broken_off()
            finally:
                self._over("cut")

    async def _settle(self) -> None:
        await self._writing.settle()
        await self._upload.settle()

    async def _broken_off(self) -> None:
        try:
            await self._writing.stop()
        finally:
            await self._upload.abandon()
