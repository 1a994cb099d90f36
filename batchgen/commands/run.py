"""`batchgen run` and `batchgen retry`: start, continue or finish a run."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import TYPE_CHECKING

from batchgen.commands.console import (
    cause_lines,
    causes_json,
    counts_line,
    format_duration,
    held_lines,
    money_line,
    plural,
    print_json,
    say_lines,
)
from batchgen.commands.on_done import Witness, run_on_done, say_unsent
from batchgen.errors import BatchgenError
from batchgen.jobs import IN_FLIGHT, JobState
from batchgen.progress import Progress
from batchgen.runs.api import run
from batchgen.runs.folder import RunFolder
from batchgen.runs.summary import LateProblemsError
from batchgen.state.database import open_for_reading
from batchgen.state.queries import failures
from batchgen.text import command_line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from batchgen.engine.events import Event
    from batchgen.errors import ExitCode
    from batchgen.runs.options import RunOptions
    from batchgen.runs.summary import Summary
    from batchgen.state.records import Failures

SHOWN_CAUSES = 8
SHOWN_TO_PROGRAMS = 1000


def run_manifest(
    path: Path, options: RunOptions, *, quiet: bool, as_json: bool, on_done: str | None = None
) -> int:
    """Carry the manifest out, say how it ended, then run the command `on_done`."""
    witness = Witness()
    try:
        summary = _run(path, options, witness, quiet=quiet)
        _say_end(summary, path, options, quiet=quiet, as_json=as_json)
        code = summary.exit_code
    except LateProblemsError as exc:
        # The problems follow; what was submitted before is worth the usual words all the same.
        _say_end(exc.summary, path, options, quiet=quiet, as_json=as_json)
        _end(exc.exit_code, path, witness, on_done, as_json=as_json)
        raise
    except BatchgenError as exc:
        _end(exc.exit_code, path, witness, on_done, as_json=as_json)
        raise
    _end(code, path, witness, on_done, as_json=as_json)
    return code


def _end(
    code: ExitCode, path: Path, witness: Witness, on_done: str | None, *, as_json: bool
) -> None:
    say_unsent(witness)
    run_on_done(on_done, witness, code, path, as_json=as_json)


def _run(path: Path, options: RunOptions, witness: Witness, *, quiet: bool) -> Summary:
    if quiet:
        return run(path, options, on_event=witness.on_event, signals=True)
    with Progress(sys.stderr) as progress:

        def on_event(event: Event) -> None:
            witness.on_event(event)
            progress.on_event(event)

        return run(path, options, on_event=on_event, signals=True)


def _say_end(
    summary: Summary, path: Path, options: RunOptions, *, quiet: bool, as_json: bool
) -> None:
    if as_json:
        causes = causes_json(_failures(summary, SHOWN_TO_PROGRAMS))
        print_json({**summary.to_json(), "causes": causes})
    if not quiet:
        lines = closing_lines(summary, path, emulator=options.emulator)
        say_lines(lines, to_stderr=as_json)


def closing_lines(summary: Summary, path: Path, *, emulator: bool) -> list[str]:
    """The end of a run for people: what came, what did not and why, what to do next."""
    lines = [
        (
            f"{summary.name}: {counts_line(summary.counts)} · {money_line(summary.money)}"
            f" · {format_duration(summary.seconds)} · {summary.folder}"
        )
    ]
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
    word = "Ctrl-C" if signal_name == "SIGINT" else signal_name
    stay = "stays" if in_flight == 1 else "stay"
    left = f"{plural(in_flight, 'request')} in flight {stay} with the vendor" if in_flight else ""
    return f"stopped by {word}" + (f"; {left}" if left else "; nothing is in flight")


def _failures(summary: Summary, limit: int) -> Failures:
    with closing(open_for_reading(RunFolder(summary.folder).state)) as db:
        return failures(db, limit)


def _next_steps(summary: Summary, path: Path, *, emulator: bool) -> list[str]:
    counts = summary.counts
    steps = []
    if unknown := counts.get(JobState.UNKNOWN):
        them = "it" if unknown == 1 else "them"
        steps.append(
            f"{plural(unknown, 'submit')} may or may not have been charged; look {them} up on"
            " runcomfy.com, page Generations, then:\n"
            f"  → {command_line('resolve', path)} JOB --adopt REQUEST_ID | --resubmit | --write-off"
        )
    steps += held_lines(summary.held, path)
    # What only waits for a person does not go on by giving the same command again.
    waiting = summary.held.waiting if summary.held.to_approve else 0
    going = counts.get(JobState.PENDING, 0) > waiting
    if going or any(counts.get(state) for state in (JobState.FETCHING, *IN_FLIGHT)):
        steps.append(f"  → continue with: {command_line('run', path, emulator=emulator)}")
    if left := counts.get(JobState.FETCHING):
        steps.append(
            f"{plural(left, 'paid result')} not downloaded yet; to try them alone, with new URLs"
            f" and for free:\n  → {command_line('repair', path, emulator=emulator)}"
        )
    if lost := counts.get(JobState.LOST):
        steps.append(
            f"{plural(lost, 'request')} lost: each run asks again, for free; only your word"
            f" pays again:\n  → {command_line('resolve', path)} JOB --resubmit"
        )
    if not summary.stopped_by:
        steps += _retry_lines(counts, command_line("retry", path, emulator=emulator))
    return steps


def _retry_lines(counts: Mapping[JobState, int], retry: str) -> list[str]:
    if blocked := counts.get(JobState.BLOCKED):
        return [f"{blocked} blocked: a job that is needed ended without being done\n  → {retry}"]
    ended = (JobState.FAILED, JobState.CANCELLED)
    if any(counts.get(state) for state in ended):
        return [f"  → try them again with: {retry}"]
    return []
