"""The whole report, in the order that keeps it whole: thumbnails, data, the page, then tidying.

Nothing else is in its folder, and the page changes at one moment.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from batchgen.errors import OutputError
from batchgen.fs import disk_errors, own_part, publishing, symlink_error
from batchgen.report.chunks import JOBS_IN_CHUNK, chunk_script, thumb_name
from batchgen.report.night import night_of
from batchgen.report.page import Facts, advice, causes, rerun_command, write_page
from batchgen.report.thumbnails import Wanted, make_thumbnails
from batchgen.state.costs import money
from batchgen.state.database import snapshot
from batchgen.state.report_queries import count_shown, shown_attempts, shown_jobs, troubled_jobs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from batchgen.jobs import JsonValue
    from batchgen.report.night import Night
    from batchgen.report.page import Shell
    from batchgen.state.database import Connection
    from batchgen.state.records import ReportedJob


MARK = "batchgen-report.txt"
MARK_TEXT = "A report by batchgen. It owns this folder: what it did not write, it removes.\n"
PARTS = ("assets", "data", "thumbs")
HASH_DIGITS = 10


@dataclass(slots=True)
class ReportFolder:
    """Writes below `root`, and remembers what of it the new page needs."""

    root: Path
    kept: set[Path] = field(default_factory=set)

    @property
    def page(self) -> Path:
        return self.root / "index.html"

    def create(self) -> None:
        """Raise OutputError where files of somebody else stand: stale ones are removed later."""
        mark = self.root / MARK
        for part in ("", *PARTS):
            if (self.root / part).is_symlink():
                # A stranger may have put it there, so that pages and prompts go somewhere else.
                raise symlink_error(self.root / part)
        if self.root.is_dir() and any(self.root.iterdir()) and not mark.exists():
            raise OutputError(
                "the folder holds something else than a report",
                where=str(self.root),
                next_step="name a new folder: --out DIR",
            )
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for part in PARTS:
            (self.root / part).mkdir(mode=0o700, exist_ok=True)
        _publish(mark, MARK_TEXT.encode())

    def thumb(self, name: str) -> Path:
        return self.root / "thumbs" / name

    def write_hashed(self, part: str, name: str, text: str) -> str:
        """Write under a name that its content decides; give that name, relative to the page.

        A page and its parts are of one report, whatever a browser or a second report keeps.
        """
        data = text.encode()
        stem, dot, ending = name.rpartition(".")
        digest = hashlib.sha256(data).hexdigest()[:HASH_DIGITS]
        path = self.root / part / f"{stem}-{digest}{dot}{ending}"
        if not path.exists():
            _publish(path, data)
        self.kept.add(path)
        return f"{part}/{path.name}"

    def write_page(self, html: str) -> None:
        """Last of all: a reader sees the old report or the new one."""
        _publish(self.page, html.encode())

    def remove_stale(self) -> None:
        """What older reports left and this one does not show."""
        for part in PARTS:
            for path in (self.root / part).rglob("*"):
                if path not in self.kept and not path.is_dir():
                    path.unlink(missing_ok=True)
        for folder in (self.root / "thumbs").iterdir():
            with suppress(OSError):  # it is not empty
                folder.rmdir()


def _publish(path: Path, data: bytes) -> None:
    with publishing(path, own_part(path)) as file:
        file.write(data)


SHOWN_CAUSES = 200


@dataclass(frozen=True, slots=True)
class Subject:
    """What a report is about. `root`: the run's folder; `made_at`: epoch seconds."""

    name: str
    root: Path
    shell: Shell
    made_at: float


@dataclass(frozen=True, slots=True)
class Made:
    """What was made. `without`: files that have no thumbnail, as they cannot be read."""

    page: Path
    jobs: int
    files: int
    new: int
    without: int


