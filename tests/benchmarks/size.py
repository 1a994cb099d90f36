"""What size costs: seconds and memory of each command, for few jobs and for very many.

    python -m tests.benchmarks.size [--rows 1000000] [--yaml 100000] [--small 10000]

Rows are JSON Lines with an id, a prompt and a number for templates; YAML jobs are written out. Each
command is a process of its own; CPU is user and system together, memory its peak resident size.
Of a run the seconds to its first submit are told. It needs about 2 KiB of disk a row.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from batchgen.errors import MissingFileError, SchemaVersionError
from batchgen.state.database import reading
from batchgen.state.meta import Meta, get_meta

BYTES_A_ROW = 2048
LOOK_EVERY = 0.02
NEVER = threading.Event()
REHEARSAL = ("--emulator", "--latency", "3600", "--quiet")
HEADER = """version: 1
defaults: {model: bytedance/dreamina-4-0/text-to-image, input: {size: 1024x1024}}
run: {concurrency: 8, full_check: %s}
output: {dir: %s}
jobs:
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """One process: seconds on the wall, of CPU, and to its first submit; MiB at its peak."""

    wall: float
    cpu: float
    mib: float
    to_submit: float | None = None


class Process:
    """A command at work in a folder."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.words = words
        self._began = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "batchgen", *words], cwd=folder, stdout=subprocess.DEVNULL
        )

    @property
    def age(self) -> float:
        return time.monotonic() - self._began

    def wait(self, *expected: int, to_submit: float | None = None) -> Cost:
        _, status, usage = os.wait4(self._process.pid, 0)
        code = self._process.returncode = os.waitstatus_to_exitcode(status)
        if code not in expected:
            raise SystemExit(f"batchgen {' '.join(self.words)} ended with {code}")
        cpu = usage.ru_utime + usage.ru_stime
        return Cost(self.age, cpu, usage.ru_maxrss / 1024, to_submit)

    def until(self, condition: Callable[[], bool]) -> float:
        """Seconds from its start until something that nothing announces to this process."""
        while not condition():
            if os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                raise SystemExit(f"batchgen {' '.join(self.words)} ended too early")
            NEVER.wait(LOOK_EVERY)
        return self.age

    def leave_at_once(self) -> None:
        """The first signal lets downloads end, the second does not; two at once would be one.

        Not `send_signal`: it would reap a process that has ended, whose memory is still asked.
        """
        os.kill(self._process.pid, signal.SIGTERM)
        NEVER.wait(0.5)
        os.kill(self._process.pid, signal.SIGTERM)


def write_rows(folder: Path, name: str, count: int, full_check: str) -> str:
    data = folder / f"{count}.jsonl"
    if not data.exists():
        with data.open("w", encoding="utf-8") as file:
            for number in range(count):
                row = {"sku": f"{number:07}", "prompt": f"A harbour, boat number {number}"}
                file.write(json.dumps({**row, "scale": 0.1 * (number % 10)}) + "\n")
    item = {
        "id": "poster-{{ sku }}",
        "from": data.name,
        "input": {"prompt": "{{ prompt }}, watercolour", "scale": "{{ scale }}"},
    }
    (folder / name).write_text(HEADER % (full_check, f"out-{name}") + f"  - {json.dumps(item)}\n")
    return name


def write_out(folder: Path, name: str, count: int) -> str:
    with (folder / name).open("w", encoding="utf-8") as file:
        file.write(HEADER % ("auto", f"out-{name}"))
        for number in range(count):
            file.write(f"  - id: poster-{number:07}\n    input:\n")
            file.write(f"      prompt: A harbour, boat number {number}\n      scale: 0.5\n")
    return name


class Table:
    """Prints each cost as it is known, and remembers the memory."""

    def __init__(self) -> None:
        self._mib: dict[tuple[str, int], float] = {}
        print("command                     jobs     wall s   CPU s     MiB   to first submit")

    def add(self, what: str, jobs: int, cost: Cost) -> None:
        self._mib[what, jobs] = cost.mib
        submit = "" if cost.to_submit is None else f"{cost.to_submit:11.2f} s"
        print(
            f"{what:22} {jobs:9} {cost.wall:10.2f} {cost.cpu:7.2f} {cost.mib:7.1f} {submit}",
            flush=True,
        )

    def ratios(self, small: int) -> None:
        for (what, jobs), mib in self._mib.items():
            few = self._mib.get((what, small))
            if few is not None and jobs != small:
                print(f"{what:22} memory of {jobs} jobs: {mib / few:.2f} times that of {small}")


def has_moved(log: Path) -> Callable[[], bool]:
    """Whether a job was moved since now: a submit, or news of one that is followed."""
    before = log.stat().st_size if log.exists() else 0

    def look() -> bool:
        if not log.exists():
            return False
        with log.open("rb") as file:
            file.seek(before)
            return b'"JobMoved"' in file.read()

    return look


def is_taken_up(state: Path) -> bool:
    """Whether the last row is in the state."""
    try:
        with reading(state) as db:
            return bool(get_meta(db, Meta.INPUTS))
    except (MissingFileError, SchemaVersionError):
        return False


def run_begun(folder: Path, name: str, *options: str) -> Cost:
    """Run until the first submit and until every row is in the state; then leave at once."""
    out = folder / f"out-{name}"
    moved = has_moved(out / "run.log")
    process = Process(folder, "run", name, *REHEARSAL, *options)
    to_submit = process.until(moved)
    process.until(lambda: is_taken_up(out / "state.db"))
    process.leave_at_once()
    # The second signal may come when nobody waits for signals any more.
    return process.wait(128 + signal.SIGTERM, -signal.SIGTERM, to_submit=to_submit)


def checks(table: Table, folder: Path, kind: str, name: str, jobs: int) -> None:
    table.add(f"validate, {kind}", jobs, Process(folder, "validate", name).wait(0))
    table.add(f"plan, {kind}", jobs, Process(folder, "plan", name, "--offline").wait(0))


def runs(table: Table, folder: Path, jobs: int) -> None:
    """A first run, what is asked of its state, and the run that goes on with it."""
    name = write_rows(folder, f"early-{jobs}.yaml", jobs, "auto")
    table.add("run, all rows", jobs, run_begun(folder, name))
    table.add("status", jobs, Process(folder, "status", name).wait(0))
    table.add("status --json", jobs, Process(folder, "status", name, "--json").wait(0))
    # Requests of before hold eight places: with more there is something to submit.
    table.add("run, resumed", jobs, run_begun(folder, name, "--concurrency", "16"))
    table.add("plan of a state", jobs, Process(folder, "plan", name, "--offline").wait(0))
    shutil.rmtree(folder / f"out-{name}")
    name = write_rows(folder, f"whole-{jobs}.yaml", jobs, "always")
    table.add("run, full_check", jobs, run_begun(folder, name))
    shutil.rmtree(folder / f"out-{name}")


def measure(folder: Path, rows: int, written: int, small: int) -> None:
    table = Table()
    for jobs in (small, rows):
        name = write_rows(folder, f"rows-{jobs}.yaml", jobs, "auto")
        checks(table, folder, "rows", name, jobs)
    for jobs in (small, written):
        checks(table, folder, "YAML", write_out(folder, f"yaml-{jobs}.yaml", jobs), jobs)
    for jobs in (small, rows):
        runs(table, folder, jobs)
    table.ratios(small)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--yaml", type=int, default=100_000)
    parser.add_argument("--small", type=int, default=10_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if shutil.disk_usage(scratch).free < BYTES_A_ROW * asked.rows:
            raise SystemExit(f"{scratch} has too little room: set TMPDIR to a larger disk")
        measure(Path(scratch), asked.rows, asked.yaml, asked.small)


if __name__ == "__main__":
    main()
