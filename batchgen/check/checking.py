"""A whole check: read the state, examine the files, find flaws, and see which ones are new.

Whether a result matches its input is judged only where the published contract is clear.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.check.cache import open_cache
from batchgen.check.examining import Source, examine, examine_failed
from batchgen.check.judging import Checked, Evidence, judge
from batchgen.check.kinds import DUPLICATES, Kind
from batchgen.check.measures import require_imagehash
from batchgen.models.billing import DURATION, read_seconds
from batchgen.models.fields import SIZE_KEY
from batchgen.processes import map_in_processes
from batchgen.state.results import all_results
from batchgen.state.reviews import Pick
from batchgen.storage.results import open_results

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batchgen.state.records import Result


FRAMES_KEY = "frames"
"""Exact, says the vendor's page: "total number of frames to generate". Seconds are not."""
TOLERANCE = 1.0
"""Seconds by which a length may differ from the `duration` that was asked for."""
SIZE_KEYS = (SIZE_KEY, "size", "image_size", "resolution")
_SIZE = re.compile(r"(\d+)\s*[x*]\s*(\d+)")


def contract_violations(result: Result, catalog: Catalog) -> dict[Kind, str]:
    """Return texts by kind. A key that was not sent is not judged: only the page has a default."""
    sent = json.loads(result.body)
    found = {
        Kind.WRONG_KIND: catalog.wrong_kind(result.model, result.media_type),
        Kind.WRONG_SIZE: _size(sent, result),
        Kind.WRONG_LENGTH: _length(sent, result),
    }
    return {kind: text for kind, text in found.items() if text}


def _size(sent: Mapping[str, object], result: Result) -> str:
    requested = asked_pixels(sent)
    if requested is None or None in (result.width, result.height):
        return ""
    if requested == (result.width, result.height):
        return ""
    asked = f"{requested[0]}x{requested[1]}"
    return f"{result.width}x{result.height} pixels; {asked} were asked for"


def asked_pixels(sent: Mapping[str, object]) -> tuple[int, int] | None:
    """Width and height where an input names both in pixels, under any of the vendor's keys."""
    for key in SIZE_KEYS:
        value = sent.get(key)
        if isinstance(value, dict) and (found := _sides(value)):
            return found
        match = _SIZE.match(value) if isinstance(value, str) else None
        if match is not None:
            return int(match[1]), int(match[2])
    return _sides(sent)


def _sides(value: Mapping[str, object]) -> tuple[int, int] | None:
    width, height = value.get("width"), value.get("height")
    return (width, height) if isinstance(width, int) and isinstance(height, int) else None


def _length(sent: Mapping[str, object], result: Result) -> str:
    requested = sent.get(FRAMES_KEY)
    if isinstance(requested, int) and result.frames and requested != result.frames:
        return f"{result.frames} frames; {requested} were asked for"
    seconds = read_seconds(sent.get(DURATION))
    if seconds is None or result.seconds is None or abs(result.seconds - seconds) <= TOLERANCE:
        return ""
    return f"{result.seconds:.1f} s; {seconds:g} s were asked for"


if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from batchgen.check.cache import MeasureCache
    from batchgen.check.examining import Examined
    from batchgen.check.kinds import CheckOptions
    from batchgen.models.catalog import Catalog
    from batchgen.state.database import Connection
    from batchgen.state.records import Result
    from batchgen.state.selection import Selection
    from batchgen.storage.locations import Location
    from batchgen.storage.stamps import Stamp

    Begin = Callable[[int], Callable[[int], object]]
    """Takes the number of files to examine; returns a callback for the number done so far."""

    from batchgen.processes import MapFiles


@dataclass(frozen=True, slots=True)
class Report:
    """The chosen files in the manifest's order. `examined`: how many files had to be read."""

    files: tuple[Checked, ...]
    examined: int

    @property
    def flawed(self) -> list[Checked]:
        return [file for file in self.files if file.flaws]


def check(
    db: Connection,
    location: Location,
    measures: Path,
    catalog: Catalog,
    selection: Selection,
    options: CheckOptions,
    begin: Begin,
    workers: MapFiles = map_in_processes,
) -> Report:
    """Examine new and changed files, and judge all of them. Writes only the cache `measures`.

    Raises UsageError if a library is missing; OutputError, StorageError, and for what the files are
    in, MissingFileError, BucketError.
    """
    if options.wants_hashes:
        require_imagehash()
    before = read(db, catalog, selection)
    with open_cache(measures) as cache:
        seen, examined = _examine_all(before, location.absolute(), cache, options, begin, workers)
    # Read again: examining takes time. Files replaced meanwhile are for the next check.
    files = [file for file in read(db, catalog, selection) if (file.path, file.sha256) in seen]
    judged = judge(files, {path: found for (path, _), found in seen.items()}, options)
    return Report(tuple(file for file in judged if file.is_chosen), examined)


