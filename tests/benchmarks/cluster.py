"""What a cluster costs beside this machine's own processes, on the same cores.

    python -m tests.benchmarks.cluster [pictures|hashes] [--files 200] [--rounds 4]

`pictures`: downloads, from a server of its own process on loopback (fetch, decode, hash, fsync,
rename), and thumbnails of the same files. `hashes`: of files of three sizes that the system has in
memory, as verify does it. Without either, both. Rounds alternate, so that what else
the machine does is shared. The figures are files a second in the best round of each, and CPU
milliseconds a file: of all processes, without and with the cluster, and of the one that schedules,
of which there can be only one.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NoReturn

import psutil  # type: ignore[import-untyped]
from PIL import Image

from batchgen.cluster.client import Cluster, open_cluster
from batchgen.cluster.downloads import open_cluster_downloads
from batchgen.concurrency import map_in_threads
from batchgen.downloads.allowed_hosts import AllowedHosts
from batchgen.downloads.fetch import open_downloader
from batchgen.downloads.outcomes import DownloadSettings, Fetched, Target
from batchgen.fs import open_to_read
from batchgen.processes import MapFiles, map_in_processes
from batchgen.report.thumbnails import ThumbnailTask, make_thumbnails
from batchgen.storage.folders import FolderResults
from batchgen.storage.locations import FolderLocation

SETTINGS = DownloadSettings(AllowedHosts.of(loopback=True))
LOCAL_AT_ONCE = 32
HASHES = {1.6: 20, 0.1: 100, 0.02: 200}
"""Megabytes of a file, and its hashes for each download: enough of them for a second or two."""
PICTURES, HASHED = "pictures", "hashes"
KINDS = {"PNG": 1024, "JPEG": 2048}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("part", nargs="?", choices=(PICTURES, HASHED))
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=4)
    asked = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, {asked.files} files each")
    with (
        tempfile.TemporaryDirectory() as place,
        open_cluster("local", environment(), ()) as cluster,
    ):
        if asked.part != HASHED:
            pictures(cluster, Path(place), asked.files, asked.rounds)
        if asked.part != PICTURES:
            hashes(cluster, Path(place), asked.files, asked.rounds)


def environment() -> dict[str, str]:
    """With a way to this module for the workers."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(Path.cwd()), *sys.path]))}


def pictures(cluster: Cluster, place: Path, count: int, rounds: int) -> None:
    with served(place) as origin:
        for kind, side in KINDS.items():
            source = place / f"picture.{kind.lower()}"
            photo(side).save(source, kind, quality=90)
            size = source.stat().st_size / 1e6
            print(f"{kind} {side} x {side}, {size:.1f} MB")
            url = f"{origin}/{source.name}"
            for what, work in works(cluster, url, source, count).items():
                measure(f"  {what}", work, rounds)


def hashes(cluster: Cluster, place: Path, count: int, rounds: int) -> None:
    at_once = FolderResults.at_once
    for megabytes, times in HASHES.items():
        source = place / f"{megabytes}"
        source.write_bytes(os.urandom(int(megabytes * 1e6)))
        paths = [str(source)] * (times * count)

        def here(paths: list[str] = paths) -> int:
            return sum(1 for _ in map_in_threads(digest, paths, at_once, "hash"))

        def there(paths: list[str] = paths) -> int:
            return sum(1 for _ in cluster.map(digest, paths, lost, at_once=at_once))

        measure(f"hash a file of {megabytes} MB", (here, there), rounds)


def photo(side: int) -> Image.Image:
    """Soft shapes with noise, which is about as hard to decode as a photograph."""
    soft = Image.radial_gradient("L").resize((side, side))
    noise = Image.effect_noise((side, side), 12)
    return Image.merge("RGB", (soft, noise, Image.blend(soft, noise, 0.3)))


