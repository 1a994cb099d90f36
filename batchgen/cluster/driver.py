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

from batchgen.cluster.nodes import marked, refusal
from batchgen.errors import BatchgenError

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

REMOVALS = 30
WATCH_SECONDS = 2.0
CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 60.0
"""For which a node may start its first worker."""
NODE_LABEL = "ray.io/node-id"
"""Ray gives it to each node itself."""
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
        _connect(ray, opening)
        nodes = _Nodes(ray, opening)
        answers = nodes.admit_new()
        send(nodes.facts(answers))
    except Exception as exc:  # noqa: BLE001 - whatever Ray raises, it is the reason
        send(Refused(_first_line(exc)))
        return
    dispatcher = _Dispatcher(ray, send, nodes)
    threading.Thread(target=_watch, args=(ray, nodes, dispatcher), daemon=True).start()
    try:
        dispatcher.run(requests)
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


def _watch(ray: Any, nodes: _Nodes, dispatcher: _Dispatcher) -> None:
    """Ask the nodes that join; and end with our own, without which Ray's driver waits for ever."""
    own = ray.get_runtime_context().get_node_id()
    while own in nodes.alive():
        # A disk that is full now may have room when the nodes are asked again.
        with suppress(BatchgenError):
            nodes.admit_new()
        dispatcher.nodes_changed()
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


class _Nodes:
    """The nodes that get work: those that were asked, and can do it."""

    def __init__(self, ray: Any, opening: Opening) -> None:
        self._ray = ray
        # A local cluster has one node, which is this machine.
        self._asks = not opening.folder
        self._shared = [Path(one) for one in opening.shared]
        self._ask = ray.remote(max_retries=1, num_cpus=0)(_by_value_ask())
        self._asked: set[str] = set()
        self._admitted: set[str] = set()

    def alive(self) -> dict[str, dict[str, Any]]:
        return {node["NodeID"]: node for node in self._ray.nodes() if node["Alive"]}

    def usable(self) -> dict[str, dict[str, Any]]:
        alive = self.alive().items()
        return {one: node for one, node in alive if node["Resources"].get("CPU", 0)}

    def admitted(self) -> frozenset[str]:
        """Those that are alive."""
        return frozenset(self._admitted & self.usable().keys())

    def facts(self, answers: tuple[tuple[str, Any], ...] = ()) -> Opened:
        usable = self.usable()
        mine = [usable[one] for one in usable if one in self._admitted]
        return Opened(sum(node["Resources"]["CPU"] for node in mine), len(mine), answers)

    def selector(self, nodes: frozenset[str]) -> dict[str, Any]:
        """The options of a task that goes to one of these nodes."""
        if not self._asks:
            return {}
        return {"label_selector": {NODE_LABEL: f"in({','.join(sorted(nodes))})"}}

    def admit_new(self) -> tuple[tuple[str, Any], ...]:
        """Ask each node that was not asked yet; return the answers, by the nodes' names."""
        new = {one: node for one, node in self.usable().items() if one not in self._asked}
        if not self._asks:
            self._admitted |= new.keys()
        if not self._asks or not new:
            return ()
        with marked(self._shared) as marks:
            paths = tuple(map(str, marks))
            asked = {
                one: self._ask.options(**self.selector(frozenset({one}))).remote(paths)
                for one in new
            }
            answers = {one: self._answer(ref) for one, ref in asked.items()}
        self._asked |= new.keys()
        names = {
            one: f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
            for one, node in new.items()
        }
        self._admitted |= {one for one in new if refusal(names[one], answers[one]) is None}
        return tuple((names[one], answers[one]) for one in new)

    def _answer(self, ref: Any) -> Any:
        try:
            return self._ray.get(ref, timeout=ANSWER_SECONDS)
        except Exception as exc:  # noqa: BLE001 - whatever it is, the node does no work
            return _first_line(exc)


@dataclass(frozen=True, slots=True)
class _Running:
    work: Work
    ref: Any
    nodes: frozenset[str]


class _Dispatcher:
    """Turns requests into Ray's tasks, and their ends into responses."""

    def __init__(self, ray: Any, send: Callable[[Any], None], nodes: _Nodes) -> None:
        self._ray = ray
        self._send = send
        self._nodes = nodes
        self._admitted = nodes.admitted()
        self._running: dict[int, _Running] = {}
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
                elif running := self._running.get(request.number):
                    self._ray.cancel(running.ref, force=True)

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
                    self._ray.cancel(running.ref, force=True)
        self._send(self._nodes.facts())

    def _start(self, work: Work) -> None:
        options = self._nodes.selector(self._admitted)
        ref = self._perform.options(num_cpus=work.cpus, **options).remote(work.payload)
        self._running[work.number] = _Running(work, ref, self._admitted)
        ref.future().add_done_callback(partial(self._ended, work.number, ref))

    def _ended(self, number: int, ref: Any, future: Future[bytes]) -> None:
        with self._starting:
            running = self._running.get(number)
            if running is None or running.ref != ref:
                return  # it was started anew
            del self._running[number]
        error = future.exception()
        if error is None:
            self._send(Done(number, future.result()))
            return
        errors = self._ray.exceptions
        if isinstance(error, errors.LocalRayletDiedError):
            _give_up()
        with_node = isinstance(error, (errors.NodeDiedError, errors.ObjectLostError))
        self._send(Lost(number, with_node, f"{type(error).__name__}: {_first_line(error)}"))


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
