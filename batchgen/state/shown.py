"""Which jobs people are shown: what the manifest lists, and what is paid and not home yet."""

from __future__ import annotations

from batchgen.jobs import JobState

UNDER_WAY = (
    JobState.SUBMITTING,
    JobState.QUEUED,
    JobState.RUNNING,
    JobState.FETCHING,
    JobState.UNKNOWN,
)
"""A job that left the manifest is still shown while it is in one of these."""

_UNDER_WAY = ", ".join(f"'{state.value}'" for state in UNDER_WAY)
SHOWN = f"(job.listed = 1 OR job.state IN ({_UNDER_WAY}))"
"""Of the table, or alias, `job`."""
