"""What a run would do, without sending or writing anything."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.jobs import JobState
from batchgen.runcomfy.base import api_base, is_loopback
from batchgen.runs.folder import RunFolder
from batchgen.runs.prepare import checked
from batchgen.state.database import open_for_reading
from batchgen.state.merge import compare, counts_after_merge

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from batchgen.jobs import JsonValue
    from batchgen.runs.options import RunOptions
    from batchgen.state.merge import ChangedJob
    from batchgen.state.records import Counts


@dataclass(frozen=True, slots=True)
class Preview:
    """What a run would meet.

    `counts` are the selected jobs by model and the state they have now; new ones are pending.
    """

    name: str
    folder: Path
    jobs: int
    counts: Counts
    orphaned: int
    changed: tuple[ChangedJob, ...]

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "name": self.name,
            "folder": str(self.folder),
            "jobs": self.jobs,
            "counts": {
                model: {state.value: count for state, count in counts.items()}
                for model, counts in self.counts.items()
            },
            "orphaned": self.orphaned,
            "changed": [{"id": job.id, "state": job.state} for job in self.changed],
        }


def preview(path: Path, options: RunOptions, env: Mapping[str, str]) -> Preview:
    """Check the manifest and hold it against the state. Raises ManifestError."""
    rehearsing = options.emulator or is_loopback(api_base(env))
    with checked(path, rehearsal=rehearsing) as (manifest, staging):
        folder = RunFolder(manifest.output.dir)
        staged = staging.counts(options.selection)
        jobs = sum(staged.values())
        if not folder.state.exists():
            new = {model: {JobState.PENDING: count} for model, count in staged.items()}
            return Preview(manifest.name, folder.root, jobs, new, 0, ())
        with closing(open_for_reading(folder.state)) as db:
            difference = compare(db, staging, folder.state)
            counts = counts_after_merge(db, staging, folder.state, options.selection)
        return Preview(
            manifest.name, folder.root, jobs, counts, difference.orphaned, difference.changed
        )
