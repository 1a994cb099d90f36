"""Which nodes of a cluster get work: those that have the same versions and see the folders."""

from __future__ import annotations

import secrets
import sys
import time
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchgen.errors import ClusterError
from batchgen.fs import disk_errors
from batchgen.storage.stamps import SEEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

OLD_SECONDS = 3600.0
ANSWER_SECONDS = 60.0
"""For which a node may start its first worker."""
NODE_LABEL = "ray.io/node-id"
"""Ray gives it to each node itself."""
HERE = {
    "batchgen": version("batchgen"),
    "python": f"{sys.version_info.major}.{sys.version_info.minor}",
}


def refusal(name: str, answer: Any) -> ClusterError | None:
    """What is wrong with a node, by its answer: see `driver.Opened`. Pure."""
    if isinstance(answer, str):
        return ClusterError(f"the node {name} of the cluster does no work: {answer}")
    for what, here in HERE.items():
        if not answer[what]:
            return ClusterError(
                f"the node {name} has no {what}",
                next_step=f"pip install 'batchgen=={HERE['batchgen']}' on every node",
            )
        if answer[what] != here:
            return ClusterError(
                f"the node {name} has {what} {answer[what]}, and this machine has {here}",
                next_step="install the same versions on every node",
            )
    for mark in answer["missing"]:
        return ClusterError(
            f"the node {name} does not see this folder",
            where=str(Path(mark).parent),
            next_step="with --ray on several machines, the folder must be one that all of them"
            " share, at the same path; or use a bucket",
        )
    return None


@contextmanager
def marked(folders: Iterable[Path]) -> Iterator[list[Path]]:
    """Put a file of a name that nobody can guess into each folder, for as long as the block."""
    name = f"{SEEN}{secrets.token_hex(8)}"
    marks = [folder / name for folder in folders]
    try:
        for mark in marks:
            with disk_errors(mark):
                _remove_old(mark.parent)
                mark.touch()
        yield marks
    finally:
        for mark in marks:
            with disk_errors(mark):
                mark.unlink(missing_ok=True)


def _remove_old(folder: Path) -> None:
    """A command that was killed leaves its file; that of another command may be in use."""
    for left in folder.glob(f"{SEEN}*"):
        with suppress(FileNotFoundError):
            if time.time() - left.lstat().st_mtime > OLD_SECONDS:
                left.unlink()


class Nodes:
    """The nodes that get work: those that were asked, and can do it."""

    def __init__(self, ray: Any, shared: Iterable[str], *, is_local: bool) -> None:
        self._ray = ray
        # A local cluster has one node, which is this machine.
        self._asks = not is_local
        self._shared = [Path(one) for one in shared]
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

    def size(self) -> tuple[float, int]:
        """The CPUs that get work, and the nodes that have them."""
        mine = [node for one, node in self.usable().items() if one in self._admitted]
        return sum(node["Resources"]["CPU"] for node in mine), len(mine)

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
            return first_line(exc)


def first_line(exc: BaseException) -> str:
    lines = (line.strip() for line in str(exc).splitlines())
    return next((line for line in lines if line), type(exc).__name__)


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
