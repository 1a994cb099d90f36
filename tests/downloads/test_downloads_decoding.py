"""Decoding in a process apart: one that dies costs one file."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from batchgen.downloads import decoding
from batchgen.downloads.decoding import DIED, Decoders
from batchgen.downloads.media import CorruptFileError, MediaKind, TooHeavyError, decode_light


@pytest.fixture
def decoders() -> Iterator[Decoders]:
    with Decoders(1) as one:
        yield one


def write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def grey_png(side: int) -> bytes:
    """A sound PNG of one shade, small on the disk however large its side is."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    packer = zlib.compressobj(1)
    row = bytes(1 + 3 * side)
    packed = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )


def test_a_video_and_a_large_picture_are_decoded_apart(
    decoders: Decoders, tmp_path: Path, media: dict[str, bytes]
) -> None:
    clip = decoders.decode(write(tmp_path, "a.mp4", media["mp4"]))
    assert (clip.kind, clip.width, clip.frames) == (MediaKind.VIDEO, 96, 12)
    large = decoders.decode(write(tmp_path, "a.png", grey_png(4200)))
    assert (large.kind, large.width, large.extension) == (MediaKind.IMAGE, 4200, ".png")


def test_what_is_damaged_is_told_in_the_decoders_words(decoders: Decoders, tmp_path: Path) -> None:
    with pytest.raises(CorruptFileError, match="HTML page"):
        decoders.decode(write(tmp_path, "a.png", b"<html>"))
    with pytest.raises(FileNotFoundError):
        decoders.decode(tmp_path / "gone.png")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds this memory")
def test_a_picture_over_the_bound_of_memory_is_given_up_and_the_next_one_is_not(
    tmp_path: Path, media: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "__name__", "tests.downloads.little_memory")  # serves with 96 MiB
    with Decoders(1) as decoders:
        with pytest.raises(TooHeavyError, match="more memory than there is"):
            decoders.decode(write(tmp_path, "large.png", grey_png(9000)))
        assert decoders.decode(write(tmp_path, "small.png", media["png"])).width == 96


def test_a_decoder_that_dies_is_replaced(
    decoders: Decoders, tmp_path: Path, media: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, "a.png", media["png"])
    monkeypatch.setattr(decoding, "__name__", "tests.downloads.deadly")
    with pytest.raises(TooHeavyError, match=DIED):
        decoders.decode(path)
    monkeypatch.undo()
    assert decoders.decode(path).width == 96


def test_a_picture_of_a_usual_size_stays_in_the_run(media: dict[str, bytes]) -> None:
    assert decode_light(io.BytesIO(media["jpg"])).width == 96


def test_a_script_needs_no_guard_for_decoders(tmp_path: Path, media: dict[str, bytes]) -> None:
    """Whoever calls batchgen from a script of their own must not have it run again."""
    clip = write(tmp_path, "a.mp4", media["mp4"])
    script = write(
        tmp_path,
        "script.py",
        b"import sys\nfrom pathlib import Path\n"
        b"from batchgen.downloads.decoding import Decoders\n"
        b"print('once')\n"
        b"with Decoders(1) as decoders:\n    print(decoders.decode(Path(sys.argv[1])).frames)\n",
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, str(script), str(clip)],
        capture_output=True,
        text=True,
        env=env,
        check=True,
    )
    assert done.stdout.split() == ["once", "12"]


def test_a_decoder_ends_with_the_run_however_that_ends(tmp_path: Path) -> None:
    """As after kill -9: nobody closes it, but its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from batchgen.downloads.decoding import serve; serve()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.communicate(timeout=60)[0] == b""
    assert process.returncode == 0


def test_large_pictures_are_those_that_no_model_makes() -> None:
    side = 4096
    stream = io.BytesIO()
    Image.new("L", (side, side)).save(stream, "PNG")
    assert decode_light(stream).width == side
