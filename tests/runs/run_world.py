"""Manifests, folders, and runs of them: in this process or in one that can be killed."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchgen.downloads.outcomes import VerifiedFile
from batchgen.jobs import Job, canonical_json
from batchgen.runs.folder import RunFolder
from batchgen.state import transitions
from batchgen.state.database import open_for_reading, open_for_writing
from batchgen.state.files import files_to_fetch, verified
from batchgen.state.queries import job_statuses
from batchgen.state.reconcile import OnChanged, merge
from batchgen.state.records import JobStatus
from batchgen.state.staging import open_staging

T2I = "bytedance/dreamina-4-0/text-to-image"


@dataclass
class Place:
    """A folder of a run with a state that has pending jobs."""

    folder: RunFolder
    db: sqlite3.Connection

    def one(self, sql: str, *values: Any) -> Any:
        row = self.db.execute(sql, values).fetchone()
        return row[0] if row else None

    def seq(self, job_id: str) -> int:
        return int(self.one("SELECT seq FROM job WHERE id = ?", job_id))

    def state(self, job_id: str) -> str:
        return str(self.one("SELECT state FROM job WHERE id = ?", job_id))


def make_place(root: Path, job_ids: Sequence[str]) -> Place:
    return open_place(root, [prompted(job_id) for job_id in job_ids])


def prompted(job_id: str, **more: Any) -> Job:
    return Job(job_id, T2I, canonical_json({"prompt": job_id, "seed": 7}), job_id, **more)


def open_place(root: Path, jobs: Sequence[Job]) -> Place:
    folder = RunFolder(root)
    folder.create()
    db = open_for_writing(folder.state)
    with open_staging() as staging:
        for job in jobs:
            staging.add(job)
        staging.finish()
        merge(db, staging, folder.state, OnChanged.REFUSE)
    return Place(folder, db)


def make_gated(root: Path) -> Place:
    """Three stills behind gates, a clip of each, a poster of the first two; and a free sketch."""
    stills = [prompted(f"still-{n}", gate=True) for n in (1, 2, 3)]
    clips = [prompted(f"clip-{n}", needs=(f"still-{n}",)) for n in (1, 2, 3)]
    poster = prompted("poster", needs=("still-1", "still-2"))
    return open_place(root, [*stills, *clips, poster, prompted("sketch")])


def bring_home(place: Place, *job_ids: str) -> None:
    """From pending to done, with one verified picture each.

    After a tenth of a second: a run that goes on expects of others what these took.
    """
    for job_id in job_ids:
        seq = place.seq(job_id)
        number = transitions.begin_attempt(place.db, seq, "h", 0.03, 1.0)
        assert number is not None, f"{job_id} could not be submitted"
        transitions.accepted(place.db, seq, number, f"r-{job_id}-{number}", "raw", 1.0)
        assert transitions.delivered(
            place.db, seq, number, [f"https://x/{job_id}.png"], 0.03, "raw", 1.1
        )
        todo = files_to_fetch(place.db, seq)
        assert todo is not None
        for file in todo.files:
            path = f"files/{file.name}.png"
            picture = VerifiedFile(path, 1234, "ab" * 32, "image/png", 64, 48, None, 1)
            verified(place.db, file.id, picture, 10.0)


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
    with closing(open_for_reading(folder / "state.db")) as db:
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