@contextmanager
def served(folder: Path) -> Iterator[str]:
    code = (
        "import sys; from aiohttp import web; app = web.Application();"
        f" app.router.add_static('/', {str(folder)!r});"
        " web.run_app(app, host='127.0.0.1', port=int(sys.argv[1]), print=None)"
    )
    port = free_port()
    server = subprocess.Popen([sys.executable, "-c", code, str(port)])
    try:
        time.sleep(2)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        number: int = one.getsockname()[1]
        return number


Way = Callable[[], int]


def works(cluster: Cluster, url: str, source: Path, count: int) -> dict[str, tuple[Way, Way]]:
    def thumbnails(workers: MapFiles) -> int:
        with tempfile.TemporaryDirectory() as place:
            tasks = [
                ThumbnailTask(FolderLocation(source.parent), source.name, f"{place}/{n}.webp")
                for n in range(count)
            ]
            return sum(why is None for why in make_thumbnails(tasks, workers))

    return {
        "downloads": (
            lambda: asyncio.run(download_here(url, count)),
            lambda: asyncio.run(download_there(cluster, url, count)),
        ),
        "thumbnails": (
            partial(thumbnails, map_in_processes),
            partial(thumbnails, cluster.map),
        ),
    }


def digest(path: str) -> str:
    with open_to_read(Path(path)) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def lost(path: str) -> NoReturn:
    raise AssertionError(f"the work on {path} was not done on the cluster")


async def download_here(url: str, count: int) -> int:
    async with open_downloader(SETTINGS) as downloader:
        return await download_all(downloader.fetch, url, count, LOCAL_AT_ONCE)


async def download_there(cluster: Cluster, url: str, count: int) -> int:
    place = Path(tempfile.mkdtemp())
    async with open_cluster_downloads(cluster, SETTINGS, place / "files/.parts/one") as downloads:
        return await download_all(downloads.fetch, url, count, downloads.at_once, place)


async def download_all(
    fetch: Callable[..., object], url: str, count: int, at_once: int, place: Path | None = None
) -> int:
    place = place or Path(tempfile.mkdtemp())
    permits = asyncio.Semaphore(at_once)

    async def one(number: int) -> bool:
        async with permits:
            target = Target(place / "files", f"boat-{number}", is_new=True)
            return isinstance(await fetch(url, target), Fetched)  # type: ignore[misc]

    found = await asyncio.gather(*(one(number) for number in range(count)))
    shutil.rmtree(place)
    return sum(found)


def measure(what: str, ways: tuple[Way, Way], rounds: int) -> None:
    best, used, scheduler, count = [float("inf")] * 2, [0.0, 0.0], 0.0, 0
    for _ in range(rounds):
        for number, way in enumerate(ways):
            began, before = time.perf_counter(), cpu_seconds()
            count = way()
            best[number] = min(best[number], time.perf_counter() - began)
            after = cpu_seconds()
            used[number] += sum(seconds - before.get(pid, 0.0) for pid, seconds in after.items())
            scheduler += (after[os.getpid()] - before[os.getpid()]) * number
    here, there = (count / seconds for seconds in best)
    each = [1e3 * seconds / count / rounds for seconds in used]
    print(
        f"{what}: here {here:,.1f}/s, on the cluster {there:,.1f}/s, {there / here:.2f} of it;"
        f" CPU a file {each[0]:.2f} and {each[1]:.2f} ms,"
        f" of which the scheduler {1e3 * scheduler / count / rounds:.2f} ms"
    )


def cpu_seconds() -> dict[int, float]:
    """Of this process, with what it waited for, and of each one below it."""
    me = psutil.Process()
    found = {}
    for process in (me, *me.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            found[process.pid] = float(times.user + times.system)
            found[process.pid] += float(times.children_user + times.children_system)
    return found


if __name__ == "__main__":
    # Workers import what they run by the name of its module, which __main__ is not.
    from tests.benchmarks.cluster import main as imported_main

    imported_main()
