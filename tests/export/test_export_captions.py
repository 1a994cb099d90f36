"""`--to captions`: the layout of LoRA trainers, read as they read it."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.errors import InputError, UsageError
from batchgen.export.buckets import Bucket, bucket_of, bucket_sizes, count_buckets, parse_resolution
from batchgen.export.exporting import Exported
from batchgen.export.options import ExportOptions, Format, parse_concept
from batchgen.export.splits import parse_split_by, parse_splits
from batchgen.state.results import Picked
from batchgen.state.selection import Selection
from tests.export.export_world import I2V, World, job, sha256, tree

README = "README.md"
IMAGES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}


def captions(folder: Path) -> dict[str, str]:
    """Hashes of pictures to captions, as sd-scripts pairs them: the first line of STEM.txt."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.suffix in IMAGES | {".mp4"}:
            lines = Path(f"{os.path.splitext(path)[0]}.txt").read_text("utf-8").splitlines()  # noqa: PTH122 - as trainers do
            assert len(lines) == 1
            found[sha256(path.read_bytes())] = lines[0]
    return found


def export(world: World, target: Path, **options: object) -> Exported:
    return world.export(target, "captions", **options)


def test_each_picture_has_its_prompt_in_a_text_of_the_same_stem(
    world: World, tmp_path: Path
) -> None:
    exported = export(world, tmp_path / "d")
    assert exported.files == 13
    assert captions(tmp_path / "d") == {
        one.sha256: f"boat {one.job_id.removeprefix('boat-')}"
        if one.job_id.startswith("boat")
        else "text with 'quotes', <b>markup</b> and \U0001f6a4"
        for one in world.results()
    }


def test_a_template_makes_captions_of_everything_that_is_known_of_a_result(
    world: World, tmp_path: Path
) -> None:
    template = "{{ tags|join(', ') }}, {{ prompt }} {{ input.seed|default(7) }}"
    export(world, tmp_path / "d", caption=template)
    found = captions(tmp_path / "d")
    assert found[world.results()[1].sha256] == "hero, sea, boat 0 0"
    assert all(" " in text for text in found.values())


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ tag }}", "no variable 'tag'"),
        ("{{ prompt", "is never closed"),
        ("{{ axes.number }}", "v1.5 café: axes has no 'number'"),
        ("{{ jobs.boat.image }}", "no variable 'jobs'"),
        ("{% for a in tags %}{% endfor %}", "cannot have 'for'"),
    ],
)
def test_a_template_that_fails_for_any_result_is_refused_before_anything_is_written(
    world: World, tmp_path: Path, template: str, message: str
) -> None:
    with pytest.raises(UsageError) as refused:
        export(world, tmp_path / "d", caption=template)
    assert message in refused.value.what
    assert refused.value.where == "--caption"
    assert not (tmp_path / "d").exists()


def test_repeats_make_the_folder_that_sd_scripts_expects(world: World, tmp_path: Path) -> None:
    export(world, tmp_path / "d", repeats=10, concept="black mamba")
    assert len(captions(tmp_path / "d/10_black mamba")) == 13
    export(world, tmp_path / "named", repeats=3)
    assert len(captions(tmp_path / "named/3_boats")) == 13


def test_each_split_is_a_folder_of_its_own(world: World, tmp_path: Path) -> None:
    splits = parse_splits("train=0.7,test=0.3")
    exported = export(world, tmp_path / "d", splits=splits, repeats=2, concept="sea")
    sizes = {count.split: count.files for count in exported.counts}
    assert {
        split: len(captions(tmp_path / "d" / split / "2_sea")) for split in ("train", "test")
    } == sizes
    export(world, tmp_path / "by", split_by=parse_split_by("tag:hero,odd"))
    assert len(captions(tmp_path / "by/hero")) == 12


def test_pictures_and_videos_get_folders_of_their_own(empty: World, tmp_path: Path) -> None:
    empty.merge([job("boat", "a boat"), job("clip", "a clip", model=I2V)])
    empty.finish("boat")
    empty.finish("clip")
    exported = export(empty, tmp_path / "d", repeats=1, concept="x")
    assert [*captions(tmp_path / "d/images/1_x").values()] == ["a boat"]
    assert [*captions(tmp_path / "d/videos/1_x").values()] == ["a clip"]
    assert exported.parts == ("images", "videos")


def test_names_with_folders_become_names_without_and_stay_apart(
    empty: World, tmp_path: Path
) -> None:
    long = "/".join(["é" * 49] * 2 + ["x" * 30])
    names = {"a": "sea/boat", "b": "sea_boat", "c": "sea/day/boat", "d": long}
    empty.merge([job(name, f"prompt {name}", name=where) for name, where in names.items()])
    for name in names:
        empty.finish(name)
    export(empty, tmp_path / "d")
    assert sorted(captions(tmp_path / "d").values()) == [f"prompt {name}" for name in names]
    assert (tmp_path / "d/sea_boat.png").exists()


