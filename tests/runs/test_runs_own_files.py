"""The user's own files in what a run writes and shows: a path, never the URL that stands for it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from batchgen.export.rows import Row, flat_row_fields, row_fields
from batchgen.input_files import file_url
from batchgen.jobs import Job, canonical_json
from batchgen.report.chunks import chunk_document
from batchgen.runs.fingerprint import Fingerprint
from batchgen.runs.journal import metadata_line
from batchgen.runs.plan import FieldChange, FilesToSend, input_changes
from batchgen.state.records import ReportedJob
from tests.state.state_world import EDIT, a_job_row, a_result

CAT, DOG = "ca" * 32, "d0" * 32


def body(*files: tuple[str, str], prompt: str = "p") -> str:
    return canonical_json({"image_urls": [file_url(*one) for one in files], "prompt": prompt})


HOME = body((CAT, "photos/a.png"), (DOG, "/home/ann/b.png"))
PUBLISHED = ["photos/a.png", "b.png"]


def test_metadata_has_the_path() -> None:
    fields = json.loads(metadata_line(a_result(body=HOME)))
    assert fields["input"] == {"image_urls": PUBLISHED, "prompt": "p"}


def test_an_export_has_the_path() -> None:
    row = Row("train", a_result(body=HOME))
    assert row_fields(row, "boat.png")["input"] == {"image_urls": PUBLISHED, "prompt": "p"}
    flat = flat_row_fields(row, "boat.png")["input"]
    assert isinstance(flat, str)
    assert json.loads(flat) == {"image_urls": PUBLISHED, "prompt": "p"}


def test_a_report_has_the_path_as_a_text() -> None:
    document = chunk_document([ReportedJob(a_job_row("cat", body=HOME), None, ())], lambda _: False)
    assert json.dumps(PUBLISHED) in str(document["texts"])
    assert ".invalid" not in str(document)


def test_a_changed_file_is_named_where_its_path_is_the_same() -> None:
    before = body((CAT, "a.png"), (CAT, "b.png"))
    (change,) = input_changes(before, body((DOG, "a.png"), (CAT, "b.png")))
    paths = '["a.png", "b.png"]'
    assert change == FieldChange("image_urls", paths, paths, ("a.png",))
    assert change.words(30) == "image_urls: a.png has another content"
    assert change.to_json() == {
        "key": "image_urls",
        "before": ["a.png", "b.png"],
        "now": ["a.png", "b.png"],
        "files": ["a.png"],
    }


def test_another_file_at_another_path_is_shown_as_before_and_now() -> None:
    (change,) = input_changes(body((CAT, "a.png")), body((DOG, "b.png")))
    assert change.words(30) == 'image_urls: ["a.png"] → ["b.png"]'


def test_a_file_that_only_moved_is_no_change_beside_one_of_the_prompt() -> None:
    before, now = body((CAT, "a.png"), prompt="old"), body((CAT, "b.png"), prompt="new")
    assert [one.key for one in input_changes(before, now)] == ["prompt"]


def test_a_plan_says_how_own_files_are_sent() -> None:
    found = FilesToSend(52, 210_000_000)
    assert found.words() == "52 own files, 210.0 MB, sent inside the requests"
    assert found.to_json() == {"count": 52, "bytes": 210_000_000, "send": "data"}
    bucket = FilesToSend(1, 1_250_000, "s3://pictures/in")
    assert bucket.words() == "1 own file, 1.2 MB, uploaded to s3://pictures/in"


@pytest.mark.parametrize(("text", "known"), [(body((CAT, "a.png")), ""), ('{"prompt":"p"}', "{}")])
def test_the_jobs_of_a_state_with_own_files_are_read_again_by_each_run(
    text: str, known: str
) -> None:
    fingerprint = Fingerprint("{}", {})
    jobs: list[Any] = [Job("a", EDIT, '{"prompt":"p"}', "a"), Job("b", EDIT, text, "b")]
    assert [*fingerprint.of(jobs)] == jobs
    assert fingerprint.text() == known
    assert fingerprint.is_of("{}") is bool(known)
