"""Pictures, videos and sounds → rows: one per file, with its path, its names and its caption.

A caption is the text of a file beside it, with the same stem, as trainers of LoRAs lay them out
(kohya-ss/sd-scripts: `.caption` by default, `.txt` as nearly everyone sets it).
"""

from __future__ import annotations

import codecs
import hashlib
import os
import re
import unicodedata
from collections import Counter
from itertools import chain, islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from batchgen.errors import InputError
from batchgen.manifest.rows.base import BadRow, Row, Rows
from batchgen.manifest.rows.file_walk import (
    ANY_DEPTH,
    Pattern,
    UnreadableFolder,
    pattern_of,
    walk,
)
from batchgen.manifest.rows.sources import MEDIA_NAMES, expanded, is_media
from batchgen.manifest.templates.values import PartialRow, WhyAbsent
from batchgen.text import did_you_mean, plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchgen.jobs import JsonValue
    from batchgen.manifest.rows.sources import RowSource

CAPTION = "caption"
VARIABLES = ("path", "name", "stem", "folder", CAPTION)
SIDECARS = (".txt", ".caption")
LONGEST_CAPTION = 64 * 1024
"""Bytes. A longer one is most likely not a caption."""
LONGEST_SLUG = 100
MOST_COMPARED = 10_000
"""Files that are compared with a pattern that matches none, for a hint."""

_PLAIN = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_AWKWARD = re.compile(r"-*\0[\0-]*")
_UNUSABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_HINT = (
    "write it, or a text for files without one: {{ caption | default('a photograph') }}, or leave"
    " them out: bad_rows: skip"
)


class _CaptionError(Exception):
    """A caption that cannot be used, and why."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


def file_rows(source: RowSource) -> Rows:
    """Rows are made on demand. Raises InputError if there is no such file."""
    pattern = pattern_of(source, Path(expanded(source.written)))
    start = source.folder / pattern.start
    if not source.is_pattern:
        _require(source.path)
        found: Iterator[str | UnreadableFolder] = iter(pattern.parts)
    else:
        if not os.path.isdir(start):  # noqa: PTH112 - see _no_folder
            raise _no_folder(start)
        found = walk(start, pattern.parts)
    rows = _rows(found, pattern, source.folder)
    first = next(rows, None)
    if first is None:
        raise _no_match(source, pattern, start)
    return Rows(VARIABLES, chain((first,), rows), "a variable of a file")


def slug_of(below: str) -> str:
    """What ids call the file at this path: `red/boat 1.jpg` is `red-boat-1`.

    What an id cannot have, or a shell would have to quote, becomes a `-`.
    """
    stem = below[: -len(PurePosixPath(below).suffix) or None]
    plain = stem
    if not _PLAIN.fullmatch(stem):
        composed = unicodedata.normalize("NFC", stem)
        marked = "".join(one if _is_usable(one) else "\0" for one in composed)
        plain = _AWKWARD.sub("-", marked).strip("-.")
    if plain and len(plain) <= LONGEST_SLUG:
        return plain
    digest = hashlib.sha256(stem.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{plain[: LONGEST_SLUG - 9]}-{digest}" if plain else digest


def _is_usable(character: str) -> bool:
    is_letter = character.isalnum() or unicodedata.category(character).startswith("M")
    return is_letter or character in "._-"


def _rows(
    found: Iterator[str | UnreadableFolder], pattern: Pattern, folder: Path
) -> Iterator[Row | BadRow]:
    base = "" if folder == Path() else str(folder)
    own = folder.absolute().name
    number = 0
    for one in found:
        if isinstance(one, UnreadableFolder):
            place = _printable(folder / pattern.path_of(one.below))
            hint = "check its permissions; its files are not known"
            what = f"the folder cannot be read: {one.reason}"
            yield BadRow(0, what, hint, hides_rows=True, file=place)
        elif is_media(one):
            number += 1
            yield _row(pattern.path_of(one), slug_of(one), number, base, own)


def _row(path: str, slug: str, number: int, base: str, own: str) -> Row | BadRow:
    """`base` is the path of the manifest's folder, `own` its name."""
    place = os.path.join(base, path)  # noqa: PTH118 - made a million times
    if _UNUSABLE.search(path):
        hint = "rename it: such a name is valid in no text"
        what = "its path has control characters, or is not UTF-8"
        return BadRow(0, what, hint, file=_printable(place))
    if not os.path.isfile(place):  # noqa: PTH113 - as above
        what = "this is a link to nothing" if os.path.islink(place) else "this is not a file"  # noqa: PTH114
        return BadRow(0, what, "remove it, or make it a file", file=place)
    pure = PurePosixPath(path)
    holder = pure.parent.name
    if holder in ("", ".."):
        holder = os.path.basename(os.path.abspath(os.path.dirname(place))) if holder else own  # noqa: PTH100, PTH119, PTH120
    values: dict[str, JsonValue] = {
        "path": _as_path(path),
        "name": pure.name,
        "stem": pure.stem,
        "folder": holder,
    }
    try:
        caption = _caption(place[: -len(pure.suffix)])
    except _CaptionError as exc:
        return BadRow(0, exc.what, exc.hint, file=place)
    if caption is not None:
        return Row({**values, CAPTION: caption}, number, 0, place, slug)
    missing = f"{path[: -len(pure.suffix)]}{SIDECARS[0]}"
    why = WhyAbsent(f"{path} has no caption: {missing} does not exist", _HINT)
    return Row(PartialRow(values, {CAPTION: why}), number, 0, place, slug)


