"""YAML text → events of the parser, with its complaints in plain words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, BinaryIO

import yaml

from batchgen.manifest.parsing.source import TextSource, UnreadableYamlError

if TYPE_CHECKING:
    from collections.abc import Iterator

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The parser that came with libyaml is many times faster; without it the plain one serves."""

_QUOTE = "a quotation mark is opened here and never closed"

# What libyaml (left) and PyYAML's own parser (right) say, and what a person can do about it.
_COMPLAINTS = (
    (
        r"mapping values are not allowed",
        "a ':' cannot stand here",
        "put text with ': ' in quotes, and check the indentation",
    ),
    (
        r"sequence entries are not allowed",
        "a list cannot begin here",
        "begin it on its own line, indented",
    ),
    (
        r"cannot start any token",
        "a value cannot begin with this character",
        "indent with spaces, not tabs; put text that begins with @, ` or % in quotes",
    ),
    (
        r"did not find expected '-' indicator|expected <block end>.*'\?'",
        "a '- ' was expected here",
        "all items of a list are indented alike",
    ),
    (
        r"did not find expected key|expected <block end>",
        "a key was expected here",
        "check the indentation of this line and of the one above",
    ),
    (
        r"did not find expected ',' or|expected ',' or",
        "a ',' or a closing bracket is missing",
        "check the brackets of this list or mapping",
    ),
    (
        r"expected (the )?node content",
        "a value is missing here",
        "put text with brackets in quotes",
    ),
    (
        r"could not find expected ':'",
        "a ':' is missing after this key",
        "write 'key: value', with a space after the colon",
    ),
    (
        r"unknown escape character|expected escape sequence",
        "this backslash escape does not exist",
        "use 'single quotes', in which a backslash is only a backslash",
    ),
    (
        r"Unicode character escape",
        "this escape is half a character (a lone surrogate) or none",
        "write the character itself; from Python: json.dumps(…, ensure_ascii=False)",
    ),
    (
        r"unexpected document (indicator|separator)",
        "'---' or '...' stands inside a quoted text",
        None,
    ),
    (
        r"comment or line break|chomping or indentation",
        "text cannot follow | or > on its line",
        "begin the text on the next line, indented",
    ),
    (r"alphabetic or numeric", "the name after this & or * is missing", None),
    (r"document start", "something is left over here", "a manifest is one mapping of keys"),
)


def parse_events(file: BinaryIO) -> Iterator[yaml.Event]:
    """Yield the events of a YAML text.

    Raises UnreadableYamlError where the text ends being YAML; lets OSError through.
    """
    source = TextSource(file)
    try:
        for event in yaml.parse(source, Loader=LOADER):
            end: Any = event.end_mark
            # The parser takes the cut for the end of the file; what it closes there is not whole.
            if source.failure is not None and end.line + 1 >= source.failure.line:
                raise source.failure
            source.has_seen(end.index, end.line + 1, end.column + 1)
            yield event
    except yaml.YAMLError as exc:
        raise source.failure or _translate(exc) from exc


def _translate(error: yaml.YAMLError) -> UnreadableYamlError:
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return UnreadableYamlError(0, 0, f"this is not YAML: {error}")
    problem, mark = str(error.problem), error.problem_mark
    if "end of stream" in problem and error.context_mark is not None:
        return _at(
            error.context_mark, _QUOTE, "close it; a quote in 'single quotes' is doubled: ''"
        )
    for pattern, message, hint in _COMPLAINTS:
        if re.search(pattern, problem):
            return _at(mark, message, hint)
    context = f" {error.context}" if error.context else ""
    return _at(mark, f"this is not YAML: {problem}{context}", None)


def _at(mark: Any, message: str, hint: str | None) -> UnreadableYamlError:
    return UnreadableYamlError(mark.line + 1, mark.column + 1, message, hint)
