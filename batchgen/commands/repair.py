"""`batchgen repair`: files that are gone or damaged are fetched again; nothing is paid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchgen.commands.console import plural, say
from batchgen.commands.verify import progress_bar
from batchgen.engine.events import FileSaved
from batchgen.runs.api import repair_files
from batchgen.text import command_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batchgen.engine.events import Event
    from batchgen.runs.options import RunOptions
    from batchgen.runs.repair import Repair
    from batchgen.runs.verify import Checked


def repair(path: Path, options: RunOptions) -> int:
    """Verify, fetch again what is wrong, and say what came of it. Raises the tree's errors."""
    with progress_bar(None, "verified") as bar:

        def on_event(event: Event) -> None:
            if isinstance(event, FileSaved):
                bar.write(f"{event.file.job_id}: {event.file.path} is fetched")

        def looked_at(one: Checked) -> None:
            bar.update()
            if one.damage:
                bar.write(f"{one.file.job_id}: {one.file.path}: {one.damage.value}")

        found = repair_files(path, options, on_checked=looked_at, on_event=on_event, signals=True)
    for line in _lines(found, path, emulator=options.emulator):
        say(line)
    return found.exit_code


def _lines(found: Repair, path: Path, *, emulator: bool) -> Iterator[str]:
    for name in found.aside:
        yield f"what stood in the place is kept as {name}"
    for one in found.mended:
        if one.differs:
            yield (
                f"{one.before.job_id}: the vendor serves another content than before:"
                f" {one.after.path} is now sha256 {one.after.sha256}, was {one.before.sha256}"
            )
    for lost in found.out_of_reach:
        yield (
            f"{lost.file.job_id}: {lost.file.path}: {lost.damage}, and it is of an earlier attempt:"
            " only the latest result of a job that is done can be fetched again"
        )
    for job_id, why in found.not_home:
        yield f"{job_id}: not repaired: {why}"
    if found.not_home:
        yield (
            "  their jobs stay fetching: every run and repair tries again without paying; to give"
            f" one up:\n  → {command_line('resolve', path)} JOB --write-off"
        )
    if found.ended.pause:
        yield f"paused: {found.ended.pause.sentence}\n  → {found.ended.pause.next_step}"
    if found.ended.stopped_by:
        again = command_line("repair", path, emulator=emulator)
        yield f"stopped by {found.ended.stopped_by.name}\n  → {again}"
    yield _last_line(found)


def _last_line(found: Repair) -> str:
    if not (found.fetched_jobs or found.out_of_reach):
        return "all files are sound: there was nothing to repair"
    left = len(found.not_home) + len(found.out_of_reach)
    words = f"{plural(len(found.mended), 'file')} repaired, nothing was paid"
    return f"{words}; {left} not" if left else words
