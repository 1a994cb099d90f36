"""One submit under way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from batchgen.engine.ports import RecoveryEntry
from batchgen.input_files import files_in
from batchgen.jobs import JobState
from batchgen.runcomfy.upload import goes_in_chunks
from batchgen.state.records import LiveRequest

if TYPE_CHECKING:
    from batchgen.engine.limits import Permit
    from batchgen.engine.model_queues import ModelQueue
    from batchgen.engine.ports import Sendable
    from batchgen.state.records import JobRow


@dataclass(slots=True)
class Attempt:
    """`body` is what is recorded: the job's own, with the URLs of what other jobs made.

    `sendable` is what is sent in its place, if the user's own files are in it; see `take_text`.
    `number` is the job's count of attempts, once the intent is recorded. `sent` numbers the submits
    of a run in the order in which they went out, `sent_at` is the loop's time of it. `state` is the
    job's: an answer may come late.
    """

    queue: ModelQueue
    job: JobRow
    body: str
    price: float | None
    permit: Permit
    sendable: Sendable | None = None
    number: int = 0
    sent: int = 0
    sent_at: float = 0.0
    state: JobState = JobState.PENDING
    request_id: str | None = None

    @property
    def job_id(self) -> str:
        return self.job.id

    @property
    def model(self) -> str:
        return self.job.model

    @property
    def is_large(self) -> bool:
        """What is sent takes a while to go out; not to be asked once it was taken."""
        return goes_in_chunks(self.sendable.body if self.sendable else self.body)

    def __post_init__(self) -> None:
        assert self.sendable or not files_in(self.body), "a file without a URL is never sent"

    def take_text(self) -> str:
        """What is sent. The attempt no longer holds it: a large text must not outlive its POST."""
        if self.sendable is None:
            return self.body
        text, self.sendable = self.sendable.body, replace(self.sendable, body="")
        return text

    def release(self) -> None:
        if self.sendable is not None:
            self.sendable.release()

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
