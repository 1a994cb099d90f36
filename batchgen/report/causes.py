"""Why jobs are not done, grouped, each with the command that makes just those again."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batchgen.jobs import JobState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from batchgen.state.looking import Trouble

KEY_DIGITS = 8
_VARYING = re.compile(r"https?://\S+|[0-9a-fA-F]{8}[0-9a-fA-F-]*|\d+(?:\.\d+)?")
"""What differs between two messages of one cause: URLs, ids, figures."""

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
        return shlex.join(parts + ["--emulator"] * (self.rehearsal and verb != "resolve"))


def cause_key(job: Trouble) -> str:
    """Name a cause: the same for jobs whose messages differ in figures, ids and URLs only."""
    # What a blocked job waits for is another job, a different one each time.
    words = "" if job.state is JobState.BLOCKED else job.error
    # As a word of its own: an id may be a single letter.
    own = rf"(?<![\w-]){re.escape(job.id)}(?![\w-])"
    plain = _VARYING.sub("#", re.sub(own, "#", words))
    text = "\n".join((job.state, job.error_code, " ".join(plain.split())))
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_DIGITS]


def causes(troubled: Iterable[Trouble]) -> list[Cause]:
    """The commonest first."""
    found: dict[str, Cause] = {}
    for job in troubled:
        key = cause_key(job)
        cause = found.get(key)
        if cause is None:
            cause = found[key] = Cause(key, job.state, job.error_code, job.error)
        cause.jobs.append(job.id)
    return sorted(found.values(), key=lambda cause: -len(cause.jobs))


def rerun_command(cause: Cause, in_state: int, shell: Shell) -> str | None:
    """What runs just these jobs again; None where they go again by themselves.

    `in_state`: how many jobs are in the cause's state: where those are all of them, the state
    names them.
    """
    if cause.state is JobState.BLOCKED:
        return None
    if cause.state is JobState.UNKNOWN:
        return shell.command("resolve", "--resubmit", "--", *cause.jobs)
    if cause.state not in RETRIED:
        return shell.command("run", *(f"--job={job_id}" for job_id in cause.jobs))
    if len(cause.jobs) == in_state:
        return shell.command("retry", f"--state={cause.state.value}")
    return shell.command("retry", *(f"--job={job_id}" for job_id in cause.jobs))


def advice(cause: Cause) -> str:
    """What to know before the command is given."""
    match cause.state:
        case JobState.BLOCKED:
            return "They go again by themselves once the jobs they need are retried."
        case JobState.UNKNOWN:
            return "The submit may have been charged: look it up first, this may pay twice."
        case JobState.FAILED | JobState.CANCELLED | JobState.LOST:
            return "A retry is a new submit, and may cost."
        case _:
            return "The same run goes on with them."


def count_by_state(found: Iterable[Cause]) -> Counter[JobState]:
    counts: Counter[JobState] = Counter()
    for cause in found:
        counts[cause.state] += len(cause.jobs)
    return counts
