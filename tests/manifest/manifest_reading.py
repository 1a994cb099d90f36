"""Reads a manifest from its text, as the commands read it from a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from batchgen.manifest import Manifest, ProblemLog, checked_jobs, read_manifest

if TYPE_CHECKING:
    from batchgen.jobs import Job

T2I = "bytedance/dreamina-4-0/text-to-image"
EDIT = "bytedance/dreamina-4-0/edit"
VIDEO = "bytedance/dreamina-3-0/pro/image-to-video"

HEAD = f"version: 1\ndefaults: {{model: {T2I}}}\n"


class Claims:
    """Remembers ids in memory, as the state file does on disk."""

    def __init__(self) -> None:
        self._lines: dict[str, int] = {}

    def __call__(self, job_id: str, line: int) -> int | None:
        if job_id in self._lines:
            return self._lines[job_id]
        self._lines[job_id] = line
        return None


@dataclass(frozen=True, slots=True)
class Reading:
    manifest: Manifest | None
    jobs: list[Job]
    problems: list[str]
    hints: list[str | None]


def read_file(path: Path, *, rehearsal: bool = False) -> Reading:
    log = ProblemLog()
    manifest = read_manifest(path, log, rehearsal=rehearsal)
    jobs = [] if manifest is None else list(checked_jobs(manifest, log, Claims()))
    lines = [f"{one.line}:{one.column} {one.message}" for one in log.problems]
    return Reading(manifest, jobs, lines, [one.hint for one in log.problems])


def read(text: str | bytes, *, rehearsal: bool = False) -> Reading:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "boats.yaml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return read_file(path, rehearsal=rehearsal)


def problems(text: str | bytes) -> list[str]:
    return read(text).problems


def with_jobs(*lines: str, head: str = HEAD) -> str:
    return head + "jobs:\n" + "".join(f"  - {line}\n" for line in lines)
