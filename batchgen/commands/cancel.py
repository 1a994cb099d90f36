"""`batchgen cancel`: no more of these jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchgen.commands.console import plural, say
from batchgen.runs.api import cancel_jobs
from batchgen.text import command_line

if TYPE_CHECKING:
    from pathlib import Path

    from batchgen.runs.options import RunOptions


def cancel_selected(path: Path, options: RunOptions) -> int:
    """Cancel what was not sent, and ask the vendor for the rest. Raises the tree's errors."""
    found = cancel_jobs(path, options)
    if found.handed_over:
        say(f"{plural(found.handed_over, 'job')} handed to the runner at work")
        return 0
    say(f"{plural(found.cancelled, 'job')} cancelled")
    if found.delivering:
        command = command_line("run", path, emulator=options.emulator)
        say(
            f"{plural(found.delivering, 'request')} could not be cancelled: the vendor is at work"
            f" on it, and it costs\n  → fetch what comes of it with: {command}"
        )
    return 0
