"""From a rehearsal to a dataset, even during the rehearsal."""

from __future__ import annotations

import hashlib
import json

from tests.shell import Shell

MODELS = {
    "still": "bytedance/dreamina-4-0/text-to-image",
    "clip": "bytedance/dreamina-3-0/pro/image-to-video",
}
PICTURE = "https://pictures.example.com/boat.png"


def manifest(shell: Shell) -> str:
    stills = [{"id": f"still-{n}", "input": {"prompt": f"boat {n}"}} for n in range(4)]
    clip = {
        "id": "clip",
        "model": MODELS["clip"],
        "input": {"prompt": "slow pan", "image_urls": [PICTURE], "frames": 121},
    }
    return shell.manifest([*stills, clip], run={"check_inputs": "off"})


def test_a_rehearsal_becomes_two_datasets(shell: Shell) -> None:
    path = manifest(shell)
    shell.expect(0, "run", path, "--emulator", "--latency", "0.05", "--limit", "2")
    shell.expect(0, "export", path, "dataset", "--to", "hf")
    first = {one.name for one in (shell.folder / "dataset").rglob("*.*") if one.suffix != ".db"}
    assert {"metadata.jsonl", "README.md"} <= first
    shell.expect(0, "run", path, "--emulator", "--latency", "0.05")
    done = shell.expect(0, "export", path, "dataset", "--to", "hf", "--json").document
    assert (done["results"], done["splits"]) == (5, {"train": 5})
    status = {job["id"]: job for job in shell.status(path)["jobs"]}
    for kind, ids in (("images", [f"still-{n}" for n in range(4)]), ("videos", ["clip"])):
        folder = shell.folder / "dataset" / kind / "train"
        rows = [json.loads(one) for one in (folder / "metadata.jsonl").read_text().splitlines()]
        assert [row["id"] for row in rows] == ids
        for row in rows:
            (file,) = status[row["id"]]["files"]
            content = (folder / row["file_name"]).read_bytes()
            assert hashlib.sha256(content).hexdigest() == row["sha256"] == file["sha256"]
    card = (shell.folder / "dataset/README.md").read_text()
    assert "This was a rehearsal" in card
    assert str(shell.folder) not in card
    shell.expect(0, "verify", path)
