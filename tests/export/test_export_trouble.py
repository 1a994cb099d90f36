"""What is refused, and what happens if files or disks are broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchgen.errors import DiskFullError, MissingFileError, OutputError, StorageError, UsageError
from batchgen.state.selection import Selection
from tests.export.export_world import WORK, World, tree
from tests.failures.broken_disks import mounted

FORMATS = ("hf", "webdataset", "parquet")


def embedding(to: str) -> dict[str, bool]:
    return {"embed": True} if to == "parquet" else {}


def test_files_are_hard_links_unless_a_copy_is_asked_for(world: World, tmp_path: Path) -> None:
    source = world.folder.files / "boat-1.png"
    world.export(tmp_path / "linked", "hf")
    assert (tmp_path / "linked/train/boat-1.png").samefile(source)
    world.export(tmp_path / "copied", "hf", copy=True)
    assert not (tmp_path / "copied/train/boat-1.png").samefile(source)
    assert tree(tmp_path / "linked") == tree(tmp_path / "copied")


def test_copies_asked_for_later_replace_the_links(world: World, tmp_path: Path) -> None:
    source = world.folder.files / "boat-1.png"
    world.export(tmp_path / "d", "hf")
    world.export(tmp_path / "d", "hf", copy=True)
    assert not (tmp_path / "d/train/boat-1.png").samefile(source)
    assert source.stat().st_nlink == 1


def test_on_another_disk_files_are_copied(world: World, tmp_path: Path) -> None:
    with mounted(tmp_path / "disk") as disk:
        world.export(disk.root / "d", "hf")
        copied = disk.root / "d/train/boat-1.png"
        assert copied.read_bytes() == (world.folder.files / "boat-1.png").read_bytes()


@pytest.mark.parametrize("to", FORMATS)
def test_a_full_disk_is_reported_and_with_room_the_export_continues(
    world: World, tmp_path: Path, to: str
) -> None:
    with mounted(tmp_path / "disk") as disk:
        disk.fill(leaving=72 * 1024)
        with pytest.raises(DiskFullError, match="the disk is full") as caught:
            world.export(disk.root / "d", to, **embedding(to))
        assert "make room; run the same command again to continue" in str(caught.value)
        disk.make_room()
        world.export(disk.root / "d", to, **embedding(to))
        world.export(tmp_path / "fresh", to, **embedding(to))
        assert tree(disk.root / "d") == tree(tmp_path / "fresh")


@pytest.mark.parametrize("to", FORMATS)
def test_a_result_that_was_altered_is_not_exported(world: World, tmp_path: Path, to: str) -> None:
    source = world.folder.files / "boat-3.png"
    sound = source.read_bytes()
    source.write_bytes(sound[:-1] + b"?")
    with pytest.raises(
        StorageError, match="boat-3 is not the content that was downloaded"
    ) as caught:
        world.export(tmp_path / "d", to, **embedding(to))
    assert "batchgen repair" in str(caught.value)
    assert not any(
        "boat-3" in name or name.endswith((".tar", ".parquet")) for name in tree(tmp_path / "d")
    )
    source.write_bytes(sound)
    world.export(tmp_path / "d", to, **embedding(to))
    world.export(tmp_path / "fresh", to, **embedding(to))
    assert tree(tmp_path / "d") == tree(tmp_path / "fresh")


@pytest.mark.parametrize("to", FORMATS)
def test_a_missing_result_is_reported(world: World, tmp_path: Path, to: str) -> None:
    (world.folder.files / "boat-3.png").unlink()
    with pytest.raises(MissingFileError, match="the result of boat-3 is missing"):
        world.export(tmp_path / "d", to, **embedding(to))


@pytest.mark.parametrize("to", FORMATS)
def test_a_link_in_a_results_place_is_not_followed(world: World, tmp_path: Path, to: str) -> None:
    source = world.folder.files / "boat-3.png"
    source.rename(tmp_path / "away.png")
    source.symlink_to(tmp_path / "away.png")
    with pytest.raises(StorageError, match="boat-3 cannot be read"):
        world.export(tmp_path / "d", to, **embedding(to))


def test_a_folder_with_other_files_is_refused_and_left_alone(world: World, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/README.md").write_text("mine")
    with pytest.raises(UsageError, match="files that batchgen did not export"):
        world.export(tmp_path / "d", "hf")
    assert tree(tmp_path / "d") == {"README.md": b"mine"}


def test_an_empty_folder_is_taken(world: World, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    world.export(tmp_path / "d", "jsonl")
    assert sorted(tree(tmp_path / "d")) == ["README.md", "train.jsonl"]


def test_a_file_in_the_folders_place_is_refused(world: World, tmp_path: Path) -> None:
    (tmp_path / "d").write_text("mine")
    with pytest.raises(UsageError, match="there is already a file"):
        world.export(tmp_path / "d", "hf")


@pytest.mark.parametrize("inside", ["", "deep/er"])
def test_the_runs_own_files_are_no_place_for_a_dataset(world: World, inside: str) -> None:
    with pytest.raises(UsageError, match="where the run keeps its files"):
        world.export(world.folder.files / inside, "hf")
    assert not (world.folder.files / WORK).exists()
    assert not (world.folder.files / "deep").exists()


@pytest.mark.parametrize("to", ["hf", "webdataset"])
def test_a_folder_in_a_files_place_is_reported_and_nothing_is_lost(
    world: World, tmp_path: Path, to: str
) -> None:
    in_the_way = tmp_path / "d" / ("train/boat-3.png" if to == "hf" else "train-000000.tar")
    (tmp_path / "d" / WORK).mkdir(parents=True)
    in_the_way.mkdir(parents=True)
    with pytest.raises(OutputError, match="cannot be written") as caught:
        world.export(tmp_path / "d", to)
    assert caught.value.where == str(in_the_way)
    in_the_way.rmdir()
    world.export(tmp_path / "d", to)
    world.export(tmp_path / "fresh", to)
    assert tree(tmp_path / "d") == tree(tmp_path / "fresh")


def test_nothing_is_written_through_a_link_in_a_folders_place(world: World, tmp_path: Path) -> None:
    (tmp_path / "d" / WORK).mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "d/train").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="symbolic link"):
        world.export(tmp_path / "d", "hf")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_damaged_journal_is_reported(world: World, tmp_path: Path) -> None:
    world.export(tmp_path / "d", "hf")
    (tmp_path / "d" / WORK / "journal.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(StorageError, match="journal is damaged"):
        world.export(tmp_path / "d", "hf")


def test_without_a_result_nothing_is_made(empty: World, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none of the selected jobs has a result yet"):
        empty.export(tmp_path / "d", "hf")
    assert not (tmp_path / "d").exists()


def test_only_what_is_selected_is_exported(world: World, tmp_path: Path) -> None:
    chosen = Selection(jobs=("boat-*", "!boat-1*"), tags=("hero",))
    world.export(tmp_path / "d", "hf", selection=chosen)
    names = {name for name in tree(tmp_path / "d") if name.endswith(".png")}
    assert names == {"train/boat-0.1.png", "train/boat-0.2.png"} | {
        f"train/boat-{number}.png" for number in range(2, 10)
    }


def test_results_of_jobs_that_are_not_done_wait_until_their_state_is_named(
    world: World, tmp_path: Path
) -> None:
    world.db.execute("UPDATE job SET state = 'fetching' WHERE id = 'boat-1'")
    world.export(tmp_path / "done", "hf")
    assert "train/boat-1.png" not in tree(tmp_path / "done")
    world.export(tmp_path / "named", "hf", selection=Selection(states=("fetching",)))
    pictures = [name for name in tree(tmp_path / "named") if name.endswith(".png")]
    assert pictures == ["train/boat-1.png"]
