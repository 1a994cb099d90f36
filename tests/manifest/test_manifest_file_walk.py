"""Which files a pattern matches, in which order, and what ids call them."""

from __future__ import annotations

import glob
import os
import re
import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from batchgen.manifest.rows.file_rows import LONGEST_SLUG, slug_of
from batchgen.manifest.rows.file_walk import UnreadableFolder, split, walk


def make(folder: Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()


def walked(folder: Path, pattern: str) -> list[str]:
    return [str(one) for one in walk(folder, Path(pattern).parts)]


# The walk

NAMES = st.sampled_from(["a", "b", "ab", "a.jpg", "b.JPG", "c.png", ".a", ".a.jpg", "ä b.jpg"])
TREES = st.lists(st.lists(NAMES, min_size=1, max_size=4), max_size=12)
PARTS = st.sampled_from(["*", "**", "a", "a*", "?", "[ab]", "*.jpg", "*.*", ".*", "*b*", "ab"])
PATTERNS = st.lists(PARTS, min_size=1, max_size=4)


@settings(max_examples=300, deadline=None)
@given(TREES, PATTERNS)
def test_a_pattern_matches_what_glob_does(tree: list[list[str]], parts: list[str]) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        for path in tree:
            place = folder.joinpath(*path)
            if not place.exists() and all(
                not above.is_file() for above in [place, *place.parents][: len(path)]
            ):
                place.parent.mkdir(parents=True, exist_ok=True)
                place.touch()
        pattern = "/".join(parts)
        found = glob.glob(pattern, root_dir=folder, recursive=True)  # noqa: PTH207 - the model
        files = {one for one in found if (folder / one).is_file()}
        assert walked(folder, pattern) == sorted(files)


def test_files_are_in_the_order_of_their_paths(tmp_path: Path) -> None:
    make(tmp_path, "b.jpg", "B.jpg", "a/z.jpg", "a-b/y.jpg", "a.jpg", "a/b/c.jpg", "a10.jpg")
    assert walked(tmp_path, "**/*.jpg") == [
        "B.jpg",
        "a-b/y.jpg",
        "a.jpg",
        "a/b/c.jpg",
        "a/z.jpg",
        "a10.jpg",
        "b.jpg",
    ]


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    make(tmp_path, "a/1.jpg", "b/2.jpg")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "b").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "a").symlink_to(tmp_path / "a")
    found = walked(tmp_path, "**/*.jpg")
    assert {"a/1.jpg", "b/2.jpg", "a/b/2.jpg"} <= set(found)
    assert len(found) == len(set(found)) <= 5


def test_a_folder_that_two_links_lead_to_is_taken_once(tmp_path: Path) -> None:
    make(tmp_path, "other/1.jpg", "photos/2.jpg")
    for link in ("m", "n"):
        (tmp_path / "photos" / link).symlink_to(tmp_path / "other")
    assert walked(tmp_path / "photos", "**/*.jpg") == ["2.jpg", "m/1.jpg"]


def test_a_folder_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "a/1.jpg", "b/2.jpg", "c/3.jpg")
    real = os.scandir

    def scandir(path: str) -> object:
        if str(path).rstrip("/").endswith("b"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert list(walk(tmp_path, ("*", "*.jpg"))) == [
        "a/1.jpg",
        UnreadableFolder("b/", "Permission denied"),
        "c/3.jpg",
    ]


def test_memory_holds_one_folder_at_each_level(tmp_path: Path) -> None:
    for folder in range(60):
        make(tmp_path, *(f"{folder}/{number}.jpg" for number in range(50)))

    def peak(pattern: str) -> int:
        tracemalloc.start()
        count = sum(1 for _ in walk(tmp_path, Path(pattern).parts))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert count >= 50
        return most

    peak("1/*.jpg")
    assert peak("*/*.jpg") < 2 * peak("1/*.jpg") + 20_000


@pytest.mark.parametrize(
    ("written", "start", "parts"),
    [
        ("*.jpg", "", ("*.jpg",)),
        ("photos/*.jpg", "photos", ("*.jpg",)),
        ("photos/**/*.jpg", "photos", ("**", "*.jpg")),
        ("a/b/*/c/d.jpg", "a/b", ("*", "c", "d.jpg")),
        ("/srv/x/*.jpg", "/srv/x", ("*.jpg",)),
        ("../x/*.jpg", "../x", ("*.jpg",)),
        ("set [1]/*.jpg", "set [1]", ("*.jpg",)),
    ],
)
def test_the_fixed_folder_ends_before_the_first_wildcard(
    tmp_path: Path, written: str, start: str, parts: tuple[str, ...]
) -> None:
    (tmp_path / "set [1]").mkdir()
    found = split(Path(written), tmp_path)
    assert (found.start, found.parts) == (start, parts)


# What ids call a file


@pytest.mark.parametrize(
    ("below", "slug"),
    [
        ("boat.jpg", "boat"),
        ("red/boat.jpg", "red-boat"),
        ("a.b.jpg", "a.b"),
        ("IMG_0001.JPG", "IMG_0001"),
        ("Screenshot 2024-01-01 at 3.45.12\u202fPM.png", "Screenshot-2024-01-01-at-3.45.12-PM"),
        ("a - b (1).jpg", "a-b-1"),
        ("it's $5 & more!.jpg", "it-s-5-more"),
        ("a--b.jpg", "a--b"),
        ("-x.jpg", "-x"),
        ("Ka\u0308se.jpg", "K\u00e4se"),
        ("船.jpg", "船"),
    ],
)
def test_a_slug_is_the_path_below_without_what_a_shell_would_quote(below: str, slug: str) -> None:
    assert slug_of(below) == slug


def test_a_name_of_signs_alone_gets_a_digest() -> None:
    assert re.fullmatch("[0-9a-f]{8}", slug_of("⛵.jpg"))
    assert slug_of("⛵.jpg") != slug_of("⚓.jpg")


@given(st.text(st.characters(exclude_characters="\0", codec=None), min_size=1, max_size=300))
def test_a_slug_can_be_part_of_an_id(text: str) -> None:
    assume(not text.endswith("/"))  # its file is hidden, and gives no row
    slug = slug_of(f"{text}.jpg")
    assert 1 <= len(slug) <= LONGEST_SLUG
    assert not re.search(r"[\s/\\'\"$&|;<>()*?\[\]{}!#~`\ud800-\udfff]", slug)
    assert slug == slug_of(f"{text}.png")
