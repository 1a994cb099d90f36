"""Peak memory of a run by its size: it should not grow with the number of jobs.

    python -m tests.benchmarks.memory [--sizes 10 1000 10000]

Each size is a fresh process against one emulator; the figure is the kernel's peak resident size.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.throughput import serving, write_manifest

CONCURRENCY = 64


def peak_mib(base: str, jobs: int) -> float:
    """The peak resident size of one run, in MiB."""
    env = {**os.environ, "RUNCOMFY_MODEL_API_BASE": base, "RUNCOMFY_TOKEN": "bench"}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        env["XDG_STATE_HOME"] = env["XDG_CACHE_HOME"] = scratch
        manifest = folder / "bench.yaml"
        write_manifest(manifest, jobs, CONCURRENCY, folder / "ours")
        command = [sys.executable, "-m", "batchgen", "run", str(manifest), "--quiet"]
        with subprocess.Popen(command, env=env) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"the run of {jobs} jobs ended with {process.returncode}")
    return usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 1000, 10_000])
    sizes = parser.parse_args().sizes
    with serving() as base:
        peaks = {jobs: peak_mib(base, jobs) for jobs in sizes}
    smallest = peaks[min(sizes)]
    for jobs, peak in peaks.items():
        print(f"{jobs:8} jobs   {peak:6.1f} MiB   {peak / smallest:.2f} times the smallest")


if __name__ == "__main__":
    main()
