"""The files that a pattern matches, in the order of their paths.

As glob.glob(recursive=True), but the order and the case are the same on every system, only the
names of one folder at each level are in memory, and a folder that cannot be read is reported.
"""

from __future__ import annotations

import glob
import os
import re
from dataclasses import dataclass
from fnmatch import translate
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from batchgen.manifest.rows.sources import RowSource

ANY_DEPTH = "**"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A fixed folder, `start` as written, and the `parts` of the pattern below it."""

    start: str
    parts: tuple[str, ...]

    def path_of(self, below: str) -> str:
        """The path of a file below the fixed folder, as a manifest would name it."""
        return Path(self.start, below).as_posix()


class UnreadableFolder(NamedTuple):
    """`below` is its path below the fixed folder."""

    below: str
    reason: str


def split(written: Path, folder: Path) -> Pattern:
    """Find the fixed folder. A folder whose name is like a pattern is taken literally."""
    parts = written.parts
    fixed = 0
    for part in parts[:-1]:
        named = folder.joinpath(*parts[:fixed], part)
        if glob.has_magic(part) and not named.is_dir():
            break
        fixed += 1
    start = Path(*parts[:fixed]).as_posix() if fixed else ""
    return Pattern(start, parts[fixed:])


def pattern_of(source: RowSource, written: Path) -> Pattern:
    if source.is_pattern:
        return split(written, source.folder)
    start = written.parent.as_posix()
    return Pattern("" if start == "." else start, (written.name,))


def walk(
    start: Path, parts: Sequence[str], *, ignore_case: bool = False
) -> Iterator[str | UnreadableFolder]:
    """Yield the posix paths of the files below `start` that match, ordered by path.

    Hidden files and folders match only a part that begins with a dot. A symbolic link to a folder
    is followed, unless it leads to a folder around it, or to one that another link led to.
    """
    return _Walk(start, parts, ignore_case=ignore_case).files()


class _Folder(NamedTuple):
    """`steps`: which parts of the pattern its entries may match. `around`: itself and above."""

    below: str
    steps: frozenset[int]
    around: tuple[tuple[int, int], ...]


class _Walk:
    def __init__(self, start: Path, parts: Sequence[str], *, ignore_case: bool) -> None:
        self._start = start
        self._parts = parts
        self._matches = [_matcher(part, ignore_case=ignore_case) for part in parts]
        self._last = len(parts) - 1
        self._followed: set[tuple[int, int]] = set()

    def files(self) -> Iterator[str | UnreadableFolder]:
        # Not recursive: folders may be nested deeper than Python's calls.
        stack = [self._entries(_Folder("", self._reached({0}), ()))]
        while stack:
            entry = next(stack[-1], None)
            if entry is None:
                stack.pop()
            elif isinstance(entry, _Folder):
                stack.append(self._entries(entry))
            else:
                yield entry

    def _entries(self, folder: _Folder) -> Iterator[str | UnreadableFolder | _Folder]:
        place = os.path.join(self._start, folder.below)  # noqa: PTH118 - a million times
        try:
            around = self._entered(place, folder)
            if around is None:
                return
            with os.scandir(place) as found:
                names = sorted(self._matching(found, folder.steps))
        except OSError as exc:
            yield UnreadableFolder(folder.below, exc.strerror or str(exc))
            return
        for name in names:
            if name.endswith("/"):
                inside = self._inside(folder.steps, name[:-1])
                yield _Folder(f"{folder.below}{name}", inside, around)
            else:
                yield f"{folder.below}{name}"

    def _entered(self, place: str, folder: _Folder) -> tuple[tuple[int, int], ...] | None:
        """The folders around the entries of this one; None if it is not to be followed."""
        status = os.stat(place)  # noqa: PTH116 - as above
        key = status.st_dev, status.st_ino
        if folder.around and os.path.islink(place.rstrip("/")):  # noqa: PTH114 - as above
            if key in folder.around or key in self._followed:
                return None
            self._followed.add(key)
        return (*folder.around, key)

    def _matching(self, found: Iterable[os.DirEntry[str]], steps: frozenset[int]) -> Iterator[str]:
        """Names of files, and of folders with a slash, which sorts them as their paths."""
        ends_here = self._last in steps
        for entry in found:
            is_file_name = ends_here and self._matches[self._last](entry.name)
            leads_on = bool(self._inside(steps, entry.name))
            if not (is_file_name or leads_on):
                continue
            if entry.is_dir():
                if leads_on:
                    yield f"{entry.name}/"
            elif is_file_name:
                yield entry.name

    def _inside(self, steps: frozenset[int], name: str) -> frozenset[int]:
        """Which parts the entries of a folder of this name may match."""
        inside: set[int] = set()
        for step in steps:
            if self._matches[step](name):
                if self._parts[step] == ANY_DEPTH:
                    inside.add(step)
                elif step < self._last:
                    inside.add(step + 1)
        return self._reached(inside)

    def _reached(self, steps: set[int]) -> frozenset[int]:
        """`**` also matches no folder at all."""
        for step in sorted(steps):
            at = step
            while at < self._last and self._parts[at] == ANY_DEPTH:
                at += 1
                steps.add(at)
        return frozenset(steps)


def _matcher(part: str, *, ignore_case: bool) -> Callable[[str], bool]:
    if part == ANY_DEPTH:
        return lambda name: not name.startswith(".")
    if not glob.has_magic(part) and not ignore_case:
        return lambda name: name == part
    expression = re.compile(translate(part), re.IGNORECASE if ignore_case else 0)
    if part.startswith("."):
        return lambda name: expression.match(name) is not None
    return lambda name: not name.startswith(".") and expression.match(name) is not None
