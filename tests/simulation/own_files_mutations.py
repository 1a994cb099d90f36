"""Safeguards of the user's own files, each switched off by a function of its own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from batchgen.engine import posts
from batchgen.engine.attempt import Attempt
from batchgen.state import manual_actions, store
from batchgen.uploads import bucket_sending, preparing, sending
from tests.simulation.mutating import Mutation, beside, put

if TYPE_CHECKING:
    from pathlib import Path

    from batchgen.input_files import InputFile


def an_upload_is_not_noted_as_one() -> None:
    """Killed in the middle of it, its outcome is unknown, though half a body is no request."""
    begin = store.Store.begin_attempt

    async def as_small(self: Any, *args: Any, **_: Any) -> int | None:
        return await begin(self, *args, uploading=False)

    put(store.Store, "begin_attempt", as_small)


def the_last_chunk_does_not_wait_for_the_commit() -> None:
    async def at_once(self: Any) -> None:
        beside(partial(self._store.handed_over, self._seq, self._number))
        self.released.set()

    put(posts.LastChunk, "release", at_once)


def a_failed_handover_lets_the_last_chunk_go() -> None:
    """The commit is never made, whatever the state says of it."""

    async def anyway(self: Any) -> None:
        self.released.set()

    put(posts.LastChunk, "release", anyway)


def no_submit_of_a_dead_run_was_sent() -> None:
    put(manual_actions, "IS_UPLOADING", "1")


def files_are_sent_as_they_are_recorded() -> None:
    put(Attempt, "take_text", lambda self: self.body)
    put(Attempt, "is_large", property(lambda _self: False))


def hashes_are_not_compared() -> None:
    def trusting(path: Path, _file: InputFile) -> bytes:
        return path.read_bytes()

    for module in (preparing, sending, bucket_sending):
        put(module, "read_whole", trusting)


def urls_are_signed_once_and_kept() -> None:
    signed = bucket_sending.BucketSender._signed
    kept: dict[tuple[object, str], str] = {}

    async def once(self: Any, key: str) -> str:
        if (self, key) not in kept:
            kept[self, key] = await signed(self, key)
        return kept[self, key]

    put(bucket_sending.BucketSender, "_signed", once)


def urls_end_before_the_run_gives_up() -> None:
    put(bucket_sending, "seconds_of_urls", lambda _timeout: 60.0)


def a_url_is_named_before_its_content_is_there() -> None:
    class Hasty:
        def __init__(self, bucket: Any) -> None:
            self._bucket = bucket
            self.has, self.url = bucket.has, bucket.url

        async def put(self, *args: Any) -> None:
            beside(partial(self._bucket.put, *args))

    init = bucket_sending.BucketSender.__init__

    def hastily(self: Any, bucket: Any, *args: Any, **more: Any) -> None:
        init(self, Hasty(bucket), *args, **more)

    put(bucket_sending.BucketSender, "__init__", hastily)


def contents_are_uploaded_again_and_again() -> None:
    init = bucket_sending.BucketSender.__init__

    def blind(self: Any, bucket: Any, *args: Any, **more: Any) -> None:
        async def never(_key: str, _size: int) -> bool:
            return False

        bucket.has = never
        init(self, bucket, *args, **more)

    put(bucket_sending.BucketSender, "__init__", blind)


MUTATIONS: tuple[Mutation, ...] = (
    an_upload_is_not_noted_as_one,
    the_last_chunk_does_not_wait_for_the_commit,
    a_failed_handover_lets_the_last_chunk_go,
    no_submit_of_a_dead_run_was_sent,
    files_are_sent_as_they_are_recorded,
    hashes_are_not_compared,
    urls_are_signed_once_and_kept,
    urls_end_before_the_run_gives_up,
    a_url_is_named_before_its_content_is_there,
    contents_are_uploaded_again_and_again,
)
