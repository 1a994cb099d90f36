"""Jobs one by one, with the exact body that is sent: for `show` and `plan --jobs`."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any

from batchgen.cli.console import print_text, print_warnings
from batchgen.input_files import content_of
from batchgen.jobs import JobState
from batchgen.references import as_written
from batchgen.runs.api import list_jobs, look_up_jobs
from batchgen.state.reuse import reused_json, source_of
from batchgen.text import format_duration, plain_text, plural, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from batchgen.jobs import JsonValue
    from batchgen.runs.options import RunOptions
    from batchgen.runs.planning import Listing
    from batchgen.state.records import Attempt, FileRow, JobHistory
    from batchgen.state.results import ListedJob
    from batchgen.storage.locations import Location

LABEL = 9
LONGEST_TEXT = 100_000
NOTHING_DONE = "nothing was sent, nothing was written"


def print_planned_jobs(path: Path, options: RunOptions, *, as_json: bool) -> int:
    """Print each job that a plan is about. Raises ManifestError, UsageError."""
    with list_jobs(path, options) as listing:
        print_warnings(listing.warnings)
        if as_json:
            _write_json(listing)
            return 0
        count = to_do = 0
        for job, _ in listing.jobs:
            count, to_do = count + 1, to_do + job.to_do
            print_text("\n".join([*_lines_of(job), ""]))
        print_text(f"{plural(count, 'job')} · {to_do} to submit · {NOTHING_DONE}")
    return 0


def print_known_jobs(path: Path, names: Sequence[str], *, emulator: bool, as_json: bool) -> int:
    """Print all that is known about these jobs. Raises ManifestError, UsageError."""
    with look_up_jobs(path, names, emulator=emulator) as listing:
        if as_json:
            _write_json(listing)
            return 0
        for number, (job, known) in enumerate(listing.jobs):
            history = [] if known is None else _history(known, job.body, listing.results)
            print_text("\n".join([*([""] if number else []), *_lines_of(job), *history]))
    return 0


def _lines_of(job: ListedJob) -> Iterator[str]:
    yield f"{job.id} · {job.model} · {_state(job)}"
    body = as_written(job.body)
    prompt = json.loads(body).get("prompt")
    if isinstance(prompt, str):
        yield from _labelled("prompt", plain_text(prompt, LONGEST_TEXT))
    for label, names in (("tags", job.tags), ("needs", job.needs)):
        if names:
            yield from _labelled(label, ", ".join(names))
    if job.file:
        # A job that a picture makes has no line.
        yield from _labelled("from", f"{job.file}:{job.line}" if job.line else job.file)
    # Never wrapped: it is there to be compared and copied.
    yield f"  {'body':<{LABEL}}{_shown_json(body)}"


def _state(job: ListedJob) -> str:
    text: str = job.state
    if job.state in {JobState.PENDING, JobState.BLOCKED}:
        text = "to submit" if job.to_do else "waits"
        if job.waiting:
            text += " once its needs are met"
        if job.state is JobState.BLOCKED:
            text = "blocked by a job that it needs"
    if job.changed:
        text += ", changed since it was submitted"
    return text if job.listed else f"{text}, no longer in the manifest"


def _labelled(label: str, text: str) -> list[str]:
    return wrapped(text, sys.stdout, f"  {label:<{LABEL}}")


def _shown_json(text: str) -> str:
    """JSON of the same value, without characters that control a terminal."""
    if text.isprintable() or not sys.stdout.isatty():
        return text
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def _history(history: JobHistory, body: str, results: Location) -> Iterator[str]:
    job = history.job
    for attempt in history.attempts:
        yield from wrapped(_attempt_line(attempt), sys.stdout, "  ", "    ")
        if content_of(attempt.body) != content_of(body):
            yield f"    sent {_shown_json(as_written(attempt.body))}"
        for file in attempt.files:
            yield from wrapped(_file_line(file, results), sys.stdout, "    ", "      ")
    if job.error_code is not None:
        yield from _labelled("error", _error_text(job.error_code, job.error))


def _attempt_line(attempt: Attempt) -> str:
    if attempt.reused_from is not None:
        origin = plain_text(source_of(attempt.reused_from).origin, LONGEST_TEXT)
        at = _moment(attempt.submitted_at)
        return f"attempt {attempt.number} · reused {at} · {origin} · nothing was paid"
    parts = [f"attempt {attempt.number}", f"submitted {_moment(attempt.submitted_at)}"]
    parts.append(f"request {attempt.request_id}" if attempt.request_id else "no request id")
    parts.append(attempt.outcome or "not ended")
    if attempt.ended_at is not None and attempt.accepted_at is not None:
        parts.append(format_duration(attempt.ended_at - attempt.accepted_at))
    if attempt.cost is not None:
        parts.append(f"{attempt.cost:.2f} USD")
    elif attempt.price is not None and attempt.outcome is None:
        parts.append(f"{attempt.price:.2f} USD reserved")
    if attempt.error_code is not None:
        parts.append(_error_text(attempt.error_code, attempt.error))
    return " · ".join(parts)


def _error_text(code: str, error: str | None) -> str:
    """The vendor may give no code, or no text."""
    return ": ".join(filter(None, (code, plain_text(error or "", LONGEST_TEXT))))


def _file_line(file: FileRow, results: Location) -> str:
    if file.path is None:
        return "a file that is not downloaded yet"
    size = f"{file.width}x{file.height}"
    parts = [results.of(file.path), f"{file.media_type}", size, f"{file.bytes:,} bytes"]
    if file.seconds is not None:
        parts.append(f"{file.seconds:.1f} s long")
    if file.pick is not None:
        parts.append({"keep": "kept", "reject": "rejected"}[file.pick])
    return " · ".join(parts)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().isoformat(" ", "seconds")


def _write_json(listing: Listing) -> None:
    """One document, written job by job: a million jobs do not fit in memory."""
    write = sys.stdout.write
    head = {"name": listing.name, "folder": str(listing.folder.root)}
    write(f'{json.dumps(head)[:-1]}, "jobs": [')
    for number, (job, known) in enumerate(listing.jobs):
        write(",\n" if number else "\n")
        write(json.dumps(_job_json(job, known, listing.results.absolute())))
    write("\n]}\n")
    sys.stdout.flush()


def _job_json(job: ListedJob, known: JobHistory | None, results: Location) -> dict[str, JsonValue]:
    body: Any = json.loads(as_written(job.body))
    document: dict[str, JsonValue] = {
        "id": job.id,
        "model": job.model,
        "state": job.state.value,
        "to_do": job.to_do,
        "waiting": job.waiting,
        "changed": job.changed,
        "listed": job.listed,
        "tags": [*job.tags],
        "needs": [*job.needs],
        "prompt": body.get("prompt"),
        "body": body,
    }
    if known is not None:
        error: JsonValue = None
        if known.job.error_code is not None:
            error = {"code": known.job.error_code, "message": known.job.error}
        document["error"] = error
        document["attempts"] = [*_attempts_json(known.attempts, results)]
    return document


def _attempts_json(attempts: Iterable[Attempt], results: Location) -> Iterator[JsonValue]:
    for one in attempts:
        yield {
            "number": one.number,
            "model": one.model,
            "body": json.loads(as_written(one.body)),
            "request_id": one.request_id,
            "outcome": one.outcome,
            "reused": reused_json(one.reused_from),
            "submitted_at": one.submitted_at,
            "accepted_at": one.accepted_at,
            "ended_at": one.ended_at,
            "cost_usd": one.cost,
            "price_usd": one.price,
            "error": None
            if one.error_code is None
            else {"code": one.error_code, "message": one.error},
            "files": [
                {
                    "path": None if file.path is None else results.of(file.path),
                    "bytes": file.bytes,
                    "sha256": file.sha256,
                    "media_type": file.media_type,
                    "width": file.width,
                    "height": file.height,
                    "seconds": file.seconds,
                    "pick": file.pick,
                }
                for file in one.files
            ],
        }
