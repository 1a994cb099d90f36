"""`batchgen export` as a person gives it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from _pytest.capture import CaptureFixture

from batchgen.cli import main
from tests.export.export_world import I2V, World, job, make_world, tree


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = make_world(tmp_path / "out")
    made.merge([job("boat", "a boat", tags=("hero",)), job("car", "a car"), job("later")])
    made.finish("boat")
    made.finish("car")
    with closing(made.db):
        yield made


@pytest.fixture
def manifest(tmp_path: Path, world: World) -> str:
    path = tmp_path / "boats.yaml"
    header = {"version": 1, "name": "Boats <b>", "output": {"dir": str(world.folder.root)}}
    path.write_text(json.dumps({**header, "jobs": [{"id": "a"}]}))
    return str(path)


def test_it_says_what_it_made_and_that_a_second_time_there_is_nothing_to_do(
    manifest: str, tmp_path: Path, capsys: CaptureFixture[str]
) -> None:
    target = str(tmp_path / "d")
    assert main(["export", manifest, target, "--to", "hf"]) == 0
    assert f"{target}: 2 results (0.0 MB): 2 train\n  4 files written, 0 unchanged\n" in (
        capsys.readouterr().out
    )
    assert main(["export", manifest, target, "--to", "hf"]) == 0
    assert "0 files written, 4 unchanged\n" in capsys.readouterr().out


def test_programs_get_one_document(
    manifest: str, world: World, tmp_path: Path, capsys: CaptureFixture[str]
) -> None:
    command = ["export", manifest, str(tmp_path / "d"), "--to", "webdataset", "--json"]
    assert main([*command, "--split", "train=0.5,test=0.5"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert sum(document.pop("splits").values()) == 2
    assert document.pop("made") == len(tree(tmp_path / "d"))
    assert document == {
        "folder": str(tmp_path / "d"),
        "to": "webdataset",
        "results": 2,
        "bytes": sum(one.bytes for one in world.results()),
        "kept": 0,
        "removed": 0,
        "datasets": [str(tmp_path / "d")],
    }


def test_the_card_says_models_prompts_source_and_counts_and_leaves_the_licence(
    manifest: str, world: World, tmp_path: Path
) -> None:
    world.merge([job("boat", tags=("hero",)), job("car", "a car"), job("clip", model=I2V)])
    world.finish("clip")
    assert main(["export", manifest, str(tmp_path / "d"), "--to", "jsonl"]) == 0
    card = (tmp_path / "d/README.md").read_text()
    _, header, body = card.split("---\n", 2)
    assert yaml.safe_load(header) == {
        "pretty_name": "Boats <b>",
        "tags": ["batchgen", "synthetic"],
        "size_categories": ["n<1K"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": "train", "path": "train.jsonl"}],
            }
        ],
    }
    assert "# license: choose one" in header
    assert "# Boats &lt;b>\n\n2 images and 1 video, made with batchgen." in body
    pictures = [one for one in world.results() if one.model != I2V]
    size = sum(one.bytes for one in pictures)
    assert f"| bytedance/dreamina-4-0/text-to-image | image | 2 | {size:,} |" in body
    assert f"| {I2V} | video | 1 |" in body
    assert f"| train | image | 2 | {size:,} |" in body
    assert "The prompts come from `boats.yaml`.\n" in body
    assert "rehearsal" not in body
    assert str(tmp_path) not in card


def test_selection_flags_choose_results(manifest: str, tmp_path: Path) -> None:
    command = ["export", manifest, str(tmp_path / "d"), "--to", "hf"]
    assert main([*command, "--tag", "hero", "--model", "t2i"]) == 0
    assert "train/boat.png" in tree(tmp_path / "d")
    assert "train/car.png" not in tree(tmp_path / "d")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--to", "hf", "--split", "train=2"], "--split: the shares must add up to 1"),
        (["--to", "hf", "--shard-count", "3"], "no effect here: --shard-size and --shard-count"),
        (["--to", "webdataset", "--shard-size", "big"], "--shard-size: a size looks like"),
        (["--to", "webdataset", "--shard-size", "0"], "--shard-size: a shard cannot have 0 bytes"),
        (["--to", "jsonl", "--bytes"], "use it with --to parquet"),
        (["--to", "hf", "--job", "ship*"], "none of the selected jobs has a result yet"),
        (["--to", "csv"], "'csv' is not one of"),
        (["--to", "captions", "--caption", "{{ promt }}"], "--caption: no variable 'promt'"),
        (["--to", "captions", "--concept", "a/b"], "--concept: the folder of a concept"),
        (["--to", "captions", "--concept", "boats"], "use it with --repeats"),
        (["--to", "captions", "--buckets", "12"], "--buckets: a resolution is a number"),
        (["--to", "hf", "--repeats", "2"], "use it with --to captions"),
        ([], "Missing option '--to'"),
    ],
)
def test_mistakes_of_the_command_line_end_with_64_and_leave_nothing(
    manifest: str, tmp_path: Path, capsys: CaptureFixture[str], words: list[str], said: str
) -> None:
    assert main(["export", manifest, str(tmp_path / "d"), *words]) == 64
    assert said in capsys.readouterr().err
    assert not (tmp_path / "d").exists()


def test_where_nothing_was_run_yet_it_says_so(tmp_path: Path, capsys: CaptureFixture[str]) -> None:
    path = tmp_path / "new.yaml"
    header = {"version": 1, "output": {"dir": str(tmp_path / "nowhere")}}
    path.write_text(json.dumps({**header, "jobs": [{"id": "a"}]}))
    assert main(["export", str(path), str(tmp_path / "d"), "--to", "hf"]) == 66
    assert (
        "nothing has been run in this folder yet, or its state is gone" in capsys.readouterr().err
    )


def test_a_foreign_folder_and_a_damaged_result_have_their_exit_codes(
    manifest: str, world: World, tmp_path: Path, capsys: CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/a.txt").write_text("mine")
    assert main(["export", manifest, str(tmp_path / "mine"), "--to", "hf"]) == 64
    assert "name a new or an empty folder" in capsys.readouterr().err
    (world.folder.files / "car.png").write_bytes(b"no picture")
    assert main(["export", manifest, str(tmp_path / "d"), "--to", "hf"]) == 74
    assert f"batchgen repair {manifest} fetches them again" in capsys.readouterr().err


def test_captions_and_buckets_are_printed_and_in_the_document(
    manifest: str, tmp_path: Path, capsys: CaptureFixture[str]
) -> None:
    target = tmp_path / "d"
    command = ["export", manifest, str(target), "--to", "captions", "--buckets", "1024"]
    command += ["--caption", "{{ id }}: {{ prompt }}", "--repeats", "10", "--concept", "boats"]
    assert main(command) == 0
    assert "  bucket 1152x896: 2 pictures (train)\n" in capsys.readouterr().out
    assert (target / "10_boats/boat.txt").read_text() == "boat: a boat"
    assert main([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["buckets"] == [{"split": "train", "width": 1152, "height": 896, "files": 2}]


def test_a_folder_of_another_export_names_the_options_that_differ(
    manifest: str, tmp_path: Path, capsys: CaptureFixture[str]
) -> None:
    export = ["export", manifest, str(tmp_path / "d"), "--to", "hf"]
    assert main(export) == 0
    assert main([*export, "--split", "train=0.9,test=0.1"]) == 64
    err = capsys.readouterr().err
    assert "other options: --split was not given, now train=0.9,test=0.1\n" in err
    assert "--to hf" not in err
