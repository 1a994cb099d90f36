"""A glance at the text of the jobs: whether the header needs nothing from them.

Their events are made once more when they are read, which takes ten times as long as this search.
It says yes only if it is certain: no key follows the jobs, and none of them is a sweep.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from batchgen.manifest.parsing.source import encoding_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

_BLOCK = 1024 * 1024

# Patterns begin with a plain character: that is searched for many times as fast.
_SURE_SIGNS = (
    # At the beginning of a line, all but an item, a comment, or what is further in.
    re.compile(rb"\n(?:[^ \n#-]|-[^ \n])"),
    # A key of a sweep, also in `{from}`.
    *(
        re.compile(name + rb"[\"']?[ \t]*(?:[:,}\n#]|$)")
        for name in (b"matrix", b"from", b"repeat")
    ),
    # A merge, and a key with an escape, which may be any.
    re.compile(rb"<<"),
    re.compile(rb"\\[^\"\n]*\"[ \t]*:"),
    # Line breaks of YAML that are not ours.
    *map(re.compile, (rb"\r", rb"\xc2\x85", rb"\xe2\x80[\xa8\xa9]")),
)
_SIGNS_AFTER_SPACE = (
    # `? key` and `*alias`.
    re.compile(rb"\?\s"),
    re.compile(rb"\*\S"),
)
_SPACE = frozenset(b" \t\n,{[-:")


def needs_only_the_top(file: BinaryIO, line: int) -> bool:
    """Whether nothing after this line (from 1) matters for the header. The file stays where it is.

    The line has the key `jobs` in its first column, and its value is a list of indented items.
    """
    at = file.tell()
    try:
        file.seek(0)
        return not any(map(_has_sign, _texts(file, line)))
    finally:
        file.seek(at)


def _texts(file: BinaryIO, line: int) -> Iterator[bytes]:
    """Whole lines, with the break before them; a lone carriage return where it is unclear."""
    start = file.readline(_BLOCK)
    yield b"\r" if encoding_of(start)[0] else _only_breaks(start)
    for _ in range(line - 1):
        yield _only_breaks(file.readline(_BLOCK))
    while block := file.read(_BLOCK):
        rest = b"" if block.endswith(b"\n") else file.readline(_BLOCK)
        yield b"\r" if len(rest) == _BLOCK else b"\n" + (block + rest).replace(b"\r\n", b"\n")


def _only_breaks(line: bytes) -> bytes:
    """Of a line above the jobs, what would make the count of lines wrong."""
    own = line.replace(b"\r\n", b"\n")
    return (
        b"\r" if any(sign.search(own) for sign in _SURE_SIGNS[-3:]) or len(line) == _BLOCK else b""
    )


def _has_sign(text: bytes) -> bool:
    return any(sign.search(text) for sign in _SURE_SIGNS) or _after_space(text)


def _after_space(text: bytes) -> bool:
    found: Iterable[re.Match[bytes]] = (
        one for sign in _SIGNS_AFTER_SPACE for one in sign.finditer(text)
    )
    return any(text[one.start() - 1] in _SPACE for one in found)
