"""Cancel jobs: unsent ones at once, the others if the vendor agrees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.engine.decisions import combined, is_inconclusive
from batchgen.errors import ApiUnreachableError, TokenError, UsageError
from batchgen.jobs import JobState
from batchgen.runcomfy.outcomes import Cancelled, Halted, NoAnswer
from batchgen.runs.context import RunContext
from batchgen.runs.decision_log import Decision, Verb
from batchgen.runs.decisions import Counted, decide
from batchgen.runs.ownership import claim_for_provider
from batchgen.runs.ports import connected
from batchgen.state.database import transaction
from batchgen.state.queries import live_request, select_any, select_jobs
from batchgen.state.transitions import Ending, ended
from batchgen.text import command_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batchgen.engine.decisions import PollOutcome
    from batchgen.runcomfy.client import RunComfy
    from batchgen.runs.context import World
    from batchgen.runs.options import RunOptions
    from batchgen.state.database import Connection
    from batchgen.state.queries import Selection
    from batchgen.state.records import LiveRequest


CANCELLABLE = (
    JobState.PENDING,
    JobState.BLOCKED,
    JobState.SUBMITTING,
    JobState.QUEUED,
    JobState.RUNNING,
)

_LATER = "noted: the next `batchgen run` asks the vendor to cancel it before anything else"


@dataclass(frozen=True, slots=True)
class Cancellation:
    """How many jobs were cancelled, and how many the vendor is `delivering` all the same.

    `handed_over`: how many were handed to the run in progress instead.
    """

    cancelled: int = 0
    delivering: int = 0
    handed_over: int = 0


async def cancel(path: Path, options: RunOptions, world: World) -> Cancellation:
    """Cancel the selected jobs of a manifest. Raises the tree's errors.

    A selection that names no job at all is a UsageError.
    """
    place = RunContext.of(path, options, world)
    with place.open() as run:
        found = _cancellable(place, run.db, options.selection)
        at = world.now()
        decisions = Counted(Decision(Verb.CANCEL, job_id, at) for job_id in found)
        with decide(place.folder, path, decisions) as decided:
            if decided is None:
                return Cancellation(handed_over=decisions.count)
            at_once, asked = 0, []
            for one in decided.applied:
                if one.ask_vendor and one.seq is not None:
                    asked.append(one.seq)
                else:
                    at_once += 1
            requests = [live for seq in asked if (live := live_request(decided.db, seq))]
            granted = await _ask_vendor(place, decided.db, requests) if requests else 0
            return Cancellation(at_once + granted, len(requests) - granted)


def _cancellable(place: RunContext, db: Connection, selection: Selection) -> Iterator[str]:
    """Ids, as a stream. Raises UsageError at once."""
    if not select_any(db, selection):
        raise UsageError(
            "no job is selected",
            next_step="check --job, --model, --tag, --state and --cause"
            f"; {command_line('status', place.manifest.path)} lists the jobs",
        )
    return (job_id for _, job_id, _ in select_jobs(db, selection, CANCELLABLE))


async def _ask_vendor(place: RunContext, db: Connection, requests: list[LiveRequest]) -> int:
    """How many the vendor cancelled; the others stay in flight for the next run."""
    claim_for_provider(db, place.provider, place.folder)
    async with connected(place) as api:
        return sum([await _cancel_one(api, db, request, place) for request in requests])


async def _cancel_one(
    api: RunComfy, db: Connection, request: LiveRequest, place: RunContext
) -> bool:
    await api.cancel(request.request_id)
    # The result or the status shows it: the request may have ended in the same moment, and is
    # kept then.
    outcome: PollOutcome = await api.result(request.request_id)
    if is_inconclusive(outcome):
        outcome = combined(outcome, await api.status(request.request_id))
    if isinstance(outcome, Halted):
        raise TokenError(f"the API refused: {outcome.reason}", where=request.id, next_step=_LATER)
    if isinstance(outcome, NoAnswer):
        raise ApiUnreachableError(outcome.reason, where=request.id, next_step=_LATER)
    if not isinstance(outcome, Cancelled):
        return False
    ending = Ending(JobState.CANCELLED, "cancelled", "cancelled by hand", outcome.cost, outcome.raw)
    with transaction(db):
        return ended(db, request.seq, request.attempt, ending, place.world.now())
