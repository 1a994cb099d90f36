"""How commands print: text for people, one JSON document for programs, errors and problems."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from batchgen.text import wrapped

if TYPE_CHECKING:
    from collections.abc import Iterable

    from batchgen.errors import BatchgenError, ManifestError, Problem
    from batchgen.jobs import JsonValue


def print_text(text: str, *, to_stderr: bool = False) -> None:
    print(text, file=sys.stderr if to_stderr else sys.stdout, flush=True)


def print_lines(lines: Iterable[str], *, to_stderr: bool = False) -> None:
    """Wrap lines between words on a terminal, except commands, which are there to be copied."""
    stream = sys.stderr if to_stderr else sys.stdout
    for line in "\n".join(lines).split("\n"):
        text = line.lstrip(" ")
        indent = line[: len(line) - len(text)]
        whole = text.startswith("→") and "batchgen " in text
        for piece in [line] if whole else wrapped(text, stream, indent, f"{indent}  ") or [""]:
            print_text(piece, to_stderr=to_stderr)


def print_json(document: JsonValue) -> None:
    """One document on stdout. ASCII: a terminal of any encoding, or none, can take it."""
    print_text(json.dumps(document, indent=2))


def print_error(error: BatchgenError) -> None:
    print_lines([f"batchgen: {error}"], to_stderr=True)


def print_problems(error: ManifestError) -> None:
    """Print every problem that was kept, the warnings among them, and how many there are in all."""
    for problem in sorted((*error.problems, *error.warnings), key=lambda one: one.place):
        print_text(str(problem), to_stderr=True)
    more = error.total - len(error.problems)
    shown = f" ({more} not shown)" if more else ""
    print_text(f"batchgen: {error.what}{shown}", to_stderr=True)


def print_warnings(warnings: Iterable[Problem]) -> None:
    for warning in warnings:
        print_text(str(warning), to_stderr=True)
