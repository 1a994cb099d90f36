"""Decisions of the page, many keys in a row as one write, because each write costs an fsync."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from batchgen.errors import BatchgenError, UsageError
from batchgen.manifest.tuning import READERS
from batchgen.state.files import result_numbered
from batchgen.state.report_queries import numbers_of, rejected_among
from batchgen.watch.events import rows_document
from batchgen.watch.ports import Action, PageDecision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batchgen.jobs import JsonValue
    from batchgen.state.database import Connection
    from batchgen.watch.ports import Outcome, Ports
    from batchgen.watch.watching import Watching

MOST_DECISIONS = 10_000
PATIENCE = 15.0
"""Seconds between two looks at a view that does not change."""
MOST_KEY = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Pick:
    """An action on the file that the page knows by this key."""

    action: Action
    file: int


@dataclass(frozen=True, slots=True)
class Approval:
    """The approval of a job's latest result, as the page saw it."""

    job_id: str
    attempt: int


def parse_decisions(document: Any) -> list[Pick | Approval]:
    """Read what a page sent. Raises UsageError for anything that no page of ours sends."""
    try:
        decisions = [_parse(one) for one in document["decisions"]]
    except (KeyError, TypeError, ValueError) as exc:
        raise UsageError("these are not picks") from exc
    if not 0 < len(decisions) <= MOST_DECISIONS:
        raise UsageError(f"1 to {MOST_DECISIONS} picks can be taken at once")
    return decisions


def parse_limits(document: Any) -> tuple[dict[str, str], str | None]:
    """Read what a page sent: values by key, and a model. Raises UsageError as `parse_decisions`."""
    try:
        values, model = dict(document["values"]), document["model"]
        for text in (*values, *values.values(), model or ""):
            if not isinstance(text, str):
                raise TypeError(text)  # noqa: TRY301 - one message for all that is wrong
            text.encode()
    except (KeyError, TypeError, ValueError) as exc:
        raise UsageError("these are not limits") from exc
    if unknown := values.keys() - READERS.keys():
        raise UsageError(f"no limit is called {min(unknown)[:40]}")
    return values, model or None


def _parse(one: Any) -> Pick | Approval:
    action = Action(one["action"])
    key, number = ("job", "attempt") if action is Action.APPROVE else (None, "file")
    if type(one[number]) is not int or not 0 < one[number] <= MOST_KEY:
        raise ValueError(number)
    if key is None:
        return Pick(action, one[number])
    if not isinstance(one[key], str):
        raise TypeError(key)
    # A text that no state can hold is nobody's id: a lone surrogate raises here.
    one[key].encode()
    return Approval(one[key], one[number])


def resolve(
    db: Connection, picked: Sequence[Pick | Approval]
) -> tuple[list[PageDecision], list[str]]:
    """Name each by job, attempt and position; and say which files no longer exist.

    An approval sets going what is paid for, and a key asks nothing: not of a rejected result.
    """
    decisions, objections = [], []
    approved = [one.job_id for one in picked if isinstance(one, Approval)]
    rejected = rejected_among(db, approved) if approved else ()
    for one in picked:
        if isinstance(one, Approval):
            if one.job_id in rejected:
                objections.append(f"{one.job_id} is rejected: keep it first, then approve it")
                continue
            decisions.append(PageDecision(Action.APPROVE, one.job_id, one.attempt, None))
        elif (file := result_numbered(db, one.file)) is None:
            objections.append(f"file {one.file} no longer exists")
        else:
            decisions.append(PageDecision(one.action, file.job_id, file.attempt, file.position))
    return decisions, objections


@dataclass(frozen=True, slots=True)
class Answer:
    """The reply to a page's decisions: `rows` are those of the jobs, read after the decision."""

    handed: bool
    objections: list[str]
    rows: dict[str, JsonValue] | None = None


class Picking:
    """Takes decisions from all pages and applies them together, in the order in which they came."""

    def __init__(self, watching: Watching, ports: Ports) -> None:
        self._watching = watching
        self._ports = ports
        self._waiting: list[tuple[Sequence[PageDecision], asyncio.Future[Outcome]]] = []
        self._bell = asyncio.Event()
        self._handed = asyncio.Event()

    async def take(self, picked: Sequence[Pick | Approval]) -> Answer:
        """Return what became of them once it is on the disk. Raises BatchgenError."""
        decisions, unknown = await self._watching.reader.ask(resolve, picked)
        if not decisions:
            return Answer(False, unknown)
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((decisions, future))
        self._bell.set()
        # A page that leaves takes nothing back.
        outcome = await asyncio.shield(future)
        mine = set(decisions)
        objections = [why for one, why in outcome.objections if one in mine]
        rows = None if outcome.handed else await self._rows({one.job_id for one in decisions})
        return Answer(outcome.handed, objections + unknown, rows)

    async def _rows(self, job_ids: set[str]) -> dict[str, JsonValue] | None:
        """The jobs as they are now; None if they cannot be read: the next reading says why."""
        # Of a look before this reading: what changes from now on is sent again.
        moment = self._watching.view.moment
        try:
            return await self._watching.reader.ask(
                lambda db: rows_document(db, numbers_of(db, job_ids), moment)
            )
        except BatchgenError:
            return None

    async def run(self) -> None:
        """Apply decisions until cancelled; those taken up are finished first."""
        while True:
            await self._bell.wait()
            self._bell.clear()
            batch, self._waiting = self._waiting, []
            deciding = asyncio.create_task(self._decide(batch), name="decide what was picked")
            try:
                await asyncio.shield(deciding)
            except asyncio.CancelledError:
                await deciding
                raise

    async def _decide(
        self, batch: Sequence[tuple[Sequence[PageDecision], asyncio.Future[Outcome]]]
    ) -> None:
        decisions = [one for group, _ in batch for one in group]
        # It is on the disk before it is done: what is not done now, the next run does.
        try:
            async with self._watching.doors_lock:
                outcome = await asyncio.to_thread(self._ports.decide, decisions)
        except BatchgenError as exc:
            for _, future in batch:
                future.set_exception(exc)
                # The page may have left: then nobody asks for it.
                future.exception()
            return
        for _, future in batch:
            future.set_result(outcome)
        if outcome.handed:
            self._handed.set()
        self._watching.look_soon()

    async def settle(self) -> None:
        """Apply what a run was handed in its last moment and left, until the server ends."""
        while True:
            await self._handed.wait()
            while (view := self._watching.view).at_work is not False:
                await self._watching.turned(view, PATIENCE)
                # From then on nobody is kept waiting; the next run takes up what was decided.
                if self._watching.stopped:
                    return
            self._handed.clear()
            await self._decide([])
