"""The limit of open files: raised where that is allowed, shared out where it is not."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from batchgen.runs.open_files import (
    A_DOWNLOAD,
    A_STORED_DOWNLOAD,
    OpenFiles,
    allow_open_files,
    share,
)


@pytest.fixture
def limits() -> Iterator[tuple[int, int]]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_low_soft_limit_is_raised_to_what_the_concurrency_needs(limits: tuple[int, int]) -> None:
    _, hard = limits
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))
    room = allow_open_files(400, doubled=False, in_bucket=False)
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(hard, 1656)
    assert room.submits == 400
    assert room.warning(400) == ""


def test_a_limit_that_is_high_enough_is_left_as_it_is(limits: tuple[int, int]) -> None:
    allow_open_files(1, doubled=False, in_bucket=False)
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= limits[0]


@pytest.mark.parametrize("doubled", [False, True])
@pytest.mark.parametrize("limit", [24, 64, 128, 256, 1024, 4096])
@pytest.mark.parametrize("download", [A_DOWNLOAD, A_STORED_DOWNLOAD])
def test_what_is_open_at_once_fits_into_the_limit(limit: int, doubled: bool, download: int) -> None:
    room = share(limit, 25, 1000, doubled=doubled, download=download)
    assert min(room.submits, room.asks, room.downloads) >= 1
    ends = 2 if doubled else 1
    open_at_once = 25 + ends * (room.submits + room.asks) + download * room.downloads
    assert open_at_once <= max(limit, 25 + 2 * ends + download)


@pytest.mark.parametrize(("concurrency", "downloads"), [(1, 8), (8, 8), (20, 20), (400, 32)])
def test_downloads_follow_the_concurrency(concurrency: int, downloads: int) -> None:
    assert share(4096, 25, concurrency, doubled=False).downloads == downloads
    assert share(None, 25, concurrency, doubled=False).downloads == downloads


def test_more_downloads_than_usual_take_nothing_from_the_requests() -> None:
    room = share(256, 25, 95, doubled=False)
    assert (room.submits, room.downloads) == (95, 8)


def test_fewer_in_flight_than_asked_for_is_told_with_the_limit_and_the_way_out() -> None:
    room = share(64, 25, 100, doubled=False)
    assert room.warning(100) == (
        f"open files: limit 64, so at most {room.submits} requests are in flight;"
        f" run `ulimit -n 4096` first, or set run.concurrency: {room.submits}"
    )
    assert room.warning(1) == ""


def test_where_nothing_is_known_nothing_is_lowered() -> None:
    assert share(None, 40, 50, doubled=True) == OpenFiles(None, 50, 0, 32)
    assert OpenFiles(None, 50, 0).warning(50) == ""


def test_a_run_that_is_tuned_higher_gets_what_fits(limits: tuple[int, int]) -> None:
    _, hard = limits
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))
    held = share(256, 25, 8, doubled=False)
    assert (held.submits, held.retuned(4).submits) == (8, 4)
    raised = held.retuned(400)
    assert raised.submits == 400
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 256 + 400 - held.most
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256) if hard == 256 else (256, hard))


def test_where_the_limit_cannot_be_raised_a_run_is_tuned_as_high_as_it_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("batchgen.runs.open_files._raised", lambda _wanted: 256)
    held = share(256, 25, 8, doubled=True).retuned(400)
    assert held.submits == held.most < 400
    assert "open files: limit 256, so at most" in held.warning(400)
    assert OpenFiles(None, 50, 0).retuned(400).submits == 400
