"""The layout of LoRA trainers: each file with a `.txt` of the same stem that holds its caption.

kohya-ss/sd-scripts, OneTrainer and ai-toolkit read it as it is. sd-scripts reads no folders within
a folder of pictures, so a name with `/` becomes one without. It takes the first line of a caption,
and OneTrainer takes any line, so a caption has one line.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchgen.errors import UsageError
from batchgen.export.buckets import count_buckets
from batchgen.export.folders import Unit, file_unit, folder_of, kinds_of, publish_units
from batchgen.export.rows import row_fields
from batchgen.fs import HASH_DIGITS
from batchgen.manifest.templates.problems import TemplateProblem
from batchgen.manifest.templates.texts import compile_text
from batchgen.manifest.templates.values import as_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from batchgen.export.buckets import Bucket
    from batchgen.export.context import ExportContext
    from batchgen.export.options import ExportOptions
    from batchgen.export.rows import Row
    from batchgen.manifest.templates.texts import CompiledText

OPTION = "--caption"
BUCKETS = "buckets.csv"
NAME_BYTES = 200
"""Of a name that had folders: leaves room for a hash and an extension."""


@dataclass(frozen=True, slots=True)
class Captions:
    """Makes captions: the prompt, or the text of a template. Raises UsageError."""

    template: CompiledText | None

    @classmethod
    def of(cls, options: ExportOptions) -> Captions:
        if options.caption is None:
            return cls(None)
        try:
            return cls(compile_text(options.caption))
        except TemplateProblem as exc:
            raise _refused(exc) from exc

    def check(self, rows: Iterable[Row]) -> None:
        """Render all captions, so that nothing is written if one fails."""
        if self.template is None or self.template.is_literal:
            return
        for row in rows:
            try:
                self.template.check_names(row_fields(row, row.name))
            except TemplateProblem as exc:
                raise _refused(exc) from exc
            self.text(row)

    def text(self, row: Row) -> str:
        fields = row_fields(row, row.name)
        if self.template is None:
            return _one_line(as_text(fields["prompt"]))
        try:
            return _one_line(as_text(self.template.render(fields)))
        except TemplateProblem as exc:
            raise _refused(exc, row.result.job_id) from exc


def _refused(problem: TemplateProblem, job_id: str = "") -> UsageError:
    what = f"{job_id}: {problem.what}" if job_id else problem.what
    return UsageError(what, where=OPTION, next_step=problem.next_step)


def _one_line(text: str) -> str:
    return " ".join(line.strip() for line in text.splitlines() if line.strip())


def write_captions(work: ExportContext) -> None:
    captions = Captions.of(work.options)
    is_mixed = len(kinds_of(work)) > 1
    rows = (row for _, row in work.journal.rows())
    publish_units(
        work, (unit for row in rows for unit in _units(work, captions, row, is_mixed=is_mixed))
    )
    if work.options.buckets is not None:
        work.publish_lines(BUCKETS, _table(buckets_of(work)))


def _units(work: ExportContext, captions: Captions, row: Row, *, is_mixed: bool) -> Iterator[Unit]:
    """Yield the caption first: a trainer that starts meanwhile finds no picture without one."""
    folder = _folder(work.options, row, is_mixed=is_mixed)
    stem, extension = flat_names(row)
    text = captions.text(row).encode(errors="replace")
    yield Unit(f"{folder}{stem}.txt", hashlib.sha256(text).hexdigest(), text)
    yield file_unit(work, row, f"{folder}{stem}.{extension}")


def _folder(options: ExportOptions, row: Row, *, is_mixed: bool) -> str:
    """Return the folder with a `/` at its end, or "" for the export's own.

    Trainers take one folder of pictures, or (sd-scripts) one folder of such as `10_boats`.
    """
    split = folder_of(row.kind, row.split, is_mixed=is_mixed)
    if not options.has_splits:
        split = f"{row.kind}s" if is_mixed else ""
    concept = "" if options.repeats is None else f"{options.repeats}_{options.concept}"
    return "".join(f"{part}/" for part in (split, concept) if part)


def flat_names(row: Row) -> tuple[str, str]:
    """Return stem and extension, without folders. Different names stay different.

    As in `safe_name`: a hash keeps `sea/boat` and `sea_boat` apart.
    """
    stem, _, extension = row.name.rpartition(".")
    if "/" in stem:
        digest = hashlib.sha256(stem.encode(errors="surrogateescape")).hexdigest()[:HASH_DIGITS]
        short = stem.encode()[:NAME_BYTES].decode(errors="ignore")
        stem = f"{short.replace('/', '_')}-{digest}"
    return stem, extension


def buckets_of(work: ExportContext) -> tuple[Bucket, ...]:
    """Count the pictures in each bucket; nothing without `--buckets`."""
    if work.options.buckets is None:
        return ()
    results = ((row.split, row.result) for _, row in work.journal.rows(kind="image"))
    sizes = ((split, result.width, result.height) for split, result in results)
    return count_buckets(sizes, work.options.buckets)


def _table(buckets: Iterable[Bucket]) -> Iterator[bytes]:
    yield b"split,width,height,files\n"
    for one in buckets:
        yield f"{one.split},{one.width},{one.height},{one.files}\n".encode()
