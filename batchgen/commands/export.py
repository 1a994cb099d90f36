"""`batchgen export`: the results as a dataset."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from batchgen.commands.console import plural, print_json, say
from batchgen.commands.verify import progress_bar
from batchgen.errors import ExitCode
from batchgen.export.card import Origin
from batchgen.export.exporting import export as carry_out
from batchgen.manifest.header_checks import refuse_address
from batchgen.runs.context import open_run
from batchgen.state.results import Picked, count_rejected

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from batchgen.export.exporting import Exported
    from batchgen.export.folder import Count
    from batchgen.export.options import Asked
    from batchgen.jobs import JsonValue
    from batchgen.manifest.header import Manifest


def export(path: Path, target: Path, asked: Asked, *, as_json: bool) -> int:
    """Make or continue the dataset in `target`. Raises the tree's errors."""
    refuse_address(str(target))
    with ExitStack() as stack:
        run = stack.enter_context(open_run(path))
        db = run.db

        def begin(total: int) -> Callable[[int], object]:
            bar = stack.enter_context(progress_bar(total, "exported"))
            return bar.update

        origin = _origin(run.manifest, rehearsal=run.is_rehearsal)
        exported = carry_out(db, run.folder.root, origin, asked, target, begin)
        left_out = 0
        if asked.only is Picked.NOT_REJECTED:
            left_out = count_rejected(db, asked.selection)
    if as_json:
        print_json(_to_json(exported, asked, target))
    else:
        say("\n".join(_lines(exported, target)))
        if left_out:
            say(f"  {plural(left_out, 'rejected result')} left out; --with-rejected takes them too")
    return ExitCode.DONE


def _origin(manifest: Manifest, *, rehearsal: bool) -> Origin:
    parts = tuple(part.path.name for part in manifest.parts if part.has_jobs)
    data_files = tuple(file.name for file in manifest.data_files)
    return Origin(manifest.name, parts or (manifest.path.name,), data_files, rehearsal)


def _lines(exported: Exported, target: Path) -> list[str]:
    splits = " · ".join(f"{count} {name}" for name, count in _by_split(exported.counts).items())
    size = f"{exported.bytes / 1e6:,.1f} MB"
    done = f"{exported.made} made, {exported.kept} as they were"
    gone = f", {exported.removed} removed" if exported.removed else ""
    lines = [
        f"{target}: {plural(exported.files, 'result')} ({size}): {splits}",
        f"  {done}{gone}",
    ]
    if exported.parts:
        folders = ", ".join(str(target / part) for part in exported.parts)
        lines.append(f"  no loader takes files of several kinds for one dataset: load {folders}")
    return lines


def _by_split(counts: tuple[Count, ...]) -> dict[str, int]:
    found: dict[str, int] = {}
    for count in counts:
        found[count.split] = found.get(count.split, 0) + count.files
    return found


def _to_json(exported: Exported, asked: Asked, target: Path) -> dict[str, JsonValue]:
    return {
        "folder": str(target.absolute()),
        "to": asked.to.value,
        "results": exported.files,
        "bytes": exported.bytes,
        "splits": dict(_by_split(exported.counts)),
        "made": exported.made,
        "kept": exported.kept,
        "removed": exported.removed,
        "datasets": [str((target / part).absolute()) for part in exported.parts or ("",)],
    }
