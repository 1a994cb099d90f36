"""Lines about a run that `status` and the end of a run share: money, causes, what is waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchgen.text import command_line, plural

if TYPE_CHECKING:
    from pathlib import Path

    from batchgen.jobs import JsonValue
    from batchgen.state.approvals import Held
    from batchgen.state.records import FailureCause, Failures, Money

SHOWN_TO_PROGRAMS = 1000
"""Causes in a JSON document."""


def money_json(money: Money) -> dict[str, JsonValue]:
    """USD; `unpriced` is a number of attempts."""
    return {
        "spent": round(money.spent, 6),
        "reserved": round(money.reserved, 6),
        "unknown": round(money.unknown, 6),
        "unpriced": money.unpriced,
    }


def cause_lines(found: Failures, path: Path) -> list[str]:
    """A line for each cause: how many jobs, the vendor's message, the option that selects them."""
    report = command_line("report", path)
    lines = [_cause_line(cause, report) for cause in found.causes]
    if found.more:
        jobs = plural(found.more_jobs, "job")
        lines.append(f"  and {plural(found.more, 'more cause')} of {jobs}: {report}")
    return lines


def _cause_line(cause: FailureCause, report: str) -> str:
    what = f"{cause.code}: {cause.reason}" if cause.code else cause.reason
    one = cause.example if cause.jobs == 1 else f"e.g. {cause.example}"
    chosen = f"--cause={cause.key}" if cause.key else f"its causes: {report}"
    return f"  {cause.jobs} {cause.state.value} · {what} ({one}) · {chosen}"


def causes_json(found: Failures) -> list[JsonValue]:
    return [
        {
            "key": cause.key,
            "state": cause.state.value,
            "code": cause.code,
            "message": cause.reason,
            "jobs": cause.jobs,
            "example": cause.example,
        }
        for cause in found.causes
    ]


def held_lines(held: Held, path: Path) -> list[str]:
    """What waits for a person; without that, what waits for other jobs."""
    if held.to_approve:
        command = f"  → {command_line('approve', path)} JOB… | --all"
        return [
            f"{waiting_jobs(held.to_approve)} for approval, {held.waiting} more behind",
            command,
        ]
    return [f"{waiting_jobs(held.waiting)} for jobs that are not done yet"] if held.waiting else []


def waiting_jobs(count: int) -> str:
    """`1 job waits`, `2 jobs wait`."""
    return "1 job waits" if count == 1 else f"{count} jobs wait"


def unknown_lines(count: int, path: Path, ids: str = "", *, rehearsal: bool) -> list[str]:
    """How many submits have an unknown outcome, perhaps which, and what to do about it."""
    if not count:
        return []
    which = f": {ids}" if ids else ""
    if rehearsal:
        what = f"{plural(count, 'submit')} may have reached the emulator before it ended{which};"
        command = f"{command_line('resolve', path)} JOB --resubmit"
        return [f"{what} in a rehearsal it is free to send again:", f"  → {command}"]
    what = (
        f"{plural(count, 'submit')} may or may not have been charged{which}; look"
        f" {'it' if count == 1 else 'them'} up on runcomfy.com, page Generations, then:"
    )
    return [what, f"  → {unknown_command(path)}"]


def lost_lines(count: int, path: Path) -> list[str]:
    """What to do about lost jobs; the line of their cause has their number."""
    if not count:
        return []
    what = "each run asks for lost results again, for free; a job is paid for again only if you say"
    return [f"{what} so:", f"  → {command_line('resolve', path)} JOB --resubmit"]


def unknown_command(path: Path) -> str:
    """What decides about submits that may or may not have been charged."""
    return f"{command_line('resolve', path)} JOB --adopt REQUEST_ID | --resubmit | --write-off"
