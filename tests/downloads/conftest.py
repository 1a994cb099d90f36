"""Real media, made once by Pillow and FFmpeg, for the tests to download."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from av.video.stream import VideoStream
from PIL import Image


def picture(codec: str, size: tuple[int, int] = (96, 64), **options: object) -> bytes:
    stream = io.BytesIO()
    Image.effect_noise(size, 90).convert("RGB").save(stream, codec, **options)
    return stream.getvalue()


def video(path: Path, codec: str, container: str, **options: str) -> bytes:
    with av.open(str(path), "w", format=container, options=options) as output:
        stream = output.add_stream(codec, rate=24)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for _ in range(12):
            noise = Image.effect_noise((96, 64), 90).convert("RGB")
            frame = av.VideoFrame.from_image(noise)  # type: ignore[no-untyped-call] # PyAV has no type for it
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path.read_bytes()


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """By extension; `fast.mp4` has its index in front, as the web likes it."""
    folder = tmp_path_factory.mktemp("media")
    return {
        "png": picture("PNG"),
        "jpg": picture("JPEG"),
        "webp": picture("WEBP"),
        "gif": picture("GIF"),
        "mp4": video(folder / "a.mp4", "libx264", "mp4"),
        "fast.mp4": video(folder / "b.mp4", "libx264", "mp4", movflags="faststart"),
        "mov": video(folder / "a.mov", "libx264", "mov"),
        "webm": video(folder / "a.webm", "libvpx", "webm"),
        "mkv": video(folder / "a.mkv", "libx264", "matroska"),
    }


@pytest.fixture(scope="session")
def large_png() -> bytes:
    """About 700 kB that no compression shrinks: several blocks of the tests' 64 KiB."""
    return picture("PNG", (900, 760), compress_level=1)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MiB, of which `ballast` leaves 256 KiB."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root on Linux may mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    (disk / "ballast").write_bytes(bytes(2 * 1024 * 1024 - 256 * 1024))
    yield disk
    subprocess.run(["umount", str(disk)], check=True)
