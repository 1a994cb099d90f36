"""Whether each node of a cluster can do the work: its versions, and the folders that it sees."""

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
    from collections.abc import Iterable, Iterator

OLD_SECONDS = 3600.0
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
