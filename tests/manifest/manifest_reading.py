"""Reads a manifest from its text, as the commands read it from a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from batchgen.jobs import Job
from batchgen.manifest.header import Manifest, read_manifest
from batchgen.manifest.problems import ProblemLog
from batchgen.manifest.stream import checked_jobs
from batchgen.models.catalog import bundled
from batchgen.runs.cross_job_checks import report_cross_job_problems
from batchgen.state.staging import open_staging
from batchgen.uploads.local_files import look_at

T2I = "bytedance/dreamina-4-0/text-to-image"
EDIT = "bytedance/dreamina-4-0/edit"
VIDEO = "bytedance/dreamina-3-0/pro/image-to-video"

HEAD = f"version: 1\ndefaults: {{model: {T2I}}}\n"


@dataclass(frozen=True, slots=True)
class Reading:
    manifest: Manifest | None
    jobs: list[Job]
    problems: list[str]
    hints: list[str | None]
    warnings: list[str]


def read_file(
    path: Path,
    *,
    rehearsal: bool = False,
    env: Mapping[str, str] | None = None,
    jobs_follow: bool = False,
) -> Reading:
    """Read like a command: the jobs, with the problems of each one and across all of them."""
    log = ProblemLog()
    manifest = read_manifest(path, log, rehearsal=rehearsal, env=env or {}, jobs_follow=jobs_follow)
    with open_staging() as staging:
        jobs = (
            [] if manifest is None else list(checked_jobs(manifest, log, staging.refuse, look_at))
        )
        for job in jobs:
            staging.add(job)
        staging.finish()
        report_cross_job_problems(staging, bundled(), log)
    # Each test has its own folder.
    jobs = [replace(job, file=Path(job.file).name) for job in jobs]
    lines, warnings = (
        [f"{one.line}:{one.column} {one.message}" for one in found]
        for found in (log.problems, log.warnings)
    )
    return Reading(manifest, jobs, lines, [one.hint for one in log.problems], warnings)


def read(text: str | bytes, *, rehearsal: bool = False) -> Reading:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "boats.yaml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return read_file(path, rehearsal=rehearsal)


def problems(text: str | bytes) -> list[str]:
    return read(text).problems


def with_jobs(*lines: str, head: str = HEAD) -> str:
    return head + "jobs:\n" + "".join(f"  - {line}\n" for line in lines)
