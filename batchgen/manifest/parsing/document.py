"""The two passes over the file: the header without the jobs, then the jobs without the header.

Header keys may come both before and after the jobs (YAML writers that sort keys put `run` and
`version` last), and no job can be checked before the header is known.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import yaml

from batchgen.errors import MissingFileError, StorageError
from batchgen.manifest.parsing.composer import Composer, Report, place_at
from batchgen.manifest.parsing.events import YamlEvents
from batchgen.manifest.parsing.glance import needs_only_the_top
from batchgen.manifest.parsing.nodes import MERGE_KEY, Node, Place
from batchgen.manifest.parsing.source import UnreadableYamlError, stamp_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from batchgen.jobs import JsonValue
    from batchgen.manifest.parsing.source import Stamp
    from batchgen.manifest.problems import Reporter

JOBS = "jobs"
VERSION = "version"

PRESCANNED_KEYS = frozenset({"id", "matrix", "from", "repeat", MERGE_KEY})
SWEEP_KEYS = PRESCANNED_KEYS - {"id", MERGE_KEY}


class Prescan(NamedTuple):
    """The place of an item of `jobs`, and its parts that determine the ids of a sweep's jobs."""

    place: Place
    parts: Mapping[str, Node]


@dataclass(slots=True)
class Header:
    """Everything but the jobs. `complete` is False if the file could not be read to its end.

    `sweeps` are the items that become several jobs, known early because an item may need one that
    comes after it. Single jobs are not kept. `stamp` identifies the file that was opened.
    """

    stamp: Stamp

    place: Place = field(default_factory=lambda: Place(1, 1))
    children: dict[str, Node] = field(default_factory=dict)
    keys: dict[str, Place] = field(default_factory=dict)
    jobs_at: Place | None = None
    sweeps: list[Prescan] = field(default_factory=list)
    complete: bool = False

    @property
    def node(self) -> Node:
        value = {key: child.value for key, child in self.children.items()}
        return Node(value, self.place, 1, self.children, self.keys)


def read_header(reporter: Reporter, *, jobs_follow: bool = False) -> Header | None:
    """Read the whole file; None if it is not a mapping, or breaks off before its first key.

    With `jobs_follow` not jobs from which the header needs nothing: `read_jobs` finds what is wrong
    with them. Raises MissingFileError, StorageError.
    """
    with _opened(reporter.path) as file:
        header = Header(stamp_of(os.fstat(file.fileno())))
        composer = Composer(YamlEvents(file), reporter.at)
        try:
            if not _enter_root(composer, header, reporter):
                return None
            if _read_entries(composer, header, reporter, file if jobs_follow else None):
                _expect_end(composer)
            header.complete = True
        except UnreadableYamlError as exc:
            reporter.unreadable(exc)
            return header if header.keys else None
    return header


def read_beginning(path: Path) -> tuple[dict[str, JsonValue], bool]:
    """Values of the keys before `jobs`, unchecked, and whether a list of jobs follows.

    For callers that must be quick. Raises UnreadableYamlError, MissingFileError, StorageError.
    """
    found: dict[str, JsonValue] = {}
    with _opened(path) as file:
        composer = Composer(YamlEvents(file), lambda *_: None)
        for kind in (yaml.StreamStartEvent, yaml.DocumentStartEvent, yaml.MappingStartEvent):
            if not isinstance(composer.next_event(), kind):
                return found, False
        for key, _ in composer.entries():
            if key == JOBS:
                return found, isinstance(composer.next_event(), yaml.SequenceStartEvent)
            found[key] = composer.compose().value
    return found, False


def read_jobs(path: Path, report: Report) -> Iterator[tuple[Node, bool]]:
    """Yield the jobs one at a time, each with whether it is valid YAML.

    Raises UnreadableYamlError, MissingFileError, StorageError.
    """
    with _opened(path) as file:
        composer = Composer(YamlEvents(file), report)
        for _ in range(3):  # stream, document, mapping
            composer.next_event()
        for key, _ in composer.entries():
            if key == JOBS:
                yield from _items(composer)
                _read_on(composer)
                return
            composer.skip()


def _items(composer: Composer) -> Iterator[tuple[Node, bool]]:
    composer.next_event()
    while not isinstance(event := composer.next_event(), yaml.SequenceEndEvent):
        node = composer.compose_job(event)
        yield node, not composer.broken


def _read_on(composer: Composer) -> None:
    """Read to the end, if there are no more keys: the header may not have been there."""
    if isinstance(composer.next_event(), yaml.MappingEndEvent):
        composer.next_event()
        composer.next_event()


def _enter_root(composer: Composer, header: Header, reporter: Reporter) -> bool:
    composer.next_event()
    event = composer.next_event()
    if isinstance(event, yaml.StreamEndEvent):
        reporter.whole("the manifest is empty", "'batchgen init' writes one to start from")
        return False
    root = composer.next_event()
    header.place = place_at(root)
    if isinstance(root, yaml.MappingStartEvent):
        return True
    hint = "begin with 'version: 1' and 'jobs:'; 'batchgen init' shows how"
    reporter.at(header.place, "a manifest is a mapping of keys", hint)
    return False


