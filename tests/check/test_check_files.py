"""A check of real files: what is found, what stays, and that nothing is examined twice."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageEnhance

from batchgen.check.checking import changes, read
from batchgen.check.examining import Examined, Source, examine, examine_failed
from batchgen.check.judging import Evidence, judge
from batchgen.check.kinds import CheckOptions, Kind
from batchgen.emulator.drawing import Scene, mp4
from batchgen.models.catalog import bundled
from batchgen.models.fields import SIZE_KEY
from batchgen.processes import map_in_processes
from batchgen.state.reviews import Pick, find_flaws, pick
from batchgen.state.selection import Selection
from batchgen.storage.locations import FolderLocation
from tests.check.check_world import I2V, Gallery, clip, drawn, packed, plate


def test_sound_results_have_no_flaws(world: Gallery) -> None:
    for seed in range(6):
        world.put(f"boat-{seed}", packed(drawn(seed)), input={SIZE_KEY: "320x240(4:3)"})
    world.put("two", packed(drawn(10)), packed(drawn(11), "JPEG"), packed(drawn(12), "WEBP"))
    scene = Scene("slow pan", "rehearsal", 5, 480, 270)
    world.put("clip", mp4(scene, 121), model=I2V, input={"frames": 121})
    assert world.flaws() == {}


def test_the_pool_finds_what_a_single_process_does(world: Gallery) -> None:
    world.put("white", packed(plate()))
    world.put("still", clip([drawn(1)], 10), model=I2V)
    world.put("boat", packed(drawn(2)))
    pooled = {one.name: one.flaws for one in world.check(workers=map_in_processes).flawed}
    world.folder.measures.unlink()
    assert pooled == {one.name: one.flaws for one in world.check().flawed}
    assert {name: [*flaws] for name, flaws in pooled.items()} == {
        "white": ["blank"],
        "still": ["frozen"],
    }


def test_videos_are_compared_by_their_frames(world: Gallery) -> None:
    moving = [drawn(seed) for seed in range(5)]
    world.put("moving", clip(moving, 40), model=I2V)
    world.put("black", clip([plate((0, 0, 0))], 40), model=I2V)
    world.put("still", clip([drawn(9)], 40), model=I2V)
    world.put("short", clip(moving[::-1], 24), model=I2V, input={"frames": 121})
    brighter = [ImageEnhance.Brightness(one).enhance(1.1) for one in moving]
    world.put("again", clip(brighter, 40), model=I2V)
    world.put("same-start", clip([*moving[:2], *(drawn(n) for n in (20, 21, 22))], 40), model=I2V)
    world.put("one-frame", clip([drawn(30)], 1), model=I2V)
    assert world.flaws() == {
        "black": ["blank"],
        "still": ["frozen"],
        "short": ["wrong_length"],
        "again": ["near_duplicate"],
        "one-frame": ["frozen"],
    }


def test_a_size_that_was_not_asked_for_is_a_flaw(world: Gallery) -> None:
    world.put("boat", packed(drawn(1)), input={SIZE_KEY: "1024x1024(1:1)"})
    (boat,) = world.check().flawed
    assert boat.flaws == {Kind.WRONG_SIZE: "320x240 pixels; 1024x1024 were asked for"}


def test_what_happened_to_a_file_on_the_disk_is_reported(world: Gallery) -> None:
    for seed, name in enumerate(("gone", "cut", "other", "noise", "link", "folder", "fine")):
        world.put(name, packed(drawn(seed)))
    assert world.flaws() == {}
    world.file_of("gone").unlink()
    content = world.file_of("cut").read_bytes()
    world.file_of("cut").write_bytes(content[: len(content) // 2])
    same_length = world.file_of("other").read_bytes()
    world.file_of("other").write_bytes(same_length[:-5] + bytes(5))
    world.file_of("noise").write_bytes(bytes(world.file_of("noise").stat().st_size))
    path = world.file_of("link")
    path.unlink()
    path.symlink_to(world.file_of("fine"))
    path = world.file_of("folder")
    path.unlink()
    path.mkdir()
    text = {one.job_id: one.flaws[Kind.UNREADABLE] for one in world.check().flawed}
    assert text.pop("gone") == "the file is missing"
    assert text.pop("cut").startswith(f"{len(content) // 2} bytes instead of {len(content)}; ")
    assert text.pop("other").startswith("not the content that was downloaded")
    assert "not a known kind of picture or video" in text.pop("noise")
    assert text.pop("link") == "a symbolic link in its place"
    assert text.pop("folder") == "something that is not a file in its place"
    assert text == {}


def test_equal_and_alike_files_name_the_first_one(world: Gallery) -> None:
    boat = drawn(1)
    world.put("boat", packed(boat))
    world.put("other", packed(drawn(2)))
    world.put("copy", packed(boat), packed(boat.resize((160, 120)), "JPEG", quality=70))
    copy, small = world.check().flawed
    assert (copy.name, copy.flaws) == ("copy", {Kind.DUPLICATE: "the same file as boat"})
    assert small.name == "copy (2)"
    assert small.flaws[Kind.NEAR_DUPLICATE].startswith("looks like boat: ")
    assert world.flaws(kinds=frozenset({Kind.NEAR_DUPLICATE})) == {
        "copy": ["near_duplicate"],
        "copy (2)": ["near_duplicate"],
    }
    assert world.flaws(kinds=frozenset({Kind.DUPLICATE})) == {"copy": ["duplicate"]}


def test_empty_pictures_are_not_called_alike(world: Gallery) -> None:
    world.put("white", packed(plate()))
    world.put("black", packed(plate((0, 0, 0))))
    assert world.flaws() == {"white": ["blank"], "black": ["blank"]}


def test_a_result_that_is_rejected_makes_no_other_a_copy(world: Gallery) -> None:
    world.put("bad", packed(drawn(1)), input={SIZE_KEY: "1024x1024(1:1)"})
    world.put("good", packed(drawn(1)), input={SIZE_KEY: "320x240(4:3)"})
    assert world.flaws() == {"bad": ["wrong_size"], "good": ["duplicate"]}
    # As it would be once the check has rejected it …
    assert world.flaws(rejected=frozenset({Kind.WRONG_SIZE})) == {"bad": ["wrong_size"]}
    # … and as it is when a person has.
    pick(world.db, world.seq("bad"), 1, Pick.REJECT)
    assert world.flaws() == {"bad": ["wrong_size"]}
    pick(world.db, world.seq("bad"), 1, Pick.KEEP)
    both = {"bad": ["wrong_size"], "good": ["duplicate"]}
    assert world.flaws(rejected=frozenset({Kind.WRONG_SIZE})) == both


def test_a_selection_is_judged_beside_all_the_others(world: Gallery) -> None:
    world.put("boat", packed(drawn(1)), tags=("a",))
    world.put("copy", packed(drawn(1)), tags=("b",))
    world.put("white", packed(plate()), tags=("a",))
    report = world.check(Selection(tags=("b",)))
    assert [(one.job_id, [*one.flaws]) for one in report.files] == [("copy", ["duplicate"])]
    blank = world.check(Selection(tags=("b",)), kinds=frozenset({Kind.BLANK}))
    assert (len(blank.files), blank.flawed) == (1, [])


def test_only_the_latest_result_of_a_done_job_counts(world: Gallery) -> None:
    world.put("boat", packed(plate()))
    assert world.flaws() == {"boat": ["blank"]}
    db, seq = world.db, world.seq("boat")
    db.execute("UPDATE job SET state = 'failed' WHERE seq = ?", (seq,))
    assert world.flaws() == {}
    db.execute("UPDATE job SET state = 'pending' WHERE seq = ?", (seq,))
    world.finish_with("boat", packed(drawn(1)))
    assert world.flaws() == {}


def nobody(sources: Sequence[Source]) -> Iterator[Examined]:
    assert not sources, "a second check looks at nothing"
    return iter(())


def test_a_second_check_looks_only_at_what_is_new(world: Gallery) -> None:
    world.put("boat", packed(drawn(1)))
    world.put("white", packed(plate()))
    first = world.check()
    assert first.examined == 2
    again = world.check(work=nobody)
    assert (again.examined, again.files) == (0, first.files)
    world.put("clip", clip([drawn(4)], 8), model=I2V)
    assert world.check().examined == 1
    assert world.check(work=nobody).flawed[-1].job_id == "clip"


def test_a_file_that_was_touched_is_read_and_not_decoded_again(world: Gallery) -> None:
    world.put("boat", packed(drawn(1)))
    world.check()
    os.utime(world.file_of("boat"), (1, 1))
    given: list[Source] = []

    def listen(sources: Sequence[Source]) -> Iterator[Examined]:
        given.extend(sources)
        return map(examine, sources)

    assert world.check(work=listen).examined == 1
    assert [source.is_known for source in given] == [True]
    assert examine(given[0]).measure is None
    world.check(work=nobody)


def test_a_copied_folder_takes_its_measures_along(world: Gallery) -> None:
    """Equal contents are measured once, whatever their files are called."""
    world.put("boat", packed(drawn(1)))
    world.put("copy", packed(drawn(2)))
    world.check()
    shutil.copy(world.file_of("boat"), world.root / "elsewhere.png")
    (world.root / "elsewhere.png").replace(world.file_of("boat"))
    assert world.flaws() == {}


def test_near_duplicates_are_measured_when_they_are_first_asked_for(world: Gallery) -> None:
    world.put("boat", packed(drawn(1)))
    world.put("bright", packed(drawn(1).resize((160, 120))))
    rest = frozenset(Kind) - {Kind.NEAR_DUPLICATE}
    assert world.flaws(kinds=rest) == {}
    assert world.flaws() == {"bright": ["near_duplicate"]}
    assert world.check(work=nobody, kinds=rest).flawed == []


def test_what_was_measured_before_a_ctrl_c_is_kept(world: Gallery) -> None:
    for seed in range(5):
        world.put(f"boat-{seed}", packed(drawn(seed)))

    def interrupted(sources: Sequence[Source]) -> Iterator[Examined]:
        yield from map(examine, sources[:3])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        world.check(work=interrupted)
    assert world.check().examined == 2


def test_a_result_that_changed_meanwhile_is_left_to_the_next_check(world: Gallery) -> None:
    world.put("boat", packed(plate()))

    def overtaken(sources: Sequence[Source]) -> Iterator[Examined]:
        yield from map(examine, list(sources))
        seq = world.seq("boat")
        world.db.execute("UPDATE job SET state = 'pending' WHERE seq = ?", (seq,))
        world.finish_with("boat", packed(drawn(1)))

    assert world.check(work=overtaken).files == ()
    assert [one.flaws for one in world.check().files] == [{}]


def test_only_what_is_new_or_gone_is_news(world: Gallery) -> None:
    world.put("white", packed(plate()))
    world.put("boat", packed(drawn(1)))
    first = changes(world.check().files, CheckOptions())
    assert [(one.job_id, [*flaws]) for one, flaws in first.flaws] == [("white", ["blank"])]
    assert (first.new, first.gone, first.rejected) == (1, 0, ())
    for file, flaws in first.flaws:
        find_flaws(world.db, world.seq(file.job_id), file.position, flaws)
    assert changes(world.check().files, CheckOptions()).flaws == ()
    find_flaws(world.db, world.seq("boat"), 1, {"duplicate": "x", "frozen": "y"})
    second = changes(world.check().files, CheckOptions())
    assert [(one.job_id, flaws) for one, flaws in second.flaws] == [("boat", {})]
    assert (second.new, second.gone) == (0, 2)
    only = CheckOptions(kinds=frozenset({Kind.FROZEN}))
    third = changes(world.check(kinds=only.kinds).files, only)
    assert [(one.job_id, flaws) for one, flaws in third.flaws] == [("boat", {"duplicate": "x"})]


def test_what_a_person_keeps_no_check_rejects(world: Gallery) -> None:
    world.put("white", packed(plate()))
    world.put("black", packed(plate((0, 0, 0))))
    pick(world.db, world.seq("white"), 1, Pick.KEEP)
    options = CheckOptions(rejected=frozenset({Kind.BLANK}))
    report = world.check(rejected=options.rejected)
    assert [one.job_id for one in changes(report.files, options).rejected] == ["black"]
    assert changes(report.files, replace(options, rejected=frozenset({Kind.FROZEN}))).rejected == ()


def animation(kind: str, pictures: list[Image.Image]) -> bytes:
    options = {"lossless": True} if kind == "WEBP" else {}
    rest = pictures[1:]
    return packed(pictures[0], kind, save_all=True, append_images=rest, duration=40, **options)


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_an_animation_is_judged_by_frames_from_all_over_it(world: Gallery, kind: str) -> None:
    moving = [drawn(seed) for seed in range(5)]
    world.put("late", animation(kind, [plate(size=(320, 240)), *moving[1:]]))
    world.put("moving", animation(kind, moving))
    world.put("others", animation(kind, [moving[0], *(drawn(seed) for seed in range(20, 24))]))
    # Frames that are equal would be stored as one: a level more, and it stands still all the same.
    still = [plate((90 + n, 90, 90), (320, 240)) for n in range(3)]
    for one in still:
        one.paste((0, 0, 0), (100, 100, 200, 200))
    world.put("still", animation(kind, still))
    dark = [plate((n, n, n)) for n in range(4)]
    world.put("black", animation(kind, dark))
    flaws = world.flaws()
    assert flaws == {"still": ["frozen"], "black": ["blank"]}


def test_a_video_without_a_picture_track_is_reported(tmp_path: Path) -> None:
    """As another than our own downloader may have let it in."""
    path = tmp_path / "sound.mp4"
    with av.open(path, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=44_100)
        silence = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp")
        silence.sample_rate = 44_100
        container.mux(stream.encode(silence))
        container.mux(stream.encode())
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    found = examine(
        Source(FolderLocation(tmp_path), path.name, digest, len(content), 1, False, False)
    )
    assert found.measure is not None
    assert found.measure.trouble == "the file has no picture track"


def test_a_file_that_kills_its_process_is_reported_and_tried_again(world: Gallery) -> None:
    world.put("boat", packed(drawn(1)))
    report = world.check(work=lambda sources: map(examine_failed, sources))
    assert [*report.files[0].flaws] == ["unreadable"]
    assert report.files[0].flaws[Kind.UNREADABLE].startswith("it cannot be examined: ")
    assert (world.check().examined, world.flaws()) == (1, {})


def test_judging_changes_nothing_that_it_is_given(world: Gallery) -> None:
    world.put("white", packed(plate()))
    before = read(world.db, bundled(), Selection())
    found = {before[0].path: Evidence("gone", None)}
    after = judge(before, found, CheckOptions())
    assert ([*before[0].flaws], [*after[0].flaws]) == ([], ["unreadable"])
