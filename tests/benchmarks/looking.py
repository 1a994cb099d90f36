"""How fast results are checked: `python -m tests.benchmarks.looking [FILES] [LOOKS]`.

Each figure stands beside one of the same minute on the same machine: a check beside plain decoding
of the same files in as many processes, a search for near duplicates beside comparing as many pairs
of numbers.
"""

from __future__ import annotations

import argparse
import random
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from batchgen.check.judging import find_matches
from batchgen.check.kinds import CheckOptions
from batchgen.check.measures import HASH_BYTES
from batchgen.downloads.decoding import decode
from batchgen.processes import map_in_processes
from tests.check.check_world import I2V, Gallery, clip, drawn, gallery, packed

T = TypeVar("T")

FILES = 100
LOOKS = (10_000, 100_000)
SIDE = 2048
FAMILIES = 10
"""One look in so many is near to an earlier one."""
PAIRS = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=int, nargs="?", default=FILES)
    parser.add_argument("looks", type=int, nargs="*", default=LOOKS)
    asked = parser.parse_args()
    files, counts = asked.files, tuple(asked.looks)
    for count in counts:
        search(count)
    kinds: dict[str, dict[str, Any]] = {"PNG": {"compress_level": 1}, "JPEG": {"quality": 92}}
    for kind, options in kinds.items():
        contents = [packed(picture(seed), kind, **options) for seed in range(files)]
        measure(f"{kind} of {SIDE}x{SIDE}", contents)
    clips = max(1, files // 10)
    scenes = [clip([drawn(5 * n + m, 1280, 720) for m in range(5)], 121) for n in range(clips)]
    measure("clips of 1280x720, 121 frames", scenes, model=I2V)


def picture(seed: int) -> Image.Image:
    """Soft shapes with a photograph's noise: what a coder meets, not what a drawing is."""
    large = drawn(seed, 512, 512).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    noise = np.random.default_rng(seed).integers(-4, 5, (SIDE, SIDE, 3))
    return Image.fromarray((np.asarray(large).astype(int) + noise).clip(0, 255).astype(np.uint8))


def measure(what: str, contents: list[bytes], **more: Any) -> None:
    with tempfile.TemporaryDirectory() as place, gallery(Path(place) / "out") as world:
        for number, content in enumerate(contents):
            world.put(f"j{number}", content, **more)
        paths = [str(one) for one in (world.root / "files").iterdir()]
        plainly, _ = timed(lambda: list(map_in_processes(decode_all, paths, len)))
        first, found = timed(lambda: world.check(workers=map_in_processes))
        again = checked_again(world)
        rate = len(contents) / first
        print(
            f"{len(contents)} {what}: {first:.2f} s, {rate:.1f}/s,"
            f" {first / plainly:.2f} of decoding them ({plainly:.2f} s); again {again:.3f} s;"
            f" flaws {len(found.flawed)}"
        )


def checked_again(world: Gallery) -> float:
    seconds, report = timed(lambda: world.check(workers=map_in_processes))
    assert report.examined == 0
    return seconds


def decode_all(path: str) -> int:
    with Path(path).open("rb") as file:
        return decode(file).frames


def search(count: int) -> None:
    chance = random.Random(1)
    hashes = [chance.randbytes(HASH_BYTES) for _ in range(count)]
    for place in range(FAMILIES, count, FAMILIES):
        near = bytearray(hashes[place - chance.randrange(1, FAMILIES)])
        near[chance.randrange(HASH_BYTES)] ^= 1 << chance.randrange(8)
        hashes[place] = bytes(near)
    frames = [(one,) for one in hashes]
    seconds, found = timed(lambda: find_matches(frames, CheckOptions().distance, [True] * count))
    slowly, _ = timed(lambda: [bits(one, other) for one in hashes[:PAIRS] for other in hashes[:50]])
    pair = slowly / (PAIRS * 50)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    ratio = pair * count * count / 2 / seconds
    print(
        f"near duplicates among {count:,}: {seconds:.2f} s, {ratio:,.0f}"
        f" times as fast as pair by pair in Python; found {sum(map(bool, found)):,};"
        f" peak {peak:.0f} MB"
    )


def bits(one: bytes, other: bytes) -> int:
    return (int.from_bytes(one) ^ int.from_bytes(other)).bit_count()


def timed(work: Callable[[], T]) -> tuple[float, T]:
    began = time.perf_counter()
    done = work()
    return time.perf_counter() - began, done


if __name__ == "__main__":
    main()
