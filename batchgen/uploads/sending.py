"""Puts the user's own files into the request itself, as data: URIs: `inputs: send: data`."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from batchgen.byte_budget import ByteBudget
from batchgen.concurrency import in_daemon_thread
from batchgen.input_files import files_in, resolved
from batchgen.models.file_limits import DATA_BYTES, MIB, REQUEST_BYTES
from batchgen.models.file_rules import FilePlace, files_of
from batchgen.processes import ProcessPool, cores
from batchgen.uploads.outcomes import CannotSendError, unreadable
from batchgen.uploads.preparing import Preparation, prepare, read_whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from batchgen.byte_budget import Share
    from batchgen.input_files import InputFile
    from batchgen.models.catalog import Model

BYTES_IN_FLIGHT = 256 * MIB
"""Of all bodies together, from before they are put together until their POSTs have ended."""
AT_ONCE = 2
"""Files that are decoded and bodies that are put together at once: each may take much more memory
for a moment than its body does."""
A_BUCKET = "a bucket (`inputs: send: s3://…`) takes them"

_NOT_ASCII = re.compile(r"[^\x00-\x7f]")


class DataSender:
    """Made by `open_data_sender`. `folder` is what relative paths begin at."""

    def __init__(
        self, folder: Path, processes: ProcessPool, *, fit: bool, capacity: int = BYTES_IN_FLIGHT
    ) -> None:
        self._folder = folder
        self._processes = processes
        self._fit = fit
        self._budget = ByteBudget(capacity)
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def body_for(self, model: Model, body: str) -> tuple[str, Share]:
        """The body in ASCII with its files in it, and its share of the budget, to be released.

        Raises CannotSendError and NotNowError. May be cancelled at any moment: a thread
        that is left behind only reads.
        """
        files = files_in(body)
        sizes = await in_daemon_thread(partial(self._sizes, files), "size of own files")
        places = places_of(model, body, files)
        share = await self._budget.acquire(self._needed(body, sizes, places))
        try:
            async with self._turns:
                text = await in_daemon_thread(partial(self._put, body, files, places), "own files")
        except BaseException:
            share.release()
            raise
        share.shrink(len(text))
        return text, share

    def _sizes(self, files: Sequence[InputFile]) -> dict[str, int]:
        return {file.url: size_of(self._folder / file.path, file) for file in files}

    def _needed(self, body: str, sizes: Mapping[str, int], places: Mapping[str, FilePlace]) -> int:
        """Bytes of the whole body, at most. Raises CannotSendError if they are far too many."""
        most = {url: DATA_BYTES[place.kind] for url, place in places.items()}
        carried = [
            min(size, most[url]) if self._fit and places[url].kind == "image" else size
            for url, size in sizes.items()
        ]
        needed = len(body) + sum(_in_base64(size) for size in carried)
        if not self._fit:
            _check_request(needed)
        return min(needed, REQUEST_BYTES)

    def _put(self, body: str, files: Sequence[InputFile], places: Mapping[str, FilePlace]) -> str:
        urls = {file.url: self._data_uri(file, places[file.url]) for file in files}
        # Escaped, so that the text takes one byte a character: one word in Greek would double it.
        text = resolved(_NOT_ASCII.sub(_escape, body), urls)
        _check_request(len(text))
        return text

    def _data_uri(self, file: InputFile, place: FilePlace) -> str:
        content = read_whole(self._folder / file.path, file)
        work = Preparation(content, file.sha256, place, by_data=True, fit=self._fit)
        ready = prepare(self._processes, file.path, work)
        return f"data:{ready.media_type};base64,{base64.b64encode(ready.content).decode('ascii')}"


@contextmanager
def open_data_sender(
    folder: Path, *, fit: bool, capacity: int = BYTES_IN_FLIGHT
) -> Iterator[DataSender]:
    with ProcessPool(min(cores(), AT_ONCE)) as processes:
        yield DataSender(folder, processes, fit=fit, capacity=capacity)


def places_of(model: Model, body: str, files: Sequence[InputFile]) -> dict[str, FilePlace]:
    """Where each file is used; with the rules of all its places, if there are several.

    Raises CannotSendError for a file where the model takes none.
    """
    found: dict[str, FilePlace] = {}
    for place, url in files_of(model, json.loads(body)):
        before = found.get(url)
        rules = place.rules if before is None else (*before.rules, *place.rules)
        found[url] = FilePlace(place.path, place.kind, rules)
    for file in files:
        if file.url not in found:
            raise CannotSendError(f"{file.path} is not where the model takes a file")
    return {file.url: found[file.url] for file in files}


def size_of(path: Path, file: InputFile) -> int:
    """Raises CannotSendError and NotNowError."""
    try:
        return path.stat().st_size
    except OSError as exc:
        raise unreadable(path, file.path, exc) from exc


def _in_base64(size: int) -> int:
    return (size + 2) // 3 * 4


def _check_request(size: int) -> None:
    if size > REQUEST_BYTES:
        raise CannotSendError(
            f"with its files in it, the request has {size / MIB:.3g} MiB,"
            f" and the vendor takes {REQUEST_BYTES // MIB} MiB; {A_BUCKET}"
        )


def _escape(match: re.Match[str]) -> str:
    return json.dumps(match.group())[1:-1]
