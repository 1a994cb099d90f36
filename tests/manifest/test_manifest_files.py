"""Files that are not manifests, the log of problems, and the schema file."""

from __future__ import annotations

import json
import os
from importlib.resources import files
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from batchgen.errors import ExitCode, ManifestError, MissingFileError, Problem
from batchgen.manifest.header import read_manifest
from batchgen.manifest.problems import ProblemLog
from tests.manifest.manifest_reading import HEAD, read_file


def test_a_missing_file_gets_a_hint_how_to_start(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="there is no such file") as caught:
        read_manifest(tmp_path / "none.yaml", ProblemLog())
    assert caught.value.exit_code is ExitCode.MISSING_FILE
    assert caught.value.where == str(tmp_path / "none.yaml")


def test_a_folder_is_not_a_manifest(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="this is a folder"):
        read_manifest(tmp_path, ProblemLog())


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_an_unreadable_file_is_reported_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "secret.yaml"
    path.touch(mode=0)
    with pytest.raises(MissingFileError, match="cannot be read: Permission denied"):
        read_manifest(path, ProblemLog())


def test_a_path_that_no_system_has_is_refused() -> None:
    with pytest.raises(MissingFileError, match="cannot be read"):
        read_manifest(Path("a\0b"), ProblemLog())


def test_a_path_through_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MissingFileError, match="cannot be read: Not a directory"):
        read_manifest(tmp_path / "file" / "m.yaml", ProblemLog())


def test_the_log_counts_all_keeps_some_and_shows_none_twice() -> None:
    log = ProblemLog()
    log.raise_if_any()
    for line in range(1500, 0, -1):
        for _ in range(2):
            log.add(Problem("m.yaml", line, 1, "wrong"))
    assert len(log.problems) == 1000
    assert [log.problems[0].line, log.problems[-1].line] == [501, 1500]
    with pytest.raises(ManifestError, match=f"{log.total} problems in the manifest"):
        log.raise_if_any()


def test_a_wrong_job_of_many_thousand_is_counted() -> None:
    log = ProblemLog()
    for line in range(1, 5001):
        log.add(Problem("m.yaml", line, 1, "wrong"))
    assert log.total == 5000


def test_the_schema_file_is_a_schema_that_editors_can_use() -> None:
    text = (files("batchgen.manifest") / "schema.json").read_text(encoding="utf-8")
    schema = json.loads(text)
    Draft202012Validator.check_schema(schema)
    example = {"version": 1, "run": {"rate": "60/min", "timeout": "1h30m"}, "jobs": [{"id": "a"}]}
    assert Draft202012Validator(schema).is_valid(example)
    assert not Draft202012Validator(schema).is_valid({"version": 1, "jobs": [{"modle": "x"}]})
    described = [
        schema,
        *schema["properties"].values(),
        *schema["$defs"]["job"]["properties"].values(),
    ]
    assert all("description" in part for part in described)


def test_read_file_names_the_file_in_its_problems(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(HEAD + "jobs: [{}]\n")
    log = ProblemLog()
    read_manifest(path, log)
    assert read_file(path).problems == ["3:8 prompt is required"]
