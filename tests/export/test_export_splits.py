"""Which split a job goes to."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.errors import InputError, UsageError
from batchgen.export.options import ExportOptions, Format
from batchgen.export.splits import (
    ONE_SPLIT,
    Group,
    Split,
    SplitBy,
    Splitter,
    parse_split_by,
    parse_splits,
    row_of,
    split_of,
)
from batchgen.state.records import Result
from tests.export.export_world import I2V, World, job, tree
from tests.state.state_world import a_result

THREE = parse_splits("train=0.9,validation=0.05,test=0.05")
HALVES = parse_splits("train=0.5,test=0.5")


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


# By a tag, by a column, and with groups that stay together

MADE = a_result(model=I2V, path="files/boat.mp4", media_type="video/mp4", seconds=1.0)


def made(job_id: str, sweep: str = "", axes: dict[str, Any] | None = None) -> Result:
    return replace(MADE, job_id=job_id, sweep=sweep, axes=json.dumps(axes or {}))


@pytest.mark.parametrize(
    ("text", "by"),
    [
        ("tag:train,test", SplitBy(tags=("train", "test"))),
        (" tag: train , test", SplitBy(tags=("train", "test"))),
        ("sweep", SplitBy("sweep")),
        ("axes.hour", SplitBy("axes.hour")),
        ("input.seed", SplitBy("input.seed")),
    ],
)
def test_what_names_the_splits_is_read(text: str, by: SplitBy) -> None:
    assert parse_split_by(text) == by


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("tag:", "cannot split by 'tag:'"),
        ("tag", "cannot split by 'tag'"),
        ("tag:train,,", "'' is not a name for a split"),
        ("tag:../up", "is not a name for a split"),
        ("tag:train,Train", "named twice"),
        ("axes.", "cannot split by"),
        ("prompt", "cannot split by 'prompt'"),
        ("sweep:a", "cannot split by"),
    ],
)
def test_what_names_no_splits_is_refused(text: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        parse_split_by(text)


@pytest.mark.parametrize(
    ("column", "split"),
    [("model", "i2v"), ("sweep", "boats"), ("pick", "keep"), ("axes.hour", "golden_hour")],
)
def test_a_column_names_the_split(column: str, split: str) -> None:
    one = replace(made("boat", "boats", {"hour": "golden hour"}), pick="keep")
    assert Splitter(ONE_SPLIT, SplitBy(column)).split_of(one) == split


@pytest.mark.parametrize(
    ("column", "result", "why"),
    [
        ("pick", made("boat"), "boat: pick is not a name for a split: null"),
        ("sweep", made("boat"), "boat: sweep is not a name for a split: ''"),
        (
            "input.seed",
            replace(made("boat"), body='{"seed":7}'),
            "input.seed is not a name for a split: 7",
        ),
    ],
)
def test_a_value_that_can_name_no_split_is_refused(column: str, result: Result, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        Splitter(ONE_SPLIT, SplitBy(column)).split_of(result)


def test_two_values_never_become_one_split_and_no_column_makes_a_hundred() -> None:
    splitter = Splitter(ONE_SPLIT, SplitBy("sweep"))
    splitter.split_of(made("a", "a b"))
    with pytest.raises(UsageError, match="'a b' and 'A-B' would be one split"):
        splitter.split_of(made("b", "A-B"))
    many = Splitter(ONE_SPLIT, SplitBy("sweep"))
    for number in range(100):
        many.split_of(made("a", f"s{number}"))
    with pytest.raises(UsageError, match="more than 100 values"):
        many.split_of(made("a", "s100"))


def test_each_job_has_exactly_one_of_the_tags() -> None:
    splitter = Splitter(ONE_SPLIT, parse_split_by("tag:train,test"))
    assert splitter.split_of(replace(MADE, tags='["hero","test"]')) == "test"
    with pytest.raises(UsageError, match="boat has none of the tags train, test"):
        splitter.split_of(replace(MADE, tags='["hero"]'))
    with pytest.raises(UsageError, match="boat has two of the tags train, test"):
        splitter.split_of(replace(MADE, tags='["test","train"]'))


@pytest.mark.parametrize("group", [Group.PROMPT, Group.SWEEP, Group.ROW])
def test_a_group_goes_to_one_split_and_groups_go_to_all(group: Group) -> None:
    def one(row: int, hour: str, repeat: int) -> Result:
        end = f"-{repeat}" if repeat > 1 else ""
        axes = {"hour": hour, "repeat": repeat}
        sweep = f"poster{row}" if group is Group.SWEEP else "poster"
        made_so = made(f"{sweep}-{row}-{hour}{end}", sweep, axes)
        return replace(made_so, body=json.dumps({"prompt": f"p{row}"}))

    splits = parse_splits("train=0.5,test=0.5")
    splitter = Splitter(splits, None, group)
    found = {
        row: {splitter.split_of(one(row, hour, n)) for hour in ("dawn", "dusk") for n in (1, 2)}
        for row in range(40)
    }
    assert all(len(names) == 1 for names in found.values())
    assert set.union(*found.values()) == {"train", "test"}
    alone = Splitter(splits)
    apart = {alone.split_of(one(0, hour, n)) for hour in ("dawn", "dusk") for n in range(9)}
    assert apart == {"train", "test"}


@pytest.mark.parametrize(
    ("result", "row"),
    [
        (made("boat"), "boat"),
        (made("poster-7", "poster"), "poster-7"),
        (made("poster-2-dawn-2", "poster", {"hour": "dawn", "repeat": 2}), "poster-2"),
        (made("poster-2-dawn", "poster", {"hour": "dawn", "repeat": 1}), "poster-2"),
        (made("p-1-2-1", "p", {"b": 1, "a": 2}), "p-1"),
        (made("dawn/a7", "{{ hour }}/{{ sku }}", {"hour": "dawn"}), "a7"),
        (
            made(
                "a7 golden hour 1",
                "{{ sku }} {{ hour }} {{ repeat }}",
                {"hour": "golden hour", "repeat": 1},
            ),
            "a7",
        ),
    ],
)
def test_the_row_of_a_job_is_its_id_without_its_place_in_the_matrix(
    result: Result, row: str
) -> None:
    assert row_of(result) == row


@pytest.mark.parametrize(
    "result",
    [
        made("t2i-3f9a1c2b04", "line 6", {"hour": "dawn"}),
        made("x-3", "x-{{ index }}", {"hour": "dawn"}),
        made("x-DAWN", "x-{{ hour | upper }}", {"hour": "dawn"}),
    ],
)
def test_a_row_that_an_id_does_not_show_is_refused_rather_than_split(result: Result) -> None:
    with pytest.raises(UsageError, match="does not show its data row"):
        row_of(result)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"split_by": SplitBy("sweep"), "splits": THREE}, "use one of them"),
        ({"group": Group.PROMPT}, "no effect here: --group"),
        ({"group": Group.PROMPT, "split_by": SplitBy("sweep")}, "no effect here: --group"),
    ],
)
def test_options_that_say_two_things_are_refused(options: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        ExportOptions(Format.HF, **options)


@pytest.mark.parametrize("to", ["hf", "webdataset", "parquet", "jsonl"])
def test_every_format_has_the_splits_that_tags_name(empty: World, tmp_path: Path, to: str) -> None:
    jobs = [job(f"j{n}", tags=("test" if n == 3 else "train",)) for n in range(5)]
    empty.merge(jobs)
    for one in jobs:
        empty.finish(one.id)
    by = parse_split_by("tag:train,validation,test")
    exported = empty.export(tmp_path / "d", to, split_by=by)
    assert {count.split: count.files for count in exported.counts} == {"train": 4, "test": 1}
    names = {
        name.partition("/")[0].partition("-")[0].partition(".")[0] for name in tree(tmp_path / "d")
    }
    assert names - {"README"} == {"train", "test"}
    card = (tmp_path / "d/README.md").read_text("utf-8")
    assert card.index("- split: train") < card.index("- split: test")


@pytest.mark.parametrize(
    ("options", "differences"),
    [
        (
            {"splits": THREE},
            "--split was train=0.5,test=0.5, now train=0.9,validation=0.05,test=0.05",
        ),
        ({"splits": HALVES, "group": Group.PROMPT}, "--group was not given, now prompt"),
        ({"split_by": SplitBy("pick")}, "now not given; --split-by was not given, now pick"),
        ({"split_by": SplitBy(tags=("a", "b"))}, "--split-by was not given, now tag:a,b"),
    ],
)
def test_a_folder_with_other_splits_is_not_mixed(
    world: World, tmp_path: Path, options: dict[str, Any], differences: str
) -> None:
    world.export(tmp_path / "d", "jsonl", splits=HALVES)
    with pytest.raises(UsageError, match="an export with other options") as raised:
        world.export(tmp_path / "d", "jsonl", **options)
    assert raised.value.what.endswith(differences)


def test_an_export_that_was_refused_before_it_began_leaves_the_folder_free(
    world: World, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="has none of the tags"):
        world.export(tmp_path / "d", "jsonl", split_by=parse_split_by("tag:odd"))
    exported = world.export(tmp_path / "d", "jsonl", split_by=parse_split_by("tag:odd,hero"))
    assert {count.split for count in exported.counts} == {"odd", "hero"}
