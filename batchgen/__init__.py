"""batchgen: a YAML manifest of generation jobs becomes verified files on disk, none paid twice."""

# Imports nothing itself, because Ctrl-C is not yet handled while it is imported.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any

    from batchgen.engine import events
    from batchgen.jobs import JobState
    from batchgen.manifest.units import Rate
    from batchgen.runs.api import plan_async, results, run, run_async
    from batchgen.runs.api import plan_run as plan
    from batchgen.runs.options import RunOptions
    from batchgen.runs.plan import Plan
    from batchgen.runs.results import JobResult, ResultFile
    from batchgen.runs.summary import Summary
    from batchgen.state.queries import Selection
    from batchgen.state.reconcile import OnChanged

__all__ = [
    "JobResult",
    "JobState",
    "OnChanged",
    "Plan",
    "Rate",
    "ResultFile",
    "RunOptions",
    "Selection",
    "Summary",
    "events",
    "plan",
    "plan_async",
    "results",
    "run",
    "run_async",
]

_HOMES = {
    "JobResult": "batchgen.runs.results.JobResult",
    "JobState": "batchgen.jobs.JobState",
    "OnChanged": "batchgen.state.reconcile.OnChanged",
    "Plan": "batchgen.runs.plan.Plan",
    "Rate": "batchgen.manifest.units.Rate",
    "ResultFile": "batchgen.runs.results.ResultFile",
    "RunOptions": "batchgen.runs.options.RunOptions",
    "Selection": "batchgen.state.queries.Selection",
    "Summary": "batchgen.runs.summary.Summary",
    "events": "batchgen.engine.events",
    "plan": "batchgen.runs.api.plan_run",
    "plan_async": "batchgen.runs.api.plan_async",
    "results": "batchgen.runs.api.results",
    "run": "batchgen.runs.api.run",
    "run_async": "batchgen.runs.api.run_async",
}


def __getattr__(name: str) -> "Any":
    """Load a public name when it is first used: `batchgen --help` needs no web client."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pkgutil import resolve_name  # noqa: PLC0415 - see above

    return resolve_name(_HOMES[name])
