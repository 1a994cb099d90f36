"""Paths of the user's own files in inputs: found, checked, and put into the body as URLs."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest
from PIL import Image

from batchgen.input_files import InputFile, LocalFile, files_in
from batchgen.manifest import local_files
from batchgen.manifest.header import read_manifest
from batchgen.manifest.local_files import is_path
from batchgen.manifest.policy import InputSettings
from batchgen.manifest.problems import ProblemLog
from batchgen.manifest.stream import checked_jobs
from batchgen.references import references_in
from tests.manifest.manifest_reading import EDIT, VIDEO, Reading, read_file

HEAD = f"version: 1\ndefaults: {{model: {EDIT}}}\n"


def picture(path: Path, size: tuple[int, int] = (300, 200), codec: str = "PNG") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = io.BytesIO()
    Image.new("RGB", size).save(stream, codec)
    path.write_bytes(stream.getvalue())
    return path


def read(folder: Path, *lines: str, head: str = HEAD, name: str = "boats.yaml") -> Reading:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(head + "jobs:\n" + "".join(f"  - {line}\n" for line in lines))
    return read_file(path)


def job(*paths: str, more: str = "") -> str:
    return f"{{id: boat, input: {{prompt: a boat, image_urls: {json.dumps(paths)}}}{more}}}"


def files(found: Reading) -> list[InputFile]:
    assert found.problems == []
    return [file for job in found.jobs for file in files_in(job.body)]


def paths(found: Reading) -> list[str]:
    return [file.path for file in files(found)]


def trouble(folder: Path, *given: str, head: str = HEAD) -> tuple[str, str | None]:
    """The only problem, without its place, and its hint."""
    found = read(folder, job(*given), head=head)
    (problem,), (hint,) = found.problems, found.hints
    return problem.partition(" ")[2], hint


def test_a_path_becomes_a_url_with_the_hash_of_the_file(tmp_path: Path) -> None:
    picture(tmp_path / "photos/a.png")
    ((first,), (second,)) = (files(read(tmp_path, job("photos/a.png"))) for _ in range(2))
    assert first == second
    assert first.path == "photos/a.png"
    picture(tmp_path / "photos/a.png", (301, 200))
    (changed,) = files(read(tmp_path, job("photos/a.png")))
    assert changed.sha256 != first.sha256


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("photos/a.png", True),
        ("a.png", True),
        ("/photos/a.png", True),
        ("~/a.png", True),
        ("c:/a.png", True),
        ("www.example.com/a.png", True),
        (" https://example.com/a.png", True),
        ("https://example.com/a.png", False),
        ("http://example.com/a.png", False),
        ("HTTPS://example.com/a.png", False),
        ("s3://bucket/a.png", False),
        ("file:///a.png", False),
        ("data:image/png;base64,AAAA", False),
        ("", False),
        ("  ", False),
    ],
)
def test_a_text_with_a_scheme_is_a_url_and_any_other_a_path(text: str, expected: bool) -> None:
    assert is_path(text) == expected


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("a.png", "a.png"),
        ("./a.png", "a.png"),
        ("deep/../a.png", "a.png"),
        ("../beside.png", "../beside.png"),
        ("deep//b.png", "deep/b.png"),
        ("link/b.png", "link/b.png"),
        ("ein Boot & 灯台 %41.png", "ein Boot & 灯台 %41.png"),
    ],
)
def test_a_path_is_normalised(tmp_path: Path, written: str, name: str) -> None:
    folder = tmp_path / "m"
    for one in ("a.png", "deep/b.png", "../beside.png", "ein Boot & 灯台 %41.png"):
        picture(folder / one)
    (folder / "link").symlink_to("deep")
    found = read(folder, job(written))
    assert paths(found) == [name]
    assert (folder / name).exists()


def test_behind_a_link_two_dots_lead_to_the_folder_of_its_target(tmp_path: Path) -> None:
    picture(tmp_path / "elsewhere/a.png", (310, 200))
    picture(tmp_path / "m/a.png")
    (tmp_path / "elsewhere/deep").mkdir()
    (tmp_path / "m/link").symlink_to("../elsewhere/deep")
    assert paths(read(tmp_path / "m", job("link/../a.png"))) == ["link/../a.png"]


def test_an_absolute_path_and_one_at_home_stay_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    absolute = str(picture(tmp_path / "m/a.png"))
    home = str(picture(tmp_path / "home/photos/a.png"))
    assert paths(read(tmp_path / "m", job(absolute))) == [absolute]
    assert paths(read(tmp_path / "m", job("~/photos/a.png"))) == [home]


def test_a_manifest_named_by_a_relative_path_has_the_same_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(tmp_path / "m/a.png")
    expected = paths(read(tmp_path / "m", job("a.png")))
    monkeypatch.chdir(tmp_path)
    assert paths(read_file(Path("m/boats.yaml"))) == expected
    monkeypatch.chdir(tmp_path / "m")
    assert paths(read_file(Path("boats.yaml"))) == expected


def test_an_included_manifest_has_its_own_paths_and_defaults(tmp_path: Path) -> None:
    picture(tmp_path / "top.png", (301, 200))
    picture(tmp_path / "parts/part.png", (302, 200))
    part = tmp_path / "parts/part.yaml"
    part.write_text(
        "version: 1\nvars: {own: part.png}\njobs:\n"
        "  - {id: a, input: {image_urls: [part.png]}}\n"
        "  - {id: b}\n"
        "  - {id: c, input: {image_urls: ['{{ own }}', '{{ outer }}', '{{ some[0] }}']}}\n"
        "  - {id: d, matrix: {outer: [part.png]}, input: {image_urls: ['{{ outer }}']}}\n"
    )
    head = (
        f"version: 1\ninclude: parts/part.yaml\nvars: {{outer: top.png, some: [./top.png]}}\n"
        f"defaults: {{model: {EDIT}, input: {{prompt: x, image_urls: [top.png]}}}}\n"
    )
    found = read(tmp_path, "{id: e}", head=head)
    assert found.problems == []
    assert {one.id: [file.path for file in files_in(one.body)] for one in found.jobs} == {
        "a": ["parts/part.png"],
        "b": ["top.png"],
        "c": ["parts/part.png", "top.png"],
        "d-part.png": ["parts/part.png"],
        "e": ["top.png"],
    }


def test_the_send_and_fit_of_an_included_manifest_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "part.yaml").write_text(
        "version: 1\ninputs: {send: s3://bucket, fit: true}\njobs: [{id: a}]\n"
    )
    for own, settings in (
        ("", InputSettings()),
        ("inputs: {send: gs://mine/prefix}\n", InputSettings("gs://mine/prefix")),
    ):
        path = tmp_path / "top.yaml"
        path.write_text(f"version: 1\ninclude: part.yaml\n{own}")
        manifest = read_manifest(path, ProblemLog())
        assert manifest is not None
        assert manifest.inputs == settings


def test_files_references_and_urls_may_be_in_one_list(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    found = read(
        tmp_path,
        "{id: still, input: {prompt: x, image_urls: ['https://example.com/x.png']}}",
        job("{{ jobs.still.image }}", "a.png", "https://example.com/b.png"),
    )
    assert paths(found) == ["a.png"]
    body = found.jobs[1].body
    assert json.loads(body)["image_urls"][2] == "https://example.com/b.png"
    assert [one.job_id for one in references_in(body)] == ["still"]
    assert found.jobs[1].needs == ("still",)


def test_names_and_templates_see_the_path_as_it_is_written(tmp_path: Path) -> None:
    picture(tmp_path / "photos/a.png")
    name = ', name: \'{{ input.image_urls[0]|replace("/", "-") }}-{{ id }}\''
    found = read(tmp_path, job("./photos/a.png", more=name))
    assert paths(found) == ["photos/a.png"]
    assert found.jobs[0].name == ".-photos-a.png-boat"


def test_an_id_comes_from_the_content_not_from_the_path(tmp_path: Path) -> None:
    first, second = picture(tmp_path / "a.png"), tmp_path / "b.png"
    second.write_bytes(first.read_bytes())
    item = "{{input: {{prompt: x, image_urls: [{}]}}}}"
    ids = [read(tmp_path, item.format(one)).jobs[0].id for one in ("a.png", "b.png")]
    picture(second, (301, 200))
    assert ids[0] == ids[1] != read(tmp_path, item.format("b.png")).jobs[0].id


def test_a_list_of_a_template_and_items_left_out_keep_their_places(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    head = HEAD + "vars: {some: [a.png, none.png], nothing: null}\n"
    found = read(tmp_path, job("{{ nothing }}", "a.png", "none.png"), head=head)
    assert [one.partition(" ")[2] for one in found.problems] == [
        "item 3 of image_urls: there is no such file; got 'none.png'"
    ]
    line = "{id: boat, input: {prompt: x, image_urls: '{{ some }}'}}"
    found = read(tmp_path, line, head=head)
    assert [one.partition(" ")[2] for one in found.problems] == [
        "item 2 of image_urls: there is no such file; got 'none.png'"
    ]


def test_a_text_in_the_place_of_the_list_is_reported_as_it_is_written(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    found = read(tmp_path, "{id: a, input: {prompt: x, image_urls: a.png}}")
    assert [one.partition(" ")[2] for one in found.problems] == [
        "image_urls must be a list; got 'a.png'"
    ]


def test_all_that_is_wrong_is_reported_at_once(tmp_path: Path) -> None:
    found = read(
        tmp_path, "{id: a, input: {prompt: x, scale: 70, image_urls: [https://x.org/a.png, b.png]}}"
    )
    assert [one.rpartition("; got")[0] for one in found.problems] == [
        "4:39 scale must be between 0 and 1",
        "4:77 item 2 of image_urls: there is no such file",
    ]


@pytest.mark.parametrize(
    ("path", "sentence", "hint"),
    [
        ("bost.png", "there is no such file", "did you mean 'boat.png'?"),
        ("photos/ann.png", "there is no such file", "did you mean 'photos/anna.png'?"),
        ("fotos/anna.png", "there is no such file", "there is no folder '"),
        ("nothing like it", "there is no such file", "a path is relative to the manifest that it"),
        ("photos\\anna.png", "there is no such file", "write the path with / instead of \\"),
        ("www.example.com/a.png", "there is no such file", "a URL begins with https://"),
        ("example.com/a.png", "there is no such file", "a URL begins with https://"),
        (" https://example.com/a.png", "there is no such file", "a URL begins with https://"),
        ("photos", "it is a folder", "name one of the files in it"),
        ("empty.png", "the file is empty", "make the file again"),
        ("text.png", "the file is not a known kind of picture or video;", "name a picture"),
        ("cut.png", "its header is damaged or cut off", "save or copy the picture again"),
        ("photo.heic", "its header is damaged or cut off", "save or copy the picture again"),
        ("photo.webp", "(it is WebP)", "`inputs: fit: true` sends a copy as JPEG or PNG"),
        ("clip.mp4", "This input takes a picture, and it is a video;", "use another file"),
    ],
)
def test_a_file_that_cannot_be_used_is_reported(
    tmp_path: Path, path: str, sentence: str, hint: str | None
) -> None:
    picture(tmp_path / "boat.png")
    picture(tmp_path / "photos/anna.png")
    picture(tmp_path / "photo.webp", codec="WEBP")
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("a boat at sea")
    (tmp_path / "cut.png").write_bytes((tmp_path / "boat.png").read_bytes()[:18])
    (tmp_path / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    (tmp_path / "clip.mp4").write_bytes(b"\0\0\0\x18ftypisom\0\0\0\0")
    (tmp_path / os.fsdecode(b"b\xffat.png")).touch()
    message, found = trouble(tmp_path, path)
    assert message.startswith("item 1 of image_urls: ")
    assert sentence in message
    assert hint is None or (found is not None and hint in found)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    picture(tmp_path / "boat.png").chmod(0)
    assert "it cannot be read: Permission denied" in trouble(tmp_path, "boat.png")[0]


def test_rules_of_the_page_are_quoted(tmp_path: Path) -> None:
    picture(tmp_path / "wide.png", (1000, 20))
    picture(tmp_path / "small.png", (10, 10))
    head = HEAD.replace(EDIT, VIDEO)
    for name, size in (("wide.png", "1000x20"), ("small.png", "10x10")):
        message, _ = trouble(tmp_path, name, head=head)
        assert f"(it has {size} pixels)" in message


def test_a_picture_that_is_too_large_for_a_request_goes_by_bucket_or_by_fit(tmp_path: Path) -> None:
    path = picture(tmp_path / "large.png")
    path.write_bytes(path.read_bytes() + bytes(7 * 1_048_576))
    message, hint = trouble(tmp_path, "large.png")
    assert "A request carries a picture of at most 6 MiB." in message
    assert hint is not None
    assert "fit: true" in hint
    assert "s3://" in hint
    for settings in ("{fit: true}", "{send: s3://bucket}"):
        head = HEAD + f"inputs: {settings}\n"
        assert paths(read(tmp_path, job("large.png"), head=head)) == ["large.png"]


def test_the_files_of_one_request_are_limited_together(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png")
    path.write_bytes(path.read_bytes() + bytes(5 * 1_048_576))
    given = []
    for number in range(10):
        (tmp_path / f"{number}.png").write_bytes(path.read_bytes() + bytes(number))
        given.append(f"{number}.png")
    message, hint = trouble(tmp_path, *given)
    assert message == (
        "image_urls: its files make a request of 66.7 MiB; at most 64 MiB can be sent"
    )
    assert hint is not None
    assert "s3://" in hint
    assert paths(read(tmp_path, job(*given[:9]))) == given[:9]
    for settings in ("{fit: true}", "{send: s3://bucket}"):
        assert paths(read(tmp_path, job(*given), head=HEAD + f"inputs: {settings}\n")) == given


ROWS = (
    "{{id: '{{{{ index }}}}', from: {}, {}input: {{prompt: x, image_urls: ['{{{{ photo }}}}']}}}}"
)


def test_a_wrong_path_in_a_row_is_reported_at_the_row(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "rows.csv").write_text("photo\na.png\nb.png\na.png\nc.png\na.png\n")
    found = read(tmp_path, ROWS.format("rows.csv", ""))
    (problem,) = found.problems
    assert problem == (
        "3:1 item 1 of image_urls: there is no such file; got 'b.png'"
        " (in the job of boats.yaml:4, in 2 rows: lines 3, 5)"
    )


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("a\\u0000b.png", "no file can have this name"),
        ("\\udcff.png", "half a character"),
        ("x" * 300, "File name too long"),
    ],
)
def test_a_name_that_no_file_has_is_reported(tmp_path: Path, path: str, sentence: str) -> None:
    (tmp_path / "rows.jsonl").write_text(f'{{"photo": "{path}"}}\n')
    found = read(tmp_path, ROWS.format("rows.jsonl", ""))
    assert [sentence in one for one in found.problems] == [True], found.problems


def test_rows_with_wrong_paths_may_be_skipped(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "rows.csv").write_text("photo\na.png\nb.png\na.png\n")
    found = read(tmp_path, ROWS.format("rows.csv", "bad_rows: skip, "))
    assert found.problems == []
    assert [paths(found), len(found.jobs)] == [["a.png", "a.png"], 2]
    assert found.warnings == [
        "3:1 skipped: item 1 of image_urls: there is no such file; got 'b.png'"
    ]


def test_a_wrong_path_that_no_row_gave_is_not_skipped(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text\na\nb\n")
    line = "{from: rows.csv, bad_rows: skip, input: {prompt: '{{ text }}', image_urls: [b.png]}}"
    found = read(tmp_path, line)
    assert [one.rpartition("; got")[0] for one in found.problems] == [
        "4:81 item 1 of image_urls: there is no such file"
    ]


def test_a_path_that_is_beside_the_data_file_is_pointed_out(tmp_path: Path) -> None:
    picture(tmp_path / "data/photos/a.png")
    (tmp_path / "data/rows.csv").write_text("photo\nphotos/a.png\n")
    found = read(tmp_path, ROWS.format("data/rows.csv", ""))
    (hint,) = found.hints
    assert hint == (
        "it is beside rows.csv, but a path is relative to the manifest that it is written in:"
        " write 'data/photos/a.png'"
    )


OWN_FOLDER = "{from: rows.csv, input: {prompt: x, image_urls: ['%s']}}"


@pytest.mark.parametrize(
    ("template", "value", "is_refused"),
    [
        ("{{ photo }}", "/R/secret/a.png", True),
        ("{{ photo }}", "../secret/a.png", True),
        ("{{ photo }}", "~/a.png", True),
        ("{{ row['photo'] }}", "/R/secret/a.png", True),
        ("{{ '' ~ photo }}", "/R/secret/a.png", True),
        ("{% if photo %}{{ photo }}{% endif %}", "/R/secret/a.png", True),
        ("{{ photo | trim }}", "/R/secret/a.png", True),
        ("/R/shared/{{ photo }}", "../secret/a.png", True),
        ("../shared/{{ photo }}", "../secret/a.png", True),
        ("{{ root }}/shared/{{ photo }}", "../secret/a.png", True),
        ("{{ root }}/secret/{{ photo }}", "a.png", False),
        ("/R/secret/{{ photo }}", "a.png", False),
        ("../secret/{{ photo }}", "a.png", False),
        ("{{ photo }}", "/R/set/photos/a.png", False),
        ("{{ photo }}", "photos/../photos/a.png", False),
        ("/R/secret/a.png", "x", False),
    ],
)
def test_a_row_leads_to_no_file_outside_unless_that_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, template: str, value: str, *, is_refused: bool
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "secret"))
    for name in ("secret/a.png", "set/photos/a.png"):
        picture(tmp_path / name)
    (tmp_path / "set/rows.csv").write_text(f"photo\n{value}\n".replace("/R", str(tmp_path)))
    (tmp_path / "shared").mkdir()
    line = (OWN_FOLDER % template.replace("'", "''")).replace("/R", str(tmp_path))
    head = f"{HEAD}vars: {{root: {tmp_path}}}\n"
    found = read(tmp_path / "set", line, head=head)
    assert ["outside the manifest's folder" in one for one in found.problems] == (
        [True] if is_refused else []
    )
    assert all("inputs: outside: true" in str(hint) for hint in found.hints)
    allowed = read(tmp_path / "set", line, head=f"{head}inputs: {{outside: true}}\n")
    assert len(files(allowed)) == 1


def test_many_wrong_paths_are_not_all_compared_with_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[Path] = []
    monkeypatch.setattr(local_files, "_nearest", compared.append)
    rows = "".join(f"{number}.png\n" for number in range(500))
    (tmp_path / "rows.csv").write_text(f"photo\n{rows}")
    assert len(read(tmp_path, ROWS.format("rows.csv", "")).problems) == 1
    assert len(compared) == local_files.MOST_SUGGESTIONS


def test_a_file_in_every_cell_of_a_sweep_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "boats.yaml"
    line = "{id: a, repeat: 500, input: {prompt: x, image_urls: [a.png, b.png]}}"
    path.write_text(f"{HEAD}jobs:\n  - {line}\n")
    read_of: list[str] = []

    def look(one: Path) -> LocalFile:
        read_of.append(one.name)
        return LocalFile("0" * 64, "image/png", 1000, 300, 200)

    log = ProblemLog()
    manifest = read_manifest(path, log, env={})
    assert manifest is not None
    assert len(list(checked_jobs(manifest, log, lambda _: None, look))) == 500
    assert read_of == ["a.png", "b.png"]


@pytest.mark.parametrize("key", ["prompt", "image_urls"])
def test_a_url_that_stands_for_a_file_cannot_be_written(tmp_path: Path, key: str) -> None:
    url = f"https://files.batchgen.invalid/{'0' * 64}/a.png"
    given = {"prompt": "x", "image_urls": ["https://example.com/a.png"]}
    given |= {key: [url] if key == "image_urls" else f"see {url}"}
    found = read(tmp_path, f"{{id: a, input: {json.dumps(given)}}}")
    assert ["stands for files of this machine" in one for one in found.problems] == [True]


def test_a_model_without_places_for_files_takes_any_text(tmp_path: Path) -> None:
    found = read(
        tmp_path, "{id: a, model: t2i, input: {prompt: photos/a.png}}", f"{{id: b, model: {VIDEO}}}"
    )
    assert json.loads(found.jobs[0].body)["prompt"] == "photos/a.png"


@pytest.mark.parametrize(
    "send",
    [
        "s3:/x",
        "S3://bucket",
        "https://bucket.s3.amazonaws.com",
        "s3://key:hidden@bucket",
        "s3://bucket/hidden@x",
        "ftp://bucket",
        "s3://",
        "hidden",
    ],
)
def test_a_wrong_bucket_is_refused_without_showing_it(tmp_path: Path, send: str) -> None:
    found = read(
        tmp_path,
        "{model: t2i, input: {prompt: x}}",
        head=f"version: 1\ninputs: {{send: {send!r}}}\n",
    )
    (problem,) = found.problems
    assert "inputs.send must be data, or a bucket: s3://bucket/prefix" in problem
    assert "hidden" not in problem
    assert "credentials are never written here" in problem


@pytest.mark.parametrize("inputs", ["s3://key:hidden@bucket", "{'s3://key:hidden@b': x}", "[x]"])
def test_other_mistakes_under_inputs_do_not_show_it_either(tmp_path: Path, inputs: str) -> None:
    found = read(
        tmp_path, "{model: t2i, input: {prompt: x}}", head=f"version: 1\ninputs: {inputs}\n"
    )
    assert len(found.problems) == 1
    assert "hidden" not in str(found.problems) + str(found.hints)


def test_files_of_a_pattern_are_read_from_the_manifest_with_the_pattern(tmp_path: Path) -> None:
    picture(tmp_path / "parts/photos/a.png")
    picture(tmp_path / "parts/photos/b.png", (301, 200))
    (tmp_path / "parts/part.yaml").write_text(
        "version: 1\njobs:\n  - {id: part, from: photos/*.png}\n"
    )
    head = (
        "version: 1\ninclude: parts/part.yaml\n"
        f"defaults: {{model: {EDIT}, input: {{prompt: x, image_urls: ['{{{{ path }}}}']}}}}\n"
    )
    found = read(tmp_path, "{id: top, from: parts/photos/a.png}", head=head)
    assert paths(found) == ["parts/photos/a.png", "parts/photos/b.png", "parts/photos/a.png"]


def test_a_file_whose_name_is_not_utf_8_is_named(tmp_path: Path) -> None:
    picture(tmp_path / os.fsdecode(b"b\xffat.png"))
    found = read(tmp_path, "{from: '*.png', input: {prompt: x, image_urls: ['{{ path }}']}}")
    assert len(found.problems) == 1
