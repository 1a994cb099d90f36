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
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

from batchgen.cluster.nodes import Nodes, first_line
from batchgen.errors import BatchgenError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

REMOVALS = 30
LONGEST_REASON = 300
OWN_NODE_DIED = "the node that batchgen is on has died"
WATCH_SECONDS = 2.0
CONNECT_SECONDS = 10.0
JOIN_SECONDS = 30.0
NODES_SECONDS = 60.0
"""For which work waits for a node that can do it, after the last one died."""
START_SECONDS = 120.0
"""A machine may be busy when a local cluster starts."""
OBJECT_STORE = 256 * 1024**2
"""Bytes of shared memory of a local cluster: only results that come inside an answer need it."""


@dataclass(frozen=True, slots=True)
class Opening:
    """The cluster to open. `cpus` and `folder`, for all that Ray writes, are a local one's.

    The nodes of any other are asked whether they see `shared`, which exist.
    """

    address: str
    cpus: int
    folder: str
    shared: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Opened:
    """What there is, now or from now on: CPUs, and the nodes that have some.

    `answers` are those of the nodes that were there first, each with its name; a text where one
    does no work.
    """

    cpus: float
    nodes: int
    answers: tuple[tuple[str, Any], ...] = ()


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
class Cancel:
    """End this work, and its worker with it."""

    number: int


@dataclass(frozen=True, slots=True)
class Done:
    """`payload` is what `processes.respond` returned, pickled."""

    number: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Lost:
    """The work's worker died; `with_node`: because its node did."""

    number: int
    with_node: bool
    reason: str


Request: TypeAlias = Work | Cancel
Response: TypeAlias = Done | Lost | Opened


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
        nodes = _opened(ray, opening, send)
        if nodes is not None:
            dispatcher = _Dispatcher(ray, send, nodes)
            threading.Thread(target=_watch, args=(ray, nodes, dispatcher), daemon=True).start()
            dispatcher.run(requests)
    finally:
        # Also if the parent was killed meanwhile: before the folder that Ray writes to is removed.
        ray.shutdown()


def _opened(ray: Any, opening: Opening, send: Callable[[Any], None]) -> Nodes | None:
    try:
        with _deadline(send, opening):
            _connect(ray, opening)
        nodes = Nodes(ray, opening.shared, is_local=bool(opening.folder))
        answers = nodes.admit_new()
    except Exception as exc:  # noqa: BLE001 - whatever Ray raises, it is the reason
        send(Refused(_one_line(exc)))
        return None
    send(Opened(*nodes.size(), answers))
    return nodes


def remove_if_there(folder: str) -> None:
    """Ray's processes may write their logs a moment longer."""
    for _ in range(REMOVALS):
        shutil.rmtree(folder, ignore_errors=True)
        if not Path(folder).exists():
            return
        time.sleep(0.1)


@contextmanager
def _deadline(send: Callable[[Any], None], opening: Opening) -> Iterator[None]:
    """Ray itself waits for minutes for what is not a cluster, and cannot be interrupted."""
    seconds = START_SECONDS if opening.folder else JOIN_SECONDS

    def end() -> None:
        send(Refused(f"it does not answer as Ray does within {seconds:.0f} s"))
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


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


def _watch(ray: Any, nodes: Nodes, dispatcher: _Dispatcher) -> None:
    """Ask the nodes that join. End with our own node, and after the last one that gets work.

    Without either, Ray's driver waits for ever.
    """
    own = ray.get_runtime_context().get_node_id()
    while own in nodes.alive():
        # A disk that is full now may have room when the nodes are asked again.
        with suppress(BatchgenError):
            nodes.admit_new()
        dispatcher.nodes_changed()
        if dispatcher.waits_in_vain(time.monotonic()):
            _give_up(f"no node that can do the work for {NODES_SECONDS:.0f} s")
        time.sleep(WATCH_SECONDS)
    _give_up(OWN_NODE_DIED)


def _give_up(reason: str) -> None:
    sys.stderr.write(f"{reason}\n")
    sys.stderr.flush()
    os._exit(1)


def _send(responses: BinaryIO, lock: threading.Lock, message: Any) -> None:
    with lock:
        pickle.dump(message, responses)
        responses.flush()


