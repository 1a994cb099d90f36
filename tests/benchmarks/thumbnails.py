"""How fast thumbnails are made: `python -m tests.benchmarks.thumbnails [FILES]`.

Pictures of noise are the worst case: nothing in them is easy to decode. Rates are of all cores; the
last column is the time of one core beside that of only decoding such a file, in the same run.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from batchgen.report.thumbnails import ThumbnailTask, make_thumbnail, make_thumbnails
from batchgen.storage.locations import FolderLocation

FILES = 100
KINDS = (("PNG", 1024), ("PNG", 2048), ("JPEG", 2048), ("WEBP", 2048))
ALONE = 5
"""Files that one core goes through, to be compared."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=int, nargs="?", default=FILES)
    count = parser.parse_args().files
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, {count} files of each kind")
    with tempfile.TemporaryDirectory() as place:
        for kind, side in KINDS:
            source = Path(place) / f"{side}.{kind.lower()}"
            Image.effect_noise((side, side), 40).convert("RGB").save(source, kind, quality=90)
            measure(source, f"{kind} {side} x {side}", count)


def measure(source: Path, name: str, count: int) -> None:
    here = FolderLocation(source.parent)
    targets = [str(source.with_name(f"{n}.webp")) for n in range(count)]
    wanted = [ThumbnailTask(here, source.name, target) for target in targets]
    began = time.perf_counter()
    assert all(why is None for why in make_thumbnails(wanted))
    rate = count / (time.perf_counter() - began)
    one = seconds_each(make_thumbnail(wanted[0]) for _ in range(ALONE))
    decoding = seconds_each(decode(source) for _ in range(ALONE))
    print(f"{name}: {rate:.1f}/s; {one:.3f} s of a core, {one / decoding:.2f} times decoding")


def decode(source: Path) -> tuple[int, int]:
    with Image.open(source) as picture:
        picture.load()
        return picture.size


def seconds_each(work: Iterable[object]) -> float:
    began = time.process_time()
    count = sum(1 for _ in work)
    return (time.process_time() - began) / count


if __name__ == "__main__":
    main()
