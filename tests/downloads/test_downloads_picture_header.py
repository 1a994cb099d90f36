"""The first bytes of a picture give the same facts as Pillow does for the whole file."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from batchgen.downloads.probe import NotUsable, Picture, read_header
from tests.downloads.conftest import picture


def jpeg_with(segments: bytes, size: tuple[int, int] = (96, 64)) -> bytes:
    plain = picture("JPEG", size)
    return plain[:2] + segments + plain[2:]


def segment(code: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, code, len(content) + 2) + content


def reason(head: bytes) -> str:
    found = read_header(head, is_whole=True)
    assert isinstance(found, NotUsable)
    return found.reason


@given(
    st.sampled_from(["RGB", "L", "CMYK"]),
    st.integers(1, 300),
    st.integers(1, 300),
    st.booleans(),
    st.lists(st.tuples(st.integers(0xE1, 0xEF), st.binary(max_size=200)), max_size=3),
)
def test_a_jpeg_has_the_size_that_pillow_finds(
    mode: str, width: int, height: int, progressive: bool, blocks: list[tuple[int, bytes]]
) -> None:
    stream = io.BytesIO()
    Image.new(mode, (width, height)).save(stream, "JPEG", progressive=progressive)
    plain = stream.getvalue()
    jpeg = plain[:2] + b"".join(segment(*block) for block in blocks) + plain[2:]
    assert read_header(jpeg, is_whole=True) == Picture("image/jpeg", width, height, None)


@given(st.sampled_from(["RGB", "RGBA", "P", "1"]), st.integers(1, 300), st.integers(1, 300))
def test_a_png_has_the_size_that_pillow_finds(mode: str, width: int, height: int) -> None:
    stream = io.BytesIO()
    Image.new(mode, (width, height)).save(stream, "PNG")
    assert read_header(stream.getvalue(), is_whole=True) == Picture(
        "image/png", width, height, None
    )


@given(st.integers(12, 2000), st.sampled_from(["JPEG", "PNG"]))
def test_a_piece_gives_the_size_of_the_picture_or_is_too_short(end: int, codec: str) -> None:
    whole = picture(codec)
    found = read_header(whole[:end], is_whole=False)
    assert found is None or found == read_header(whole, is_whole=True)


@given(
    st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"\xff\xd8\xff\xc0"]),
    st.binary(max_size=300),
    st.booleans(),
)
def test_no_bytes_at_all_are_too_much(magic: bytes, rest: bytes, whole: bool) -> None:
    found = read_header(magic + rest, is_whole=whole)
    assert not whole or found is not None
    assert not isinstance(found, Picture) or (found.width > 0 and found.height > 0)


def test_the_small_picture_inside_the_exif_is_not_the_picture() -> None:
    jpeg = jpeg_with(segment(0xE1, b"Exif\0\0" + picture("JPEG", (16, 16))))
    assert read_header(jpeg, is_whole=True) == Picture("image/jpeg", 96, 64, None)


def test_bytes_between_two_segments_are_skipped() -> None:
    jpeg = jpeg_with(segment(0xE1, b"block") + b"\0\0\xff\xff")
    assert read_header(jpeg, is_whole=True) == Picture("image/jpeg", 96, 64, None)


@pytest.mark.parametrize("codec", ["JPEG", "PNG"])
def test_a_header_that_breaks_off_is_no_picture(codec: str) -> None:
    assert "damaged or cut off" in reason(picture(codec)[:20])


def test_a_jpeg_that_begins_without_a_frame_is_damaged() -> None:
    assert "damaged" in reason(b"\xff\xd8" + segment(0xDA, bytes(10)) + bytes(100))


def test_a_png_whose_first_chunk_is_another_is_damaged() -> None:
    assert "damaged" in reason(picture("PNG").replace(b"IHDR", b"IDAT", 1))


def test_a_picture_without_any_pixel_is_damaged() -> None:
    png = bytearray(picture("PNG"))
    png[16:20] = bytes(4)
    assert "damaged" in reason(bytes(png))


@pytest.mark.parametrize(
    ("codec", "words"),
    [
        ("WEBP", "it is a WebP picture; the vendor takes JPEG and PNG"),
        ("GIF", "it is a GIF picture; the vendor takes JPEG and PNG"),
        ("AVIF", "it is an AVIF or HEIC picture; the vendor takes JPEG and PNG"),
    ],
)
def test_other_pictures_are_named(codec: str, words: str) -> None:
    assert reason(picture(codec)) == words


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>", "HTML page"),
        (b'{"error": "no"}', "JSON"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "compressed"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "it is a video"),
        (b"plain words", "not a known kind of picture"),
    ],
)
def test_files_that_are_no_pictures_are_named(head: bytes, words: str) -> None:
    assert words in reason(head)


def test_the_size_is_the_stored_one_whatever_exif_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    Image.new("RGB", (96, 64)).save(stream, "JPEG", exif=exif)
    found = read_header(stream.getvalue(), is_whole=True)
    assert found == Picture("image/jpeg", 96, 64, None)
