"""Decoding in a separate process: one that dies costs one file."""

from __future__ import annotations

import io
import os
import signal
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from batchgen.downloads import decoding
from batchgen.downloads.decoding import (
    DIED,
    decode_in_process,
    decode_light,
    decode_with_limit,
    limit_memory,
)
from batchgen.downloads.media import CorruptFileError, Media, MediaKind, TooHeavyError
from batchgen.processes import ProcessPool


@pytest.fixture
def processes() -> Iterator[ProcessPool]:
    with ProcessPool(1) as one:
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
    processes: ProcessPool, tmp_path: Path, media: dict[str, bytes]
) -> None:
    clip = decode_in_process(processes, write(tmp_path, "a.mp4", media["mp4"]))
    assert (clip.kind, clip.width, clip.frames) == (MediaKind.VIDEO, 96, 12)
    large = decode_in_process(processes, write(tmp_path, "a.png", grey_png(4200)))
    assert (large.kind, large.width, large.extension) == (MediaKind.IMAGE, 4200, ".png")


def test_damage_is_reported_with_the_decoders_message(
    processes: ProcessPool, tmp_path: Path
) -> None:
    with pytest.raises(CorruptFileError, match="HTML page"):
        decode_in_process(processes, write(tmp_path, "a.png", b"<html>"))
    with pytest.raises(FileNotFoundError):
        decode_in_process(processes, tmp_path / "gone.png")


def decode_with_little_memory(path: Path) -> Media:
    limit_memory(96 * 1024**2)
    return decode_with_limit(path)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds this memory")
def test_a_picture_over_the_bound_of_memory_is_given_up_and_the_next_one_is_not(
    processes: ProcessPool, tmp_path: Path, media: dict[str, bytes]
) -> None:
    large, small = write(tmp_path, "a.png", grey_png(9000)), write(tmp_path, "b.png", media["png"])
    with pytest.raises(TooHeavyError, match="more memory than is available"):
        processes.call(decode_with_little_memory, large)
    assert processes.call(decode_with_little_memory, small).width == 96


def die(_: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_file_that_kills_its_decoder_is_given_up(
    processes: ProcessPool, tmp_path: Path, media: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, "a.png", media["png"])
    monkeypatch.setattr(decoding, "decode_with_limit", die)
    with pytest.raises(TooHeavyError, match=DIED):
        decode_in_process(processes, path)
    monkeypatch.undo()
    assert decode_in_process(processes, path).width == 96


def test_a_picture_of_a_usual_size_stays_in_the_run(media: dict[str, bytes]) -> None:
    assert decode_light(io.BytesIO(media["jpg"])).width == 96


def test_large_pictures_are_those_that_no_model_makes() -> None:
    side = 4096
    stream = io.BytesIO()
    Image.new("L", (side, side)).save(stream, "PNG")
    assert decode_light(stream).width == side
