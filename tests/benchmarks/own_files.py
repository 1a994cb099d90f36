"""Own pictures as inputs: peak memory by how many there are, and by how large they are.

    python -m tests.benchmarks.own_files [--pictures 100000]

First a folder of small pictures, all different: `validate` reads them all, again from its cache,
then `plan` and `run` go over them; each in a process of its own, against an emulator in another.
Its memory should not grow with their number. Then a run with large pictures and a slow vendor: of
all that is under way, only so many bytes may exist at once (uploads/sending.py).

Peak memory is the kernel's peak resident size, CPU its account of the whole process.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from tests.benchmarks.throughput import serving

EDIT = "bytedance/dreamina-4-0/edit"
SMALLEST = 1000
IN_A_FOLDER = 1000
SMALL = (48, 48)
CONCURRENCY = 64
LARGE_PICTURES = 20
LARGE = (1340, 1340)
"""Noise of so many pixels takes 5 MiB as a PNG."""
LARGE_AT_ONCE = 16
SLOW = 2.0
LONG_AGO = 1_000_000_000
END_OF_PNG = 12
"""Bytes of a PNG's last chunk, which is empty."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Peak resident size in MiB, CPU in seconds."""

    peak: float
    cpu: float


def png(size: tuple[int, int], *, noise: bool = False) -> bytes:
    pixels = random.Random(1).randbytes(3 * size[0] * size[1])
    picture = Image.frombytes("RGB", size, pixels) if noise else Image.new("RGB", size, "navy")
    made = io.BytesIO()
    picture.save(made, "PNG")
    return made.getvalue()


def with_comment(picture: bytes, text: str) -> bytes:
    """The same pixels in another file: it costs less than to draw others."""
    chunk = b"tEXt" + b"Comment\0" + text.encode("ascii")
    sums = struct.pack(">I", zlib.crc32(chunk))
    whole = struct.pack(">I", len(chunk) - 4) + chunk + sums
    return picture[:-END_OF_PNG] + whole + picture[-END_OF_PNG:]


def draw(folder: Path, picture: bytes, numbers: Sequence[int]) -> None:
    for number in numbers:
        place = folder / "photos" / f"{number // IN_A_FOLDER:03}" / f"{number % IN_A_FOLDER:03}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(with_comment(picture, str(number)))
        # What has just changed is not remembered, since it may change again unseen.
        os.utime(place, (LONG_AGO, LONG_AGO))


def write_manifest(folder: Path, concurrency: int) -> None:
    document = {
        "version": 1,
        "name": "own",
        "defaults": {"model": EDIT},
        "run": {"concurrency": concurrency},
        "output": {"dir": str(folder / "out")},
        "jobs": [
            {
                "id": "snow",
                "from": "photos/**/*.png",
                "input": {"prompt": "in the snow", "image_urls": ["{{ path }}"]},
            }
        ],
    }
    # JSON is YAML.
    (folder / "own.yaml").write_text(json.dumps(document), encoding="utf-8")


def measured(folder: Path, base: str, *command: str) -> Measured:
    env = {**os.environ, "RUNCOMFY_MODEL_API_BASE": base, "RUNCOMFY_TOKEN": "bench"}
    env["XDG_STATE_HOME"] = env["XDG_CACHE_HOME"] = str(folder / "home")
    verb, *more = command
    line = [sys.executable, "-m", "batchgen", verb, str(folder / "own.yaml"), *more]
    with subprocess.Popen(line, env=env, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{verb} ended with {process.returncode}")
    return Measured(usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime)


COMMANDS = {
    "validate": ("validate",),
    "validate again": ("validate",),
    "plan": ("plan",),
    "run": ("run", "--quiet"),
    "run again": ("run", "--quiet"),
    "plan again": ("plan",),
}


def by_number(base: str, counts: Sequence[int]) -> Iterator[tuple[int, str, Measured]]:
    picture = png(SMALL)
    for count in counts:
        with scratch(CONCURRENCY) as folder:
            draw(folder, picture, range(count))
            for name, command in COMMANDS.items():
                yield count, name, measured(folder, base, *command)


def with_large_pictures(base: str) -> Measured:
    with scratch(LARGE_AT_ONCE) as folder:
        draw(folder, png(LARGE, noise=True), range(LARGE_PICTURES))
        return measured(folder, base, "run", "--quiet")


@contextmanager
def scratch(concurrency: int) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_manifest(folder, concurrency)
        yield folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=100_000)
    most = parser.parse_args().pictures
    counts = sorted({min(SMALLEST, most), *(n for n in (10_000,) if n < most), most})
    smallest: dict[str, Measured] = {}
    with serving() as base:
        for count, name, one in by_number(base, counts):
            first = smallest.setdefault(name, one)
            print(
                f"{count:8} pictures  {name:15} {one.peak:6.1f} MiB"
                f"  {one.peak / first.peak:.2f} times the smallest"
                f"  {1000 * one.cpu / count:6.2f} ms CPU a job",
                flush=True,
            )
    with serving(latency=SLOW) as base:
        large = with_large_pictures(base)
    print(f"{LARGE_PICTURES} pictures of 5 MiB, {LARGE_AT_ONCE} at once: {large.peak:.1f} MiB")


if __name__ == "__main__":
    main()
