"""The builder of states for all rooms: a real file, and jobs that walk through it step by step."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from batchgen.downloads.outcomes import VerifiedFile
from batchgen.jobs import Job, JobState, canonical_json
from batchgen.state import files, manual_actions, transitions
from batchgen.state.database import open_for_writing
from batchgen.state.reconcile import Difference, OnChanged, merge
from batchgen.state.records import FileRow, JobRow, Result
from batchgen.state.selection import Selection
from batchgen.state.staging import open_staging

T2I = "bytedance/dreamina-4-0/text-to-image"
EDIT = "bytedance/dreamina-4-0/edit"


def job(
    job_id: str,
    prompt: str = "a boat",
    *,
    model: str = T2I,
    name: str | None = None,
    tags: tuple[str, ...] = (),
    needs: tuple[str, ...] = (),
    gate: bool = False,
    priority: int = 0,
    sweep: str = "",
    line: int = 0,
) -> Job:
    return Job(
        job_id,
        model,
        canonical_json({"prompt": prompt}),
        name or job_id,
        tags,
        line,
        "boats.yaml",
        priority,
        sweep,
        gate,
        needs,
    )


def a_job_row(job_id: str, **known: Any) -> JobRow:
    """A pending job of the state, save for what is `known` of it."""
    row = JobRow(
        seq=1,
        id=job_id,
        model=T2I,
        body="{}",
        name=job_id,
        tags="[]",
        state=JobState.PENDING,
        attempts=0,
        failures=0,
        cancel_asked=False,
        listed=True,
        error_code=None,
        error=None,
        priority=0,
        sweep="",
        gate=False,
        approved=False,
        waiting=0,
        needed=False,
        axes="{}",
        again_asked=False,
    )
    return replace(row, **known)


def a_result(**known: Any) -> Result:
    """A verified file that no test's subject depends on, save for what is `known` of it."""
    result = Result(
        id=1,
        seq=1,
        job_id="boat",
        attempt=1,
        position=1,
        model=T2I,
        body='{"prompt":"p"}',
        tags="[]",
        sweep="",
        axes="{}",
        request_id="r",
        cost=0.1,
        reused_from=None,
        url="https://x.runcomfy.net/boat.png",
        path="files/boat.png",
        bytes=1,
        sha256="0",
        media_type="image/png",
        width=1,
        height=1,
        seconds=None,
        frames=None,
        pick=None,
        flaws={},
        is_latest=True,
    )
    return replace(result, **known)


@dataclass
class State:
    """The state file of a test. Every method is one step of a job, named by its id.

    Submits are at `at`, and a request takes so many seconds.
    """

    path: Path
    db: sqlite3.Connection
    at: float = 1000.0
    takes: float = 10.0
    price: float | None = None

    def merge(
        self,
        jobs: Iterable[Job],
        on_changed: OnChanged = OnChanged.REFUSE,
        selection: Selection | None = None,
    ) -> Difference:
        with open_staging() as staging:
            for one in jobs:
                staging.add(one)
            staging.finish()
            assert staging.duplicates(1) == []
            return merge(self.db, staging, self.path, on_changed, selection)

    def one(self, sql: str, *values: Any) -> Any:
        """The first column of the first row."""
        row = self.db.execute(sql, values).fetchone()
        return row[0] if row else None

    def seq(self, job_id: str) -> int:
        return int(self.one("SELECT seq FROM job WHERE id = ?", job_id))

    def state(self, job_id: str) -> JobState:
        return JobState(self.one("SELECT state FROM job WHERE id = ?", job_id))

    def names(self) -> dict[str, str]:
        return dict(self.db.execute("SELECT id, name FROM job"))

    def outcome(self, job_id: str, number: int) -> str | None:
        found: str | None = self.one(
            "SELECT outcome FROM attempt WHERE job = ? AND number = ?", self.seq(job_id), number
        )
        return found

    def begin(self, job_id: str, price: float | None = None) -> int:
        seq, price = self.seq(job_id), self.price if price is None else price
        number = transitions.begin_attempt(self.db, seq, "hash", price, self.at)
        assert number is not None
        return number

    def accept(self, job_id: str, request_id: str, number: int = 1) -> transitions.Acceptance:
        return transitions.accepted(self.db, self.seq(job_id), number, request_id, "raw", self.at)

    def submit(self, job_id: str, request_id: str, price: float | None = None) -> int:
        """From pending to queued."""
        number = self.begin(job_id, price)
        assert self.accept(job_id, request_id, number).queued
        return number

    def deliver(
        self, job_id: str, number: int = 1, count: int = 1, cost: float | None = None
    ) -> bool:
        urls = [f"https://x.runcomfy.net/{job_id}-{n}.png" for n in range(1, count + 1)]
        later = self.at + self.takes
        return transitions.delivered(self.db, self.seq(job_id), number, urls, cost, "raw", later)

    def save_all(self, job_id: str) -> list[Result]:
        """Every file that is to be fetched arrives."""
        todo = files.files_to_fetch(self.db, self.seq(job_id))
        assert todo is not None
        later = self.at + 2 * self.takes
        return [
            files.verified(self.db, file.id, self.fetch(file, todo.model), later).saved
            for file in todo.files
        ]

    def fetch(self, file: FileRow, _model: str) -> VerifiedFile:
        """What a download finds; a room that reads results writes them here."""
        return picture(file.name)

    def finish(
        self,
        job_id: str,
        request_id: str | None = None,
        count: int = 1,
        cost: float | None = None,
    ) -> list[Result]:
        """From pending to done."""
        attempts = self.one("SELECT attempts FROM job WHERE id = ?", job_id)
        number = self.submit(job_id, request_id or f"r-{job_id}-{attempts + 1}")
        assert self.deliver(job_id, number, count, cost)
        return self.save_all(job_id)

    def fail(self, job_id: str, number: int = 1, *, again: bool = False) -> bool:
        ending = transitions.Ending(JobState.FAILED, "boom", "the vendor's words", again=again)
        return transitions.ended(self.db, self.seq(job_id), number, ending, self.at)

    def hold(self, job_id: str, number: int = 1) -> bool:
        return transitions.unclear(self.db, self.seq(job_id), number, "no_answer", "lost", "")

    def write_off(self, job_id: str) -> str | None:
        return manual_actions.write_off(self.db, self.seq(job_id), self.at)

    def resubmit(self, job_id: str) -> str | None:
        return manual_actions.resubmit(self.db, self.seq(job_id), self.at)

    def adopt(self, job_id: str, request_id: str) -> str | None:
        return manual_actions.adopt(self.db, self.seq(job_id), request_id, self.at)


def picture(name: str, sha256: str = "ab" * 32) -> VerifiedFile:
    return VerifiedFile(f"files/{name}.png", 1234, sha256, "image/png", 64, 48, None, 1)


@contextmanager
def open_state(folder: Path, *jobs: Job) -> Iterator[State]:
    path = folder / "state.db"
    with closing(open_for_writing(path)) as db:
        state = State(path, db)
        if jobs:
            state.merge(jobs)
        yield state
