"""A Ray cluster of several nodes, all on this machine, in a process that obeys.

The tests themselves import no Ray: it would be in every process that they fork.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

MEMORY = 80 * 1024**2
SECONDS_TO_END = 20.0


@dataclass(frozen=True)
class Nodes:
    """`env` is what a program needs to join; `address` what `--ray` takes."""

    process: subprocess.Popen[str]
    env: Mapping[str, str]
    address: str

    def add(self, cpus: int = 1) -> int:
        """Returns the node's number, which counts from 1; the head has 0."""
        return int(self._ask(["add", cpus]))

    def kill(self, number: int) -> None:
        """At once, as if its power were cut; with the head, the cluster is lost."""
        self._ask(["kill", number])

    def _ask(self, order: list[object]) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{json.dumps(order)}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


@contextmanager
def nodes(head_cpus: int) -> Iterator[Nodes]:
    env = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_idle_worker_killing_time_threshold_ms": "3600000",
        "RAY_gcs_rpc_server_reconnect_timeout_s": "5",
    }
    paths = os.pathsep.join(filter(None, sys.path))
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    process = subprocess.Popen(
        [sys.executable, "-c", f"from {__name__} import serve; serve({head_cpus})"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        # Where Ray writes, also the address of what it takes for the cluster of this machine.
        env={**os.environ, **env, "RAY_TMPDIR": folder, "PYTHONPATH": paths},
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        yield Nodes(process, env, process.stdout.readline().strip())
    finally:
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=SECONDS_TO_END)
        # It leads the group of Ray's processes; on a busy machine, some are slow to end.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def serve(head_cpus: int) -> None:
    """The process: reads orders until its input ends."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from ray.cluster_utils import Cluster  # noqa: PLC0415 - only here

    usual: dict[str, Any] = {"include_dashboard": False, "object_store_memory": MEMORY}
    head = {**usual, "num_cpus": head_cpus}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    members = [cluster.head_node]
    print(cluster.address, file=out, flush=True)
    for line in sys.stdin:
        what, number = json.loads(line)
        if what == "add":
            members.append(cluster.add_node(num_cpus=number, **usual))
            print(len(members) - 1, file=out, flush=True)
        else:
            cluster.remove_node(members[number], allow_graceful=False)
            print("killed", file=out, flush=True)
    cluster.shutdown()  # type: ignore[no-untyped-call]
