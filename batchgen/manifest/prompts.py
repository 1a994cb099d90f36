"""`prompts:` of a manifest: `{red|blue}` and `__colour__` in a job's texts, drawn once per job.

The syntax is that of Dynamic Prompts (github.com/adieyal/dynamicprompts): alternatives, which may
be nested and have weights (`{2::red|blue}`), and wildcards, which are lines of a file. Not taken
over: several at once (`2$$`), variables, and patterns in names of wildcards.

What a job gets depends on the seed, its id and the place in its text, and on nothing else: other
jobs and their order change nothing.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from batchgen.errors import OutputError, Problem
from batchgen.fs import open_to_read
from batchgen.manifest.templates.problems import TemplateProblem
from batchgen.manifest.templates.values import LONGEST_TEXT
from batchgen.models.messages import format_value
from batchgen.text import did_you_mean, nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from batchgen.jobs import JsonObject, JsonValue

KEY = "prompts"
ENDING = ".txt"
DEEPEST = 30
"""Wildcard files that lead to each other."""
MOST_DRAWS = 10_000
"""In one text: nested wildcards could make thousands of millions out of a few lines."""

_TOKEN = re.compile(r"\\(?P<escaped>[{}|_])|__(?P<name>[^\W_][\w /.*-]*?)__|(?P<sign>[{}|])")
_MARKS = ("{", "__", "\\")
_WEIGHT = re.compile(r"\s*(\d{1,9}(?:\.\d{1,9})?|\.\d{1,9})::")
_SEVERAL = re.compile(r"\s*\d*-?\d*\$\$")
_TEMPLATE = re.compile(r"\{\{[^{}]*\}\}|\{%[^{}]*%\}")
_LINE_BREAK = re.compile(r"\r\n?|\n")
_LITERAL_HINT = r"to write it as it is, put a backslash before it: \{ or \__"


@dataclass(frozen=True, slots=True)
class Wildcard:
    name: str


@dataclass(frozen=True, slots=True)
class Option:
    weight: float
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """Options of which one is drawn; their weights add up to more than 0."""

    options: tuple[Option, ...]


Part: TypeAlias = str | Wildcard | Choice


class WildcardError(Exception):
    """A wildcard file that cannot be used. Not in the tree of errors: it never leaves this room."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def parse_prompt(text: str) -> tuple[Part, ...]:
    """Raises TemplateProblem. Braces without a `|` between them are plain text."""
    open_braces: list[list[list[Part]]] = []
    top: list[Part] = []
    at = 0
    for token in _TOKEN.finditer(text):
        here = open_braces[-1][-1] if open_braces else top
        here.append(text[at : token.start()])
        at = token.end()
        sign = token["sign"]
        if token["name"] is not None:
            here.append(Wildcard(token["name"].strip()))
        elif sign == "{":
            open_braces.append([[]])
        elif sign == "|" and open_braces:
            open_braces[-1].append([])
        elif sign == "}" and open_braces:
            options = open_braces.pop()
            outer = open_braces[-1][-1] if open_braces else top
            outer += ["{", *options[0], "}"] if len(options) == 1 else [_choice(options)]
        else:
            here.append(sign or token["escaped"])
    (open_braces[-1][-1] if open_braces else top).append(text[at:])
    return _joined([*top, *_unclosed(open_braces)])


def _unclosed(open_braces: list[list[list[Part]]]) -> Iterator[Part]:
    """Yield the text of braces that are never closed."""
    for options in open_braces:
        if len(options) > 1:
            raise TemplateProblem("a '{' before a '|' is never closed", _LITERAL_HINT)
        yield "{"
        yield from options[0]


