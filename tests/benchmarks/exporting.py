"""How fast results become a dataset: `python -m tests.benchmarks.exporting [RESULTS]`.

Results are pictures of noise of 512 x 512, 0.8 MB each.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import closing
from pathlib import Path

from tests.export.export_world import World, job, make_world

RESULTS = 2000
EXPORTS: tuple[tuple[str, dict[str, bool]], ...] = (
    ("hf", {}),
    ("hf", {"copy": True}),
    ("webdataset", {}),
    ("parquet", {}),
    ("parquet", {"embed": True}),
    ("jsonl", {}),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=int, nargs="?", default=RESULTS)
    count = parser.parse_args().results
    with tempfile.TemporaryDirectory() as place:
        world = make_world(Path(place) / "out")
        with closing(world.db):
            world.merge(job(f"j{n}", f"boat {n}", input={"seed": n}) for n in range(count))
            world.size = (512, 512)
            for number in range(count):
                world.finish(f"j{number}")
            for number, (to, asked) in enumerate(EXPORTS):
                measure(world, Path(place) / str(number), to, asked)


def measure(world: World, target: Path, to: str, asked: dict[str, bool]) -> None:
    began = time.perf_counter()
    done = world.export(target, to, **asked)
    first = time.perf_counter() - began
    began = time.perf_counter()
    world.export(target, to, **asked)
    again = time.perf_counter() - began
    rate, speed = done.files / first, done.bytes / first / 1e6
    print(
        f"{to} {asked or ''}: {first:.2f} s, {rate:,.0f}/s, {speed:,.0f} MB/s; again {again:.2f} s"
    )


if __name__ == "__main__":
    main()
