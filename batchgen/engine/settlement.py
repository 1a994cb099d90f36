"""The cost of a job that is done, where it comes after the result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchgen.engine.events import JobMoved
from batchgen.jobs import JobState
from batchgen.runcomfy.outcomes import Succeeded
from batchgen.state.costs import cost_owed, settle_cost

if TYPE_CHECKING:
    from batchgen.engine.context import EngineContext
    from batchgen.runcomfy.outcomes import ResultOutcome


async def settle_late_cost(context: EngineContext, seq: int) -> None:
    """Ask once more for the cost of a done job, which is free.

    The job stays done in any case; without an answer its price counts as spent.
    """
    store = context.ports.store
    owed = await store.run(cost_owed, seq)
    if owed is None:
        return
    outcome: ResultOutcome | None = None
    with context.control.drain.scope():
        outcome = await context.ports.api.result(owed.request_id)
    if not isinstance(outcome, Succeeded) or outcome.cost is None:
        return
    if await store.run(settle_cost, owed, outcome.cost):
        context.budget.correct(owed.price, outcome.cost)
        context.control.emit(
            JobMoved(
                owed.job_id,
                owed.model,
                JobState.DONE,
                JobState.DONE,
                owed.request_id,
                "cost",
                "the cost came after the result",
                outcome.cost,
            )
        )