def _joined(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Join neighbouring texts: a weight must be found in one."""
    made: list[Part] = []
    for part in parts:
        if isinstance(part, str) and made and isinstance(made[-1], str):
            made[-1] += part
        elif part != "":
            made.append(part)
    return tuple(made)


def _choice(options: list[list[Part]]) -> Choice:
    found = tuple(_option(_joined(parts)) for parts in options)
    if not sum(one.weight for one in found):
        raise TemplateProblem(
            "all weights of these alternatives are 0", "give one of them a weight"
        )
    return Choice(found)


def _option(parts: tuple[Part, ...]) -> Option:
    first = parts[0] if parts else ""
    if not isinstance(first, str):
        return Option(1.0, parts)
    if _SEVERAL.match(first):
        what = (
            f"several alternatives at once ({first.partition('$$')[0].strip()}$$) cannot be drawn"
        )
        raise TemplateProblem(what, "write one {…} for each")
    weight = _WEIGHT.match(first)
    if weight is None:
        return Option(1.0, parts)
    rest = first[weight.end() :]
    return Option(float(weight[1]), (rest, *parts[1:]) if rest else parts[1:])


def _line_option(line: str) -> Option:
    if template := _TEMPLATE.search(line):
        what = f"templates are not read in wildcard files; got {template[0]}"
        raise TemplateProblem(what, "put it into the job's own text")
    return _option(parse_prompt(line))


def _wildcards_in(parts: Sequence[Part]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, Wildcard):
            yield part.name
        elif isinstance(part, Choice):
            for option in part.options:
                yield from _wildcards_in(option.parts)


@dataclass(frozen=True, slots=True)
class Prompts:
    """`folder` is None if the manifest names no folder of wildcards."""

    seed: int
    folder: Path | None = None
    _known: dict[str, Choice | WildcardError] = field(
        default_factory=dict, compare=False, repr=False
    )

    @property
    def files(self) -> tuple[Path, ...]:
        """All wildcard files, used or not: a new one may be what a text refers to."""
        if self.folder is None:
            return ()
        return tuple(sorted(path for path in self.folder.rglob(f"*{ENDING}") if path.is_file()))

    def draw(self, values: JsonObject, job_id: str, keys: Collection[str]) -> JsonObject:
        """Draw for the free texts of a job's input, which are under these `keys`.

        Raises TemplateProblem for a text, with the path to it; WildcardError for a wildcard file.
        """
        drawn: dict[str, JsonValue] = {}
        for key in values.keys() & keys:
            text = values[key]
            if not isinstance(text, str):
                continue
            try:
                drawn[key] = self._text(text, job_id, key)
            except TemplateProblem as exc:
                exc.path = (key,)
                raise
        return {**values, **drawn}

    def _text(self, text: str, job_id: str, key: str) -> str:
        if not any(mark in text for mark in _MARKS):
            return text
        parts = parse_prompt(text)
        # All of them, so that a mistake shows whatever is drawn.
        for name in _wildcards_in(parts):
            self.choice_of(name)
        drawn = _Draw(self, f"{self.seed}\0{job_id}\0{key}").text(parts)
        if not drawn.strip():
            raise TemplateProblem(
                f"{key} is empty once its alternatives are drawn", "add some text"
            )
        return drawn

    def choice_of(self, name: str, above: tuple[str, ...] = ()) -> Choice:
        """Return the lines of a wildcard file. Raises WildcardError, TemplateProblem."""
        found = self._known.get(name)
        if found is None:
            try:
                found = self._read(name, self._path_of(name), above)
            except WildcardError as exc:
                found = exc
            self._known[name] = found
        if isinstance(found, WildcardError):
            raise found
        return found

    def _path_of(self, name: str) -> Path:
        if self.folder is None:
            what = f"__{name}__ needs a folder of wildcard files"
            raise TemplateProblem(what, f"name it: {KEY}: {{wildcards: FOLDER}}; {_LITERAL_HINT}")
        steps = name.split("/")
        path = self.folder.joinpath(*steps[:-1], f"{steps[-1]}{ENDING}")
        if "*" in name or any(step.strip(". ") == "" for step in steps):
            raise TemplateProblem(f"__{name}__ is not the name of one wildcard file", _LITERAL_HINT)
        if path.is_file():
            return path
        known = [one.relative_to(self.folder).with_suffix("").as_posix() for one in self.files]
        hint = did_you_mean(name, known)
        if nearest(name, known) is None:
            hint = "; ".join(filter(None, (hint, _LITERAL_HINT)))
        raise TemplateProblem(f"there is no wildcard file {path}", hint)

    def _read(self, name: str, path: Path, above: tuple[str, ...]) -> Choice:
        options = []
        for number, line in enumerate(_lines_of(path), 1):
            if not line or line.startswith("#"):
                continue
            try:
                option = _line_option(line)
                for inner in _wildcards_in(option.parts):
                    self._check_inner(inner, (*above, name))
            except TemplateProblem as exc:
                raise _wrong(path, number, exc.what, exc.next_step) from exc
            options.append(option)
        if not sum(one.weight for one in options):
            raise _wrong(
                path, 1, "the wildcard file has no line to draw", "write one text per line"
            )
        return Choice(tuple(options))

    def _check_inner(self, name: str, chain: tuple[str, ...]) -> None:
        """Read a wildcard of a wildcard file, wherever the draw leads."""
        if name in chain:
            loop = " → ".join((*chain[chain.index(name) :], name))
            raise TemplateProblem(
                f"wildcards lead to each other in a loop: {loop}", "break it here"
            )
        if len(chain) > DEEPEST:
            raise TemplateProblem(f"wildcards lead to each other more than {DEEPEST} deep", None)
        self.choice_of(name, chain)


def _lines_of(path: Path) -> list[str]:
    try:
        with open_to_read(path) as file:
            text = file.read().decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise _wrong(path, 1, "the wildcard file is not UTF-8", "save it as UTF-8") from exc
    except (OSError, OutputError) as exc:
        reason = exc.what if isinstance(exc, OutputError) else exc.strerror
        raise _wrong(path, 1, f"the wildcard file cannot be read: {reason}") from exc
    return [line.strip() for line in _LINE_BREAK.split(text)]


def _wrong(path: Path, line: int, what: str, hint: str | None = None) -> WildcardError:
    return WildcardError(Problem(str(path), line, 1, what, hint))


@dataclass(slots=True)
class _Draw:
    """The draws of one text. `key` names the text."""

    prompts: Prompts
    key: str
    draws: int = 0
    length: int = 0

    def text(self, parts: Sequence[Part]) -> str:
        return "".join(self._texts(parts, ()))

    def _texts(self, parts: Sequence[Part], place: tuple[int, ...]) -> Iterator[str]:
        for number, part in enumerate(parts):
            if isinstance(part, str):
                self.length += len(part)
                self._check_size()
                yield part
            else:
                yield from self._drawn(part, (*place, number))

    def _drawn(self, part: Wildcard | Choice, place: tuple[int, ...]) -> Iterator[str]:
        self.draws += 1
        self._check_size()
        choice = self.prompts.choice_of(part.name) if isinstance(part, Wildcard) else part
        drawn = _index(choice, f"{self.key}\0{'.'.join(map(str, place))}")
        yield from self._texts(choice.options[drawn].parts, (*place, drawn))

    def _check_size(self) -> None:
        if self.length > LONGEST_TEXT or self.draws > MOST_DRAWS:
            what = f"its alternatives make more than {LONGEST_TEXT:,} characters"
            if self.draws > MOST_DRAWS:
                what = f"its wildcards lead to more than {MOST_DRAWS:,} others"
            raise TemplateProblem(what, "check the wildcard files")


def _index(choice: Choice, key: str) -> int:
    """Draw an option by the hash of `key`, which is the same on every machine."""
    digest = hashlib.sha256(key.encode(errors="surrogatepass")).digest()
    left = (int.from_bytes(digest[:8]) >> 11) / 2**53 * sum(one.weight for one in choice.options)
    last = 0
    for number, one in enumerate(choice.options):
        if one.weight:
            last = number
            if left < one.weight:
                return number
            left -= one.weight
    return last  # rounding may leave a little


def folder_problem(folder: Path) -> tuple[str, str] | None:
    """Return what is wrong with the folder of wildcards, and a hint."""
    if folder.is_dir():
        return None
    what = "is not a folder" if folder.exists() else "does not exist"
    hint = "it is relative to the manifest, and holds one .txt file per wildcard"
    return f"the folder of wildcards {format_value(str(folder))} {what}", hint