def _read_entries(
    composer: Composer, header: Header, reporter: Reporter, file: BinaryIO | None
) -> bool:
    """Read the keys; False if the jobs, which are the last of them, were left out."""
    for key, place in composer.entries():
        if key == JOBS:
            header.jobs_at = place
            header.keys[JOBS] = place
            event = composer.next_event()
            if file is not None and _may_leave_out(event, header, file):
                return False
            _prescan_jobs(event, composer, header, reporter)
            continue
        node = composer.compose()
        if composer.broken:
            continue
        if key == MERGE_KEY:
            reporter.at(
                place, "'<<' is not allowed at the top level", "merge under defaults or in a job"
            )
            continue
        header.children[key], header.keys[key] = node, place
    return True


def _may_leave_out(event: Any, header: Header, file: BinaryIO) -> bool:
    """Whether the jobs that begin with this event are the usual list, at the end of the file."""
    assert header.jobs_at is not None
    is_usual = (
        type(event) is yaml.SequenceStartEvent
        and not (event.flow_style or event.tag or event.anchor)
        and header.place.column == header.jobs_at.column == 1
        # Where a file breaks off, a missing version is not reported.
        and VERSION in header.keys
    )
    return is_usual and needs_only_the_top(file, header.jobs_at.line)


def _prescan_jobs(event: Any, composer: Composer, header: Header, reporter: Reporter) -> None:
    if not isinstance(event, yaml.SequenceStartEvent) or event.tag not in (None, "!"):
        reporter.at(place_at(event), "jobs must be a list", "write each job as an item: '- id: …'")
        header.jobs_at = None
        composer.skip_from(event)
        return
    if event.anchor:
        reporter.at(place_at(event), "jobs cannot have an anchor", f"remove &{event.anchor}")
        header.jobs_at = None
    empty = True
    while not isinstance(item := composer.next_event(), yaml.SequenceEndEvent):
        empty = False
        prescanned = _prescan(composer, item)
        if SWEEP_KEYS & prescanned.parts.keys():
            header.sweeps.append(prescanned)
    if empty:
        reporter.at(place_at(event), "jobs is empty: there is nothing to do", "add a job")
        header.jobs_at = None


def _prescan(composer: Composer, item: Any) -> Prescan:
    """Skip an item, keeping what makes it a sweep. Problems are reported on the second pass."""
    if not isinstance(item, yaml.MappingStartEvent) or item.anchor:
        node = composer.compose_silently(item)
        return Prescan(node.place, _parts_of(node))
    parts: dict[str, Node] = {}
    events = composer.events
    while type(key := next(events)) is not yaml.MappingEndEvent:
        is_name = type(key) is yaml.ScalarEvent and not key.anchor
        if not is_name:
            composer.skip_from(key)
        value = next(events)
        if is_name and key.value in PRESCANNED_KEYS:
            parts[key.value] = composer.compose_silently(value)
        elif type(value) is not yaml.ScalarEvent or value.anchor:
            composer.skip_from(value)
    merged = parts.pop(MERGE_KEY, None)
    return Prescan(place_at(item), {**_parts_of(merged), **parts} if merged else parts)


def _parts_of(node: Node) -> Mapping[str, Node]:
    """The prescanned parts of a mapping, or of those that `<<` lists; the first one wins."""
    if isinstance(node.value, list):
        found = [_parts_of(child) for child in reversed([*node.children.values()])]
        return {key: part for parts in found for key, part in parts.items()}
    return {key: child for key, child in node.children.items() if key in PRESCANNED_KEYS}


def _expect_end(composer: Composer) -> None:
    composer.next_event()
    event = composer.next_event()
    if not isinstance(event, yaml.StreamEndEvent):
        place = place_at(event)
        hint = "a manifest is one document: remove the '---' between them"
        raise UnreadableYamlError(*place, "a second document begins here", hint)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open the manifest and translate OSError, from opening it and from reading it."""
    try:
        file = path.open("rb")
    except FileNotFoundError as exc:
        hint = "'batchgen init' writes a manifest to start from"
        raise MissingFileError("there is no such file", where=str(path), next_step=hint) from exc
    except IsADirectoryError as exc:
        hint = "name the manifest in it"
        raise MissingFileError("this is a folder", where=str(path), next_step=hint) from exc
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or str(exc)
        what = f"the manifest cannot be read: {reason}"
        hint = "check the path and its permissions"
        raise MissingFileError(what, where=str(path), next_step=hint) from exc
    with file:
        try:
            yield file
        except OSError as exc:
            what = f"the manifest cannot be read to its end: {exc.strerror}"
            raise StorageError(what, where=str(path), next_step="check the disk") from exc
