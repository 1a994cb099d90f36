from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.downloads.resume import (
    Resume,
    Sidecar,
    parse_sidecar,
    plan_resume,
    sidecar_text,
    strong_etag,
)

KNOWN = Sidecar('"v1"', 1000)


@pytest.mark.parametrize(
    ("part_bytes", "offset"), [(1, 1), (400, 400), (999, 999), (1000, 999), (0, None), (1001, None)]
)
def test_a_part_is_continued_where_it_ends(part_bytes: int, offset: int | None) -> None:
    plan = plan_resume(KNOWN, part_bytes)
    assert (plan.offset if plan else None) == offset


def test_without_a_sidecar_nothing_is_continued() -> None:
    assert plan_resume(None, 400) is None


def test_a_part_of_unknown_length_is_continued() -> None:
    assert plan_resume(Sidecar('"v1"', None), 400) == Resume(400, Sidecar('"v1"', None))


def test_the_server_is_asked_for_the_rest_of_this_very_file() -> None:
    assert Resume(400, KNOWN).headers == {"Range": "bytes=400-", "If-Range": '"v1"'}


@pytest.mark.parametrize("etag", [None, "", '"', 'W/"v1"', "v1", '"' + "x" * 2000 + '"'])
def test_a_weak_or_malformed_etag_proves_nothing(etag: str | None) -> None:
    assert strong_etag(etag) is None


@pytest.mark.parametrize("sidecar", [KNOWN, Sidecar('"ü"', None)])
def test_a_sidecar_is_read_as_it_was_written(sidecar: Sidecar) -> None:
    assert parse_sidecar(sidecar_text(sidecar)) == sidecar


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '{"etag": "\\"v1\\"", "tot',
        '{"etag": "\\"v1\\"", "total": true}',
        '{"etag": "\\"v1\\"", "total": -1}',
        '{"etag": "\\"a\\r\\nX: y\\"", "total": 9}',
        '{"etag": 1, "total": 9}',
        "[" * 100_000,
    ],
)
def test_a_damaged_sidecar_starts_over(text: str) -> None:
    """Row 75: no line break gets into a header."""
    assert parse_sidecar(text) is None


@given(st.text())
def test_no_text_makes_the_sidecar_fail(text: str) -> None:
    assert parse_sidecar(text) is None