def _as_path(path: str) -> str:
    """A path that an input does not take for a data: URI, or for the home folder."""
    return f"./{path}" if path.startswith(("data:", "~")) else path


def _caption(stem: str) -> str | None:
    """Read the caption beside a file; None without one. Raises _CaptionError."""
    for ending in SIDECARS:
        try:
            with open(stem + ending, "rb") as file:  # noqa: PTH123 - as above
                data = file.read(LONGEST_CAPTION + 1)
        except FileNotFoundError:
            continue
        except OSError as exc:
            what = f"its caption {os.path.basename(stem)}{ending} cannot be read: {exc.strerror}"  # noqa: PTH119
            raise _CaptionError(what, "check the file and its permissions") from exc
        return _caption_text(data, f"{os.path.basename(stem)}{ending}")  # noqa: PTH119
    return None


def _caption_text(data: bytes, name: str) -> str:
    if len(data) > LONGEST_CAPTION:
        what = f"its caption {name} is longer than {LONGEST_CAPTION // 1024} KiB"
        raise _CaptionError(what, "is it a caption? shorten it, or rename it")
    try:
        text = data.removeprefix(codecs.BOM_UTF8).decode().strip()
    except UnicodeDecodeError as exc:
        raise _CaptionError(f"its caption {name} is not UTF-8", "save it as UTF-8") from exc
    if "\0" in text:
        raise _CaptionError(f"its caption {name} has a NUL character", "save it as UTF-8")
    return text


def _require(path: Path) -> None:
    """Raise InputError unless there is something at the path."""
    if os.path.lexists(path):
        return
    near = [one.name for one in _listed(path.parent)]
    hint = did_you_mean(path.name, near) if near else "the path is relative to the manifest"
    if "\\" in path.name:
        hint = "write it with / instead of \\"
    raise InputError("there is no such file", where=str(path), next_step=hint)


def _no_folder(start: Path) -> InputError:
    # Path's own methods raise for a name that is too long, and in a folder that is not readable.
    exists, is_folder = os.path.exists, os.path.isdir
    missing = start
    while not exists(missing.parent) and missing != missing.parent:
        missing = missing.parent
    if exists(missing):
        return InputError("this is not a folder", where=str(missing))
    near = [one.name for one in _listed(missing.parent) if is_folder(one)]
    hint = did_you_mean(missing.name, near) or "a pattern is relative to the manifest"
    return InputError("there is no such folder", where=str(missing), next_step=hint)


def _listed(folder: Path) -> list[Path]:
    try:
        return list(islice(folder.iterdir(), MOST_COMPARED))
    except OSError:
        return []


def _no_match(source: RowSource, pattern: Pattern, start: Path) -> InputError:
    others = sum(isinstance(one, str) for one in islice(walk(start, pattern.parts), MOST_COMPARED))
    where = str(source.path)
    if others:
        what = f"no {MEDIA_NAMES} among the {plural(others, 'file')} that match"
        if others == 1:
            what = f"the one file that matches is no {MEDIA_NAMES}"
        hint = "a pattern takes pictures, videos and sounds by their extensions"
        return InputError(what, where=where, next_step=hint)
    return InputError(f"no {MEDIA_NAMES} matches", where=where, next_step=_nearly(pattern, start))


def _nearly(pattern: Pattern, start: Path) -> str:
    """What matches nearly: in another case, in a folder below, with another extension."""
    *above, last = pattern.parts
    if "\\" in last:
        return "write it with / instead of \\"

    def written(*parts: str) -> str:
        return pattern.path_of("/".join(parts))

    if found := _some(start, pattern.parts, ignore_case=True):
        cure = written(*above, _in_case_of(found[0], last))
        return f"{written(found[0])} differs in upper and lower case: write {cure}"
    if ANY_DEPTH not in above and (found := _some(start, (*above, ANY_DEPTH, last))):
        return f"{written(found[0])} is further down: write {written(*above, ANY_DEPTH, last)}"
    if found := _some(start, (*above, "*")):
        endings = Counter(PurePosixPath(one).suffix for one in found).most_common(3)
        listed = ", ".join(f"{count} {ending}" for ending, count in endings)
        if "{" in last:
            return f"braces have no meaning in a pattern: write {written(*above, '*')} ({listed})"
        return f"the folder has {listed}: write {written(*above, f'*{endings[0][0]}')}"
    if not _listed(start):
        return "the folder is empty"
    return "a pattern is relative to the manifest, and hidden files do not count"


def _in_case_of(found: str, last: str) -> str:
    ending, suffix = PurePosixPath(found).suffix, PurePosixPath(last).suffix
    if ending != suffix and suffix:
        return f"{last[: -len(suffix)]}{ending}"
    return "*"


def _some(start: Path, parts: tuple[str, ...], *, ignore_case: bool = False) -> list[str]:
    found = islice(walk(start, parts, ignore_case=ignore_case), MOST_COMPARED)
    return [one for one in found if isinstance(one, str) and is_media(one)]


def _printable(path: str | Path) -> str:
    return os.fsencode(path).decode(errors="backslashreplace")
