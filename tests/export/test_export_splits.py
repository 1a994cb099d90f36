"""Which split a job goes to."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.errors import InputError
from batchgen.export.splits import ONE_SPLIT, Split, parse_splits, split_of

THREE = parse_splits("train=0.9,validation=0.05,test=0.05")


def test_shares_are_read_exactly() -> None:
    assert list(THREE) == [
        Split("train", Fraction(9, 10)),
        Split("validation", Fraction(1, 20)),
        Split("test", Fraction(1, 20)),
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("train", "looks like train=0.9"),
        ("train=ninety", "looks like train=0.9"),
        ("train=1e-3", "looks like train=0.9"),
        ("=1", "looks like train=0.9"),
        ("../up=1", "looks like train=0.9"),
        ("train=0.5,Train=0.5", "named twice"),
        ("train=1,test=0", "greater than 0"),
        ("train=0.9,test=0.05", "add up to 0.95"),
        ("train=0.9,test=0.9", "add up to 1.8"),
    ],
)
def test_what_makes_no_split_is_refused(text: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        parse_splits(text)


def test_three_thirds_are_a_whole() -> None:
    splits = parse_splits("a=0.33,b=0.33,c=0.33")
    assert set(Counter(split_of(f"j{n}", splits) for n in range(3000))) == {"a", "b", "c"}


def test_a_job_stays_where_it_was_in_every_version_of_batchgen() -> None:
    splits = parse_splits("train=0.5,validation=0.25,test=0.25")
    found = [split_of(name, splits) for name in ("boat", "clip", "still-dawn", "café")]
    assert found == ["train", "train", "validation", "validation"]


def test_the_shares_come_out_as_asked_for() -> None:
    found = Counter(split_of(f"job-{n}", THREE) for n in range(20_000))
    assert found["train"] == pytest.approx(18_000, rel=0.02)
    assert found["validation"] == pytest.approx(1000, rel=0.15)
    assert found["test"] == pytest.approx(1000, rel=0.15)


@given(st.text())
def test_every_id_has_one_split(job_id: str) -> None:
    assert split_of(job_id, ONE_SPLIT) == "train"
    assert split_of(job_id, THREE) in {"train", "validation", "test"}
