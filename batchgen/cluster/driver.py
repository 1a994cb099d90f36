"""The process that imports Ray and hands work to the workers of a cluster.

A process of its own, for three reasons. Ray's daemons and workers inherit its environment, which
has no token. Ray ends its driver's process when the head of a cluster is lost, and a run that is
paid for must end in order. And a cluster that was started for a command ends with it, however the
command ends: this process reads the end of its input.

It passes work and results on as bytes, and never looks into them.
"""

from __future__ import annotations

import os
import pickle
import shutil
import socket
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

REMOVALS = 30
WATCH_SECONDS = 2.0
CONNECT_SECONDS = 10.0
OBJECT_STORE = 256 * 1024**2
"""Bytes of shared memory of a local cluster: only results that come inside an answer need it."""


@dataclass(frozen=True, slots=True)
class Opening:
    """The cluster to open. `cpus` and `folder`, for all that Ray writes, are a local one's."""

    address: str
    cpus: int
    folder: str


@dataclass(frozen=True, slots=True)
class Opened:
    """What there is: CPUs, and the nodes that have some."""

    cpus: float
    nodes: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The cluster cannot be used; `reason` is Ray's own."""

    reason: str


@dataclass(frozen=True, slots=True)
class Work:
    """`payload` is a pickled function and its argument; it takes `cpus` of one node."""

    number: int
    payload: bytes
    cpus: float


@dataclass(frozen=True, slots=True)
class AskNodes:
    """Ask each node about itself, and which of `paths` it does not see."""

    number: int
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cancel:
    """End this work, and its worker with it."""

    number: int


@dataclass(frozen=True, slots=True)
class Done:
    """`payload` is what `processes.respond` returned, pickled; or the answers of the nodes."""

    number: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Lost:
    """The work's worker died; `with_node`: because its node did."""

    number: int
    with_node: bool
    reason: str


Request: TypeAlias = Work | AskNodes | Cancel
Response: TypeAlias = Done | Lost


def serve() -> None:
    """The life of the process: open the cluster, pass work on until the input ends."""
    responses = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what Ray prints must not mix with the responses
    requests = sys.stdin.buffer
    opening: Opening = pickle.load(requests)  # noqa: S301 - from our own parent
    try:
        _serve(opening, requests, responses)
    finally:
        if opening.folder:
            # Here, since the parent may have been killed.
            remove_if_there(opening.folder)


def _serve(opening: Opening, requests: BinaryIO, responses: BinaryIO) -> None:
    send = partial(_send, responses, threading.Lock())
    try:
        import ray  # noqa: PLC0415 - nobody else may import it
    except ImportError:
        send(Refused(""))
        return
    try:
        _connect(ray, opening)
        send(_facts(ray))
    except Exception as exc:  # noqa: BLE001 - whatever Ray raises, it is the reason
        send(Refused(_first_line(exc)))
        return
    threading.Thread(target=_watch_own_node, args=(ray,), daemon=True).start()
    try:
        _Dispatcher(ray, send).run(requests)
    finally:
        ray.shutdown()


def remove_if_there(folder: str) -> None:
    """Ray's processes may write their logs a moment longer."""
    for _ in range(REMOVALS):
        shutil.rmtree(folder, ignore_errors=True)
        if not Path(folder).exists():
            return
        time.sleep(0.1)


def _connect(ray: Any, opening: Opening) -> None:
    quiet = {"log_to_driver": False, "configure_logging": False}
    if not opening.folder:
        # Ray itself would try for minutes.
        host, _, port = opening.address.rpartition(":")
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
        ray.init(address=opening.address, **quiet)
        return
    ray.init(
        address=opening.address,
        num_cpus=opening.cpus,
        num_gpus=0,
        include_dashboard=False,
        object_store_memory=OBJECT_STORE,
        _node_ip_address="127.0.0.1",
        _temp_dir=opening.folder,
        **quiet,
    )


def _facts(ray: Any) -> Opened:
    usable = _usable_nodes(ray)
    return Opened(sum(node["Resources"]["CPU"] for node in usable), len(usable))


def _usable_nodes(ray: Any) -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0)]


