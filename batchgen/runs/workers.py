"""Where the heavy work of a command runs: on this machine, or with `--ray` on a cluster."""

from __future__ import annotations

from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from batchgen.concurrency import in_thread
from batchgen.runcomfy.token import TOKEN_VARIABLES
from batchgen.storage.locations import FolderLocation
from batchgen.storage.stamps import FILES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from pathlib import Path

    from batchgen.cluster.client import Cluster
    from batchgen.processes import MapFiles
    from batchgen.runs.context import RunContext
    from batchgen.storage.locations import Location

Here = TypeVar("Here")


@contextmanager
def cluster_at(ray: str, env: Mapping[str, str], *folders: Path) -> Iterator[Cluster]:
    """Open a cluster whose nodes all see the folders. The token never reaches it.

    Blocks for seconds. Raises UsageError, ClusterError.
    """
    # Loaded here: few commands use a cluster.
    from batchgen.cluster.client import open_cluster  # noqa: PLC0415 - see above

    with open_cluster(ray, env, TOKEN_VARIABLES, folders) as cluster:
        yield cluster


@contextmanager
def workers(
    ray: str | None, env: Mapping[str, str], here: Here, *folders: Path, at_once: int = 1
) -> Iterator[MapFiles | Here]:
    """`here`, or the workers of a cluster, each `at_once` with so many files.

    Raises as `cluster_at` does.
    """
    if ray is None:
        yield here
        return
    with cluster_at(ray, env, *folders) as cluster:
        yield partial(cluster.map, at_once=at_once)


def shared_folders(results: Location) -> tuple[Path, ...]:
    """The folders that every node must see to work on these results."""
    return (results.root / FILES,) if isinstance(results, FolderLocation) else ()


@asynccontextmanager
async def cluster_of(context: RunContext) -> AsyncIterator[Cluster | None]:
    """The cluster of a run, if it has one. Raises as `cluster_at` does."""
    if context.options.ray is None:
        yield None
        return
    folders = shared_folders(context.results)
    opening = cluster_at(context.options.ray, context.world.env, *folders)
    stack = ExitStack()
    try:
        yield await in_thread(partial(stack.enter_context, opening))
    finally:
        await in_thread(stack.close)
