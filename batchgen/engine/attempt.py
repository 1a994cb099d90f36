"""One submit under way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.engine.ports import RecoveryEntry
from batchgen.jobs import JobState
from batchgen.state.records import LiveRequest

if TYPE_CHECKING:
    from batchgen.engine.limits import Permit
    from batchgen.engine.model_queues import ModelQueue
    from batchgen.state.records import JobRow


@dataclass(slots=True)
class Attempt:
    """`body` is what is sent: the job's own, with the URLs of what other jobs made.

    `number` is the job's count of attempts, once the intent is recorded. `sent` numbers the submits
    of a run in the order in which they went out. `state` is the job's: an answer may come late.
    """

    queue: ModelQueue
    job: JobRow
    body: str
    price: float | None
    permit: Permit
    number: int = 0
    sent: int = 0
    state: JobState = JobState.PENDING
    request_id: str | None = None

    @property
    def job_id(self) -> str:
        return self.job.id

    @property
    def model(self) -> str:
        return self.job.model

    def live_request(self, request_id: str, accepted_at: float) -> LiveRequest:
        job = self.job
        return LiveRequest(
            seq=job.seq,
            id=job.id,
            model=job.model,
            body=job.body,
            failures=job.failures,
            state=JobState.QUEUED,
            attempt=self.number,
            request_id=request_id,
            accepted_at=accepted_at,
            price=self.price,
        )

    def recovery_entry(self, request_id: str) -> RecoveryEntry:
        return RecoveryEntry(self.job.id, self.number, request_id)
