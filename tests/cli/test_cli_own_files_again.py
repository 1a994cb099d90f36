"""Own pictures that move or change between two runs, and what people see of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.shell import EDIT, Emulator, Shell

STANDS_FOR_A_FILE = ".invalid"


def paint(user: Shell, path: str, color: str = "teal") -> Path:
    target = user.folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (512, 512), color).save(target)
    return target


def edit(job_id: str, path: str, **more: Any) -> dict[str, Any]:
    return {
        "id": job_id,
        "model": EDIT,
        "input": {"prompt": "at night", "image_urls": [path]},
        **more,
    }


@pytest.fixture
def done(user: Shell) -> Shell:
    """Two edits of pictures of the user's are done."""
    paint(user, "photos/a.png")
    paint(user, "photos/b.png", "olive")
    user.manifest([edit("a", "photos/a.png"), edit("b", "photos/b.png")])
    user.expect(0, "run", "m.yaml")
    return user


def test_pictures_that_moved_leave_nothing_to_do(done: Shell, emulator: Emulator) -> None:
    (done.folder / "photos").rename(done.folder / "pictures")
    done.manifest([edit("a", "pictures/a.png"), edit("b", "pictures/b.png")])
    total = done.expect(0, "plan", "m.yaml", "--offline", "--json").document["total"]
    assert (total["done"], total["changed"], total["to_do"]) == (2, 0, 0)
    done.expect(0, "run", "m.yaml")
    assert len(emulator.charges()) == 2
    assert "pictures/a.png" in done.expect(0, "show", "m.yaml", "a").out


def test_a_picture_that_changed_asks_before_its_job_is_paid_for_again(
    done: Shell, emulator: Emulator
) -> None:
    paint(done, "photos/a.png", "crimson")
    plan = done.expect(0, "plan", "m.yaml", "--offline").out
    assert "image_urls: photos/a.png has another content" in plan
    done.expect(65, "run", "m.yaml")
    assert len(emulator.charges()) == 2
    done.expect(0, "run", "m.yaml", "--changed", "keep")
    assert len(emulator.charges()) == 2
    done.expect(0, "run", "m.yaml", "--changed", "rerun")
    assert len(emulator.charges()) == 3
    done.expect(0, "run", "m.yaml")
    assert len(emulator.charges()) == 3


def test_people_see_paths_everywhere(done: Shell) -> None:
    elsewhere = paint(done, "private/c.png", "navy").resolve()
    done.manifest([edit("a", "photos/a.png"), edit("c", str(elsewhere))])
    plan = done.expect(0, "plan", "m.yaml", "--offline")
    size = f"{elsewhere.stat().st_size:,} bytes"
    assert f"1 own file, {size}, sent inside the requests" in plan.out
    done.expect(0, "run", "m.yaml")
    assert str(elsewhere) in done.expect(0, "show", "m.yaml", "c").out
    done.expect(0, "export", "m.yaml", "set", "--to", "jsonl")
    done.expect(0, "report", "m.yaml")
    lines = (done.folder / "out/metadata.jsonl").read_text("utf-8").splitlines()
    inputs = {one["id"]: one["input"]["image_urls"] for one in map(json.loads, lines)}
    assert inputs == {"a": ["photos/a.png"], "b": ["photos/b.png"], "c": ["c.png"]}
    written = [*done.folder.glob("out/**/*"), *done.folder.glob("set/**/*")]
    texts = [one.read_bytes() for one in written if one.is_file() and one.suffix != ".db"]
    assert len(texts) > 5
    assert not any(STANDS_FOR_A_FILE.encode() in text for text in texts)
    published = [text for text in texts if b"c.png" in text]
    assert not any(str(elsewhere).encode() in text for text in published)


def test_reuse_goes_by_the_picture_and_not_by_its_path(done: Shell, emulator: Emulator) -> None:
    (done.folder / "photos").rename(done.folder / "pictures")
    again = [edit("one", "pictures/a.png"), edit("two", "pictures/b.png")]
    done.manifest(again, name="again", output={"dir": "again"})
    (done.folder / "m.yaml").rename(done.folder / "again.yaml")
    paint(done, "pictures/b.png", "crimson")
    end = done.expect(0, "run", "again.yaml", "--reuse", "--json").document
    assert (end["reused"], end["submitted"]) == (1, 1)
    assert len(emulator.charges()) == 3


def test_a_kept_job_is_never_sent_with_the_bytes_of_a_changed_picture(
    user: Shell, emulator: Emulator
) -> None:
    paint(user, "photos/a.png")
    user.manifest([edit("a", "photos/a.png")])
    emulator.arm("submit", "vendor_failed")
    user.run("run", "m.yaml")
    assert user.states() == {"a": "failed"}
    emulator.disarm()
    charged = len(emulator.charges())
    paint(user, "photos/a.png", "crimson")
    user.run("run", "m.yaml", "--changed", "keep", "--retry-failed")
    assert user.states() == {"a": "failed"}
    assert "photos/a.png has changed" in user.expect(0, "show", "m.yaml", "a").out
    assert len(emulator.charges()) == charged
