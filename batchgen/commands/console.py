"""What commands print: people's text, and one JSON document where that is asked for."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from batchgen.state.records import money_line
from batchgen.text import command_line, counts_line, format_duration, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from batchgen.errors import BatchgenError
    from batchgen.jobs import JsonValue
    from batchgen.state.manual_actions import Held
    from batchgen.state.records import FailureCause, Failures, Money

__all__ = [
    "cause_lines",
    "causes_json",
    "counts_line",
    "format_duration",
    "held_lines",
    "money_json",
    "money_line",
    "plural",
    "print_error",
    "print_json",
    "say",
    "say_lines",
    "wrapped",
]


def say(text: str, *, to_stderr: bool = False) -> None:
    print(text, file=sys.stderr if to_stderr else sys.stdout, flush=True)


def say_lines(lines: Iterable[str], *, to_stderr: bool = False) -> None:
    """Lines for people: on a terminal wrapped between words, save commands, which are copied."""
    stream = sys.stderr if to_stderr else sys.stdout
    for line in "\n".join(lines).split("\n"):
        text = line.lstrip(" ")
        indent = line[: len(line) - len(text)]
        whole = text.startswith("→") and "batchgen " in text
        for piece in [line] if whole else wrapped(text, stream, indent, f"{indent}  ") or [""]:
            say(piece, to_stderr=to_stderr)


def print_json(document: JsonValue) -> None:
    """One document on stdout. ASCII: a terminal of any encoding, or none, can take it."""
    say(json.dumps(document, indent=2))


def print_error(error: BatchgenError) -> None:
    say_lines([f"batchgen: {error}"], to_stderr=True)


def money_json(money: Money) -> dict[str, JsonValue]:
    """USD; `unpriced` is a number of attempts."""
    return {
        "spent": round(money.spent, 6),
        "reserved": round(money.reserved, 6),
        "unknown": round(money.unknown, 6),
        "unpriced": money.unpriced,
    }


def cause_lines(found: Failures, path: Path) -> list[str]:
    """A line for each cause: how many jobs, the vendor's sentence, and what chooses just these."""
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
    """Say what waits for a person, or else for other jobs."""
    if held.to_approve:
        wait = "job waits" if held.to_approve == 1 else "jobs wait"
        command = f"  → {command_line('approve', path)} JOB… | --all"
        return [f"{held.to_approve} {wait} for approval, {held.waiting} behind", command]
    if held.waiting:
        wait = "job waits" if held.waiting == 1 else "jobs wait"
        return [f"{held.waiting} {wait} for jobs that are not done yet"]
    return []


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
