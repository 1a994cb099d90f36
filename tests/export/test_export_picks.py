"""Kept and rejected results, and the datasets made of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from batchgen.errors import UsageError
from batchgen.state import reviews
from batchgen.state.results import Picked, count_rejected
from batchgen.state.reviews import Pick
from batchgen.state.selection import Selection
from tests.export.export_world import World


def said(world: World, job_id: str, word: Pick | None, position: int | None = None) -> None:
    assert reviews.pick(world.db, world.seq(job_id), position, word) is None


def listed(folder: Path) -> set[tuple[str, int, str | None]]:
    lines = (folder / "train.jsonl").read_bytes().splitlines()
    rows = [json.loads(line) for line in lines]
    return {(row["id"], row["position"], row["pick"]) for row in rows}


def test_of_a_result_with_two_files_the_kept_one_is_taken_alone(
    world: World, tmp_path: Path
) -> None:
    said(world, "boat-0", Pick.KEEP, 2)
    said(world, "boat-0", Pick.REJECT, 1)
    said(world, "boat-3", Pick.KEEP)
    world.export(tmp_path / "kept", "jsonl", only=Picked.KEPT)
    assert listed(tmp_path / "kept") == {("boat-0", 2, "keep"), ("boat-3", 1, "keep")}


def test_what_was_rejected_is_left_out_unless_it_is_asked_for(world: World, tmp_path: Path) -> None:
    said(world, "boat-4", Pick.REJECT)
    world.export(tmp_path / "most", "jsonl")
    most = listed(tmp_path / "most")
    assert len(most) == 12
    assert "boat-4" not in {job_id for job_id, _, _ in most}
    assert count_rejected(world.db, Selection()) == 1
    world.export(tmp_path / "all", "jsonl", only=Picked.ALL)
    assert listed(tmp_path / "all") - most == {("boat-4", 1, "reject")}


def test_a_later_pick_changes_the_same_dataset(world: World, tmp_path: Path) -> None:
    for name in ("boat-1", "boat-2"):
        said(world, name, Pick.KEEP)
    world.export(tmp_path / "kept", "hf", only=Picked.KEPT)
    said(world, "boat-1", Pick.REJECT)
    said(world, "boat-5", Pick.KEEP)
    world.export(tmp_path / "kept", "hf", only=Picked.KEPT)
    pictures = sorted(path.name for path in (tmp_path / "kept").rglob("*.png"))
    assert pictures == ["boat-2.png", "boat-5.png"]


def test_where_nothing_is_kept_there_is_no_dataset(world: World, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none of the selected jobs has a kept result yet"):
        world.export(tmp_path / "kept", "jsonl", only=Picked.KEPT)
