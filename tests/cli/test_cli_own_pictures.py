"""Own pictures, videos and sounds as inputs, as a person uses them: what the vendor then has."""

from __future__ import annotations

import io
import json
import shutil
import unicodedata
import urllib.request
import wave
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, ImageCms

from batchgen.errors import ChangedJobsError, ExitCode
from tests.shell import EDIT, VIDEO, Emulator, Shell, emulating, ended

MANIFEST = f"""\
version: 1
defaults: {{model: {EDIT}}}
output: {{dir: out}}
jobs:
  - id: snow
    from: "photos/**/*"
    input: {{prompt: in the snow, image_urls: ["{{{{ path }}}}"]}}
"""
RUN = ("run", "m.yaml", "--json")
AWKWARD = (
    "a boat.png",
    "Möwe.png",
    unicodedata.normalize("NFD", "Fähre.png"),
    "⛵️🌊.png",
    "it's.png",
    'say "ahoy".png',
    "100%.png",
    "no#1.png",
    "what?.png",
    "a&b=c;d.png",
    "{{ path }}.png",
    "[1].png",
    "%2e%2e.png",
    "c:d.png",
)


def draw(user: Shell, path: str, size: tuple[int, int] = (64, 48), colour: str = "navy") -> Path:
    place = user.folder / path
    place.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(place)
    return place


@pytest.fixture
def user(shell: Shell, emulator: Emulator) -> Shell:
    shell.write(MANIFEST)
    return shell.using(emulator)


def contents(emulator: Emulator) -> list[bytes]:
    """The files of each paid request, as the vendor got them."""
    return [content for charge in emulator.charges() for content in files_in(charge, emulator)]


def files_in(charge: Any, emulator: Emulator) -> list[bytes]:
    asked = charge["input"]
    paths = [*asked.get("image_urls", ()), *(asked.get(key) for key in ("clip", "sound"))]
    return [fetched(f"{emulator.origin}{path}") for path in paths if path]


def fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:
        content: bytes = answer.read()
    return content


def opened(content: bytes) -> Image.Image:
    found = Image.open(io.BytesIO(content))
    found.load()
    return found


@pytest.mark.parametrize("name", AWKWARD)
def test_a_picture_of_any_name_arrives_byte_for_byte_and_is_paid_for_once(
    user: Shell, emulator: Emulator, name: str
) -> None:
    place = draw(user, f"photos/{name}")
    user.expect(0, "validate", "m.yaml")
    user.expect(0, *RUN)
    assert contents(emulator) == [place.read_bytes()]
    assert user.expect(0, *RUN).document["submitted"] == 0
    (row,) = (user.folder / "out/metadata.jsonl").read_text("utf-8").splitlines()
    assert json.loads(row)["input"]["image_urls"] == [f"photos/{name}"]


def test_the_emulator_of_a_run_gets_the_same_bytes(user: Shell, emulator: Emulator) -> None:
    place = draw(user, "photos/a.png")
    user.expect(0, *RUN, "--emulator", "--latency", "0.01")
    assert emulator.charges() == []
    kept = [one for one in (user.folder / "out/emulator.db.files").rglob("*") if one.is_file()]
    assert place.read_bytes() in [one.read_bytes() for one in kept]


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def save_webp(place: Path) -> None:
    Image.new("RGB", (640, 480), "teal").save(place, "WEBP")


def save_of_a_camera(place: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (6000, 4000), "teal").save(place, "JPEG", exif=turned, icc_profile=SRGB)


def save_with_alpha(place: Path) -> None:
    Image.new("RGBA", (5000, 400 * 5), (0, 128, 128, 100)).save(place, "PNG")


def save_in_16_bits(place: Path) -> None:
    Image.new("I;16", (5000, 2000), 40_000).save(place, "PNG")


def save_in_cmyk(place: Path) -> None:
    Image.new("CMYK", (5000, 2000), (200, 0, 0, 0)).save(place, "JPEG")


def save_with_palette(place: Path) -> None:
    Image.new("RGB", (5000, 2000), "teal").convert("P").save(place, "PNG", icc_profile=SRGB)


FITTED = {
    save_webp: ("JPEG", "RGB", (640, 480)),
    save_of_a_camera: ("JPEG", "RGB", (2731, 4096)),
    save_with_alpha: ("PNG", "RGBA", (4096, 1638)),
    save_in_16_bits: ("JPEG", "L", (4096, 1638)),
    save_in_cmyk: ("JPEG", "RGB", (4096, 1638)),
    save_with_palette: ("JPEG", "RGB", (4096, 1638)),
}


