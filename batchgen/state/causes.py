"""What keeps jobs from being done, and which of them are kept by the same."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from batchgen.jobs import JobState

if TYPE_CHECKING:
    from batchgen.state.selection import Condition

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
"""Of the table, or alias, `job`: not done, and will not be without a word."""

KEY_DIGITS = 8
_VARYING = re.compile(r"https?://\S+|[0-9a-fA-F]{8}[0-9a-fA-F-]*|\d+(?:\.\d+)?")
"""What differs between two messages of one cause: URLs, ids, figures."""


def is_trouble(state: JobState, error_code: str) -> bool:
    """The same question as TROUBLED's, of a job that was read."""
    return state in ENDED_BADLY or (bool(error_code) and state is not JobState.DONE)


def cause_key(job_id: str, state: str, error_code: str | None, error: str | None) -> str:
    """Name a cause: the same for jobs whose messages differ in figures, ids and URLs only."""
    # What a blocked job waits for is another job, a different one each time.
    words = "" if state == JobState.BLOCKED else error or ""
    # Looked for first: a pattern of each of 100,000 ids would take most of a report's time.
    if job_id in words:
        # As a word of its own: an id may be a single letter.
        words = re.sub(rf"(?<![\w-]){re.escape(job_id)}(?![\w-])", "#", words)
    plain = _VARYING.sub("#", words)
    text = "\n".join((state, error_code or "", " ".join(plain.split())))
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_DIGITS]


def of_cause(key: str) -> Condition:
    """Jobs that are in trouble for this very cause.

    Asked of the state's own table, whatever stands in for `job` around it: jobs that were only
    read from a manifest are in no trouble.
    """
    return (
        f"job.id IN (SELECT job.id FROM main.job AS job WHERE {TROUBLED}"
        " AND cause_key(job.id, job.state, job.error_code, job.error) = ?)"
    ), (key,)
