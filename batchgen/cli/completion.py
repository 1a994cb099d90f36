"""What a shell completes: manifests, ids, tags, states, models, causes and kinds.

The user waits after each Tab. So only the first jobs of a manifest and a bounded number of rows of
a state are read, and modules are imported only when needed. An error completes nothing and prints
nothing.
"""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from click.shell_completion import CompletionItem

from batchgen.errors import BatchgenError
from batchgen.state.causes import job_ids, tags
from batchgen.state.conditions import ANY_JOB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import click

    from batchgen.jobs import JsonValue
    from batchgen.state.database import Connection

    Asks = Callable[[Connection, str], Iterable[tuple[str, str | None]]]
    Reads = Callable[[dict[str, Any]], Iterable[object]]
    Completes = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

NEGATIVE = "!"
MOST = 200
"""Completions of one prefix; nobody reads more in a shell."""

MOST_ENTRIES = 10_000
"""Entries of a folder, and failed jobs whose messages are read."""

MOST_READ = 1000
"""Jobs of a manifest that was never run."""

MANIFESTS = (".yaml", ".yml")
FAULTS = (*MANIFESTS, ".json")


def complete_files(*endings: str) -> Completes:
    def complete(_context: click.Context, _option: click.Parameter, word: str) -> list[Any]:
        begin = word.rpartition("/")[2]
        typed = word[: len(word) - len(begin)]
        try:
            place = Path(typed or ".").expanduser()
            files, folders = _entries(place, begin, endings)
        except (OSError, RuntimeError):  # RuntimeError: `~` without a home
            return []
        if not files:
            # The shell descends into folders itself, and adds no space after them.
            return [CompletionItem(word, type="dir")]
        names = sorted([*files, *(f"{name}/" for name in folders)])
        return [CompletionItem(typed + name) for name in names[:MOST]]

    return complete


def _entries(place: Path, begin: str, endings: tuple[str, ...]) -> tuple[list[str], list[str]]:
    files, folders = [], []
    with os.scandir(place) as entries:
        for _, entry in zip(range(MOST_ENTRIES), entries, strict=False):
            hidden = entry.name.startswith(".") and not begin
            if hidden or not entry.name.startswith(begin):
                continue
            if entry.is_dir():
                folders.append(entry.name)
            elif entry.name.endswith(endings):
                files.append(entry.name)
    return files, folders


def complete_words(words: Callable[[], Iterable[str]], *, listed: bool = False) -> Completes:
    """Complete known words; `listed`: several of them, with commas between."""

    def complete(_context: click.Context, _option: click.Parameter, word: str) -> list[Any]:
        before, comma, last = word.rpartition(",") if listed else ("", "", word)
        sign, begin = _sign(last)
        return [
            CompletionItem(f"{before}{comma}{sign}{one}")
            for one in words()
            if one.startswith(begin)
        ]

    return complete


def complete_jobs(condition: str = ANY_JOB) -> Completes:
    """Complete ids of jobs; `condition` is one of state/causes.py."""

    def ask(db: Connection, begin: str) -> Iterator[tuple[str, str | None]]:
        return ((job_id, None) for job_id in job_ids(db, begin, MOST, condition))

    return _of_run(ask, lambda item: [item.get("id")] if condition == ANY_JOB else [])


def complete_tags() -> Completes:
    def ask(db: Connection, begin: str) -> Iterator[tuple[str, str | None]]:
        return ((tag, None) for tag in tags(db, begin, MOST))

    return _of_run(ask, lambda item: item["tags"] if isinstance(item.get("tags"), list) else [])


def complete_causes() -> Completes:
    """Complete keys of causes, each with the vendor's message for shells that show it."""

    def ask(db: Connection, begin: str) -> Iterator[tuple[str, str | None]]:
        from batchgen.state.queries import failures

        for cause in failures(db, MOST, most_read=MOST_ENTRIES).causes:
            if cause.key and cause.key.startswith(begin):
                yield cause.key, f"{cause.jobs} {cause.state}: {cause.reason or cause.code}"

    return _of_run(ask, lambda _item: [])


def _of_run(ask: Asks, read: Reads) -> Completes:
    """Complete from the state of the manifest's run, or from the manifest before the first run."""

    def complete(context: click.Context, _option: click.Parameter, word: str) -> list[Any]:
        sign, begin = _sign(word)
        manifest = _manifest_of(context)
        if manifest is None:
            return []
        try:
            found = [*_found(manifest, begin, ask, read)]
        except BatchgenError:
            return []
        return [CompletionItem(f"{sign}{value}", help=text) for value, text in found[:MOST]]

    return complete


def _manifest_of(context: click.Context) -> Path | None:
    """Take the first argument: click has not bound it while an option still lacks its value."""
    manifest = context.params.get("manifest")
    if isinstance(manifest, Path):
        return manifest
    return Path(context.args[0]) if context.args else None


def _found(manifest: Path, begin: str, ask: Asks, read: Reads) -> Iterator[tuple[str, str | None]]:
    # Not by `open_run`: loading the checks of a whole header would take too long for a Tab.
    from batchgen.manifest.parsing.document import read_beginning, read_jobs
    from batchgen.state.database import reading

    beginning, has_jobs = read_beginning(manifest)
    state = _folder_of(manifest, beginning) / "state.db"
    if state.exists():
        with reading(state) as db:
            yield from ask(db, begin)
        return
    if not has_jobs:
        return
    items = (item.value for item, _ in islice(read_jobs(manifest, _ignore), MOST_READ))
    values = (value for item in items if isinstance(item, dict) for value in read(item))
    for value in dict.fromkeys(values):
        # A template stands for the names of many jobs.
        if isinstance(value, str) and value.startswith(begin) and "{" not in value:
            yield value, None


def _folder_of(manifest: Path, beginning: Mapping[str, JsonValue]) -> Path:
    from batchgen.manifest.policy import build_output

    output, name = beginning.get("output"), beginning.get("name")
    output = output if isinstance(output, dict) else {}
    folder = output.get("dir") if isinstance(output.get("dir"), str) else None
    named = name if isinstance(name, str) else manifest.stem
    return build_output({"dir": folder} if folder else {}, named).dir


def _ignore(*_: object) -> None:
    pass


def _sign(word: str) -> tuple[str, str]:
    return (NEGATIVE, word[1:]) if word.startswith(NEGATIVE) else ("", word)
