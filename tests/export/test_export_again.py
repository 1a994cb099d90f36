"""The same command again: same bytes, continued after interruptions, updated with new results."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from batchgen.errors import LockedError, UsageError
from batchgen.export.folder import FolderDestination, opened_journal
from batchgen.export.splits import parse_splits
from batchgen.state.results import Picked
from batchgen.state.selection import Selection
from tests.export.export_world import WORK, World, job, tree
from tests.runs.run_world import in_a_process

FORMATS = ("hf", "webdataset", "parquet", "jsonl", "captions")
SPLITS = parse_splits("train=0.7,test=0.3")

DIES_AFTER = """
import os, sys
from pathlib import Path
from batchgen.export.options import ExportOptions, Format
from batchgen.export.exporting import Source, export
from batchgen.export.splits import parse_splits
from batchgen.state.database import open_for_reading
from batchgen.storage.locations import FolderLocation, parse_location
from tests.export.export_world import MANIFEST, ORIGIN
root, target, to, last = sys.argv[1:]
left = int(last)
def tick(_):
    global left
    left -= 1
    if left == 0:
        os._exit(9)
shards = {"shard_rows": 3} if to in ("webdataset", "parquet") else {}
asked = ExportOptions(Format(to), splits=parse_splits("train=0.7,test=0.3"), **shards)
db = open_for_reading(Path(root) / "state.db")
source = Source(Path(root), FolderLocation(Path(root)))
export(db, MANIFEST, source, ORIGIN, asked, parse_location(target), lambda _: tick)
"""


def limits(to: str) -> dict[str, int]:
    return {"shard_rows": 3} if to in ("webdataset", "parquet") else {}


@pytest.mark.parametrize("to", FORMATS)
def test_two_exports_of_one_state_have_the_same_bytes(
    world: World, tmp_path: Path, to: str
) -> None:
    world.export(tmp_path / "one", to, splits=SPLITS, **limits(to))
    for path in world.folder.files.rglob("*"):
        os.utime(path, (5, 5))
    world.export(tmp_path / "elsewhere/two", to, splits=SPLITS, **limits(to))
    assert tree(tmp_path / "one") == tree(tmp_path / "elsewhere/two")


@pytest.mark.parametrize("to", FORMATS)
def test_a_finished_export_is_left_as_it_is(world: World, tmp_path: Path, to: str) -> None:
    first = world.export(tmp_path / "d", to, splits=SPLITS)
    before = {path: path.stat().st_ino for path in (tmp_path / "d").iterdir() if path.is_file()}
    again = world.export(tmp_path / "d", to, splits=SPLITS)
    assert (again.made, again.kept, again.removed) == (0, first.made, 0)
    assert before == {path: path.stat().st_ino for path in before}


@pytest.mark.parametrize("to", FORMATS)
def test_the_vendors_urls_stay_in_the_state(world: World, tmp_path: Path, to: str) -> None:
    """Such a URL gives the file to anyone who has it, and an export is made to be shared."""
    world.export(tmp_path / "d", to)
    files = [path for path in (tmp_path / "d").rglob("*") if path.is_file()]
    assert tmp_path / "d" / WORK / "journal.db" in files
    assert [path for path in files if b"x.runcomfy.net" in path.read_bytes()] == []


@pytest.mark.parametrize("last", [1, 5, 12])
@pytest.mark.parametrize("to", FORMATS)
def test_a_killed_export_continues_to_the_same_bytes(
    world: World, tmp_path: Path, to: str, last: int
) -> None:
    root, cut = world.folder.root, tmp_path / "cut"
    with in_a_process(DIES_AFTER, root, cut, to, last, PYTHONPATH=os.pathsep.join(sys.path)) as one:
        _, err = one.communicate()
        assert one.returncode == 9, err
    world.export(tmp_path / "whole", to, splits=SPLITS, **limits(to))
    assert tree(cut).items() <= tree(tmp_path / "whole").items()
    world.export(cut, to, splits=SPLITS, **limits(to))
    assert tree(cut) == tree(tmp_path / "whole")
    assert not list((cut / WORK).glob("*.part"))


def test_shards_that_are_whole_are_not_made_again(world: World, tmp_path: Path) -> None:
    root, cut = world.folder.root, tmp_path / "cut"
    path = os.pathsep.join(sys.path)
    with in_a_process(DIES_AFTER, root, cut, "webdataset", 8, PYTHONPATH=path) as one:
        one.communicate()
    whole = list(cut.glob("*.tar"))
    assert whole
    assert world.export(cut, "webdataset", splits=SPLITS, shard_rows=3).kept == len(whole)


@pytest.mark.parametrize("to", FORMATS)
def test_what_came_since_is_taken_up(world: World, tmp_path: Path, to: str) -> None:
    world.export(tmp_path / "d", to, splits=SPLITS, **limits(to))
    world.finish("later")
    again = world.export(tmp_path / "d", to, splits=SPLITS, **limits(to))
    assert again.kept
    world.export(tmp_path / "fresh", to, splits=SPLITS, **limits(to))
    assert tree(tmp_path / "d") == tree(tmp_path / "fresh")


def test_what_is_no_longer_of_the_manifest_goes_and_what_a_person_added_stays(
    world: World, tmp_path: Path
) -> None:
    world.export(tmp_path / "d", "hf")
    (tmp_path / "d/notes.txt").write_text("mine")
    world.merge([job("boat-1", "boat 1", input={"seed": 1}, tags=("hero", "sea"))])
    assert world.export(tmp_path / "d", "hf").removed == 12
    assert sorted(tree(tmp_path / "d")) == [
        "README.md",
        "notes.txt",
        "train/boat-1.png",
        "train/metadata.jsonl",
    ]


def test_a_deleted_and_a_shortened_file_are_made_again(world: World, tmp_path: Path) -> None:
    world.export(tmp_path / "d", "hf", copy=True)
    before = tree(tmp_path / "d")
    (tmp_path / "d/train/boat-1.png").unlink()
    (tmp_path / "d/train/boat-2.png").write_bytes(b"short")
    assert world.export(tmp_path / "d", "hf", copy=True).made == 2
    assert tree(tmp_path / "d") == before


def test_a_card_that_was_edited_stays(world: World, tmp_path: Path) -> None:
    world.export(tmp_path / "d", "hf")
    card = tmp_path / "d/README.md"
    card.write_text(card.read_text().replace("# license: choose", "license: mit # choose"))
    mine = card.read_text()
    world.finish("later")
    world.export(tmp_path / "d", "hf")
    world.export(tmp_path / "d", "hf")
    assert card.read_text() == mine


def test_other_options_are_refused_in_the_same_folder(world: World, tmp_path: Path) -> None:
    world.export(tmp_path / "d", "hf")
    before = tree(tmp_path / "d")
    for to, options, difference in (
        ("parquet", {}, "--to was hf, now parquet"),
        ("hf", {"splits": SPLITS}, "--split was not given, now train=0.7,test=0.3"),
        ("hf", {"selection": Selection(jobs=("boat-*",))}, "--job was not given, now boat-*"),
        ("hf", {"only": Picked.ALL}, "--with-rejected was not given, now given"),
    ):
        with pytest.raises(UsageError) as raised:
            world.export(tmp_path / "d", to, **options)
        assert raised.value.what == f"the folder holds an export with other options: {difference}"
    assert tree(tmp_path / "d") == before


def test_an_export_of_another_run_is_not_overwritten(world: World, tmp_path: Path) -> None:
    world.export(tmp_path / "d", "hf")
    world.path = world.folder.root.rename(tmp_path / "moved") / "state.db"
    with pytest.raises(UsageError, match="an export of another run"):
        world.export(tmp_path / "d", "hf")


def test_one_export_at_a_time(world: World, tmp_path: Path) -> None:
    world.export(tmp_path / "d", "hf")
    with (
        opened_journal(FolderDestination(tmp_path / "d").journal),
        pytest.raises(LockedError, match="another export is running"),
    ):
        world.export(tmp_path / "d", "hf")
    world.export(tmp_path / "d", "hf")
