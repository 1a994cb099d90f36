"""A run on a cluster of several nodes whose nodes die, and then its head.

    python -m tests.cluster [--results 500] [--cpus 1]

The cluster is Ray's own for tests: a head that does no work, and three nodes, all on this machine.
A node is killed in the middle of the run, twice, and another one joins; then the head is killed.
The run pauses, unless its workers are done before the loss shows: ask for more results then. The
same command on a new cluster, at another address, ends it. Exit code 1 if a job
was charged twice or not at all, if a file's bytes are not those that the vendor serves, or if
anything else is left below the files.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import closing
from pathlib import Path

from batchgen.state.database import open_for_reading
from batchgen.state.files import results_after
from batchgen.state.selection import Selection
from tests.cluster.nodes import Nodes, nodes
from tests.shell import Emulator, Shell, emulating

KILLED_AT = (0.15, 0.3, 0.4)
"""Shares of the files, at which two nodes and then the head are killed."""
PAUSED = 69


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    parser.add_argument("--results", type=int, default=500)
    parser.add_argument("--cpus", type=int, default=1, help="of each node")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, emulating(latency=0.1) as emulator:
        shell = Shell(Path(place), fresh=True).using(emulator)
        shell.manifest(asked.results, run={"concurrency": 50})
        first = broken_off(shell, asked.results, asked.cpus)
        with nodes(asked.cpus) as second:
            began = time.monotonic()
            with started(shell, second) as process:
                out, err = process.communicate()
            print(f"the same command: exit code {process.returncode}, {since(began)}\n{out}{err}")
        problems = [*complaints(shell, emulator, asked.results), *first]
    print("\n".join(problems) or f"{asked.results} results: each charged once, whole and alone")
    return 1 if problems else 0


def broken_off(shell: Shell, results: int, cpus: int) -> list[str]:
    """Returns what is wrong with how the run ended."""
    with nodes(0) as cluster:
        workers = [cluster.add(cpus) for _ in range(3)]
        began = time.monotonic()
        with started(shell, cluster) as process:
            for number, share in enumerate(KILLED_AT):
                wait_for_files(shell, process, int(share * results))
                killed = 0 if number == 2 else workers[number]
                cluster.kill(killed)
                print(f"{since(began)}: {count(shell)} files; node {killed} killed", flush=True)
                if number == 0:
                    cluster.add(cpus)
            out, err = process.communicate()
        print(f"exit code {process.returncode}, {since(began)}\n{out}{err}", flush=True)
    # Workers go on for some seconds after the death of their head: enough for all, perhaps.
    is_whole = process.returncode == 0 and count(shell) == results
    fits = process.returncode == PAUSED or is_whole
    return [] if fits else [f"it ended with {process.returncode}"]


def started(shell: Shell, cluster: Nodes) -> subprocess.Popen[str]:
    return shell.having(**cluster.env).start("run", "m.yaml", f"--ray={cluster.address}")


def wait_for_files(shell: Shell, process: subprocess.Popen[str], wanted: int) -> None:
    while count(shell) < wanted:
        if process.poll() is not None:
            sys.exit(f"the run ended too early:\n{process.communicate()}")
        time.sleep(0.05)


def count(shell: Shell) -> int:
    folder = shell.folder / "out/files"
    return sum(one.suffix == ".png" for one in folder.iterdir()) if folder.is_dir() else 0


def complaints(shell: Shell, emulator: Emulator, results: int) -> list[str]:
    found = []
    charges = emulator.charges()
    if len(charges) != results:
        found.append(f"{len(charges)} charges for {results} jobs")
    with closing(open_for_reading(shell.folder / "out/state.db", "")) as db:
        files = results_after(db, Selection(), 0, results + 1)
    for file in files:
        path = shell.folder / "out" / file.path
        with urllib.request.urlopen(file.url) as answer:
            served = answer.read()
        if path.read_bytes() != served or hashlib.sha256(served).hexdigest() != file.sha256:
            found.append(f"{file.path} has other bytes than are served")
    expected = sorted(Path(file.path).name for file in files)
    if shell.files() != expected or len(expected) != results:
        found.append(f"{len(shell.files())} files, {len(expected)} in the state")
    return found


def since(began: float) -> str:
    return f"{time.monotonic() - began:.1f} s"


if __name__ == "__main__":
    sys.exit(main())
