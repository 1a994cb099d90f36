"""`include`: other manifests, by their paths or by globs, relative to the file that names them."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import TYPE_CHECKING

from batchgen.models.nearest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchgen.manifest.parsing.nodes import Node
    from batchgen.manifest.report import Reporter

MOST_FILES = 10_000
DEEPEST = 50
"""Manifests that include each other in a row."""


def patterns_in(node: Node | None) -> list[Node]:
    """The nodes of the texts that `include` gives: one, or a list of them."""
    if node is None:
        return []
    found = node.children.values() if isinstance(node.value, list) else [node]
    return [one for one in found if isinstance(one.value, str)]


def matching(pattern: str, folder: Path) -> list[Path]:
    """The files that a pattern means, in the order of their names."""
    if not glob.has_magic(pattern):
        return [folder / pattern]
    found = glob.glob(str(Path(glob.escape(str(folder))) / pattern), recursive=True)  # noqa: PTH207 - takes absolute patterns too
    return [path for path in map(Path, sorted(found)) if path.is_file()]


class IncludeTree:
    """Which file was included by which. A file counts once, however it is spelt."""

    def __init__(self, top: Path) -> None:
        self._top = top
        self._came_from: dict[Path, Path | None] = {}

    def below(self, node: Node | None, reporter: Reporter) -> Iterator[Path]:
        """Yield the files that this one includes, and report what cannot be included."""
        self._came_from.setdefault(self._top.resolve(), None)
        for one in patterns_in(node):
            pattern = str(one.value)
            files = matching(pattern, reporter.path.parent)
            if not files:
                hint = "a pattern is relative to the manifest that it stands in"
                reporter.log.has_unread = True
                reporter.at(one.place, f"no file matches '{pattern}'", hint)
            for file in files:
                if (objection := self._objection(file, reporter.path)) is None:
                    yield file
                else:
                    reporter.log.has_unread = True
                    reporter.at(one.place, *objection)

    def _objection(self, file: Path, by: Path) -> tuple[str, str | None] | None:
        key = file.resolve()
        if not file.is_file():
            near = [one.name for one in file.parent.glob("*") if one.is_file()]
            what = "is a folder" if file.is_dir() else "does not exist"
            return f"the included file {file} {what}", did_you_mean(file.name, near[:MOST_FILES])
        chain = self._chain(by.resolve())
        if key in chain:
            names = " → ".join(one.name for one in (*chain[chain.index(key) :], key))
            return f"manifests include each other in a circle: {names}", "remove this include"
        if len(chain) > DEEPEST:
            return f"manifests include each other more than {DEEPEST} deep", "include it higher up"
        if key in self._came_from:
            return f"{file} is included twice", "remove one of the two"
        if len(self._came_from) >= MOST_FILES:
            return f"more than {MOST_FILES} files are included", "put the jobs into fewer files"
        self._came_from[key] = by.resolve()
        return None

    def _chain(self, file: Path) -> list[Path]:
        """From the top manifest down to this file."""
        chain: list[Path] = []
        step: Path | None = file
        while step is not None:
            chain.insert(0, step)
            step = self._came_from[step]
        return chain
