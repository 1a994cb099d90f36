"""How a run ended, in numbers, and the exit code that says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.errors import ExitCode, ManifestError
from batchgen.jobs import JobState
from batchgen.pauses import PauseReason
from batchgen.runs.estimates import UNASKED, Funds
from batchgen.runs.folder import RunFolder
from batchgen.runs.results import EVERYTHING, job_results
from batchgen.state.approvals import NOTHING_HELD, Held

if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from batchgen.errors import Problem
    from batchgen.jobs import JsonValue
    from batchgen.pauses import Pause
    from batchgen.runs.results import JobResult
    from batchgen.state.queries import Selection
    from batchgen.state.records import Money


_NOT_DONE = (JobState.FAILED, JobState.LOST, JobState.CANCELLED, JobState.BLOCKED)


@dataclass(frozen=True, slots=True)
class Summary:
    """One run's end. `seconds` is how long it took, `submitted` how many submits it sent.

    `held` are jobs that were asked for and wait: for approvals, or for jobs they need. `warnings`
    are the manifest's, where its jobs had to be read. `reused` are done jobs with another run's
    result. `results_in` is the folder or bucket that has the results.
    """

    name: str
    folder: Path
    counts: Mapping[JobState, int]
    money: Money
    seconds: float = 0.0
    submitted: int = 0
    pause: Pause | None = None
    stopped_by: signal.Signals | None = None
    held: Held = NOTHING_HELD
    warnings: tuple[Problem, ...] = ()
    funds: Funds = UNASKED
    reused: int = 0
    results_in: str = ""

    @property
    def exit_code(self) -> ExitCode:
        """The most urgent thing to know: a signal, a pause, unknown outcomes, failures."""
        if self.stopped_by is not None:
            return ExitCode(128 + self.stopped_by)
        unknown = self.counts.get(JobState.UNKNOWN)
        if self.pause is not None:
            if self.pause.reason is PauseReason.UNKNOWN_OUTCOMES and not unknown:
                return ExitCode.STOPPED  # late answers came after all
            return self.pause.exit_code
        if unknown:
            return ExitCode.UNKNOWN_OUTCOMES
        if self.counts.get(JobState.FETCHING) or self.held.waiting:
            return ExitCode.STOPPED
        if any(self.counts.get(state) for state in _NOT_DONE):
            return ExitCode.SOME_FAILED
        return ExitCode.DONE

    def results(self, selection: Selection = EVERYTHING) -> Iterator[JobResult]:
        """Each job with its files and costs, read from the state while they are asked for."""
        return job_results(RunFolder(self.folder), selection)

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "name": self.name,
            "folder": str(self.folder),
            "results": self.results_in or str(self.folder),
            "counts": {state.value: count for state, count in self.counts.items()},
            "submitted": self.submitted,
            "reused": self.reused,
            "spent_usd": round(self.money.spent, 6),
            "reserved_usd": round(self.money.reserved, 6),
            "unknown_usd": round(self.money.unknown, 6),
            "unpriced": self.money.unpriced,
            **self.funds.to_json(),
            "to_approve": self.held.to_approve,
            "waiting": self.held.waiting,
            "seconds": round(self.seconds, 3),
            "warnings": [one.to_json() for one in self.warnings],
            "paused": None
            if self.pause is None
            else {
                "reason": self.pause.reason.value,
                "sentence": self.pause.sentence,
                "next_step": self.pause.next_step,
            },
            "exit_code": int(self.exit_code),
        }


class LateProblemsError(ManifestError):
    """Problems in rows that were read while the run went on; `summary` is how far that came."""

    def __init__(self, problems: tuple[Problem, ...], total: int, summary: Summary) -> None:
        super().__init__(problems, total, under_way=True)
        self.summary = summary