def _one_line(exc: BaseException) -> str:
    """Return the first line; with those that it announces, as where versions differ."""
    first = first_line(exc)
    return " ".join(str(exc).split())[:LONGEST_REASON] if first.endswith(":") else first


@dataclass(frozen=True, slots=True)
class _Running:
    """`ref` is Ray's; None while the work waits here for a node that can do it."""

    work: Work
    ref: Any
    nodes: frozenset[str]


class _Dispatcher:
    """Turns requests into Ray's tasks, and their ends into responses."""

    def __init__(self, ray: Any, send: Callable[[Any], None], nodes: Nodes) -> None:
        self._ray = ray
        self._send = send
        self._nodes = nodes
        self._admitted = nodes.admitted()
        self._running: dict[int, _Running] = {}
        # When work was last seen to wait for no node.
        self._unhindered: float | None = None
        # Of a thread: a task that has ended already calls back at once.
        self._starting = threading.RLock()
        # No retries by Ray: batchgen has to know of each, since a node that is cut off may go on
        # working on the first try.
        self._perform = ray.remote(max_retries=0)(_by_value_perform())

    def run(self, requests: BinaryIO) -> None:
        with suppress(EOFError, pickle.UnpicklingError):
            while True:
                request = pickle.load(requests)  # noqa: S301 - from our own parent
                if isinstance(request, Work):
                    with self._starting:
                        self._start(request)
                else:
                    self._cancel(request.number)

    def nodes_changed(self) -> None:
        """Take up nodes that joined; what waits for nodes that are all dead goes to others."""
        now = self._nodes.admitted()
        if now == self._admitted or not now:
            return
        with self._starting:
            self._admitted = now
            for running in list(self._running.values()):
                if not running.nodes & now:
                    self._start(running.work)
                    self._end(running)
        self._send(Opened(*self._nodes.size()))

    def waits_in_vain(self, now: float) -> bool:
        """Whether work has had no node for NODES_SECONDS; `now` in seconds of any one clock."""
        if self._unhindered is None or not self._running or self._nodes.admitted():
            self._unhindered = now
        return now - self._unhindered >= NODES_SECONDS

    def _start(self, work: Work) -> None:
        options = self._nodes.selector(self._admitted)
        ref = self._perform.options(num_cpus=work.cpus, **options).remote(work.payload)
        self._running[work.number] = _Running(work, ref, self._admitted)
        ref.future().add_done_callback(partial(self._ended, work.number, ref))

    def _cancel(self, number: int) -> None:
        with self._starting:
            running = self._running.get(number)
            if running is not None and running.ref is None:
                del self._running[number]
                self._send(Lost(number, with_node=False, reason="it was cancelled"))
            elif running is not None:
                self._end(running)

    def _end(self, running: _Running) -> None:
        if running.ref is not None:
            self._ray.cancel(running.ref, force=True)

    def _ended(self, number: int, ref: Any, future: Future[bytes]) -> None:
        error = future.exception()
        with self._starting:
            running = self._running.get(number)
            if running is None or running.ref != ref:
                return  # it was started anew
            if isinstance(error, self._ray.exceptions.TaskUnschedulableError):
                # Its nodes are dead. It never began, and must not be blamed for a worker.
                self._running[number] = _Running(running.work, None, running.nodes)
                return
            del self._running[number]
        if error is None:
            self._send(Done(number, future.result()))
            return
        errors = self._ray.exceptions
        if isinstance(error, errors.LocalRayletDiedError):
            _give_up(OWN_NODE_DIED)
        with_node = isinstance(error, (errors.NodeDiedError, errors.ObjectLostError))
        self._send(Lost(number, with_node, f"{type(error).__name__}: {first_line(error)}"))


def _by_value_perform() -> Callable[[bytes], bytes]:
    """Return a function that Ray sends by value: a node may lack batchgen, and says so."""

    def perform(payload: bytes) -> bytes:
        import pickle  # noqa: PLC0415 - in the worker

        from batchgen.processes import respond  # noqa: PLC0415 - in the worker

        return pickle.dumps(respond(*pickle.loads(payload)))  # noqa: S301 - our own

    return perform
