"""Byte ranges, as RFC 9110 section 14 wants them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ONE_RANGE = re.compile(r"bytes=\s*(\d*)-(\d*)\s*", re.ASCII)
LONGEST_NUMBER = 19


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes `first` to `last`, both included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Unsatisfiable:
    pass


def asked_part(headers: Mapping[str, str], etag: str, total: int) -> Part | Unsatisfiable | None:
    """None is the whole file: no range, one that cannot be read, or an `If-Range` that is over.

    Several ranges at once are answered by the whole file, which a server may do.
    """
    if headers.get("If-Range", etag) != etag:
        return None
    found = ONE_RANGE.fullmatch(headers.get("Range", ""))
    if found is None or max(map(len, found.groups())) > LONGEST_NUMBER:
        return None
    return _part(found[1], found[2], total)


def _part(first: str, last: str, total: int) -> Part | Unsatisfiable | None:
    if not first:
        return _suffix(last, total)
    start = int(first)
    end = min(int(last), total - 1) if last else total - 1
    if last and int(last) < start:
        return None  # "bytes=5-2" is no range at all
    return Part(start, end) if start < total else Unsatisfiable()


def _suffix(length: str, total: int) -> Part | Unsatisfiable | None:
    if not length:
        return None
    count = min(int(length), total)
    return Part(total - count, total - 1) if count else Unsatisfiable()
