"""YAML text → parser events, with the parser's errors in plain English."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import yaml

from batchgen.manifest.parsing.source import TextSource, UnreadableYamlError

if TYPE_CHECKING:
    from collections.abc import Iterator

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The parser of libyaml is many times faster; without it PyYAML's own is used."""

_QUOTE = "a quotation mark is opened here and never closed"

# Messages of libyaml and of PyYAML's own parser → our message and hint.
_TRANSLATIONS = (
    (
        r"mapping values are not allowed",
        "a ':' is not allowed here",
        "put text with ': ' in quotes, and check the indentation",
    ),
    (
        r"sequence entries are not allowed",
        "a list cannot begin here",
        "begin it on its own line, indented",
    ),
    (
        r"mapping keys are not allowed",
        "a value cannot begin with '? '",
        "put text that begins like this in quotes",
    ),
    (
        r"cannot start any token",
        "a value cannot begin with this character",
        "indent with spaces, not tabs; put text that begins with @, ` or % in quotes",
    ),
    (
        r"did not find expected '-' indicator|expected <block end>.*'\?'",
        "a '- ' was expected here",
        "indent all items of a list alike",
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
        "this escape is half a character (a lone surrogate) or not a character",
        "write the character itself; from Python: json.dumps(…, ensure_ascii=False)",
    ),
    (
        r"unexpected document (indicator|separator)",
        "'---' or '...' is inside a quoted text",
        None,
    ),
    (
        r"comment or line break|chomping or indentation",
        "text cannot follow | or > on its line",
        "begin the text on the next line, indented",
    ),
    (
        r"alphabetic or numeric",
        "the name after this & or * is missing",
        "put a text that begins with & or * in quotes: '*.jpg'",
    ),
    (r"document start", "there is unexpected text here", "a manifest is one mapping of keys"),
)


class Events(Protocol):
    """What a composer reads: events, and what is in the text beside them."""

    def __iter__(self) -> Iterator[Any]:
        """Yield the events that were not read yet."""

    def comment_after(self, index: int) -> str:
        """The comment after a value that ends here, with the space before it."""

    def quoting_hint_for(self, event: Any) -> str | None:
        """Suggest how to write the value just read, if it is text that looks like YAML."""


