"""Whether each node of a cluster can do the work: its versions, and the folders that it sees."""

from __future__ import annotations

import secrets
import sys
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchgen.errors import ClusterError
from batchgen.fs import disk_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from batchgen.cluster.client import Cluster

HERE = {
    "batchgen": version("batchgen"),
    "python": f"{sys.version_info.major}.{sys.version_info.minor}",
}


def check_nodes(cluster: Cluster, folders: Iterable[Path]) -> None:
    """Raise ClusterError for a node that lacks batchgen or does not see one of the folders.

    The folders exist; a file is in each of them for a moment.
    """
    with _marked(folders) as marks:
        answers = cluster.ask_nodes(tuple(map(str, marks)))
    for name, answer in answers:
        if error := refusal(name, answer):
            raise error


def refusal(name: str, answer: Any) -> ClusterError | None:
    """What is wrong with a node, by its answer: see `driver.AskNodes`. Pure."""
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
            next_step="with --ray on several machines, output.dir must be a folder that all of"
            " them share, at the same path",
        )
    return None


@contextmanager
def _marked(folders: Iterable[Path]) -> Iterator[list[Path]]:
    """Put a file of a name that nobody can guess into each folder, for as long as the block."""
    name = f".seen-{secrets.token_hex(8)}"
    marks = [folder.absolute() / name for folder in folders]
    try:
        for mark in marks:
            with disk_errors(mark):
                mark.touch()
        yield marks
    finally:
        for mark in marks:
            with disk_errors(mark):
                mark.unlink(missing_ok=True)
