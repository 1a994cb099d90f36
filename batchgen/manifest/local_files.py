"""Paths of the user's own files in an input: found, checked, replaced by what stands for them.

A path is relative to the manifest that it is written in. A text is a URL if it has a scheme, and a
path otherwise.
"""

from __future__ import annotations

import os
import posixpath
import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchgen.input_files import HOST, LocalFile, Unusable, file_url, files_in
from batchgen.manifest.problem_location import as_written
from batchgen.models.file_limits import MIB, REQUEST_BYTES, trouble_with_file
from batchgen.models.file_rules import files_of
from batchgen.models.messages import LONGEST_VALUE, InputProblem, describe_path, format_value
from batchgen.text import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from batchgen.input_files import LookAt
    from batchgen.jobs import JsonObject, JsonValue
    from batchgen.manifest.compiled_input import CompiledInput
    from batchgen.manifest.header import Manifest
    from batchgen.manifest.items import Item
    from batchgen.manifest.problem_location import ProblemPath, WrittenAt
    from batchgen.manifest.sweeps import Cell
    from batchgen.models.file_rules import FilePlace

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|data:")
_LIKE_URL = re.compile(r"\s*(?:https?:|www\.|//|(?:[a-z0-9-]+\.)+[a-z]{2,}/)", re.IGNORECASE)
_FIRST_NAME = re.compile(r"\{\{-?\s*([A-Za-z_]\w*)")
_URL_HINT = "a URL begins with https://"
_OUTSIDE_HINT = (
    "if you trust it, `inputs: outside: true` sends such files too;"
    " or write the folder in the manifest, before the column"
)
_PATH_HINT = "a path is relative to the manifest that it is written in"
_UNKNOWN = file_url("0" * 64, "unknown")
"""In the place of a file that cannot be used, so that the rest of the input is checked too."""
UP = ".."
SKIP = "leave such files out: bad_rows: skip"
MOST_SUGGESTIONS = 20
MOST_NAMES = 10_000
"""Names in a folder that are compared with a misspelt one."""


def is_path(text: str) -> bool:
    """Whether a text at a place for files is a path. A blank text is nothing."""
    if text.startswith("https://"):
        return False
    return _URL.match(text) is None and bool(text.strip())


@dataclass(frozen=True, slots=True)
class Filled:
    """An input in which files have URLs. `written` has the keys that differ, as they were."""

    values: JsonObject
    written: Mapping[str, JsonValue]
    problems: Sequence[InputProblem]
    urls: frozenset[str]


def forged_problem(body: str, filled: Filled | None) -> InputProblem | None:
    """Refuse URLs that look like ours: they would be taken for files of this machine."""
    ours = filled.urls if filled else ()
    if all(one.url in ours for one in files_in(body)):
        return None
    message = f"{HOST} stands for files of this machine, and cannot be written in an input"
    return InputProblem(("input",), message, "write the path of the file instead")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a path is written: the manifest, and the data file that its value may come from.

    `leads`: a row, and not the manifest, says in which folder the path is.
    `may_skip`: the path is that of a file that `from` finds, and such files could be left out.
    """

    manifest: Path
    data_file: Path | None = None
    leads: bool = False
    may_skip: bool = False

    def hint(self, hint: str | None) -> str | None:
        return f"{hint}, or {SKIP}" if hint and self.may_skip else hint


@dataclass(frozen=True, slots=True)
class _Found:
    """`name` is the path from the top manifest's folder, or absolute."""

    path: Path
    name: str
    file: LocalFile | Unusable


