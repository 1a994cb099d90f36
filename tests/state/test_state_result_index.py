"""The index of results: a hint that may be lost, and is shared by all runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchgen.errors import BatchgenError
from batchgen.state.database import open_side_file
from batchgen.state.result_index import Entry, ResultIndex, work_key

ONE = Entry("w", "/a", "run-a", "boat", 1, "run-a/1/1")
OTHER = Entry("w", "/b", "run-b", "boat", 1, "run-b/1/1")


@pytest.fixture
def index(tmp_path: Path) -> ResultIndex:
    return ResultIndex(tmp_path / "results.db")


def test_what_was_added_is_found_by_its_work(index: ResultIndex) -> None:
    assert index.find(["w"]) == {}
    assert index.folders() == []
    index.add([ONE])
    index.add([ONE, OTHER])
    assert index.find(["w", "v", "w"]) == {"w": [ONE, OTHER]}
    assert index.folders() == ["/a", "/b"]


def test_a_stale_entry_is_dropped_and_only_it(index: ResultIndex) -> None:
    index.add([ONE, OTHER])
    index.drop([ONE])
    assert index.find(["w"]) == {"w": [OTHER]}
    index.drop_job("/b", "boat")
    assert index.find(["w"]) == {}


def test_it_is_made_anew(index: ResultIndex) -> None:
    index.add([ONE])
    assert index.replace([OTHER]) == 1
    assert index.find(["w"]) == {"w": [OTHER]}


def test_an_index_of_another_version_is_not_read_and_is_replaced(index: ResultIndex) -> None:
    index.add([ONE])
    db = open_side_file(index.path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    assert index.find(["w"]) == {}
    index.add([OTHER])
    assert index.find(["w"]) == {"w": [OTHER]}


def test_one_that_cannot_be_used_is_an_error_of_the_tree(tmp_path: Path) -> None:
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"no database" * 100)
    with pytest.raises(BatchgenError):
        ResultIndex(broken).find(["w"])
    with pytest.raises(BatchgenError):
        ResultIndex(tmp_path / "nowhere/results.db").add([ONE])


def test_rehearsals_and_real_runs_have_other_works() -> None:
    assert work_key("the emulator", ("t2i", "h")) != work_key("https://api", ("t2i", "h"))
