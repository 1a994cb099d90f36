from __future__ import annotations

import contextlib
import errno
import io
import struct
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from batchgen.downloads import media as formats
from batchgen.downloads.decoding import decode
from batchgen.downloads.media import CorruptFileError, MediaKind, check_frames

EVERY = ["png", "jpg", "webp", "gif", "mp4", "fast.mp4", "mov", "webm", "mkv"]


def why_refused(content: bytes) -> str:
    with pytest.raises(CorruptFileError) as caught:
        decode(io.BytesIO(content))
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "media_type", "extension"),
    [
        ("png", "image/png", ".png"),
        ("jpg", "image/jpeg", ".jpg"),
        ("webp", "image/webp", ".webp"),
        ("gif", "image/gif", ".gif"),
    ],
)
def test_a_picture_is_recognized_by_its_bytes(
    media: dict[str, bytes], name: str, media_type: str, extension: str
) -> None:
    found = decode(io.BytesIO(media[name]))
    assert (found.kind, found.media_type, found.extension) == (
        MediaKind.IMAGE,
        media_type,
        extension,
    )
    assert (found.width, found.height, found.frames, found.seconds) == (96, 64, 1, None)


@pytest.mark.parametrize(
    ("name", "media_type", "extension"),
    [
        ("mp4", "video/mp4", ".mp4"),
        ("fast.mp4", "video/mp4", ".mp4"),
        ("mov", "video/quicktime", ".mov"),
        ("webm", "video/webm", ".webm"),
        ("mkv", "video/x-matroska", ".mkv"),
    ],
)
def test_every_frame_of_a_video_is_counted(
    media: dict[str, bytes], name: str, media_type: str, extension: str
) -> None:
    found = decode(io.BytesIO(media[name]))
    assert (found.kind, found.media_type, found.extension) == (
        MediaKind.VIDEO,
        media_type,
        extension,
    )
    assert (found.width, found.height, found.frames) == (96, 64, 12)
    assert found.seconds == pytest.approx(0.5, abs=0.05)


def test_a_video_in_an_unknown_coding_is_refused(media: dict[str, bytes]) -> None:
    assert "does not know here" in why_refused(media["mp4"].replace(b"avc1", b"zzzz"))


@pytest.mark.parametrize("codec", ["GIF", "WEBP", "PNG"])
def test_every_frame_of_an_animation_is_counted(codec: str) -> None:
    frames = [Image.effect_noise((32, 32), 90).convert("RGB") for _ in range(3)]
    stream = io.BytesIO()
    frames[0].save(stream, codec, save_all=True, append_images=frames[1:])
    assert decode(stream).frames == 3


@pytest.mark.parametrize("name", EVERY)
def test_half_a_file_is_refused(media: dict[str, bytes], name: str) -> None:
    """Row 41: a length that nobody announced."""
    why_refused(media[name][: len(media[name]) // 2])


@pytest.mark.parametrize("name", ["png", "mp4", "mov", "webm"])
def test_the_right_size_with_wrong_bytes_is_refused(media: dict[str, bytes], name: str) -> None:
    """Row 42. JPEG and lossy WebP have no checksum: their decoders draw what comes."""
    content = media[name]
    why_refused(content[:64] + bytes(len(content) - 64))


def test_a_png_without_its_last_bytes_is_refused(media: dict[str, bytes]) -> None:
    """Row 41."""
    assert "breaks off" in why_refused(media["png"][:-10])


def test_a_video_without_its_last_frame_is_refused(media: dict[str, bytes]) -> None:
    """Row 41: a cut between two frames leaves nothing half."""
    why_refused(media["fast.mp4"][:-2000])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html><body>Sorry</body></html>", "HTML page"),
        (b"\xef\xbb\xbf\n <HTML>", "HTML page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "XML"),
        (b'{"error": "gone"}', "JSON"),
        (b"\x00\x01\x02", "00 01 02"),
        (b"\x00\x00\x00\x1cftypavif", "not a known kind of picture or video"),
        (b"\x1b[31mboo", "1b 5b 33"),
    ],
)
def test_what_is_no_media_is_called_by_its_name(content: bytes, reason: str) -> None:
    """Rows 45 and 46; row 75: none of its bytes reach the terminal."""
    assert reason in why_refused(content)


def png_of_size(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("width", "height"), [(60000, 60000), (17300, 17300), (100_000_001, 1), (2**31 - 1, 2**31 - 1)]
)
def test_a_decompression_bomb_is_refused_before_it_is_unpacked(width: int, height: int) -> None:
    """Row 72."""
    assert "too many to decode" in why_refused(png_of_size(width, height))


def test_a_large_honest_picture_is_no_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow alone would warn from 89 megapixels on."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    stream = io.BytesIO()
    Image.new("RGB", (200, 200)).save(stream, "PNG")
    assert decode(stream).width == 200


def test_days_of_frames_are_refused(
    monkeypatch: pytest.MonkeyPatch, media: dict[str, bytes]
) -> None:
    """Row 72."""
    monkeypatch.setattr(formats, "MAX_DECODED_PIXELS", 96 * 64 * 5)
    assert "too many" in why_refused(media["mp4"])
    check_frames(96, 64, 5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(EVERY), data=st.data())
def test_no_damage_makes_the_decoder_fail_in_another_way(
    media: dict[str, bytes], name: str, data: st.DataObject
) -> None:
    content = bytearray(media[name])
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(
            st.integers(0, min(len(content) - 1, 600)) | st.integers(0, len(content) - 1)
        )
        content[place] = data.draw(st.integers(0, 255))
    with contextlib.suppress(CorruptFileError):
        assert decode(io.BytesIO(bytes(content))).frames >= 1


class FailingDisk(io.BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() >= formats.HEAD_BYTES:
            raise OSError(errno.EIO, "Input/output error")
        # Never past the sound sector, whatever is asked for.
        sound = formats.HEAD_BYTES - self.tell()
        return super().read(sound if size is None or size < 0 else min(size, sound))


@pytest.mark.parametrize("name", ["png", "gif", "mp4", "webm"])
def test_a_failing_disk_is_not_called_a_damaged_file(media: dict[str, bytes], name: str) -> None:
    """Row 52."""
    with pytest.raises(OSError, match="Input/output") as caught:
        decode(FailingDisk(media[name]))
    assert caught.value.errno == errno.EIO
