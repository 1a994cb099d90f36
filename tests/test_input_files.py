"""The user's own files in an input: how they are compared, and how they are shown."""

from __future__ import annotations

import json

import pytest

from batchgen.input_files import InputFile, content_of, file_url, files_in
from batchgen.jobs import canonical_json
from batchgen.references import as_published, as_written, reference_url

CAT = "ca" * 32


def body_of(*urls: str) -> str:
    return canonical_json({"image_urls": [*urls], "prompt": "p"})


def urls_in(body: str) -> list[str]:
    urls: list[str] = json.loads(body)["image_urls"]
    return urls


@pytest.mark.parametrize(
    "path", ["photos/a.png", "photos/a b (1).png", "bücher/ß.jpg", 'a"b\\c.png', "a%20b~.png"]
)
def test_a_path_comes_out_of_a_body_as_it_went_in(path: str) -> None:
    url = file_url(CAT, path)
    body = body_of(url, url)
    assert files_in(body) == (InputFile(CAT, path, url),)
    assert urls_in(as_written(body)) == [path, path]
    assert urls_in(as_published(body)) == [path, path]


@pytest.mark.parametrize("path", ["/home/ann/secret/a.png", "../secret/a.png", "x/../../a.png"])
def test_of_a_file_outside_the_manifests_folder_only_the_name_is_published(path: str) -> None:
    body = body_of(file_url(CAT, path))
    assert urls_in(as_written(body)) == [path]
    assert urls_in(as_published(body)) == ["a.png"]


def test_files_and_references_are_shown_side_by_side() -> None:
    body = body_of(file_url(CAT, "a.png"), reference_url("still", "image", 1), "https://x.org/b")
    shown = ["a.png", "{{ jobs.still.images[1] }}", "https://x.org/b"]
    assert urls_in(as_written(body)) == urls_in(as_published(body)) == shown


def test_a_body_without_files_is_its_own_content() -> None:
    body = body_of("https://x.org/b.png")
    assert content_of(body) == as_written(body) == as_published(body) == body
