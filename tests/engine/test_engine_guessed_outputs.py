"""Addresses under keys that nobody documents: only result files are taken of them."""

from __future__ import annotations

import pytest

from batchgen.downloads.allowed_hosts import HostNotAllowed
from batchgen.downloads.media import MediaKind
from batchgen.downloads.outcomes import Interrupted
from batchgen.engine.guessed_outputs import SiftedApi, sifted
from batchgen.runcomfy.outcomes import (
    CancelOutcome,
    ResultOutcome,
    StatusOutcome,
    SubmitOutcome,
    Succeeded,
)
from batchgen.runcomfy.upload import BeforeLast

IMAGE, VIDEO = MediaKind.IMAGE, MediaKind.VIDEO
BEHIND: dict[str, MediaKind | HostNotAllowed | Interrupted | None] = {
    "picture": IMAGE,
    "other picture": IMAGE,
    "clip": VIDEO,
    "page": None,
    "foreign": HostNotAllowed("elsewhere.example", "not allowed"),
    "https://cdn.test/a.png?key=1": Interrupted("HTTP 503"),
    "https://cdn.test/page": Interrupted("HTTP 503"),
}


async def peek(url: str) -> MediaKind | HostNotAllowed | Interrupted | None:
    return BEHIND[url]


@pytest.mark.parametrize(
    ("urls", "results"),
    [
        (("page", "picture", "foreign", "other picture"), ("picture", "other picture")),
        (("picture", "clip"), ("clip",)),
        (("page", "foreign"), ()),
        (
            ("https://cdn.test/a.png?key=1", "https://cdn.test/page"),
            ("https://cdn.test/a.png?key=1",),
        ),
        (("data:image/png;sha256=1", "page"), ("data:image/png;sha256=1",)),
    ],
)
async def test_media_on_allowed_hosts_are_taken_and_of_a_video_not_its_preview(
    urls: tuple[str, ...], results: tuple[str, ...]
) -> None:
    assert await sifted(urls, peek) == results


class Api:
    def __init__(self, outcome: ResultOutcome) -> None:
        self.outcome = outcome

    async def submit(self, model: str, body: str, before_last: BeforeLast) -> SubmitOutcome:
        raise NotImplementedError

    async def status(self, request_id: str) -> StatusOutcome:
        raise NotImplementedError

    async def cancel(self, request_id: str) -> CancelOutcome:
        raise NotImplementedError

    async def result(self, request_id: str) -> ResultOutcome:
        return self.outcome


async def test_documented_urls_are_not_peeked_at() -> None:
    sure = Succeeded(("unheard of",), 0.1, "{}")
    assert await SiftedApi(Api(sure), peek).result("r") is sure
    guessed = Succeeded(("page", "picture"), 0.1, "{}", guessed=True)
    found = await SiftedApi(Api(guessed), peek).result("r")
    assert isinstance(found, Succeeded)
    assert (found.urls, found.cost) == (("picture",), 0.1)
