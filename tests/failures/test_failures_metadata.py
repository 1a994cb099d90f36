"""`output.embed`: metadata in the files, and everything else as without it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from tests.shell import Emulator, Shell, boat

I2V = "bytedance/dreamina-3-0/pro/image-to-video"


@pytest.fixture
def done(user: Shell) -> Shell:
    """Two boats and a clip, with their prompts in their files."""
    prompt = 'Ein Böötchen 船, "quoted" & <b>'
    second = {"id": "boat-001", "input": {"prompt": prompt}}
    clip = {
        "id": "clip",
        "model": I2V,
        "needs": ["boat-000"],
        "input": {"prompt": "a clip", "seed": 9, "image_urls": ["{{ jobs['boat-000'].image }}"]},
    }
    user.manifest([boat(0), second, clip], output={"dir": "out", "embed": True})
    user.expect(0, "run", "m.yaml", "--quiet")
    return user


def digests(user: Shell) -> dict[str, str]:
    folder = user.folder / "out/files"
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def png_comment(path: Path) -> Any:
    with Image.open(path) as opened:
        opened.load()
        return json.loads(opened.text["Comment"])  # type: ignore[attr-defined] # of a PNG


def test_each_file_says_how_it_was_made_and_the_state_has_its_hash(done: Shell) -> None:
    files = done.folder / "out/files"
    comment = png_comment(files / "boat-001.png")
    assert comment == {
        "prompt": 'Ein Böötchen 船, "quoted" & <b>',
        "model": "bytedance/dreamina-4-0/text-to-image",
        "job": "boat-001",
    }
    with av.open(str(files / "clip.mp4")) as container:
        clip = json.loads(container.metadata["comment"])
    assert clip == {"prompt": "a clip", "model": I2V, "seed": 9, "job": "clip"}
    rows = (done.folder / "out/metadata.jsonl").read_text("utf-8").splitlines()
    known = {Path(row["file_name"]).name: row["sha256"] for row in map(json.loads, rows)}
    assert known == digests(done)
    done.expect(0, "verify", "m.yaml")


def test_a_repair_brings_the_same_bytes_back(done: Shell, emulator: Emulator) -> None:
    before, ledger = digests(done), emulator.ledger()
    (done.folder / "out/files/boat-000.png").unlink()
    spoilt = done.folder / "out/files/clip.mp4"
    spoilt.write_bytes(spoilt.read_bytes()[:-1])
    said = done.expect(0, "repair", "m.yaml").out
    assert "2 files repaired, nothing was paid for" in said
    assert {name: one for name, one in digests(done).items() if "damaged" not in name} == before
    assert emulator.ledger() == ledger
