"""`from: photos/*.jpg`: a job for each picture, video or sound."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from batchgen.manifest.header import read_manifest
from batchgen.manifest.problems import ProblemLog
from batchgen.manifest.stream import checked_jobs
from batchgen.runs.fingerprint import fingerprint_of
from tests.manifest.manifest_reading import HEAD, Reading, read_file, with_jobs

EVERYTHING = '"{{ path }}|{{ name }}|{{ stem }}|{{ folder }}"'


def make(folder: Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"x")


def read(folder: Path, *items: str) -> Reading:
    (folder / "boats.yaml").write_text(with_jobs(*items), encoding="utf-8")
    return read_file(folder / "boats.yaml")


def prompts(reading: Reading) -> dict[str, str]:
    assert reading.problems == []
    return {job.id: json.loads(job.body)["prompt"] for job in reading.jobs}


def of_files(pattern: str, *more: str, prompt: str = "x") -> str:
    lines = [f"from: {json.dumps(pattern)}", f"input: {{prompt: {prompt}}}", *more]
    return "\n    ".join(lines)


def full(folder: Path, *items: str) -> list[str]:
    """The problems as they are printed, but with paths in the folder."""
    (folder / "boats.yaml").write_text(with_jobs(*items), encoding="utf-8")
    log = ProblemLog()
    manifest = read_manifest(folder / "boats.yaml", log, env={})
    assert manifest is not None
    list(checked_jobs(manifest, log))
    return [str(one).replace(f"{folder}/", "") for one in (*log.problems, *log.warnings)]


# Variables


def test_each_file_makes_a_job_that_is_named_after_it(tmp_path: Path) -> None:
    make(tmp_path, "photos/boat.jpg", "photos/Crane 2.JPG", "photos/clip.mp4", "photos/sea.mp3")
    make(tmp_path, "photos/boat.txt", "photos/.DS_Store", "photos/Thumbs.db", "photos/.x.jpg")
    assert prompts(read(tmp_path, of_files("photos/*", prompt=EVERYTHING))) == {
        "t2i-Crane-2": "photos/Crane 2.JPG|Crane 2.JPG|Crane 2|photos",
        "t2i-boat": "photos/boat.jpg|boat.jpg|boat|photos",
        "t2i-clip": "photos/clip.mp4|clip.mp4|clip|photos",
        "t2i-sea": "photos/sea.mp3|sea.mp3|sea|photos",
    }


def test_folders_below_are_part_of_the_id(tmp_path: Path) -> None:
    make(tmp_path, "photos/boat.jpg", "photos/red/boat.jpg", "photos/red/old/boat.jpg")
    item = of_files("photos/**/*.jpg", prompt=EVERYTHING)
    assert prompts(read(tmp_path, item)) == {
        "t2i-boat": "photos/boat.jpg|boat.jpg|boat|photos",
        "t2i-red-boat": "photos/red/boat.jpg|boat.jpg|boat|red",
        "t2i-red-old-boat": "photos/red/old/boat.jpg|boat.jpg|boat|old",
    }


def test_a_path_alone_is_one_job(tmp_path: Path) -> None:
    make(tmp_path, "photos/boat.jpg")
    item = of_files("photos/boat.jpg", prompt=EVERYTHING)
    assert prompts(read(tmp_path, item)) == {
        "t2i-boat": "photos/boat.jpg|boat.jpg|boat|photos",
    }


def test_a_file_whose_name_is_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    make(tmp_path, "set [1]/boat [2].jpg", "set [1]/boat 2.jpg", "p[1].csv")
    (tmp_path / "p[1].csv").write_text("prompt\nx\n")
    item = of_files("set [1]/boat [2].jpg", prompt='"{{ path }}"')
    assert prompts(read(tmp_path, item)) == {"t2i-boat-2": "set [1]/boat [2].jpg"}
    assert list(prompts(read(tmp_path, f"id: c\n    {of_files('p[1].csv')}"))) == ["c-1"]


def test_files_beside_the_manifest_above_it_and_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "shots/boat.jpg", "crane.jpg", "home/pictures/tug.jpg")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    shots = tmp_path / "shots"
    items = [of_files(one, prompt=EVERYTHING) for one in ("*.jpg", "../*.jpg", "~/pictures/*")]
    assert prompts(read(shots, *items)) == {
        "t2i-boat": "boat.jpg|boat.jpg|boat|shots",
        "t2i-crane": f"../crane.jpg|crane.jpg|crane|{tmp_path.name}",
        "t2i-tug": f"{tmp_path}/home/pictures/tug.jpg|tug.jpg|tug|pictures",
    }


def test_a_path_is_never_taken_for_something_else(tmp_path: Path) -> None:
    make(tmp_path, "data:x.jpg", "~/a.jpg")
    found = prompts(read(tmp_path, of_files("**/*.jpg", prompt='"{{ path }}"')))
    assert sorted(found.values()) == ["./data:x.jpg", "./~/a.jpg"]


# Captions


def test_a_caption_is_the_text_beside_the_file(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf a red boat,\n{{ at }} sea \n")
    (tmp_path / "b.caption").write_text("a blue boat")
    item = of_files("*.jpg", prompt="\"{{ caption | default('a boat') }}\"")
    assert prompts(read(tmp_path, item)) == {
        "t2i-a": "a red boat,\n{{ at }} sea",
        "t2i-b": "a blue boat",
        "t2i-c": "a boat",
    }


def test_a_file_without_a_caption_is_named(tmp_path: Path) -> None:
    make(tmp_path, "photos/a.jpg", "photos/b.jpg", "photos/c.jpg")
    (tmp_path / "photos/b.txt").write_text("b")
    (tmp_path / "photos/c.txt").write_text("c")
    item = of_files("photos/*.jpg", prompt='"{{ caption }}"')
    (problem,) = full(tmp_path, item)
    assert problem.startswith(
        "photos/a.jpg: job t2i-a: photos/a.jpg has no caption: photos/a.txt does not exist"
    )
    skipping = of_files("photos/*.jpg", "bad_rows: skip", prompt='"{{ caption }}"')
    assert [job.id for job in read(tmp_path, skipping).jobs] == ["t2i-b", "t2i-c"]


@pytest.mark.parametrize("text", ["{{ row.caption }}", "{{ caption | upper }}", "x {{ caption }}"])
def test_however_a_missing_caption_is_used_it_is_named(tmp_path: Path, text: str) -> None:
    make(tmp_path, "a.jpg")
    (problem,) = read(tmp_path, of_files("*.jpg", prompt=json.dumps(text))).problems
    assert "a.jpg has no caption: a.txt does not exist" in problem


def test_many_files_without_a_caption_are_one_problem(tmp_path: Path) -> None:
    make(tmp_path, *(f"{name}.jpg" for name in "abcdefg"))
    (problem,) = full(tmp_path, of_files("*.jpg", prompt='"{{ caption }}"'))
    assert problem.startswith("boats.yaml:5:")
    assert "(in 7 files: a.jpg, b.jpg, c.jpg, d.jpg, e.jpg, …)" in problem


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"caf\xe9", "a.jpg: its caption a.txt is not UTF-8"),
        (b"x" * 65_537, "a.jpg: its caption a.txt is longer than 64 KiB"),
        (b"a\0b", "a.jpg: its caption a.txt has a NUL character"),
    ],
)
def test_an_unusable_caption_is_a_bad_row(tmp_path: Path, data: bytes, what: str) -> None:
    make(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "a.txt").write_bytes(data)
    (problem,) = full(tmp_path, of_files("*.jpg"))
    assert problem.startswith(what)
    skipped = read(tmp_path, of_files("*.jpg", "bad_rows: skip"))
    assert [job.id for job in skipped.jobs] == ["t2i-b"]
    assert len(skipped.warnings) == 1


def test_a_caption_that_cannot_be_read_is_a_bad_row(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg")
    (tmp_path / "a.txt").mkdir()
    (problem,) = full(tmp_path, of_files("*.jpg"))
    assert problem.startswith("a.jpg: its caption a.txt cannot be read: Is a directory")


# Ids


def test_a_file_more_renames_nothing(tmp_path: Path) -> None:
    make(tmp_path, "photos/boat.jpg")
    items = [f"id: x\n    {of_files('photos/*')}", of_files("photos/*", prompt="y")]
    items.append(
        "id: 'z'\n    model: '{{ m }}'\n    matrix: {m: [t2i]}\n    " + of_files("photos/*")
    )
    before = [job.id for job in read(tmp_path, *items).jobs]
    assert before == ["x-boat", "t2i-boat", "z-boat-t2i"]
    make(tmp_path, "photos/anchor.jpg")
    assert set(before) < {job.id for job in read(tmp_path, *items).jobs}


def test_axes_and_repeats_are_added_to_the_name(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "b.jpg")
    item = of_files("*.jpg", "matrix: {hour: [dawn, dusk]}", "repeat: 2", prompt='"{{ hour }}"')
    assert [job.id for job in read(tmp_path, item).jobs] == [
        f"t2i-{file}-{hour}{again}"
        for file in "ab"
        for hour in ("dawn", "dusk")
        for again in ("", "-2")
    ]


def test_a_template_may_name_the_file(tmp_path: Path) -> None:
    make(tmp_path, "photos/a.jpg", "photos/b.jpg")
    item = of_files("photos/*", 'id: "still-{{ stem }}"')
    assert [job.id for job in read(tmp_path, item).jobs] == ["still-a", "still-b"]
    nameless = of_files("photos/*", 'id: "{{ env }}"').replace("{{ env }}", "{{ kind }}")
    vars_ = HEAD + "vars: {kind: still}\n"
    (tmp_path / "boats.yaml").write_text(with_jobs(nameless, head=vars_), encoding="utf-8")
    reading = read_file(tmp_path / "boats.yaml")
    assert [job.id for job in reading.jobs] == ["still-a", "still-b"]


@pytest.mark.parametrize(
    ("files", "hint"),
    [
        (("photos/a.jpg", "photos/a.png"), '"{{ name }}"'),
        (("photos/red/a.jpg", "photos/red-a.jpg"), '"{{ name }}"'),
        (("photos/red/a.jpg", "photos/red-/a.jpg"), '"{{ folder }}-{{ name }}"'),
    ],
)
def test_two_files_with_one_id_are_both_named(
    tmp_path: Path, files: tuple[str, str], hint: str
) -> None:
    make(tmp_path, *files)
    found = read(tmp_path, of_files("photos/**/*"))
    (problem,) = found.problems
    assert all(str(tmp_path / file) in problem for file in files)
    assert hint in (found.hints[0] or "")


def test_a_chain_goes_by_the_names_of_the_files(tmp_path: Path) -> None:
    make(tmp_path, "photos/a.jpg", "photos/b.jpg")
    still = of_files("photos/*.jpg")
    by_template = 'id: "clip-{{ stem }}"\n    needs: {still: "t2i-{{ stem }}"}\n    '
    found = read(tmp_path, still, by_template + of_files("photos/*.jpg"))
    assert found.problems == []
    assert [(job.id, job.needs) for job in found.jobs[2:]] == [
        ("clip-a", ("t2i-a",)),
        ("clip-b", ("t2i-b",)),
    ]


def test_a_chain_may_need_a_whole_sweep_of_the_same_files(tmp_path: Path) -> None:
    make(tmp_path, "photos/a.jpg", "photos/red/b.jpg")
    still = "id: still\n    " + of_files("photos/**/*.jpg")
    clip = "id: clip\n    needs: [still]\n    " + of_files("./photos/**/*.jpg")
    found = read(tmp_path, still, clip)
    assert found.problems == []
    assert [(job.id, job.needs) for job in found.jobs[2:]] == [
        ("clip-a", ("still-a",)),
        ("clip-red-b", ("still-red-b",)),
    ]
    other = "id: clip\n    needs: [still]\n    " + of_files("photos/*.jpg")
    (problem,) = read(tmp_path, still, other).problems
    assert "'still' has one job for each file of photos/**/*.jpg, and this job does not" in problem


def test_a_job_that_needs_a_refused_one_is_not_reported_too(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    (tmp_path / "a.txt").write_bytes(b"\xff")
    still = of_files("*.jpg")
    clip = of_files("b.jpg", "id: clip", "needs: [t2i-a, t2i-b]")
    assert len(read(tmp_path, still, clip).problems) == 1


# Choosing


def test_where_offset_and_limit_choose_files(tmp_path: Path) -> None:
    make(tmp_path, "p/red/1.jpg", "p/red/2.jpg", "p/red/3.jpg", "p/blue/4.jpg", "p/5.jpg")
    item = of_files("p/**/*.jpg", "where: {folder: red}", "offset: 1", "limit: 1")
    assert [job.id for job in read(tmp_path, item).jobs] == ["t2i-red-2"]


def test_where_may_ask_for_captions_that_no_file_has(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg")
    item = of_files("*.jpg", "where: {caption: {minLength: 1}}")
    (problem,) = read(tmp_path, item).problems
    assert problem.endswith("no file of *.jpg is chosen")


@pytest.mark.parametrize("axis", ["path", "name", "stem", "folder", "caption"])
def test_an_axis_cannot_hide_a_variable_of_a_file(tmp_path: Path, axis: str) -> None:
    make(tmp_path, "a.jpg")
    (problem,) = read(tmp_path, of_files("*.jpg", f"matrix: {{{axis}: [1]}}")).problems
    assert problem.endswith(f"the axis '{axis}' is also a variable of a file")


# Problems


@pytest.mark.parametrize(
    ("pattern", "what", "hint"),
    [
        ("photos", "photos: this is a folder", "write photos/*, which"),
        ("photos/", "photos: this is a folder", "write photos/*, which"),
        ("fotos/*.jpg", "fotos: there is no such folder", "did you mean 'photos'?"),
        ("photos/boot.jpg", "photos/boot.jpg: there is no such file", "did you mean 'boat.JPG'?"),
        ("photos/*.jpg", "photos/*.jpg: no picture, video or sound matches", "write photos/*.JPG"),
        ("*.JPG", "*.JPG: no picture, video or sound matches", "write **/*.JPG"),
        (
            "photos/*.webp",
            "photos/*.webp: no picture, video or sound",
            "the folder has 1 .JPG, 1 .png",
        ),
        ("photos/*.txt", "no picture, video or sound among the 2 files that match", "extensions"),
        ("photos/red/*.jpg", "photos/red/*.jpg: no picture", "the folder is empty"),
        ("boats.yaml/*.jpg", "boats.yaml: this is not a folder", ""),
    ],
)
def test_a_match_of_nothing_is_explained(
    tmp_path: Path, pattern: str, what: str, hint: str
) -> None:
    make(tmp_path, "photos/boat.JPG", "photos/crane.png", "photos/a.txt", "photos/b.txt")
    (tmp_path / "photos/red").mkdir()
    (problem,) = full(tmp_path, of_files(pattern))
    first, _, second = problem.partition("\n")
    assert first.startswith("boats.yaml:4:11: ")
    assert what in first
    assert hint in second


def test_a_misspelt_variable_is_one_problem_of_the_item(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "b.jpg")
    assert read(tmp_path, of_files("*.jpg", prompt='"{{ captoin }}"')).problems == [
        "5:21 no variable 'captoin'"
    ]


def test_links_to_nothing_and_names_that_are_no_text_are_bad_rows(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg")
    (tmp_path / "b.jpg").symlink_to(tmp_path / "gone.jpg")
    (tmp_path / "c\n.jpg").touch()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jpg")).touch()
    found = "\n".join(full(tmp_path, of_files("*.jpg")))
    assert "b.jpg: this is a link to nothing" in found
    assert "its path has control characters, or is not UTF-8" in found
    assert len(read(tmp_path, of_files("*.jpg", "bad_rows: skip")).jobs) == 1


def test_an_unreadable_folder_is_a_problem_even_if_bad_rows_are_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "p/a/1.jpg", "p/b/2.jpg")
    real = os.scandir

    def scandir(path: str) -> object:
        if str(path).rstrip("/").endswith("/b"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    (problem,) = full(tmp_path, of_files("p/**/*.jpg", "bad_rows: skip"))
    assert problem.startswith("p/b: the folder cannot be read: Permission denied")


# The rest of the house


def test_a_job_says_which_file_it_is_of(tmp_path: Path) -> None:
    make(tmp_path, "photos/a.jpg")
    (job,) = read(tmp_path, of_files("photos/*")).jobs
    assert (job.file, job.line, job.sweep) == ("a.jpg", 0, "line 4")


def test_a_manifest_with_such_rows_is_always_read_again(tmp_path: Path) -> None:
    make(tmp_path, "photos/a.jpg", "photos/b.png")
    (tmp_path / "p.csv").write_text("prompt\nx\n")
    items = (of_files("photos/*.jpg"), of_files("photos/b.png"), of_files("p.csv"))
    manifest = read(tmp_path, *items).manifest
    assert manifest is not None
    assert manifest.data_files == (tmp_path / "p.csv",)
    known = fingerprint_of(manifest).text()
    assert not known
    assert not fingerprint_of(manifest).is_of(known)