@pytest.mark.parametrize("save", FITTED, ids=lambda one: one.__name__)
def test_a_picture_that_does_not_fit_is_sent_as_a_copy_if_you_wish(
    user: Shell, emulator: Emulator, save: Any
) -> None:
    (user.folder / "photos").mkdir()
    place = user.folder / "photos/a.jpg"
    save(place)
    before = place.read_bytes()
    assert "`inputs: fit: true` sends a" in user.expect(65, "validate", "m.yaml").err
    user.write(f"inputs: {{fit: true}}\n{MANIFEST}")
    user.expect(0, *RUN)
    (content,) = contents(emulator)
    copy = opened(content)
    assert (copy.format, copy.mode, copy.size) == FITTED[save]
    if save in {save_of_a_camera, save_with_palette}:
        assert copy.info["icc_profile"] == SRGB
    assert 0x0112 not in copy.getexif()
    assert place.read_bytes() == before


def test_videos_and_sounds_are_sent_to_a_model_that_takes_them(shell: Shell) -> None:
    properties = {
        "prompt": {"type": "string"},
        "clip": {"type": "string", "format": "video_uri"},
        "sound": {"type": "string", "format": "audio_uri"},
    }
    schema = {"type": "object", "required": ["clip", "sound"], "properties": properties}
    shell.write(json.dumps(schema), "schemas/example/dub-1/dub.json")
    about = {"model_id": "example/dub-1/dub", "categories": ["video-to-video"], "makes": "video"}
    shell.write(json.dumps(about), "schemas/example/dub-1/dub.about.json")
    clip, sound = shell.folder / "a.mp4", shell.folder / "a.wav"
    clip.write_bytes(drawing_of_video())
    sound.write_bytes(sound_of_silence())
    text = (
        "version: 1\njobs:\n  - {id: dub, model: example/dub-1/dub, input: {clip: %s, sound: %s}}"
    )
    shell.write(f"output: {{dir: out}}\n{text % ('a.mp4', 'a.wav')}\n")
    with emulating(schemas=(shell.folder / "schemas",)) as emulator:
        user = shell.using(emulator)
        user.expect(0, *RUN)
        assert contents(emulator) == [clip.read_bytes(), sound.read_bytes()]
        user.write(f"output: {{dir: two}}\n{text % ('a.wav', 'a.mp4')}\n")
        said = user.expect(65, "validate", "m.yaml").err
    assert "clip: This input takes a video, and it is a sound; got 'a.wav'" in said


def drawing_of_video() -> bytes:
    made = io.BytesIO()
    with av.open(made, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=24)
        stream.width, stream.height = 320, 240
        for _ in range(12):
            pixels = np.zeros((240, 320, 3), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return made.getvalue()


def sound_of_silence() -> bytes:
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(16_000))
    return made.getvalue()


def test_a_damaged_picture_costs_nothing_and_the_others_go_on(
    user: Shell, emulator: Emulator
) -> None:
    draw(user, "photos/a.png")
    broken = draw(user, "photos/b.jpg", (800, 600))
    broken.write_bytes(broken.read_bytes()[:-2000])
    user.expect(0, "validate", "m.yaml")
    document = user.expect(ExitCode.SOME_FAILED, *RUN).document
    assert document["counts"] == {"done": 1, "failed": 1}
    assert len(emulator.charges()) == 1
    assert "photos/b.jpg: " in user.expect(0, "show", "m.yaml", "snow-b").out


def test_a_picture_that_changes_or_goes_during_the_run_is_not_sent(
    user: Shell, emulator: Emulator
) -> None:
    for name in ("a", "b", "c", "d"):
        draw(user, f"photos/{name}.png", (64, 40 + ord(name)))
    user.write(f"run: {{concurrency: 1}}\n{MANIFEST}")
    emulator.hold()
    with user.start(*RUN) as process:
        emulator.charged(1)
        draw(user, "photos/c.png", colour="red")
        (user.folder / "photos/d.png").unlink()
        emulator.disarm()
        done = ended(process)
    assert done.code == ExitCode.SOME_FAILED
    assert len(emulator.charges()) == 2
    assert "has changed since this run read" in user.expect(0, "show", "m.yaml", "snow-c").out
    assert "is missing" in user.expect(0, "show", "m.yaml", "snow-d").out


def test_an_edited_photo_is_a_changed_job(user: Shell, emulator: Emulator) -> None:
    draw(user, "photos/a.png")
    draw(user, "photos/b.png")
    user.expect(0, *RUN)
    edited = draw(user, "photos/a.png", colour="red")
    assert "photos/a.png" in user.expect(0, "plan", "m.yaml", "--offline").out
    assert "snow-a (done)" in user.expect(ChangedJobsError.exit_code, *RUN).err
    assert user.expect(0, *RUN, "--changed", "keep").document["submitted"] == 0
    assert user.expect(0, *RUN, "--changed", "rerun").document["submitted"] == 1
    assert contents(emulator)[2] == edited.read_bytes()
    assert user.expect(0, *RUN).document["submitted"] == 0


