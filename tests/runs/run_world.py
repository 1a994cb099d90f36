"""Manifests, folders, and runs of them: in this process or in one that can be killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchgen.jobs import Job, canonical_json
from batchgen.runs.decision_log import Applied, apply_page
from batchgen.runs.folder import RunFolder
from batchgen.state.database import Connection, open_for_writing, reading
from batchgen.state.queries import job_statuses
from batchgen.state.records import JobStatus
from tests.state.state_world import T2I, State


@dataclass
class Place(State):
    """A folder of a run with a state that has pending jobs.

    A request takes a tenth of a second: a run that goes on expects that of others.
    """

    at: float = 1.0
    takes: float = 0.1
    price: float | None = 0.03

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.path.parent)


def apply_new(db: Connection, path: Path) -> list[Applied]:
    """Apply all new decisions, whatever there is of them."""
    applied: list[Applied] = []
    while True:
        page = apply_page(db, path)
        applied += page.applied
        if not page.more:
            return applied


def make_place(root: Path, job_ids: Sequence[str]) -> Place:
    return open_place(root, [prompted(job_id) for job_id in job_ids])


def prompted(job_id: str, **more: Any) -> Job:
    return Job(job_id, T2I, canonical_json({"prompt": job_id, "seed": 7}), job_id, **more)


def open_place(root: Path, jobs: Sequence[Job]) -> Place:
    folder = RunFolder(root)
    folder.create()
    place = Place(folder.state, open_for_writing(folder.state))
    place.merge(jobs)
    return place


def make_gated(root: Path) -> Place:
    """Three stills behind gates, a clip of each, a poster of the first two; and a free sketch."""
    stills = [prompted(f"still-{n}", gate=True) for n in (1, 2, 3)]
    clips = [prompted(f"clip-{n}", needs=(f"still-{n}",)) for n in (1, 2, 3)]
    poster = prompted("poster", needs=("still-1", "still-2"))
    return open_place(root, [*stills, *clips, poster, prompted("sketch")])


def bring_home(place: Place, *job_ids: str) -> None:
    """From pending to done, with one verified picture each."""
    for job_id in job_ids:
        place.finish(job_id, cost=0.03)


def write_header(folder: Path, place: Place) -> Path:
    """A manifest of this place, for commands that look no further than where it is."""
    path = folder / "m.yaml"
    header = {"version": 1, "output": {"dir": str(place.folder.root)}}
    path.write_text(json.dumps({**header, "jobs": [{"id": "a"}]}))
    return path


def write_manifest(folder: Path, count: int, more: str = "", run: str = "{}") -> Path:
    """Small pictures, so that a rehearsal is quick."""
    path = folder / "boats.yaml"
    jobs = "".join(f"  - {{id: j{n}, input: {{prompt: boat {n}}}}}\n" for n in range(1, count + 1))
    path.write_text(
        f"version: 1\nname: boats\ndefaults: {{model: {T2I}, input: {{size: 1024x1024}}}}\n"
        f"run: {run}\noutput: {{dir: {folder / 'out'}}}\njobs:\n{jobs}{more}",
        encoding="utf-8",
    )
    return path


def statuses(folder: Path) -> list[JobStatus]:
    with reading(folder / "state.db") as db:
        return list(job_statuses(db))


def lines(path: Path) -> list[dict[str, Any]]:
    # Not splitlines(): a prompt may hold U+2028.
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]


def in_a_process(script: str, *arguments: object, **env: str) -> subprocess.Popen[str]:
    """Python that runs `script`; the caller waits for it or kills it."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **env},
    )
