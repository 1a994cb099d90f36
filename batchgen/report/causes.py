"""Why jobs are not done, grouped, each with the command that makes just those again."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batchgen.jobs import JobState
from batchgen.state.causes import cause_key
from batchgen.state.selection import exactly

if TYPE_CHECKING:
    from collections.abc import Iterable

    from batchgen.state.looking import Trouble

NAMED = 3
"""As many jobs are named in a command; of more, the cause is."""

PAYING = ("run", "retry")
"""Verbs that a rehearsal must be told to rehearse."""

RETRIED = (JobState.FAILED, JobState.CANCELLED, JobState.LOST)


@dataclass(slots=True)
class Cause:
    """Jobs in one state for one reason; `words` are the vendor's about the first of them."""

    key: str
    state: JobState
    code: str
    words: str
    jobs: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Shell:
    """How the run's commands begin: the manifest as it was named, and whether it is a rehearsal."""

    manifest: str
    rehearsal: bool

    def command(self, verb: str, *words: str) -> str:
        """A line that can be copied into a shell as it stands."""
        parts = ["batchgen", verb, self.manifest, *words]
        return shlex.join(parts + ["--emulator"] * (self.rehearsal and verb in PAYING))


def causes(troubled: Iterable[Trouble]) -> list[Cause]:
    """The commonest first."""
    found: dict[str, Cause] = {}
    for job in troubled:
        key = cause_key(job.id, job.state, job.error_code, job.error)
        cause = found.get(key)
        if cause is None:
            cause = found[key] = Cause(key, job.state, job.error_code, job.error)
        cause.jobs.append(job.id)
    return sorted(found.values(), key=lambda cause: -len(cause.jobs))


def rerun_command(cause: Cause, shell: Shell) -> str | None:
    """What runs just these jobs again; None where they go again by themselves.

    Of a few jobs it names each, of many the cause: a command stays short, and a shell takes it.
    """
    if cause.state is JobState.BLOCKED:
        return None
    few = len(cause.jobs) <= NAMED
    which = (
        [f"--job={exactly(job_id)}" for job_id in cause.jobs] if few else [f"--cause={cause.key}"]
    )
    if cause.state is JobState.UNKNOWN:
        jobs = ["--", *cause.jobs] if few else which
        return shell.command("resolve", "--resubmit", *jobs)
    return shell.command("retry" if cause.state in RETRIED else "run", *which)


def advice(cause: Cause) -> str:
    """What to know before the command is given."""
    match cause.state:
        case JobState.BLOCKED:
            return "They go again by themselves once the jobs they need are retried."
        case JobState.UNKNOWN:
            return (
                "The submit may have been charged: look on the page Generations of runcomfy.com"
                " first, this may pay twice."
            )
        case JobState.FAILED | JobState.CANCELLED | JobState.LOST:
            return "A retry is a new submit, and may cost."
        case _:
            return "The same run goes on with them."
