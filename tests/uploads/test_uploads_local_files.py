"""What is known of a file on this disk."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from dataclasses import replace
from pathlib import Path

import pillow_heif
import pytest
from PIL import Image

from batchgen.input_files import LocalFile, Unusable
from batchgen.uploads import heic
from batchgen.uploads.local_files import look_at


def picture(codec: str, size: tuple[int, int] = (96, 64)) -> bytes:
    stream = io.BytesIO()
    Image.effect_noise(size, 90).convert("RGB").save(stream, codec)
    return stream.getvalue()


def looked(folder: Path, content: bytes, name: str = "a.png") -> LocalFile | Unusable:
    path = folder / name
    path.write_bytes(content)
    return look_at(path)


def reason(found: LocalFile | Unusable) -> str:
    assert isinstance(found, Unusable), found
    return found.reason


@pytest.mark.parametrize(
    ("codec", "media_type"),
    [
        ("PNG", "image/png"),
        ("JPEG", "image/jpeg"),
        ("WEBP", "image/webp"),
        ("GIF", "image/gif"),
        ("AVIF", "image/avif"),
        ("TIFF", "image/tiff"),
        ("BMP", "image/bmp"),
    ],
)
def test_a_picture_has_its_hash_its_type_and_its_size(
    tmp_path: Path, codec: str, media_type: str
) -> None:
    content = picture(codec)
    digest = hashlib.sha256(content).hexdigest()
    assert looked(tmp_path, content) == LocalFile(digest, media_type, len(content), 96, 64)


def test_a_size_is_the_stored_one_whatever_exif_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (96, 64)).save(tmp_path / "turned.jpg", exif=exif)
    found = look_at(tmp_path / "turned.jpg")
    assert isinstance(found, LocalFile)
    assert (found.width, found.height) == (96, 64)


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "image/avif"),
        (b"II*\0\x08\0\0\0", "image/tiff"),
        (b"MM\0*\0\0\0\x08", "image/tiff"),
        (b"BM\0\0\0\0", "image/bmp"),
    ],
)
def test_a_picture_whose_size_is_unknown_has_a_type(
    tmp_path: Path, head: bytes, media_type: str
) -> None:
    found = looked(tmp_path, head)
    assert isinstance(found, LocalFile)
    assert (found.media_type, found.width, found.height) == (media_type, None, None)


def test_a_picture_of_a_phone_needs_a_reader_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pillow_heif.from_pillow(Image.new("RGB", (96, 64), "navy")).save(tmp_path / "phone.heic")
    found = look_at(tmp_path / "phone.heic")
    assert isinstance(found, LocalFile)
    assert (found.media_type, found.width, found.height) == ("image/heic", 96, 64)
    content = (tmp_path / "phone.heic").read_bytes()
    assert isinstance(looked(tmp_path, content[: len(content) // 2]), Unusable)
    monkeypatch.setattr(heic, "reader", lambda: None)
    assert look_at(tmp_path / "phone.heic") == replace(found, width=None, height=None)


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        (b"\0\0\0\x18ftypisom\0\0\0\0", "video/mp4"),
        (b"\0\0\0\x18ftypqt  \0\0\0\0", "video/quicktime"),
        (b"\x1a\x45\xdf\xa3\x93webm", "video/webm"),
        (b"RIFF\0\0\0\0WAVEfmt ", "audio/wav"),
        (b"ID3\4\0\0\0\0\0\0", "audio/mpeg"),
    ],
)
def test_videos_and_sounds_have_a_type(tmp_path: Path, head: bytes, media_type: str) -> None:
    content = head + bytes(2_000_000)
    digest = hashlib.sha256(content).hexdigest()
    assert looked(tmp_path, content) == LocalFile(digest, media_type, len(content))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"a boat at sea", "not a known kind of picture or video"),
        (b"<!DOCTYPE html><html>", "HTML page"),
        (b"\x89PNG\r\n\x1a\n", "its header is damaged or cut off"),
        (picture("JPEG")[:20], "its header is damaged or cut off"),
        (picture("PNG")[:18], "its header is damaged or cut off"),
    ],
)
def test_a_file_that_is_no_picture_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    assert words in reason(looked(tmp_path, content))


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    assert reason(look_at(tmp_path)) == "it is a folder"
    assert reason(look_at(tmp_path / "pipe")) == "it is a pipe or a device"
    assert reason(look_at(tmp_path / "none.png")) == "there is no such file"
    assert reason(look_at(tmp_path / "file" / "a.png")) == "there is no such file"
    assert "File name too long" in reason(look_at(tmp_path / ("a" * 300)))
    assert "no file can have this name" in reason(look_at(tmp_path / "a\0b"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch(mode=0)
    assert reason(look_at(tmp_path / "a.png")) == "it cannot be read: Permission denied"


def test_links_are_followed_and_any_name_is_read(tmp_path: Path) -> None:
    content = picture("PNG")
    names = ["ein Boot im Hafen.png", "灯台.png", os.fsdecode(b"b\xffat.png")]
    found = [looked(tmp_path, content, name) for name in names]
    (tmp_path / "link.png").symlink_to(tmp_path / names[1])
    (tmp_path / "circle.png").symlink_to(tmp_path / "circle.png")
    assert {*found, look_at(tmp_path / "link.png")} == {found[0]}
    assert "it cannot be read" in reason(look_at(tmp_path / "circle.png"))


def test_threads_may_read_at_the_same_time(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(8)]
    for number, path in enumerate(paths):
        path.write_bytes(picture("PNG", (50 + number, 50)))
    found: dict[Path, LocalFile | Unusable] = {}
    threads = [
        threading.Thread(target=lambda one=path: found.update({one: look_at(one)}))
        for path in paths
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [getattr(found[path], "width", None) for path in paths] == [*range(50, 58)]
