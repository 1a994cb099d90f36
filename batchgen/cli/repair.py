"""`batchgen repair`: download missing and damaged files again, without paying."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from batchgen.cli.console import print_text
from batchgen.cli.options import ACCEPT_COPY, EMULATOR, MANIFEST, ONLY_JOBS, RAY, all_of
from batchgen.text import command_line, plural

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batchgen.engine.events import Event
    from batchgen.runs.repair import Repair
    from batchgen.runs.verify import Checked


@click.command()
@MANIFEST
@all_of(EMULATOR, ONLY_JOBS, RAY, ACCEPT_COPY)
def repair(manifest: Path, jobs: tuple[str, ...], **asked: Any) -> int:
    """Download missing and damaged files again; never pays.

    Exit code 0: all files are sound now; 1: some could not be downloaded.
    """
    from batchgen.cli.progress import progress_bar
    from batchgen.engine.events import FileSaved
    from batchgen.runs.api import repair_files
    from batchgen.runs.options import RunOptions
    from batchgen.state.queries import Selection

    options = RunOptions(selection=Selection(jobs), **asked)
    with progress_bar(None, "verified") as bar:

        def on_event(event: Event) -> None:
            if isinstance(event, FileSaved):
                bar.write(f"{event.file.job_id}: {event.file.path} downloaded again")

        def on_checked(one: Checked) -> None:
            bar.update()
            if one.damage:
                bar.write(f"{one.file.job_id}: {one.file.path}: {one.damage.value}")

        found = repair_files(
            manifest, options, on_checked=on_checked, on_event=on_event, signals=True
        )
    for line in _lines(found, manifest, emulator=options.emulator):
        print_text(line)
    return found.exit_code


def _lines(found: Repair, path: Path, *, emulator: bool) -> Iterator[str]:
    for name in found.aside:
        yield f"what was in its place is kept as {name}"
    for one in found.mended:
        if one.differs:
            yield (
                f"{one.before.job_id}: the vendor serves different content than before:"
                f" {one.after.path} is now sha256 {one.after.sha256}, was {one.before.sha256}"
            )
    for lost in found.out_of_reach:
        yield (
            f"{lost.file.job_id}: {lost.file.path}: {lost.damage}, and it belongs to an earlier"
            " attempt: only the latest result of a done job can be downloaded again"
        )
    for job_id, why in found.not_downloaded:
        yield f"{job_id}: not repaired: {why}"
    if found.not_downloaded:
        yield (
            "  their jobs stay fetching: every run and repair tries again, for free; to give one"
            f" up:\n  → {command_line('resolve', path)} JOB --write-off"
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
    left = len(found.not_downloaded) + len(found.out_of_reach)
    repaired = f"{plural(len(found.mended), 'file')} repaired, nothing was paid for"
    return f"{repaired}; {left} not repaired" if left else repaired
