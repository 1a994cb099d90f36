"""The manifest's text, decoded and scanned chunk by chunk, so that memory stays flat.

It is decoded here and not by the parser, so that an invalid byte has a line and a column. A stamp
shows later whether the file was changed or replaced.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from io import IncrementalNewlineDecoder
from typing import TYPE_CHECKING, Any, BinaryIO

from batchgen.errors import InputError

if TYPE_CHECKING:
    import os
    from pathlib import Path


CHUNK = 64 * 1024
LONGEST_VALUE = 1024 * 1024
"""Characters between two parser events: limits the length of one value or comment."""

# The order matters: the UTF-32 byte order mark begins with that of UTF-16.
_ENCODINGS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_FORBIDDEN = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


_BLANKS = frozenset({" ", "\t"})


class UnreadableYamlError(InputError):
    """Nothing after this place can be read. `line` and `column` count from 1."""

    def __init__(self, line: int, column: int, what: str, next_step: str | None = None) -> None:
        super().__init__(what, where=f"{line}:{column}", next_step=next_step)
        self.line = line
        self.column = column


def encoding_of(start: bytes) -> tuple[bytes, str]:
    """Return the byte order mark that a text starts with, and its encoding; UTF-8 without one."""
    found = ((mark, name) for mark, name in _ENCODINGS if start.startswith(mark))
    return next(found, (b"", "utf-8"))


class TextSource:
    """What the YAML parser reads from.

    A failure is not raised here: it ends the text, so that the parser still handles everything
    before it, and is kept in `failure`.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._decoder: IncrementalNewlineDecoder | None = None
        self._encoding = "utf-8"
        self._line = 1
        self._column = 1
        self._delivered = 0
        self.parsed: Any = None
        """The mark where the parser's last event ends."""
        self._window = ""
        self._window_start = 0
        self.failure: UnreadableYamlError | None = None

    def read(self, _: int = -1) -> str:
        """Return the next chunk, of any size; "" at the end. Lets OSError through."""
        text = ""
        while not text and self.failure is None:
            data = self._file.read(CHUNK)
            text = self._checked(self._decode(data))
            if not data:
                break
        self._advance(text)
        mark = self.parsed
        parsed, line, column = (mark.index, mark.line, mark.column) if mark else (0, 0, 0)
        self._keep(text, parsed)
        if self._delivered - parsed > LONGEST_VALUE and self.failure is None:
            hint = f"at most {LONGEST_VALUE} characters are read at once"
            self.failure = UnreadableYamlError(
                line + 1, column + 1, "the value or comment after this place is too long", hint
            )
        return text

    def _keep(self, text: str, parsed: int) -> None:
        """Keep the text that is not parsed yet, from the beginning of its line."""
        start = self._window.rfind("\n", 0, max(parsed - self._window_start, 0)) + 1
        self._window = self._window[start:] + text
        self._window_start += start

    def comment_after(self, index: int) -> str:
        """Return the comment after a value that ends here, with the space before it."""
        at = index - self._window_start
        if self._window[at : at + 1] not in _BLANKS:
            return ""
        rest = self._window[at:].partition("\n")[0] if at >= 0 else ""
        return rest if rest.lstrip(" \t").startswith("#") else ""

    def lines_up_to(self, index: int) -> list[str]:
        """Return the line that this character is in, and the kept lines before it."""
        at = max(index - self._window_start, 0)
        end = self._window.find("\n", at)
        return self._window[: end if end >= 0 else None].split("\n")

    def _decode(self, data: bytes) -> str:
        if self._decoder is None:
            data = self._find_encoding(data)
        assert self._decoder is not None
        try:
            return self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as exc:
            valid = exc.object[: exc.start].decode(self._encoding)
            text = valid.replace("\r\n", "\n").replace("\r", "\n")
            self._fail_after(text, f"this is not {self._encoding.upper()}", "save it as UTF-8")
            return text

    def _find_encoding(self, data: bytes) -> bytes:
        mark, self._encoding = encoding_of(data)
        decoder = codecs.getincrementaldecoder(self._encoding)()
        self._decoder = IncrementalNewlineDecoder(decoder, translate=True)
        return data[len(mark) :]

    def _checked(self, text: str) -> str:
        bad = _FORBIDDEN.search(text)
        if bad is None:
            return text
        valid = text[: bad.start()]
        name = "a NUL character" if bad[0] == "\0" else f"the control character U+{ord(bad[0]):04X}"
        self._fail_after(valid, f"there is {name} here", "text must not contain it: remove it")
        return valid

    def _advance(self, text: str) -> None:
        self._delivered += len(text)
        self._line, self._column = _after(text, self._line, self._column)

    def _fail_after(self, text: str, message: str, hint: str) -> None:
        self.failure = UnreadableYamlError(*_after(text, self._line, self._column), message, hint)


def _after(text: str, line: int, column: int) -> tuple[int, int]:
    """Return the place right after `text`, which begins at this line and column."""
    breaks = text.count("\n")
    if not breaks:
        return line, column + len(text)
    return line + breaks, len(text) - text.rindex("\n")


@dataclass(frozen=True, slots=True)
class Stamp:
    """Times in nanoseconds. `changed_ns` too: unlike `modified_ns` it cannot be set back."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int


def stamp_of(found: os.stat_result) -> Stamp:
    return Stamp(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def stamp_at(path: Path) -> Stamp | None:
    """None if the file cannot be examined; reading it reports why."""
    try:
        return stamp_of(path.stat())
    except (OSError, ValueError):
        return None
