from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from batchgen.downloads.outcomes import Corrupt, Interrupted, TooLarge, UrlExpired
from batchgen.downloads.responses import Body, Interpretation, StartOver, interpret
from batchgen.downloads.resume import Resume, Sidecar

KNOWN = Sidecar('"v1"', 1000)
AT_400 = Resume(400, KNOWN)


def answer(status: int, headers: dict[str, str], resume: Resume | None = None) -> Interpretation:
    return interpret(status, CIMultiDict(headers), resume, 5000)


def test_a_whole_body_can_be_continued_only_with_a_strong_etag() -> None:
    assert answer(200, {"ETag": '"v1"', "Content-Length": "9"}) == Body(0, 9, Sidecar('"v1"', 9))
    assert answer(200, {"ETag": 'W/"v1"', "Content-Length": "9"}) == Body(0, 9, None)
    assert answer(200, {"Last-Modified": "Tue, 01 Apr 2025 10:00:00 GMT"}) == Body(0, None, None)


def test_a_range_that_fits_is_continued() -> None:
    headers = {"ETag": '"v1"', "Content-Range": "bytes 400-999/1000"}
    assert answer(206, headers, AT_400) == Body(400, 1000, KNOWN)
    assert answer(206, {**headers, "Content-Range": "bytes 400-999/*"}, AT_400) == Body(
        400, 1000, KNOWN
    )


@pytest.mark.parametrize(
    "headers",
    [
        {"ETag": '"v2"', "Content-Range": "bytes 400-999/1000"},
        {"Content-Range": "bytes 400-999/1000"},
        {"ETag": '"v1"', "Content-Range": "bytes 0-999/1000"},
        {"ETag": '"v1"', "Content-Range": "bytes 400-1999/2000"},
        {"ETag": '"v1"', "Content-Range": "lines 4-9/10"},
        {"ETag": '"v1"'},
    ],
)
def test_a_range_of_something_else_starts_over(headers: dict[str, str]) -> None:
    """Row 44."""
    assert answer(206, headers, AT_400) == StartOver()


def test_a_range_past_the_end_starts_over() -> None:
    assert answer(416, {}, AT_400) == StartOver()


def test_an_ignored_range_is_the_whole_file() -> None:
    """Row 43."""
    found = answer(200, {"ETag": '"v1"', "Content-Length": "1000"}, AT_400)
    assert found == Body(0, 1000, KNOWN)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 416, 451])
def test_a_refused_url_needs_a_new_one(status: int) -> None:
    """Row 40."""
    found = answer(status, {})
    assert isinstance(found, UrlExpired)
    assert found.status == status
    assert str(status) in found.reason


@pytest.mark.parametrize("status", [204, 206, 304, 408, 425, 429, 500, 503, 599])
def test_a_passing_trouble_is_tried_again(status: int) -> None:
    assert answer(status, {"Retry-After": "7"}) == Interrupted(
        f"the file server answered {status}", 7.0
    )


def test_an_announced_size_over_the_cap_is_refused() -> None:
    """Row 49."""
    assert answer(200, {"Content-Length": "5001"}) == TooLarge(5001)
    assert isinstance(answer(200, {"Content-Length": "5000"}), Body)
    headers = {"ETag": '"v1"', "Content-Range": "bytes 400-5999/6000"}
    assert answer(206, headers, Resume(400, Sidecar('"v1"', None))) == TooLarge(6000)


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip"])
def test_a_compressed_body_is_never_unpacked(encoding: str) -> None:
    """Row 72."""
    assert isinstance(answer(200, {"Content-Encoding": encoding}), Corrupt)


@pytest.mark.parametrize(("value", "seconds"), [("30", 30.0), ("99999", 3600.0), ("soon", None)])
def test_a_busy_server_may_ask_to_wait_for_an_hour_at_most(
    value: str, seconds: float | None
) -> None:
    """Row 30, for downloads."""
    outcome = answer(503, {"Retry-After": value})
    assert isinstance(outcome, Interrupted)
    assert outcome.retry_after == seconds


HEADERS = st.dictionaries(
    st.sampled_from(
        ["ETag", "Content-Length", "Content-Range", "Content-Encoding", "Retry-After", "Date"]
    ),
    st.text() | st.from_regex(r"bytes \d+-\d+/\d+") | st.integers().map(str),
)


@settings(suppress_health_check=[HealthCheck.too_slow])  # of a busy machine
@given(st.integers(100, 999), HEADERS, st.sampled_from([None, AT_400]))
def test_no_answer_makes_the_judgement_fail(
    status: int, headers: dict[str, str], resume: Resume | None
) -> None:
    found = answer(status, headers, resume)
    assert not (isinstance(found, StartOver) and resume is None)
    assert not isinstance(found, Body) or found.offset in {0, 400}
