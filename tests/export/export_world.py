"""A run whose results are real files: pictures, clips, and a state that knows them."""

from __future__ import annotations

import hashlib
import io
import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from batchgen.downloads.outcomes import VerifiedFile
from batchgen.export.card import Origin
from batchgen.export.exporting import Exported, export
from batchgen.export.options import ExportOptions, Format
from batchgen.jobs import Job, canonical_json
from batchgen.runs.folder import RunFolder
from batchgen.state import files, transitions
from batchgen.state.database import open_for_writing
from batchgen.state.reconcile import OnChanged, merge
from batchgen.state.records import Result
from batchgen.state.results import Picked, results
from batchgen.state.selection import Selection
from batchgen.state.staging import open_staging

T2I = "bytedance/dreamina-4-0/text-to-image"
I2V = "bytedance/dreamina-3-0/pro/image-to-video"
ORIGIN = Origin("boats", ("boats.yaml",), ("prompts.csv",))
WORK = ".batchgen-export"


def job(job_id: str, prompt: str = "a boat", **more: Any) -> Job:
    sent = {"prompt": prompt, **more.pop("input", {})}
    model = more.pop("model", T2I)
    return Job(job_id, model, canonical_json(sent), more.pop("name", job_id), **more)


def png(seed: int, width: int, height: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, "PNG")
    return held.getvalue()


def mp4(seed: int) -> bytes:
    held = io.BytesIO()
    with av.open(held, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=24)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for _ in range(4):
            pixels = np.full((32, 32, 3), seed % 256, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return held.getvalue()


@dataclass
class World:
    """A run's folder, its state, and ways to fill both. `size`: of pictures to come."""

    folder: RunFolder
    db: sqlite3.Connection
    size: tuple[int, int] = (32, 24)

    def add(self, *jobs: Job) -> None:
        """Take up jobs; as with a manifest, those of before must be named again to stay listed."""
        with open_staging() as staging:
            for one in jobs:
                staging.add(one)
            staging.finish()
            merge(self.db, staging, self.folder.state, OnChanged.REFUSE)

    def seq(self, job_id: str) -> int:
        return int(self.db.execute("SELECT seq FROM job WHERE id = ?", (job_id,)).fetchone()[0])

    def finish(self, job_id: str, count: int = 1, cost: float | None = 0.03) -> None:
        """From pending to done, its files on the disk."""
        seq = self.seq(job_id)
        number = transitions.begin_attempt(self.db, seq, "h", 0.03, 1.0)
        assert number is not None
        transitions.accepted(self.db, seq, number, f"r-{seq}-{number}", "raw", 1.0)
        urls = [f"https://x/{seq}-{one}.png" for one in range(count)]
        assert transitions.delivered(self.db, seq, number, urls, cost, "raw", 9.0)
        self._save(seq)

    def _save(self, seq: int) -> None:
        todo = files.files_to_fetch(self.db, seq)
        assert todo is not None
        for file in todo.files:
            is_clip = todo.model == I2V
            content = mp4(seq) if is_clip else png(seq * 100 + file.position, *self.size)
            path = f"files/{file.name}{'.mp4' if is_clip else '.png'}"
            (self.folder.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder.root / path).write_bytes(content)
            digest = hashlib.sha256(content).hexdigest()
            known = (
                ("video/mp4", 32, 32, 4 / 24, 4)
                if is_clip
                else ("image/png", *self.size, None, None)
            )
            found = VerifiedFile(path, len(content), digest, *known)
            files.verified(self.db, file.id, found, 10.0)

    def results(self) -> list[Result]:
        return list(results(self.db, Selection(), Picked.ALL))

    def export(self, target: Path, to: str, **options: Any) -> Exported:
        return export(
            self.db,
            self.folder.root,
            ORIGIN,
            ExportOptions(Format(to), **options),
            target,
            lambda _: lambda _: None,
        )


def make_world(root: Path) -> World:
    folder = RunFolder(root)
    folder.create()
    db = open_for_writing(folder.state)
    # Hundreds of jobs are walked through it, and no test takes the power away.
    db.execute("PRAGMA synchronous = OFF")
    return World(folder, db)


def known(result: Result) -> dict[str, Any]:
    """What every loader must give back of a result, in the state's own words."""
    sent = json.loads(result.body)
    return {
        "id": result.job_id,
        "position": result.position,
        "model": result.model,
        "prompt": sent["prompt"],
        "seed": sent.get("seed"),
        "tags": json.loads(result.tags),
        "sweep": result.sweep,
        "axes": json.loads(result.axes),
        "pick": result.pick,
        "sha256": result.sha256,
        "media_type": result.media_type,
        "bytes": result.bytes,
        "width": result.width,
        "height": result.height,
        "seconds": result.seconds,
        "frames": result.frames,
        "request_id": result.request_id,
        "cost": result.cost,
    }


def tree(root: Path) -> dict[str, bytes]:
    """The dataset: every file with its bytes, the export's own memory left out."""
    found = (path for path in sorted(root.rglob("*")) if path.is_file())
    names = ((path.relative_to(root), path) for path in found)
    return {str(name): path.read_bytes() for name, path in names if name.parts[0] != WORK}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def by_id(rows: Iterable[dict[str, Any]]) -> dict[tuple[str, int], dict[str, Any]]:
    return {(row["id"], row["position"]): row for row in rows}
