"""Results into a bucket against results into a folder: files a second, CPU and memory of a run.

    python -m tests.benchmarks.bucket [--jobs 600] [--megabytes 0.5] [--rounds 3] [--large 48]

The bucket is a server of its own process on loopback that answers like S3 and keeps nothing; each
of its answers takes `--latency` seconds. Runs alternate between the folder and the bucket. Then 32
places store large files into it, which should take no more memory the more there are.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from aiohttp import web

from batchgen.downloads.outcomes import Fetched, VerifiedFile
from batchgen.downloads.storing import Storing
from batchgen.emulator import EmulatorSettings, running_emulator
from batchgen.storage.locations import BucketLocation
from batchgen.storage.results import open_bucket

MODEL = "bytedance/dreamina-4-0/text-to-image"
CONCURRENCY = 64
MIB = 1024 * 1024
SETTINGS = {
    "AWS_ACCESS_KEY_ID": "bench",
    "AWS_SECRET_ACCESS_KEY": "bench",
    "AWS_REGION": "eu-west-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def fake_s3(latency: float) -> web.Application:
    kept: dict[str, int] = {}

    async def put(request: web.Request) -> web.Response:
        size = 0
        async for block in request.content.iter_chunked(MIB):
            size += len(block)
        await asyncio.sleep(latency)
        if "If-None-Match" in request.headers and request.path in kept:
            return web.Response(status=412)
        kept[request.path] = size
        return web.Response(headers={"ETag": '"1"'})

    async def post(request: web.Request) -> web.Response:
        await request.read()
        await asyncio.sleep(latency)
        if "uploads" in request.query:
            return _xml("InitiateMultipartUploadResult", "<UploadId>1</UploadId>")
        return _xml("CompleteMultipartUploadResult", '<ETag>"1"</ETag>')

    async def get(request: web.Request) -> web.Response:
        await asyncio.sleep(latency)
        if "list-type" in request.query:
            return _xml("ListBucketResult", "<IsTruncated>false</IsTruncated>")
        return web.Response(status=404)

    app = web.Application(client_max_size=64 * MIB)
    app.router.add_put("/{path:.*}", put)
    app.router.add_post("/{path:.*}", post)
    app.router.add_get("/{path:.*}", get)
    return app


def _xml(kind: str, content: str) -> web.Response:
    return web.Response(text=f"<{kind}>{content}</{kind}>", content_type="application/xml")


async def serve(size: int, latency: float) -> None:
    runner = web.AppRunner(fake_s3(latency))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    settings = EmulatorSettings(latency=0, workers=CONCURRENCY * 2, media_bytes=size)
    async with running_emulator(settings) as emulator:
        print(emulator.base_url, f"http://127.0.0.1:{port}", flush=True)
        await asyncio.Event().wait()


@contextmanager
def serving(size: int, latency: float) -> Iterator[list[str]]:
    """Give the addresses of an emulator and of a bucket."""
    this = [sys.executable, "-m", "tests.benchmarks.bucket", "--serve", str(size), str(latency)]
    with subprocess.Popen(this, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().split()
        finally:
            server.terminate()


@dataclass(frozen=True, slots=True)
class Measured:
    """Files a second, milliseconds of CPU a file, peak MiB in memory."""

    speed: float
    cpu: float
    peak: float


def run(manifest: Path, jobs: int, output: dict[str, str], env: dict[str, str]) -> Measured:
    manifest.write_text(
        json.dumps(
            {
                "version": 1,
                "defaults": {"model": MODEL},
                "run": {"concurrency": CONCURRENCY},
                "output": output,
                "jobs": [{"id": f"job-{n}", "input": {"prompt": f"job {n}"}} for n in range(jobs)],
            }
        )
    )
    started = time.monotonic()
    command = [sys.executable, "-m", "batchgen", "run", str(manifest), "--quiet"]
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the run ended with {process.returncode}")
    cpu = 1000 * (usage.ru_utime + usage.ru_stime) / jobs
    return Measured(jobs / (time.monotonic() - started), cpu, usage.ru_maxrss / 1024)


def compare(jobs: int, size: int, latency: float, rounds: int) -> None:
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, {jobs} files of {size} bytes")
    ways: dict[str, list[Measured]] = {"folder": [], "bucket": []}
    with serving(size, latency) as (base, endpoint), tempfile.TemporaryDirectory() as scratch:
        env = {**os.environ, **SETTINGS, "AWS_ENDPOINT_URL": endpoint}
        env |= {"RUNCOMFY_MODEL_API_BASE": base, "RUNCOMFY_TOKEN": "bench"}
        env["XDG_STATE_HOME"] = env["XDG_CACHE_HOME"] = scratch
        for number in range(rounds):
            place = Path(scratch) / str(number)
            place.mkdir()
            bucket = {"dir": f"s3://bench/{number}", "state": str(place / "state")}
            for name, output in (("folder", {"dir": str(place / "out")}), ("bucket", bucket)):
                ways[name].append(run(place / f"{name}.yaml", jobs, output, env))
    for name, runs in ways.items():
        speed, cpu = median(one.speed for one in runs), median(one.cpu for one in runs)
        peak = max(one.peak for one in runs)
        print(f"{name:8} {speed:6.1f} files/s   {cpu:6.2f} ms CPU a file   {peak:6.1f} MiB")
    ratios = [b.speed / f.speed for f, b in zip(ways["folder"], ways["bucket"], strict=True)]
    print(f"bucket to folder: {median(ratios):.2f}")


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def store_large(count: int, size: int, endpoint: str) -> None:
    os.environ |= {**SETTINGS, "AWS_ENDPOINT_URL": endpoint}
    bucket = BucketLocation("s3://bench/large")
    list(open_bucket(bucket).names())
    before, started = peak_mib(), time.monotonic()
    with tempfile.TemporaryDirectory() as scratch, closing(Storing()) as storing:
        part = Path(scratch) / "large.part"
        part.write_bytes(b"")
        os.truncate(part, size)

        async def store(number: int) -> None:
            file = VerifiedFile(f"files/{number}.mp4", size, "", "video/mp4", 1, 1, 1.0, 1)
            await storing.store(Fetched(file), part, bucket, f"request-{number}")

        await asyncio.gather(*(store(number) for number in range(count)))
    speed = count * size / (time.monotonic() - started) / 1e6
    more = peak_mib() - before
    print(f"{count} files of {size / 1e6:.0f} MB: {speed:.0f} MB/s, {more:.0f} MiB of memory more")


def large(count: int, latency: float) -> None:
    with serving(1, latency) as (_, endpoint):
        asyncio.run(store_large(count, 100 * MIB, endpoint))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=600)
    parser.add_argument("--megabytes", type=float, default=0.5)
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--large", type=int, default=48)
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        asyncio.run(serve(int(asked.serve[0]), float(asked.serve[1])))
    else:
        compare(asked.jobs, int(asked.megabytes * MIB), asked.latency, asked.rounds)
        # Afterwards: a process inherits the peak of the one that starts it.
        large(asked.large, asked.latency)


if __name__ == "__main__":
    main()