def make_report(
    db: Connection,
    subject: Subject,
    out: Path,
    heard: Callable[[int, int], None] = lambda _made, _total: None,
) -> Made:
    """Make the report, or bring it up to date. `heard`: thumbnails made so far, and in the end.

    Raises OutputError where `out` is no report's folder, DiskFullError, StorageError.
    """
    folder = ReportFolder(out)
    with disk_errors(out):
        folder.create()
        # Most of them before, so that no snapshot is held for as long as they take: the log of a
        # run that goes on could not be emptied meanwhile.
        before = _make_thumbs(db, subject.root, folder, heard)
        with snapshot(db):
            rest = _make_thumbs(db, subject.root, folder, heard)
            jobs = _write_page(db, subject, folder)
        folder.remove_stale()
    return Made(folder.page, jobs, rest.files, before.new + rest.new, rest.without)


@dataclass(frozen=True, slots=True)
class _Thumbs:
    """How many files there are, thumbnails made now, and files that have none."""

    files: int
    new: int
    without: int


def _make_thumbs(
    db: Connection, root: Path, folder: ReportFolder, heard: Callable[[int, int], None]
) -> _Thumbs:
    files, wanted = _missing_thumbs(db, root, folder)
    without = 0
    for number, why in enumerate(make_thumbnails(wanted), 1):
        without += why is not None
        heard(number, len(wanted))
    return _Thumbs(files, len(wanted) - without, without)


def _write_page(db: Connection, subject: Subject, folder: ReportFolder) -> int:
    chunks, jobs = _write_chunks(db, folder)
    way = os.path.relpath(subject.root.absolute(), folder.root.absolute())
    files = quote(way.replace(os.sep, "/")) + "/"
    document: JsonValue = {
        **head_document(db, subject.shell, jobs),
        "files": files,
        "chunks": list(chunks),
    }
    head = folder.write_hashed("data", "head.js", head_script(document))
    night = night_of(lambda: shown_attempts(db))
    write_page(folder, page_facts(db, subject.name, subject.made_at, night), head)
    return jobs


def page_facts(db: Connection, name: str, at: float, night: Night | None) -> Facts:
    """`at`: epoch seconds."""
    return Facts(name, count_shown(db), money(db), night, at)


def _pages(db: Connection) -> Iterator[list[ReportedJob]]:
    after = 0
    while page := shown_jobs(db, after, JOBS_IN_CHUNK):
        yield page
        after = page[-1].job.seq


def _missing_thumbs(db: Connection, root: Path, folder: ReportFolder) -> tuple[int, list[Wanted]]:
    """How many files there are, and the thumbnails that no report made before."""
    files, wanted = 0, {}
    for page in _pages(db):
        for file in (file for job in page for file in job.files):
            files += 1
            target = folder.thumb(thumb_name(file.sha256))
            folder.kept.add(target)
            if target not in wanted and not target.exists():
                wanted[target] = Wanted(str(root / file.path), str(target))
    return files, list(wanted.values())


def _write_chunks(db: Connection, folder: ReportFolder) -> tuple[list[str], int]:
    names, jobs = [], 0
    for number, page in enumerate(_pages(db)):
        jobs += len(page)
        script = chunk_script(page, lambda sha256: folder.thumb(thumb_name(sha256)).exists())
        names.append(folder.write_hashed("data", f"jobs-{number:04}.js", script))
    return names, jobs


def head_document(db: Connection, shell: Shell, jobs: int) -> dict[str, JsonValue]:
    """What the page shows of the whole run, besides where its parts are."""
    return {
        "jobs": jobs,
        "causes": _causes(db, shell),
        "commands": {
            "check": shell.command("check"),
            "rejected": shell.command("retry", "--state=rejected"),
        },
    }


def head_script(document: JsonValue) -> str:
    """The script that tells the page what there is, and where its chunks are."""
    return f"batchgen.begin({json.dumps(document, indent=1)});\n"


def _causes(db: Connection, shell: Shell) -> list[JsonValue]:
    found = causes(troubled_jobs(db))
    return [
        {
            "key": cause.key,
            "state": cause.state.value,
            "code": cause.code,
            "words": cause.words,
            "jobs": len(cause.jobs),
            "examples": list(cause.jobs[:5]),
            "command": rerun_command(cause, shell),
            "advice": advice(cause),
        }
        for cause in found[:SHOWN_CAUSES]
    ]
