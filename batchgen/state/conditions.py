"""Conditions in SQL that several questions share, each on the table, or alias, `job`."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

from batchgen.jobs import JobState
from batchgen.models.billing import BILLED

Condition: TypeAlias = tuple[str, tuple[str | int, ...]]
"""SQL and its parameters."""


def billed(body: str) -> str:
    """The columns of what a price depends on in the input `body`."""
    return ", ".join(f"json_extract({body}, '$.{key}')" for key in BILLED)


DUE = "(job.state = 'pending' AND job.listed = 1 AND job.waiting = 0)"
"""May be submitted now."""

ENDED_UNDONE = "('failed', 'cancelled', 'lost')"
"""States of jobs that a retry is about."""

ASKED_FOR_ANEW = (
    "(attempt.model IS NULL"
    " AND coalesce(attempt.outcome, '') NOT IN ('not_sent', 'throttled', 'halted'))"
)
"""On `attempt`: it asked for a result of the job's input, so that input is not reused.

One that was turned back without a charge says nothing about the input.
"""

HAS_OPEN_REQUEST = (
    "EXISTS (SELECT 1 FROM attempt WHERE attempt.job = job.seq AND attempt.outcome IS NULL"
    " AND attempt.request_id IS NOT NULL)"
)
"""The vendor has a request that may still deliver."""

HAS_NEEDS = (
    "EXISTS (SELECT 1 FROM need WHERE need.job = job.seq UNION ALL"
    " SELECT 1 FROM need WHERE need.needs = job.seq)"
)
"""It needs a job, or another one needs it."""

IS_UPLOADING = (
    "EXISTS (SELECT 1 FROM attempt WHERE attempt.job = job.seq AND attempt.outcome IS NULL"
    " AND attempt.request_id IS NULL AND attempt.uploading = 1)"
)
"""The vendor cannot have all of a large body yet: nothing is paid if it goes no further."""

ENDED_BADLY = (
    JobState.FAILED,
    JobState.CANCELLED,
    JobState.UNKNOWN,
    JobState.LOST,
    JobState.BLOCKED,
)
_ENDED_BADLY = ", ".join(f"'{state.value}'" for state in ENDED_BADLY)
TROUBLED = (
    f"(job.state IN ({_ENDED_BADLY}) OR (job.error_code IS NOT NULL AND job.state != 'done'))"
)
"""Not done, and not without someone's decision."""

UNDER_WAY = (
    JobState.SUBMITTING,
    JobState.QUEUED,
    JobState.RUNNING,
    JobState.FETCHING,
    JobState.UNKNOWN,
)
"""A job that left the manifest is visible while it is in one of these states."""

_UNDER_WAY = ", ".join(f"'{state.value}'" for state in UNDER_WAY)
VISIBLE = f"(job.listed = 1 OR job.state IN ({_UNDER_WAY}))"
"""Status, reports and counts are about these."""

ANY_JOB = "1"
UNDECIDED = "state IN ('unknown', 'submitting', 'lost', 'fetching')"
TO_APPROVE = "gate = 1 AND approved = 0 AND state = 'done'"
WITH_RESULT = "state = 'done'"
"""What a shell completes; the columns belong to `job`."""


class Judgement(StrEnum):
    """What the picks of its latest files say about a job; one that is kept keeps the job."""

    KEPT = "kept"
    REJECTED = "rejected"


def is_trouble(state: JobState, error_code: str | None) -> bool:
    """The same question as TROUBLED's, of a job that was read."""
    return state in ENDED_BADLY or (bool(error_code) and state is not JobState.DONE)
