"""The user's own files inside a job's input. Pure: texts in, texts out.

A file has no URL before it is sent, yet the input that uses it must be validated and compared. So
it is written as a URL with the hash of its bytes and its path, under a domain that no server has
(RFC 2606), and becomes a data: URI or the URL of a bucket just before the submit. The hash makes a
changed file a changed input; the path only says where the bytes are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Mapping

HOST = "files.batchgen.invalid"

_FILE = re.compile(
    rf"https://{re.escape(HOST)}/(?P<sha256>[0-9a-f]{{64}})/(?P<path>[\w.~%-]+)", re.ASCII
)


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file that an input names. `path` is relative to the manifest's folder, or absolute."""

    sha256: str
    path: str
    url: str


@dataclass(frozen=True, slots=True)
class LocalFile:
    """What is known of a file on this disk. `width` and `height`, in pixels, only of pictures."""

    sha256: str
    media_type: str
    bytes: int
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True)
class Unusable:
    """Why a path does not lead to a picture, video or sound that can be read, and what may help."""

    reason: str
    hint: str | None = None


LookAt: TypeAlias = Callable[[Path], LocalFile | Unusable]
"""Reads a file, or takes what is known of it as long as it is unchanged."""


def file_url(sha256: str, path: str) -> str:
    return f"https://{HOST}/{sha256}/{quote(path, safe='')}"


def is_file_url(url: str) -> bool:
    return url.startswith(f"https://{HOST}/")


def files_in(body: str) -> tuple[InputFile, ...]:
    """Return the files in a body, each once, in order."""
    if HOST not in body:
        return ()
    found = {match.group(): match for match in _FILE.finditer(body)}
    return tuple(
        InputFile(match["sha256"], unquote(match["path"]), url) for url, match in found.items()
    )


def content_of(body: str) -> str:
    """The body without the paths of its files: equal contents are the same work."""
    if HOST not in body:
        return body
    return _FILE.sub(lambda match: f"https://{HOST}/{match['sha256']}", body)


def resolved(body: str, urls: Mapping[str, str]) -> str:
    """Replace the files by the URLs that are sent. Raises KeyError for a file without one.

    The URLs must need no escaping in JSON.
    """
    return _FILE.sub(lambda match: urls[match.group()], body) if HOST in body else body


def with_paths(body: str) -> str:
    """Replace the files by their paths, for the screens of this machine."""
    return _with_texts(body, str)


def with_public_paths(body: str) -> str:
    """The same for what may leave this machine: only the name of a file elsewhere on this disk."""
    return _with_texts(body, _public_path)


def _public_path(path: str) -> str:
    """As it is inside the manifest's folder, which says nothing about the rest of the disk."""
    found = PurePosixPath(path)
    return found.name if found.is_absolute() or ".." in found.parts else path


def _with_texts(body: str, text_of: Callable[[str], str]) -> str:
    def text(match: re.Match[str]) -> str:
        return json.dumps(text_of(unquote(match["path"])), ensure_ascii=False)[1:-1]

    return _FILE.sub(text, body) if HOST in body else body
