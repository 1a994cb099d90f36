"""Commands that show where files are, for results in a folder and in a bucket."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import batchgen
from batchgen.errors import UsageError
from tests.shell import Shell, boat
from tests.storage.stored import Stored


@pytest.fixture
def night(user: Shell, stored: Callable[[Shell], Stored]) -> Stored:
    """A boat that waits for approval, since a job needs it; and one that is done."""
    user.manifest([boat(0, gate=True), boat(1, needs=["boat-000"]), boat(2)])
    user.expect(75, "run", "m.yaml", "--quiet")
    return stored(user)


def test_status_show_and_approve_name_the_locations(night: Stored) -> None:
    shell = night.shell
    place = night.location.of("files/boat-000.png")
    (first, *_) = shell.status()["jobs"]
    assert [file["path"] for file in first["files"]] == [place]
    (job,) = shell.expect(0, "show", "m.yaml", "boat-000", "--json").document["jobs"]
    assert [file["path"] for file in job["attempts"][0]["files"]] == [place]
    shown = place if night.s3 else "out/files/boat-000.png"
    said = "".join(shell.expect(0, "show", "m.yaml", "boat-000").out.split())
    assert shown in said
    assert f"    {shown}\n" in shell.expect(0, "approve", "m.yaml").out


def test_programs_get_the_locations(night: Stored) -> None:
    with night.shell.at_home():
        (first, *_) = batchgen.results("m.yaml")
    (file,) = first.files
    assert file.location == night.location.of("files/boat-000.png")
    if night.s3 is None:
        assert str(file.path) == file.location
        return
    with pytest.raises(UsageError, match="in a bucket, and has no path"):
        _ = file.path
