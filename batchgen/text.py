"""Text for messages: sanitized foreign text, formats, and suggestions for misspelt names."""

from __future__ import annotations

import os
import re
import shlex
import textwrap
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

TEXT_LIMIT = 500
RAW_LIMIT = 4096
_CUT = "…"

_ESCAPE_SEQUENCE = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # OSC: titles and links, up to BEL or ST
    r"|\x1b[PX^_][^\x1b]*\x1b\\"  # DCS, SOS, PM, APC
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[ -/]*[0-~]"  # the short ones
)


def plain_text(text: str, limit: int = TEXT_LIMIT) -> str:
    """Return one line of at most `limit` printable characters.

    Escape sequences are removed. Control characters, line breaks, direction marks and lone
    surrogates become spaces, and runs of spaces become one.
    """
    if not text.isprintable():
        # Bounded before cleaning, which can shorten the text but never lengthen it.
        text = _ESCAPE_SEQUENCE.sub("", text[: limit * 4])
        text = "".join(char if char.isprintable() else " " for char in text)
    text = " ".join(text[: limit * 4].split())
    return text if len(text) <= limit else text[: limit - 1] + _CUT


USUAL_COLUMNS = 80


def plural(count: int, noun: str) -> str:
    """`1 job`, `2 jobs`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def format_duration(seconds: float) -> str:
    """Format a measured duration: `8.2 s`, `3 min 05 s`, `2 h 07 min`."""
    if round(seconds, 1) < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:  # noqa: PLR2004 - an hour
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def format_setting(seconds: float) -> str:
    """Format a configured duration: `8 h`, `1 h 30 min`, `1.5 s`."""
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    parts = ((hours, "h"), (minutes, "min"), (round(rest, 3), "s"))
    return " ".join(f"{count:g} {unit}" for count, unit in parts if count)


def command_line(verb: str, manifest: Path | str, *arguments: str, emulator: bool = False) -> str:
    """Build a command that can be pasted into a shell."""
    return shlex.join(["batchgen", verb, str(manifest), *arguments, *["--emulator"] * emulator])


def terminal_columns(stream: TextIO) -> int | None:
    """Return the width of the stream's terminal; None if it is not a terminal."""
    if not stream.isatty():
        return None
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        columns = 0
    # A terminal that does not know its width reports 0.
    return columns or USUAL_COLUMNS


def wrapped(text: str, stream: TextIO, indent: str = "", below: str | None = None) -> list[str]:
    """Wrap a text between words to the terminal's width; without a terminal, keep one line.

    `below` indents all lines but the first; by default, blanks as wide as `indent`.
    """
    columns = terminal_columns(stream)
    if columns is None:
        return [f"{indent}{text}"]
    return textwrap.wrap(
        text,
        columns,
        initial_indent=indent,
        subsequent_indent=" " * len(indent) if below is None else below,
        break_long_words=False,
        break_on_hyphens=False,
    )


LONGEST_NAME = 100
"""Longer names are not typos, and comparing them is slow."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    if len(name) > LONGEST_NAME:
        return None
    from difflib import get_close_matches  # noqa: PLC0415 - takes long, and only mistakes need it

    by_lower = {candidate.lower(): candidate for candidate in known}
    close = get_close_matches(name.lower(), by_lower, n=1)
    return by_lower[close[0]] if close else None


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """Suggest the nearest name; without one, list all known names."""
    names = sorted(known)
    close = nearest(name, names)
    if close is not None:
        return f"did you mean '{close}'?"
    return f"known: {', '.join(names)}" if names else None