def read(db: Connection, catalog: Catalog, selection: Selection) -> list[Checked]:
    """Read everything at once, so that no snapshot is held while files are examined."""
    return [_checked(*one, catalog) for one in all_results(db, selection)]


def _checked(result: Result, is_chosen: bool, catalog: Catalog) -> Checked:
    return Checked(
        result.job_id,
        result.attempt,
        result.position,
        result.path,
        result.sha256,
        result.bytes,
        1 if result.frames is None else result.frames,
        None if result.pick is None else Pick(result.pick),
        result.flaws,
        is_chosen,
        contract_violations(result, catalog),
    )


def _examine_all(
    files: Iterable[Checked],
    location: Location,
    cache: MeasureCache,
    options: CheckOptions,
    begin: Begin,
    workers: MapFiles,
) -> tuple[dict[tuple[str, str], Evidence], int]:
    """Return what is known about each file, by path and hash, and how many had to be read."""
    found: dict[tuple[str, str], Evidence] = {}
    sources: list[tuple[Checked, Source]] = []
    relevant = [
        (file, _source(file, location, cache, options)) for file in _relevant(files, options)
    ]
    stamps = _stamps(location, [source for _, source in relevant])
    for file, source in relevant:
        stamp = stamps.get(file.path)
        if stamp and cache.is_unchanged(file.path, file.sha256, stamp):
            found[file.path, file.sha256] = Evidence("", cache.measure(file.sha256))
        else:
            sources.append((file, source))
    progress = begin(len(sources))
    examined = workers(examine, [source for _, source in sources], examine_failed)
    for number, ((file, _), one) in enumerate(zip(sources, examined, strict=True), 1):
        found[file.path, file.sha256] = _remember(file, one, cache)
        progress(number)
    return found, len(sources)


def _relevant(files: Iterable[Checked], options: CheckOptions) -> Iterator[Checked]:
    """Yield the files to judge and, to find duplicates, all others."""
    return (file for file in files if file.is_chosen or options.kinds & DUPLICATES)


def _stamps(location: Location, sources: Iterable[Source]) -> dict[str, Stamp | None]:
    """Of files whose content was measured before: they may be unchanged."""
    results = open_results(location)
    results.require()
    paths = [source.path for source in sources if source.is_known]
    return dict(zip(paths, results.stamps(paths), strict=True))


def _source(
    file: Checked, location: Location, cache: MeasureCache, options: CheckOptions
) -> Source:
    known = cache.measure(file.sha256)
    is_enough = known is not None and bool(
        known.hashes or known.trouble or not options.wants_hashes
    )
    known_as = (location, file.path, file.sha256, file.bytes, file.frames)
    return Source(*known_as, is_enough, options.wants_hashes)


def _remember(file: Checked, one: Examined, cache: MeasureCache) -> Evidence:
    if one.measure is not None:
        cache.add_measure(file.sha256, one.measure)
    if one.stamp is None:
        return Evidence(one.trouble, None)
    cache.add_file(file.path, file.sha256, one.stamp)
    return Evidence(one.trouble, one.measure or cache.measure(file.sha256))


@dataclass(frozen=True, slots=True)
class Changes:
    """What is new to the state. A file's `flaws` replace those in the state."""

    flaws: tuple[tuple[Checked, dict[str, str]], ...]
    rejected: tuple[Checked, ...]
    new: int
    gone: int


def changes(files: Sequence[Checked], options: CheckOptions) -> Changes:
    """Compare with the state. Kinds that were not checked stay as an earlier check left them."""
    changed, rejected, new, gone = [], [], 0, 0
    for file in files:
        now = {kind.value: text for kind, text in file.flaws.items()}
        others = {kind: text for kind, text in file.known.items() if kind not in options.kinds}
        if now | others != file.known:
            changed.append((file, others | now))
            new += len(now.keys() - file.known.keys())
            gone += len(file.known.keys() - now.keys() - others.keys())
        if file.pick is None and file.flaws.keys() & options.rejected:
            rejected.append(file)
    return Changes(tuple(changed), tuple(rejected), new, gone)