def _watch_own_node(ray: Any) -> None:
    """Ray's driver goes on for ever when the node that it is on has died."""
    own = ray.get_runtime_context().get_node_id()
    while any(node["NodeID"] == own and node["Alive"] for node in ray.nodes()):
        time.sleep(WATCH_SECONDS)
    _give_up()


def _give_up() -> None:
    sys.stderr.write("the node that batchgen is on has died\n")
    sys.stderr.flush()
    os._exit(1)


def _send(responses: BinaryIO, lock: threading.Lock, message: Any) -> None:
    with lock:
        pickle.dump(message, responses)
        responses.flush()


def _first_line(exc: BaseException) -> str:
    lines = (line.strip() for line in str(exc).splitlines())
    return next((line for line in lines if line), type(exc).__name__)


class _Dispatcher:
    """Turns requests into Ray's tasks, and their ends into responses."""

    def __init__(self, ray: Any, send: Callable[[Any], None]) -> None:
        self._ray = ray
        self._send = send
        self._running: dict[int, Any] = {}
        # No retries by Ray: batchgen has to know of each, since a node that is cut off may go on
        # working on the first try.
        self._perform = ray.remote(max_retries=0)(_by_value_perform())
        self._ask = ray.remote(max_retries=1)(_by_value_ask())

    def run(self, requests: BinaryIO) -> None:
        with suppress(EOFError, pickle.UnpicklingError):
            while True:
                request = pickle.load(requests)  # noqa: S301 - from our own parent
                if isinstance(request, Work):
                    self._start(request)
                elif isinstance(request, AskNodes):
                    threading.Thread(target=self._ask_nodes, args=(request,), daemon=True).start()
                elif ref := self._running.get(request.number):
                    self._ray.cancel(ref, force=True)

    def _start(self, work: Work) -> None:
        ref = self._perform.options(num_cpus=work.cpus).remote(work.payload)
        self._running[work.number] = ref
        ref.future().add_done_callback(partial(self._ended, work.number))

    def _ended(self, number: int, future: Future[bytes]) -> None:
        self._running.pop(number, None)
        error = future.exception()
        if error is None:
            self._send(Done(number, future.result()))
            return
        errors = self._ray.exceptions
        if isinstance(error, errors.LocalRayletDiedError):
            _give_up()
        with_node = isinstance(error, (errors.NodeDiedError, errors.ObjectLostError))
        self._send(Lost(number, with_node, f"{type(error).__name__}: {_first_line(error)}"))

    def _ask_nodes(self, request: AskNodes) -> None:
        from ray.util.scheduling_strategies import (  # noqa: PLC0415 - nobody else may import Ray
            NodeAffinitySchedulingStrategy,
        )

        asked = {
            node["NodeID"]: self._ask.options(
                num_cpus=0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
            ).remote(request.paths)
            for node in _usable_nodes(self._ray)
        }
        answers = []
        for node in _usable_nodes(self._ray):
            ref = asked.get(node["NodeID"])
            if ref is None:
                continue
            name = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
            try:
                answers.append((name, self._ray.get(ref)))
            except Exception as exc:  # noqa: BLE001 - a node that dies is left out of the work
                answers.append((name, _first_line(exc)))
        self._send(Done(request.number, pickle.dumps((answers, None))))


def _by_value_perform() -> Callable[[bytes], bytes]:
    """Return a function that Ray sends by value: a node may lack batchgen, and says so."""

    def perform(payload: bytes) -> bytes:
        import pickle  # noqa: PLC0415 - in the worker

        from batchgen.processes import respond  # noqa: PLC0415 - in the worker

        return pickle.dumps(respond(*pickle.loads(payload)))  # noqa: S301 - our own

    return perform


def _by_value_ask() -> Callable[[tuple[str, ...]], dict[str, Any]]:
    def ask(paths: tuple[str, ...]) -> dict[str, Any]:
        import sys  # noqa: PLC0415 - in the worker
        from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - as above
        from pathlib import Path  # noqa: PLC0415 - as above

        try:
            installed = version("batchgen")
        except PackageNotFoundError:
            installed = ""
        return {
            "batchgen": installed,
            "python": f"{sys.version_info.major}.{sys.version_info.minor}",
            "missing": [path for path in paths if not Path(path).exists()],
        }

    return ask
