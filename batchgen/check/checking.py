"""A whole check: what the state has, what the files show, what is wrong, and what of that is new.

Whether a result is what its input asked for is judged only where the published contract is clear.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.check.examining import Source, examine, given_up, stamp_of
from batchgen.check.judging import Checked, Found, judge
from batchgen.check.kinds import ALIKE, Kind
from batchgen.check.measures import require_looks
from batchgen.check.memory import open_memory
from batchgen.models.catalog import wrong_kind
from batchgen.models.fields import SIZE_KEY
from batchgen.processes import map_in_processes
from batchgen.state.results import all_results
from batchgen.state.reviews import Pick

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batchgen.state.records import Result


FRAMES_KEY = "frames"
"""The page: "total number of frames to generate". It says of seconds only about how many."""
_SIZE = re.compile(r"(\d+)x(\d+)")


def broken_promises(result: Result) -> dict[Kind, str]:
    """Words by kind. A key that was not sent promises nothing: its default is the page's alone."""
    sent = json.loads(result.body)
    found = {
        Kind.WRONG_KIND: wrong_kind(result.model, result.media_type),
        Kind.WRONG_SIZE: _size(sent, result),
        Kind.WRONG_LENGTH: _length(sent, result),
    }
    return {kind: words for kind, words in found.items() if words}


def _size(sent: Mapping[str, object], result: Result) -> str:
    asked = _SIZE.match(str(sent.get(SIZE_KEY, "")))
    if asked is None or (int(asked[1]), int(asked[2])) == (result.width, result.height):
        return ""
    return f"{result.width}x{result.height} pixels; {asked[0]} were asked for"


def _length(sent: Mapping[str, object], result: Result) -> str:
    asked = sent.get(FRAMES_KEY)
    if not isinstance(asked, int) or result.frames is None or asked == result.frames:
        return ""
    return f"{result.frames} frames; {asked} were asked for"


if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from batchgen.check.examining import Examined
    from batchgen.check.kinds import Asked
    from batchgen.check.memory import Memory
    from batchgen.state.database import Connection
    from batchgen.state.records import Result
    from batchgen.state.selection import Selection

    Begin = Callable[[int], Callable[[int], object]]
    """Hears how many files are to be looked at, and gives who hears of their number so far."""

    Work = Callable[[Sequence[Source]], Iterator[Examined]]


@dataclass(frozen=True, slots=True)
class Report:
    """The chosen files in the manifest's order. `looked_at`: files that had to be read."""

    files: tuple[Checked, ...]
    looked_at: int

    @property
    def flawed(self) -> list[Checked]:
        return [file for file in self.files if file.flaws]


def in_the_pool(sources: Sequence[Source]) -> Iterator[Examined]:
    return map_in_processes(examine, sources, given_up)


def check(
    db: Connection,
    root: Path,
    measures: Path,
    selection: Selection,
    asked: Asked,
    begin: Begin,
    work: Work = in_the_pool,
) -> Report:
    """Look at what no check has seen, and judge all of it. Writes nothing but the cache `measures`.

    Raises UsageError where a library is missing, OutputError, StorageError.
    """
    if asked.wants_looks:
        require_looks()
    before = read(db, selection)
    with open_memory(measures) as memory:
        seen, looked_at = _look(before, root, memory, asked, begin, work)
    # Read again: looking takes its time, and what a run replaced meanwhile is for the next check.
    files = [file for file in read(db, selection) if (file.path, file.sha256) in seen]
    judged = judge(files, {path: found for (path, _), found in seen.items()}, asked)
    return Report(tuple(file for file in judged if file.is_chosen), looked_at)


def read(db: Connection, selection: Selection) -> list[Checked]:
    """Everything at once: no snapshot is held while files are looked at."""
    return [_checked(*one) for one in all_results(db, selection)]


def _checked(result: Result, is_chosen: bool) -> Checked:
    return Checked(
        result.job_id,
        result.attempt,
        result.position,
        result.path,
        result.sha256,
        result.bytes,
        result.frames or 1,
        None if result.pick is None else Pick(result.pick),
        result.flaws,
        is_chosen,
        broken_promises(result),
    )


def _look(
    files: Iterable[Checked], root: Path, memory: Memory, asked: Asked, begin: Begin, work: Work
) -> tuple[dict[tuple[str, str], Found], int]:
    """What is known of each file, by path and content, and how many files had to be read."""
    found: dict[tuple[str, str], Found] = {}
    sources: list[tuple[Checked, Source]] = []
    for file in _concerned(files, asked):
        source = _source(file, root, memory, asked)
        stamp = stamp_of(root / file.path)
        if source.is_known and stamp and memory.was_seen(file.path, file.sha256, stamp):
            found[file.path, file.sha256] = Found("", memory.measure(file.sha256))
        else:
            sources.append((file, source))
    heard = begin(len(sources))
    examined = work([source for _, source in sources])
    for number, ((file, _), one) in enumerate(zip(sources, examined, strict=True), 1):
        found[file.path, file.sha256] = _remember(file, one, memory)
        heard(number)
    return found, len(sources)


def _concerned(files: Iterable[Checked], asked: Asked) -> Iterator[Checked]:
    """Those to be judged, and where likeness counts all others, which they may be like."""
    return (file for file in files if file.is_chosen or asked.kinds & ALIKE)


def _source(file: Checked, root: Path, memory: Memory, asked: Asked) -> Source:
    known = memory.measure(file.sha256)
    is_enough = known is not None and bool(known.looks or known.trouble or not asked.wants_looks)
    path = str(root / file.path)
    return Source(path, file.sha256, file.bytes, file.frames, is_enough, asked.wants_looks)


def _remember(file: Checked, one: Examined, memory: Memory) -> Found:
    if one.measure is not None:
        memory.keep(file.sha256, one.measure)
    if one.stamp is None:
        return Found(one.trouble, None)
    memory.see(file.path, file.sha256, one.stamp)
    return Found(one.trouble, one.measure or memory.measure(file.sha256))


@dataclass(frozen=True, slots=True)
class News:
    """What the state does not know yet. `flaws` of a file replace those that it knows."""

    flaws: tuple[tuple[Checked, dict[str, str]], ...]
    rejected: tuple[Checked, ...]
    new: int
    gone: int


def news(files: Sequence[Checked], asked: Asked) -> News:
    """Compare with the state. Kinds that were not asked for stay as an earlier check left them."""
    changed, rejected, new, gone = [], [], 0, 0
    for file in files:
        now = {kind.value: words for kind, words in file.flaws.items()}
        others = {kind: words for kind, words in file.known.items() if kind not in asked.kinds}
        if now | others != file.known:
            changed.append((file, others | now))
            new += len(now.keys() - file.known.keys())
            gone += len(file.known.keys() - now.keys() - others.keys())
        if file.pick is None and file.flaws.keys() & asked.rejected:
            rejected.append(file)
    return News(tuple(changed), tuple(rejected), new, gone)