class LocalFiles:
    """Reads the files of one manifest's inputs. Made once, since it keeps what it has just read."""

    def __init__(self, manifest: Manifest, look: LookAt) -> None:
        self._top = manifest.path.parent
        self._settings = manifest.inputs
        self._look = look
        self._suggestions = 0
        # A path that no template makes is in every cell of a sweep.
        self._found = lru_cache(maxsize=1024)(self._find)

    def filled(
        self,
        item: Item,
        compiled: CompiledInput,
        values: JsonObject,
        written_at: WrittenAt,
        cell: Cell,
    ) -> Filled | None:
        """Replace the paths in an input by URLs; None if it has none, as `has_only_urls` may know.

        `written_at` is what `leave_out` did.
        """
        found = [one for one in files_of(compiled.model, values) if is_path(one[1])]
        if not found:
            return None
        problems: list[InputProblem] = []
        urls: dict[ProblemPath, str] = {}
        usable: list[tuple[FilePlace, LocalFile]] = []
        for place, text in found:
            at = as_written(place.path, written_at)
            origin = _origin_of(at, text, item, compiled, cell)
            one = self._found(text, origin.manifest.parent)
            if wrong := self._trouble(place, text, one, origin):
                sentence, hint = wrong
                message = f"{describe_path(at)}: {sentence}; got {_shown(text)}"
                problems.append(InputProblem(("input", *at), message, hint))
                urls[place.path] = _UNKNOWN
            elif isinstance(one.file, LocalFile):
                urls[place.path] = file_url(one.file.sha256, one.name)
                usable.append((place, one.file))
        if not problems and (heavy := self._trouble_with_all(usable)):
            problems.append(heavy)
        written = {str(path[0]): values[str(path[0])] for path in urls}
        return Filled(_with(values, urls), written, problems, frozenset(urls.values()))

    def _find(self, text: str, folder: Path) -> _Found:
        try:
            # Neither has a name without such characters, nor could a URL hold it.
            text.encode()
            written = Path(text).expanduser() if text.startswith("~/") else Path(text)
            path = folder / written
            name = path.as_posix() if written.is_absolute() else _name_of(path, self._top)
        except (RuntimeError, ValueError):
            hint = "rename the file with plain characters, or write the whole path without ~"
            return _Found(Path(), "", Unusable("no file can be found by this name", hint))
        return _Found(path, name, self._look(path))

    def _trouble(
        self, place: FilePlace, text: str, found: _Found, origin: Origin
    ) -> tuple[str, str | None] | None:
        match found.file:
            case Unusable(reason, hint):
                if found.name and not _exists(found.path):
                    return reason, self._way_to(text, found.path, origin)
                return reason, origin.hint(hint)
            case LocalFile() if self._is_led_outside(found, origin):
                assert origin.data_file is not None
                message = f"{origin.data_file.name} leads to a file outside the manifest's folder"
                return message, _OUTSIDE_HINT
            case LocalFile() as file:
                settings = self._settings
                wrong = trouble_with_file(place, file, by_data=settings.by_data, fit=settings.fit)
                return wrong and (
                    wrong[0].removesuffix("."),
                    wrong[1] or origin.hint("use another file"),
                )

    def _is_led_outside(self, found: _Found, origin: Origin) -> bool:
        """A data file of somebody else's must not choose which of the user's pictures are sent."""
        if not origin.leads or self._settings.outside:
            return False
        path, *folders = (
            Path(os.path.abspath(one))  # noqa: PTH100 - resolve() would follow links
            for one in (found.path, self._top, origin.manifest.parent)
        )
        return not any(path.is_relative_to(folder) for folder in folders)

    def _way_to(self, text: str, path: Path, origin: Origin) -> str:
        """A hint at what a path that leads nowhere may mean."""
        if _LIKE_URL.match(text):
            return _URL_HINT
        if "\\" in text:
            return "write the path with / instead of \\"
        if "*" in text:
            return "a pattern belongs under `from`, which makes a job of each file"
        plain = text.strip(" '\"")
        if plain != text and _exists(origin.manifest.parent / plain):
            return f"write {_shown(plain)}, without quotes or blanks in it"
        if text.startswith("$"):
            return "variables of the shell are not replaced here; ~/ is your home folder"
        if origin.data_file is not None and _exists(origin.data_file.parent / text):
            where = os.path.relpath(origin.data_file.parent / text, origin.manifest.parent)
            return f"it is beside {origin.data_file.name}, but {_PATH_HINT}: write {_shown(where)}"
        if not _exists(path.parent):
            return f"there is no folder {_shown(str(path.parent))}: {_PATH_HINT}"
        self._suggestions += 1
        if self._suggestions <= MOST_SUGGESTIONS and (close := _nearest(path)):
            return f"did you mean '{posixpath.join(posixpath.dirname(text), close)}'?"
        return _PATH_HINT

    def _trouble_with_all(
        self, files: Sequence[tuple[FilePlace, LocalFile]]
    ) -> InputProblem | None:
        """Refuse a request that is too large with all its files; `fit` may make pictures small."""
        if not self._settings.by_data:
            return None
        counted = [
            one.bytes for place, one in files if place.kind != "image" or not self._settings.fit
        ]
        in_base64 = sum((size + 2) // 3 * 4 for size in counted)
        if in_base64 <= REQUEST_BYTES:
            return None
        key = files[0][0].path[0]
        message = (
            f"{key}: its files make a request of {in_base64 / MIB:.3g} MiB;"
            f" at most {REQUEST_BYTES // MIB} MiB can be sent"
        )
        cures = "a bucket (`inputs: send: s3://…`) takes them"
        if any(place.kind == "image" for place, _ in files) and not self._settings.fit:
            cures = f"`inputs: fit: true` may send smaller copies, or {cures}"
        return InputProblem(("input", key), message, cures)


def _origin_of(
    at: ProblemPath, text: str, item: Item, compiled: CompiledInput, cell: Cell
) -> Origin:
    """Where a path in the input is written.

    One that begins with a variable of another manifest is relative to that one, and the path of a
    file that `from` finds is relative to the manifest with the `from`.
    """
    part = item.part
    file, source = part.path, part.defaults.source_of(str(at[0]))
    if at[0] in compiled.from_defaults and source is not None:
        file = source.path
    templates = (compiled.tree.texts.get(at[:length]) for length in range(1, len(at) + 1))
    template = next(filter(None, templates), None)
    if template is None:
        return Origin(file)
    if first := _FIRST_NAME.match(template.source):
        name = first[1]
        if cell.file and cell.row is not None and name in cell.row:
            return Origin(part.path, may_skip=not item.skips_bad_rows)
        if cell.variables.get(name) is part.constants.get(name):
            file = part.written_in.get(name, file)
    rows = item.rows
    if rows is None or rows.are_files:
        return Origin(file)
    return Origin(file, rows.path, leads=_row_leads(text, template.source, cell))


def _row_leads(text: str, source: str, cell: Cell) -> bool:
    """Whether a row makes a path absolute, or takes it out of the folder that the template names.

    A template that begins with a text or a variable of the manifest names a folder itself.
    """
    first = _FIRST_NAME.match(source)
    is_of_row = first is None or first[1] in {"row", *(cell.row or ())}
    own = None if first is None or is_of_row else cell.variables.get(first[1])
    if is_of_row and source.startswith("{") and (text.startswith("~") or Path(text).is_absolute()):
        return True
    own_steps = source.count(UP) + (own.count(UP) if isinstance(own, str) else 0)
    return Path(text).parts.count(UP) > own_steps


def _name_of(path: Path, top: Path) -> str:
    """The path from the top manifest's folder; absolute if the folder is not on its way."""
    if path.is_absolute() != top.is_absolute() or path.parts[: len(top.parts)] != top.parts:
        return path.absolute().as_posix()
    rest = path.relative_to(top)
    if ".." in rest.parts:
        plain = Path(os.path.normpath(rest))
        # Behind a link to a folder, `..` leads elsewhere.
        rest = plain if _is_same(top / plain, path) else rest
    return rest.as_posix()


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except (OSError, ValueError):
        return False


def _exists(path: Path) -> bool:
    """Whether there is, or may be, something."""
    try:
        return path.exists()
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False


def _nearest(path: Path) -> str | None:
    """The name in the same folder that is most like the path's."""
    try:
        with os.scandir(path.parent) as entries:
            names = [one.name for one in islice(entries, MOST_NAMES)]
    except (OSError, ValueError):
        return None
    return nearest(path.name, [name for name in names if name.isprintable()])


def _with(values: JsonObject, urls: Mapping[ProblemPath, str]) -> JsonObject:
    """A copy with the URLs in it: what a template gave is shared, and not changed in place."""
    made = dict(values)
    for path, url in urls.items():
        holder: Any = made
        for step in path[:-1]:
            child = holder[step]
            holder[step] = child.copy() if isinstance(child, list) else dict(child)
            holder = holder[step]
        holder[path[-1]] = url
    return made


def _shown(path: str) -> str:
    """A path for a message. The end says more than the beginning."""
    if len(path) <= LONGEST_VALUE:
        return format_value(path)
    return format_value(f"…{path[4 - LONGEST_VALUE :]}")