def test_a_job_without_a_prompt_has_an_empty_caption(empty: World, tmp_path: Path) -> None:
    empty.merge([job("boat", "", input={"prompt": None})])
    empty.finish("boat")
    export(empty, tmp_path / "d")
    assert (tmp_path / "d/boat.txt").read_bytes() == b""


def test_a_selection_and_what_was_kept_choose_the_results(world: World, tmp_path: Path) -> None:
    export(world, tmp_path / "d", selection=Selection(tags=("odd",)))
    assert len(captions(tmp_path / "d")) == 1
    with pytest.raises(UsageError, match="kept result"):
        export(world, tmp_path / "none", only=Picked.KEPT)


def test_files_are_hard_links_unless_copies_are_asked_for(world: World, tmp_path: Path) -> None:
    (result, *_) = world.results()
    source = world.folder.root / result.path
    export(world, tmp_path / "d")
    assert (tmp_path / "d" / source.name).samefile(source)
    export(world, tmp_path / "d", copy=True)
    assert not (tmp_path / "d" / source.name).samefile(source)


def test_other_captions_are_refused_in_the_same_folder(world: World, tmp_path: Path) -> None:
    export(world, tmp_path / "d")
    with pytest.raises(UsageError) as refused:
        export(world, tmp_path / "d", caption="sea", repeats=3, buckets=512)
    assert refused.value.what.endswith(
        'options: --caption was not given, now "sea"; --repeats was not given, now 3;'
        ' --concept was not given, now "boats"; --buckets was not given, now 512'
    )


def test_what_is_rejected_later_goes_with_its_caption(world: World, tmp_path: Path) -> None:
    export(world, tmp_path / "d", caption="x")
    everything = tree(tmp_path / "d")
    world.db.execute("UPDATE file SET pick = 'reject' WHERE id = (SELECT min(id) FROM file)")
    exported = export(world, tmp_path / "d", caption="x")
    assert exported.removed == 2
    gone = everything.keys() - tree(tmp_path / "d").keys()
    assert len({Path(name).stem for name in gone}) == 1


def test_buckets_are_counted_and_pictures_stay_as_they_are(world: World, tmp_path: Path) -> None:
    exported = export(world, tmp_path / "d", buckets=1024)
    assert exported.buckets == (Bucket("train", 1152, 896, 13),)
    with (tmp_path / "d/buckets.csv").open() as file:
        assert [*csv.reader(file)] == [
            ["split", "width", "height", "files"],
            ["train", "1152", "896", "13"],
        ]
    assert captions(tmp_path / "d").keys() == {one.sha256 for one in world.results()}


def test_options_of_captions_have_no_effect_elsewhere() -> None:
    for options in ({"caption": "x"}, {"repeats": 2}, {"buckets": 512}):
        with pytest.raises(UsageError, match="no effect here"):
            ExportOptions(Format.HF, **options)
    with pytest.raises(UsageError, match="--concept"):
        ExportOptions(Format.CAPTIONS, concept="boats")


@pytest.mark.parametrize("name", ["a/b", "", "..", "a\n", "x" * 300])
def test_a_concept_is_a_plain_name(name: str) -> None:
    with pytest.raises(InputError, match="cannot be called"):
        parse_concept(name)


@pytest.mark.parametrize("text", ["", "1024px", "-64", "0", "255", "8193", "9" * 5000, "²"])
def test_a_resolution_is_a_sensible_number_of_pixels(text: str) -> None:
    with pytest.raises(InputError, match="a resolution is"):
        parse_resolution(text)


def test_the_buckets_of_512_are_those_that_sd_scripts_makes() -> None:
    """make_bucket_resolutions((512, 512), 256, 1024, 64) of sd-scripts."""
    assert bucket_sizes(512) == (
        (256, 832), (256, 896), (256, 960), (256, 1024), (320, 704), (320, 768), (384, 640),
        (448, 576), (512, 512), (576, 448), (640, 384), (704, 320), (768, 320), (832, 256),
        (896, 256), (960, 256), (1024, 256),
    )  # fmt: skip


@given(st.integers(1, 20_000), st.integers(1, 20_000), st.integers(256, 2048))
def test_a_bucket_has_steps_of_64_and_no_more_pixels_than_asked_for(
    width: int, height: int, resolution: int
) -> None:
    found = bucket_of(width, height, resolution)
    assert all(side % 64 == 0 and side >= 256 for side in found)
    assert found[0] * found[1] <= resolution * resolution
    assert bucket_of(*found, resolution) == found


def test_pictures_are_counted_by_split_and_bucket() -> None:
    pictures = [("train", 2048, 2048), ("train", 1000, 1000), ("test", 1920, 1080)]
    assert count_buckets(pictures, 1024) == (
        Bucket("test", 1344, 768, 1),
        Bucket("train", 1024, 1024, 2),
    )