class YamlEvents:
    """The events of a YAML text, and the comments that the parser leaves out.

    Iterating raises UnreadableYamlError where the text stops being YAML; lets OSError through.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._source = TextSource(file)
        self._events = self._parsed()

    def comment_after(self, index: int) -> str:
        return self._source.comment_after(index)

    def __iter__(self) -> Iterator[yaml.Event]:
        return self._events

    def quoting_hint_for(self, event: Any) -> str | None:
        """Suggest how to write the value just read, if it is text that looks like YAML."""
        return quoting_hint(self._source.lines_up_to(event.start_mark.index)[-1:])

    def _parsed(self) -> Iterator[yaml.Event]:
        source = self._source
        try:
            next_event = LOADER(source).get_event
            while (event := next_event()) is not None:
                source.parsed = event.end_mark
                # The parser takes the cut for the end of the file and closes incomplete nodes.
                if source.failure is not None and source.parsed.line + 1 >= source.failure.line:
                    raise source.failure
                yield event
        except yaml.YAMLError as exc:
            raise source.failure or self._translated(exc) from exc

    def _translated(self, error: yaml.YAMLError) -> UnreadableYamlError:
        found = _translate(error)
        marks = (getattr(error, "problem_mark", None), getattr(error, "context_mark", None))
        for mark in filter(None, marks):
            # The parser may notice the mistake only on the next line.
            if hint := quoting_hint(self._source.lines_up_to(mark.index)[-2:]):
                return UnreadableYamlError(found.line, found.column, found.what, hint)
        return found


_PAIR = re.compile(
    r"""\s*(?:-[ ]+)*(?P<key>[^\s:\#'"{}\[\],&*!|>%@`-][^:\#]*|'[^']*'|"[^"]*"):\s+
    (?P<text>\S.*)""",
    re.VERBOSE,
)
_ITEM = re.compile(r"\s*(?:- +)+(?P<text>\S.*)")
_LOOKS_LIKE_YAML = re.compile(
    r"""
    # It continues after a closing quote,
    "(?:[^"\\]|\\.)*"\s*[^\s\#,\]}:] | '(?:[^']|'')*'\s*[^\s\#,\]}:] | '\w[^']*$
    # a bracket or a brace,
    | \[[^\[\]]*\]\s*[^\s\#,\]}:] | \{[^{}]*\}\s*[^\s\#,\]}:]
    # begins with a special character of YAML,
    | [*&]\S.*\s\S | !(?!!)\S+\s+\S | [*&!?]\s | [|>][-+0-9]*\s+[^\s\#] | -\s | [%@`]
    # or has a colon and a space.
    | [^\s"'\[{|>*&!].*:(?:\s|$)
    """,
    re.VERBOSE,
)
_LOSES_TEXT = re.compile(r"[^\s\"'\[{|>*&!#].*\s#")
_CONTINUES_IN_BRACES = re.compile(
    r"""
    [{,]\s*[^\s"'{}\[\],:\#]+:\s+
    (?:\[[^\[\]]*\] | \{[^{}]*\} | "(?:[^"\\]|\\.)*" | '(?:[^']|'')*')\s*[^\s\#,\]}:]
    """,
    re.VERBOSE,
)
_QUOTE_ALL = "put all of the text in quotes"
_QUOTE_COMMENT = f"{_QUOTE_ALL}: a ' #' in it begins a comment"
_LONGEST_QUOTED = 70


def quoting_hint(lines: list[str]) -> str | None:
    """Suggest how to write a text in these lines that YAML misreads."""
    for number, line in enumerate(reversed(lines)):
        if number == 0 and _CONTINUES_IN_BRACES.search(line):
            return _QUOTE_ALL
        if _is_cut_in_braces(line):
            return _QUOTE_COMMENT
        found = _PAIR.fullmatch(line) or _ITEM.fullmatch(line)
        if found is None:
            continue
        text = found["text"]
        if number == 0 and _LOOKS_LIKE_YAML.match(text):
            return _quoted(found.groupdict().get("key"), text)
        if number == 1 and _LOSES_TEXT.match(text):
            return _QUOTE_COMMENT
    return None


def _is_cut_in_braces(line: str) -> bool:
    """Whether a ` #` hides the end of `{prompt: a fox #1}`, where no comment is meant."""
    before, mark, _ = line.partition(" #")
    is_open = before.count("{") > before.count("}") and ": " in before
    is_plain = '"' not in before and ": '" not in before
    return bool(mark) and is_open and is_plain and not before.rstrip().endswith((",", "{", "["))


def _quoted(key: str | None, text: str) -> str:
    quoted = f"'{text.rstrip()}'" if '"' in text or "\\" in text else f'"{text.rstrip()}"'
    if len(text) > _LONGEST_QUOTED or (quoted[0] == "'" and "'" in text):
        return _QUOTE_ALL
    return f"{_QUOTE_ALL}: {key}: {quoted}" if key else f"{_QUOTE_ALL}: {quoted}"


def _translate(error: yaml.YAMLError) -> UnreadableYamlError:
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return UnreadableYamlError(0, 0, f"this is not YAML: {error}")
    problem, mark = str(error.problem), error.problem_mark
    if "end of stream" in problem and error.context_mark is not None:
        return _at(
            error.context_mark, _QUOTE, "close it; a quote in 'single quotes' is doubled: ''"
        )
    for pattern, message, hint in _TRANSLATIONS:
        if re.search(pattern, problem):
            return _at(mark, message, hint)
    context = f" {error.context}" if error.context else ""
    return _at(mark, f"this is not YAML: {problem}{context}", None)


def _at(mark: Any, message: str, hint: str | None) -> UnreadableYamlError:
    return UnreadableYamlError(mark.line + 1, mark.column + 1, message, hint)
