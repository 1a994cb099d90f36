"""How fast a run is, against a bare aiohttp loop on the same emulator in the same minute.

    python -m tests.benchmarks.throughput [--jobs 3000] [--concurrency 256] [--rounds 3]

The bare loop does what nobody can leave out: submit, one poll, the result, a 64 KiB file written to
disk; no check, no state, no limits, nothing to continue from. The careful loop does the least that
keeps the two promises besides: intent, request id, URL and end of each job are on the disk before
the next step, with commits that many jobs share; each submit has a connection of its own; each file
is decoded, hashed and synced. Each is a process of its own, in turns, and CPU time is the kernel's
account of the whole process, its start included.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import io
import json
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import aiohttp

from batchgen.concurrency import run_loop

MODEL = "bytedance/dreamina-4-0/text-to-image"
FILE_BYTES = 64 * 1024
WORKERS = 512
TIMEOUT = aiohttp.ClientTimeout(total=120)


@dataclass(frozen=True, slots=True)
class Measured:
    """One process: seconds on the wall, seconds of CPU."""

    wall: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Round:
    """The three, measured in turns."""

    ours: Measured
    bare: Measured
    careful: Measured


async def serve(latency: float) -> None:
    # Imported where it is needed: a loop must not pay for what it does not use.
    from batchgen.emulator import EmulatorSettings, running_emulator  # noqa: PLC0415

    settings = EmulatorSettings(latency=latency, workers=WORKERS, media_bytes=FILE_BYTES)
    async with running_emulator(settings) as emulator:
        print(emulator.base_url, flush=True)
        await asyncio.Event().wait()


def write_carefully(path: Path, content: bytes) -> str:
    from PIL import Image  # noqa: PLC0415 - the bare loop does without

    part = path.with_suffix(".part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        with Image.open(io.BytesIO(content)) as picture:
            picture.load()
        digest = hashlib.sha256(content).hexdigest()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
    return digest


class Ledger:
    """What the careful loop must not forget; steps that come during a commit share the next one."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute(
            "CREATE TABLE job (number INTEGER PRIMARY KEY, request TEXT, url TEXT, sha256 TEXT)"
        )
        self._thread = ThreadPoolExecutor(1)
        self._waiting: list[tuple[asyncio.Future[None], str, tuple[object, ...]]] = []
        self._committing: asyncio.Task[None] | None = None

    async def record(self, sql: str, *values: object) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((done, sql, values))
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit(), name="commits")
        await done

    async def _commit(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            loop = asyncio.get_running_loop()
            steps = [(sql, values) for _, sql, values in group]
            await loop.run_in_executor(self._thread, self._apply, steps)
            for done, _, _ in group:
                done.set_result(None)
        self._committing = None

    def _apply(self, steps: list[tuple[str, tuple[object, ...]]]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        for sql, values in steps:
            self._db.execute(sql, values)
        self._db.execute("COMMIT")


async def plain_loop(base: str, jobs: int, concurrency: int, folder: Path) -> None:
    numbers = iter(range(jobs))
    headers = {"Authorization": "Bearer bench"}
    async with (
        aiohttp.ClientSession(connector=unlimited(), headers=headers, timeout=TIMEOUT) as api,
        aiohttp.ClientSession(connector=unlimited()) as files,
        asyncio.TaskGroup() as group,
    ):

        async def one_after_another() -> None:
            for number in numbers:
                body = {"prompt": f"job {number}"}
                async with api.post(f"{base}/models/{MODEL}", json=body) as answer:
                    request_id = (await answer.json())["request_id"]
                async with api.get(f"{base}/requests/{request_id}/status") as answer:
                    await answer.json()
                async with api.get(f"{base}/requests/{request_id}/result") as answer:
                    url = (await answer.json())["output"]["image"]
                async with files.get(url) as answer:
                    content = await answer.read()
                (folder / f"{number}.png").write_bytes(content)

        for number in range(concurrency):
            group.create_task(one_after_another(), name=f"worker {number}")


async def careful_loop(base: str, jobs: int, concurrency: int, folder: Path) -> None:
    numbers = iter(range(jobs))
    headers = {"Authorization": "Bearer bench"}
    ledger = Ledger(folder / "ledger.db")
    async with (
        aiohttp.ClientSession(
            connector=unlimited(force_close=True), headers=headers, timeout=TIMEOUT
        ) as fresh,
        aiohttp.ClientSession(connector=unlimited(), headers=headers, timeout=TIMEOUT) as api,
        aiohttp.ClientSession(connector=unlimited()) as files,
        asyncio.TaskGroup() as group,
    ):

        async def one_after_another() -> None:
            for number in numbers:
                body = {"prompt": f"job {number}"}
                await ledger.record("INSERT INTO job (number) VALUES (?)", number)
                async with fresh.post(f"{base}/models/{MODEL}", json=body) as answer:
                    request = (await answer.json())["request_id"]
                await ledger.record("UPDATE job SET request = ? WHERE number = ?", request, number)
                async with api.get(f"{base}/requests/{request}/status") as answer:
                    await answer.json()
                async with api.get(f"{base}/requests/{request}/result") as answer:
                    url = (await answer.json())["output"]["image"]
                await ledger.record("UPDATE job SET url = ? WHERE number = ?", url, number)
                async with files.get(url) as answer:
                    content = await answer.read()
                path = folder / f"{number}.png"
                digest = await asyncio.to_thread(write_carefully, path, content)
                await ledger.record("UPDATE job SET sha256 = ? WHERE number = ?", digest, number)

        for number in range(concurrency):
            group.create_task(one_after_another(), name=f"worker {number}")


def unlimited(*, force_close: bool = False) -> aiohttp.TCPConnector:
    return aiohttp.TCPConnector(limit=0, force_close=force_close)


def write_manifest(path: Path, jobs: int, concurrency: int, output: Path) -> None:
    lines = [
        "version: 1",
        f"defaults: {{model: {MODEL}}}",
        f"run: {{concurrency: {concurrency}}}",
        f"output: {{dir: {json.dumps(str(output))}}}",
        "jobs:",
        *(f"  - {{id: job-{number}, input: {{prompt: job {number}}}}}" for number in range(jobs)),
    ]
    path.write_text("\n".join(lines) + "\n")


def measure(command: list[str], env: dict[str, str]) -> Measured:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)
    wall = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(wall, cpu)


def one_round(base: str, jobs: int, concurrency: int, folder: Path) -> Round:
    """In a folder that stays until the end: ext4 goes around what was deleted a moment ago."""
    env = {**os.environ, "RUNCOMFY_MODEL_API_BASE": base, "RUNCOMFY_TOKEN": "bench"}
    env["XDG_STATE_HOME"] = env["XDG_CACHE_HOME"] = str(folder)
    for name in ("bare", "careful"):
        (folder / name).mkdir(parents=True)
    manifest = folder / "bench.yaml"
    write_manifest(manifest, jobs, concurrency, folder / "ours")
    this = [sys.executable, "-m", "tests.benchmarks.throughput"]
    numbers = ["--jobs", str(jobs), "--concurrency", str(concurrency)]
    plain = [*this, "--plain", base, *numbers]
    bare = measure([*plain, "--folder", str(folder / "bare")], env)
    careful = measure([*plain, "--careful", "--folder", str(folder / "careful")], env)
    ours = measure([sys.executable, "-m", "batchgen", "run", str(manifest), "--quiet"], env)
    return Round(ours, bare, careful)


def report(rounds: list[Round], jobs: int) -> None:
    for name, of in (("batchgen", "ours"), ("bare loop", "bare"), ("careful loop", "careful")):
        runs = [getattr(one, of) for one in rounds]
        speed = median(jobs / run.wall for run in runs)
        cpu = median(1000 * run.cpu / jobs for run in runs)
        print(f"{name:12} {speed:7.0f} jobs/s   {cpu:6.2f} ms CPU a job")
    for of in ("bare", "careful"):
        cpu = median(one.ours.cpu / getattr(one, of).cpu for one in rounds)
        wall = median(one.ours.wall / getattr(one, of).wall for one in rounds)
        print(f"batchgen to the {of} loop: CPU {cpu:.2f}, wall {wall:.2f}")


@contextmanager
def serving(latency: float = 0) -> Iterator[str]:
    """Run an emulator as a process of its own; gives its base address."""
    command = [sys.executable, "-m", "tests.benchmarks.throughput", "--serve", str(latency)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def compare(jobs: int, concurrency: int, rounds: int) -> None:
    with serving() as base, tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        one_round(base, jobs // 10, concurrency, folder / "warm")
        rounds_made = (
            one_round(base, jobs, concurrency, folder / str(number)) for number in range(rounds)
        )
        report([*rounds_made], jobs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=3000)
    parser.add_argument("--concurrency", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--plain", help=argparse.SUPPRESS)
    parser.add_argument("--careful", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve is not None:
        asyncio.run(serve(asked.serve))
    elif asked.plain:
        loop = careful_loop if asked.careful else plain_loop
        run_loop(loop(asked.plain, asked.jobs, asked.concurrency, asked.folder))
    else:
        compare(asked.jobs, asked.concurrency, asked.rounds)


if __name__ == "__main__":
    main()
