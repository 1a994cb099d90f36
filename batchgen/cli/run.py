"""`batchgen run`: start, continue or finish a run, and print how it ended."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING, Any

import click

from batchgen.cli.console import print_json, print_lines
from batchgen.cli.options import (
    AT_THE_END,
    EMULATOR,
    JOBS,
    JSON,
    LIMITS,
    MANIFEST,
    OWNERSHIP,
    QUIET,
    RAY,
    STRICT,
    all_of,
    run_options,
)
from batchgen.cli.run_lines import (
    SHOWN_TO_PROGRAMS,
    cause_lines,
    causes_json,
    held_lines,
    lost_lines,
    unknown_lines,
)
from batchgen.errors import BatchgenError
from batchgen.jobs import IN_FLIGHT, JobState, counts_line
from batchgen.text import command_line, format_duration, plural

GARBAGE = 20_000
"""Objects between two collections; Python's 700 cost a run a twentieth of its CPU."""

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from batchgen.cli.on_done import RunRecorder
    from batchgen.engine.events import Event
    from batchgen.errors import ExitCode
    from batchgen.runs.options import RunOptions
    from batchgen.runs.summary import Summary
    from batchgen.state.records import Failures

SHOWN_CAUSES = 8

HOW_TO_RUN = (EMULATOR, *JOBS, *LIMITS, RAY, *OWNERSHIP, STRICT)
PRINTED = (*AT_THE_END, QUIET, JSON)


@click.command()
@MANIFEST
@all_of(*HOW_TO_RUN)
@click.option("--retry-failed", is_flag=True, help="Also retry failed jobs; this may cost.")
@click.option("--dry-run", is_flag=True, help="Show the plan and do nothing else.")
@all_of(*PRINTED)
def run(
    manifest: Path, dry_run: bool, quiet: bool, as_json: bool, on_done: str | None, **asked: Any
) -> int:
    """Start, continue or finish a run."""
    options = run_options(**asked)
    if dry_run:
        from batchgen.cli.plan import show_plan

        return show_plan(manifest, options, offline=False, as_json=as_json)
    return run_manifest(manifest, options, quiet=quiet, as_json=as_json, on_done=on_done)


def run_manifest(
    path: Path, options: RunOptions, *, quiet: bool, as_json: bool, on_done: str | None = None
) -> int:
    """Run the manifest, print how it ended, then run the command `on_done`."""
    from batchgen.cli.on_done import RunRecorder, print_unsent, run_on_done
    from batchgen.runs.summary import LateProblemsError

    recorder = RunRecorder()

    def end(code: ExitCode) -> None:
        print_unsent(recorder)
        run_on_done(on_done, recorder, code, path, as_json=as_json)

    try:
        summary = _run(path, options, recorder, quiet=quiet)
        _print_end(summary, path, options, quiet=quiet, as_json=as_json)
        code = summary.exit_code
    except LateProblemsError as exc:
        # The problems follow; before them comes the usual summary of what was submitted.
        _print_end(exc.summary, path, options, quiet=quiet, as_json=as_json)
        end(exc.exit_code)
        raise
    except BatchgenError as exc:
        end(exc.exit_code)
        raise
    end(code)
    return code


def _run(path: Path, options: RunOptions, recorder: RunRecorder, *, quiet: bool) -> Summary:
    from batchgen.cli.progress import Progress
    from batchgen.runs import api

    # What is loaded now stays, so the collector need not look through it again and again; and
    # next to nothing in a run is garbage that only it finds.
    gc.freeze()
    gc.set_threshold(GARBAGE)
    if quiet:
        return api.run(path, options, on_event=recorder.on_event, signals=True)
    with Progress(sys.stderr) as progress:

        def on_event(event: Event) -> None:
            recorder.on_event(event)
            progress.on_event(event)

        return api.run(path, options, on_event=on_event, signals=True)


def _print_end(
    summary: Summary, path: Path, options: RunOptions, *, quiet: bool, as_json: bool
) -> None:
    if as_json:
        causes = causes_json(_failures(summary, SHOWN_TO_PROGRAMS))
        print_json({**summary.to_json(), "causes": causes})
    if not quiet:
        lines = closing_lines(summary, path, emulator=options.emulator)
        print_lines(lines, to_stderr=as_json)


def closing_lines(summary: Summary, path: Path, *, emulator: bool) -> list[str]:
    """The end of a run as text: what came, what did not and why, what to do next."""
    from batchgen.state.costs import money_line

    lines = [
        (
            f"{summary.name}: {counts_line(summary.counts)} · {money_line(summary.money)}"
            f" · {format_duration(summary.seconds)} · {summary.folder}"
        )
    ]
    if summary.results_in not in {"", str(summary.folder)}:
        lines.append(f"results: {summary.results_in}")
    if summary.reused:
        lines.append(f"{plural(summary.reused, 'job')} reused results of other runs, for nothing")
    if summary.pause:
        where = f" ({summary.pause.where})" if summary.pause.where else ""
        lines += [f"paused: {summary.pause.sentence}{where}", f"  → {summary.pause.next_step}"]
    if summary.stopped_by:
        lines.append(_stopped_line(summary))
    lines += cause_lines(_failures(summary, SHOWN_CAUSES), path)
    return lines + _next_steps(summary, path, emulator=emulator)


def _stopped_line(summary: Summary) -> str:
    in_flight = sum(summary.counts.get(state, 0) for state in IN_FLIGHT)
    signal_name = summary.stopped_by.name if summary.stopped_by else ""
    name = "Ctrl-C" if signal_name == "SIGINT" else signal_name
    stay = "stays" if in_flight == 1 else "stay"
    left = f"{plural(in_flight, 'request')} in flight {stay} with the vendor" if in_flight else ""
    return f"stopped by {name}" + (f"; {left}" if left else "; nothing is in flight")


def _failures(summary: Summary, limit: int) -> Failures:
    from batchgen.runs.folder import RunFolder
    from batchgen.state.database import reading
    from batchgen.state.queries import failures

    with reading(RunFolder(summary.folder).state) as db:
        return failures(db, limit)


def _next_steps(summary: Summary, path: Path, *, emulator: bool) -> list[str]:
    counts = summary.counts
    steps = unknown_lines(counts.get(JobState.UNKNOWN, 0), path, rehearsal=emulator)
    steps += held_lines(summary.held, path)
    # The same command again does not help jobs that only wait for approval.
    waiting = summary.held.waiting if summary.held.to_approve else 0
    going = counts.get(JobState.PENDING, 0) > waiting
    if going or any(counts.get(state) for state in (JobState.FETCHING, *IN_FLIGHT)):
        steps.append(f"  → continue with: {command_line('run', path, emulator=emulator)}")
    if left := counts.get(JobState.FETCHING):
        steps.append(
            f"{plural(left, 'paid result')} not downloaded yet; to try again with new URLs, for"
            f" free:\n  → {command_line('repair', path, emulator=emulator)}"
        )
    steps += lost_lines(counts.get(JobState.LOST, 0), path)
    if not summary.stopped_by:
        steps += _retry_lines(counts, command_line("retry", path, emulator=emulator))
    return steps


def _retry_lines(counts: Mapping[JobState, int], retry: str) -> list[str]:
    if blocked := counts.get(JobState.BLOCKED):
        return [f"{blocked} blocked: a needed job ended without a result\n  → {retry}"]
    ended = (JobState.FAILED, JobState.CANCELLED)
    if any(counts.get(state) for state in ended):
        return [f"  → try them again with: {retry}"]
    return []
