"""A run whose results are real files: pictures, clips, and a state that lists them."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from batchgen.downloads.outcomes import VerifiedFile
from batchgen.export.card import Origin
from batchgen.export.exporting import Exported, Source, export
from batchgen.export.options import ExportOptions, Format
from batchgen.jobs import Job, canonical_json
from batchgen.processes import MapFiles
from batchgen.runs.folder import RunFolder
from batchgen.state.database import open_for_writing
from batchgen.state.records import FileRow, Result
from batchgen.state.results import Picked, results
from batchgen.state.selection import Selection
from batchgen.storage.locations import BucketLocation, FolderLocation
from tests.state.state_world import T2I, State

I2V = "bytedance/dreamina-3-0/pro/image-to-video"
MANIFEST = Path("boats.yaml")
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
class World(State):
    """A run's folder, its state, and ways to fill both. `size`: of pictures to come."""

    takes: float = 8.0
    price: float | None = 0.03
    size: tuple[int, int] = (32, 24)
    moved_to: BucketLocation | None = None

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.path.parent)

    def finish(
        self,
        job_id: str,
        request_id: str | None = None,
        count: int = 1,
        cost: float | None = 0.03,
    ) -> list[Result]:
        return super().finish(job_id, request_id, count, cost)

    def fetch(self, file: FileRow, model: str) -> VerifiedFile:
        if model == I2V:
            return self.save(
                f"files/{file.name}.mp4", mp4(file.job), "video/mp4", 32, 32, 4 / 24, 4
            )
        content = png(file.job * 100 + file.position, *self.size)
        return self.save(f"files/{file.name}.png", content, "image/png", *self.size, None, None)

    def save(self, path: str, content: bytes, *known: Any) -> VerifiedFile:
        (self.folder.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder.root / path).write_bytes(content)
        return VerifiedFile(path, len(content), sha256(content), *known)

    def results(self) -> list[Result]:
        return list(results(self.db, Selection(), Picked.ALL))

    def export(self, target: Path | BucketLocation, to: str, **options: Any) -> Exported:
        return self.export_by(None, target, to, **options)

    def export_by(
        self, workers: MapFiles | None, target: Path | BucketLocation, to: str, /, **options: Any
    ) -> Exported:
        here = FolderLocation(self.folder.root)
        return export(
            self.db,
            MANIFEST,
            Source(self.folder.root, self.moved_to or here),
            ORIGIN,
            ExportOptions(Format(to), **options),
            FolderLocation(target) if isinstance(target, Path) else target,
            lambda _: lambda _: None,
            nullcontext(workers),
        )


def make_world(root: Path) -> World:
    folder = RunFolder(root)
    folder.create()
    db = open_for_writing(folder.state)
    # Hundreds of jobs are walked through it, and no test takes the power away.
    db.execute("PRAGMA synchronous = OFF")
    return World(folder.state, db)


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
