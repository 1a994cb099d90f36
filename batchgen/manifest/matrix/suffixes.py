"""What tells the jobs of a sweep apart in their ids."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from batchgen.manifest.matrix.parts import same_key

if TYPE_CHECKING:
    from batchgen.jobs import JsonValue

LONGEST_SLUG = 16

_PLAIN = re.compile(r"[A-Za-z0-9._-]{1,24}")
_NOT_WORD = re.compile(r"[^a-z0-9]+")


def suffix(axes: Sequence[str], values: Mapping[str, JsonValue], repeat: int = 1) -> str:
    """Tell a cell from the others: `dawn`, `a-red-fox-3f9a1c`, `dusk-2`.

    Made from the cell's own values alone, so that no edit of the matrix renames another cell. Empty
    for the first of a cell without any of the axes.
    """
    words = [_word(values[axis]) for axis in axes if axis in values]
    if repeat > 1:
        words.append(str(repeat))
    return "-".join(words)


def _word(value: JsonValue) -> str:
    if isinstance(value, Mapping):
        names = (value[key] for key in ("id", "name") if _is_scalar(value.get(key)))
        name = next(names, None)
        return _digest(value, 8) if name is None else _word(name)
    if isinstance(value, list):
        return _digest(value, 8)
    text = value if isinstance(value, str) else json.dumps(value)
    if _PLAIN.fullmatch(text):
        return text
    return "-".join(filter(None, (_slug(text), _digest(value, 6))))


def _is_scalar(value: JsonValue) -> bool:
    return isinstance(value, str | int | float)


def _slug(text: str) -> str:
    """Keep the first words, as many as fit; of a long one its beginning."""
    plain = unicodedata.normalize("NFKD", text[: 10 * LONGEST_SLUG])
    words = _NOT_WORD.sub(" ", plain.encode("ascii", "ignore").decode().lower()).strip()
    if len(words) <= LONGEST_SLUG:
        return words.replace(" ", "-")
    whole = words[: LONGEST_SLUG + 1].rpartition(" ")[0]
    return (whole or words[:LONGEST_SLUG]).replace(" ", "-")


def _digest(value: JsonValue, digits: int) -> str:
    # A lone surrogate is refused later, at its place; here it must only not raise.
    text = same_key(value).encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest()[:digits]