def test_photos_that_moved_with_their_folder_are_not_paid_for_again(
    user: Shell, emulator: Emulator
) -> None:
    draw(user, "photos/a.png")
    user.expect(0, *RUN)
    (user.folder / "photos").rename(user.folder / "pictures")
    user.write(MANIFEST.replace("photos/", "pictures/"))
    assert user.expect(0, *RUN).document["submitted"] == 0
    assert "pictures/a.png" in user.expect(0, "show", "m.yaml", "snow-a").out


def test_yesterdays_result_of_the_same_photo_is_taken(user: Shell, emulator: Emulator) -> None:
    draw(user, "photos/a.png")
    user.expect(0, *RUN)
    shutil.move(user.folder / "photos/a.png", user.folder / "elsewhere.png")
    text = MANIFEST.replace("photos/**/*", "elsewhere.png").replace("dir: out", "dir: today")
    user.write(text, "today.yaml")
    plan = user.expect(0, "plan", "today.yaml", "--reuse", "--json").document
    document = user.expect(0, "run", "today.yaml", "--reuse", "--json").document
    assert (document["counts"], document["submitted"]) == ({"done": 1}, 0)
    assert len(emulator.charges()) == 1
    assert plan["cost"]["estimated_usd"] == 0


def test_a_retry_sends_the_picture_again(user: Shell, emulator: Emulator) -> None:
    place = draw(user, "photos/a.png")
    emulator.arm("submit", "vendor_failed", message="The brushes are dry.")
    user.run(*RUN)
    user.expect(0, "retry", "m.yaml")
    user.expect(0, *RUN)
    assert set(contents(emulator)) == {place.read_bytes()}


def test_a_clip_is_made_from_the_edit_of_a_photo(user: Shell, emulator: Emulator) -> None:
    draw(user, "photos/a.png")
    clip = f"""\
  - id: clip
    from: "photos/**/*"
    model: {VIDEO}
    needs: {{edited: "snow-{{{{ stem }}}}"}}
    input: {{prompt: it moves, image_urls: ["{{{{ jobs.edited.image }}}}"]}}
"""
    user.write(MANIFEST + clip)
    user.expect(0, *RUN)
    edit, animate = emulator.charges()
    assert edit["input"]["image_urls"][0].startswith("/inputs/")
    assert animate["input"]["image_urls"][0].startswith("http")


def test_an_included_manifest_elsewhere_a_link_and_a_folder_that_is_read_only(
    user: Shell, emulator: Emulator
) -> None:
    place = draw(user, "away/photos/a.png")
    linked = draw(user, "store/b.png", colour="red")
    (user.folder / "away/photos/b.png").symlink_to(linked)
    part = MANIFEST[MANIFEST.index("jobs:") :]
    user.write(f"version: 1\n{part}", "away/part.yaml")
    head = MANIFEST[: MANIFEST.index("jobs:")]
    user.write(f"{head}include: [../away/part.yaml]\n", "work/m.yaml")
    place.parent.chmod(0o555)
    try:
        user.expect(0, "run", "work/m.yaml", "--json")
    finally:
        place.parent.chmod(0o755)
    assert sorted(contents(emulator)) == sorted([place.read_bytes(), linked.read_bytes()])


def test_the_page_and_exports_show_paths(user: Shell) -> None:
    draw(user, "photos/red boat.png")
    outside = user.folder.parent / "outside.png"
    Image.new("RGB", (64, 48), "red").save(outside)
    more = f"""\
  - id: other
    input: {{prompt: x, image_urls: [{json.dumps(str(outside))}]}}
"""
    user.write(MANIFEST + more)
    user.expect(0, *RUN)
    rows = (user.folder / "out/metadata.jsonl").read_text("utf-8").splitlines()
    paths = {row["id"]: row["input"]["image_urls"] for row in map(json.loads, rows)}
    assert paths == {"snow-red-boat": ["photos/red boat.png"], "other": ["outside.png"]}
    user.expect(0, "report", "m.yaml")
    user.expect(0, "export", "m.yaml", "dataset", "--to", "hf")
    for root in (user.folder / "dataset", user.folder / "out"):
        for path in root.rglob("*"):
            if path.suffix in {".html", ".js", ".jsonl", ".json"}:
                text = path.read_text("utf-8")
                assert "batchgen.invalid" not in text, path
                assert str(user.folder.parent) not in text, path


def test_pictures_that_cannot_be_used_are_left_out_if_asked_for(
    user: Shell, emulator: Emulator
) -> None:
    draw(user, "photos/a.png")
    user.write("no picture", "photos/b.png")
    said = user.expect(65, "validate", "m.yaml").err
    assert "photos/b.png: " in said
    user.expect(65, "plan", "m.yaml", "--offline")
    user.write(MANIFEST.replace("    input:", "    bad_rows: skip\n    input:"))
    assert user.expect(0, *RUN).document["counts"] == {"done": 1}
    assert len(emulator.charges()) == 1
