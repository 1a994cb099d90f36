"""Own files become data: URIs in the body: whole, unchanged, sound, and fitted if asked for."""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pillow_heif
import pytest
from PIL import Image

from batchgen.input_files import InputFile, file_url, files_in
from batchgen.models.catalog import Model, bundled
from batchgen.models.file_limits import MIB
from batchgen.models.file_rules import FileFacts, broken_rules, rules_of
from batchgen.uploads.fitting import smaller_copy
from batchgen.uploads.outcomes import CannotSendError, NotNowError, unreadable
from batchgen.uploads.preparing import read_whole
from batchgen.uploads.sending import DataSender, open_data_sender

_found = bundled().find("bytedance/dreamina-4-0/edit")
assert _found is not None
EDIT: Model = _found


def picture(size: tuple[int, int] = (640, 480), form: str = "PNG", mode: str = "RGB") -> bytes:
    out = BytesIO()
    made = Image.new(mode, size, 90)
    if form == "HEIC":
        pillow_heif.from_pillow(made).save(out)
    else:
        made.save(out, form)
    return out.getvalue()


def noise(width: int, height: int) -> Image.Image:
    return Image.frombytes("RGB", (width, height), os.urandom(width * height * 3))


def body_of(folder: Path, *contents: bytes, prompt: str = "a boat") -> str:
    """An input with these files, which are written to the folder."""
    urls = []
    for number, content in enumerate(contents):
        path = f"photo {number}.png"
        (folder / path).write_bytes(content)
        urls.append(file_url(hashlib.sha256(content).hexdigest(), path))
    return json.dumps({"prompt": prompt, "image_urls": urls}, ensure_ascii=False)


@pytest.fixture
def sender(tmp_path: Path) -> Iterator[DataSender]:
    with open_data_sender(tmp_path, fit=False) as found:
        yield found


@pytest.fixture
def fitting(tmp_path: Path) -> Iterator[DataSender]:
    with open_data_sender(tmp_path, fit=True) as found:
        yield found


def sent_files(text: str) -> list[tuple[str, bytes]]:
    parts = [url.removeprefix("data:").split(";base64,") for url in json.loads(text)["image_urls"]]
    return [(media_type, base64.b64decode(data)) for media_type, data in parts]


async def test_each_file_is_sent_as_it_is(tmp_path: Path, sender: DataSender) -> None:
    contents = (picture(), picture((500, 400), "JPEG"))
    body = body_of(tmp_path, *contents, prompt='画 a "boat" 🚢')
    text, share = await sender.body_for(EDIT, body)
    share.release()
    assert text.isascii()
    assert sent_files(text) == [("image/png", contents[0]), ("image/jpeg", contents[1])]
    assert json.loads(text)["prompt"] == '画 a "boat" 🚢'


async def test_a_changed_file_is_not_sent(tmp_path: Path, sender: DataSender) -> None:
    body = body_of(tmp_path, picture())
    (tmp_path / "photo 0.png").write_bytes(picture((641, 480)))
    with pytest.raises(CannotSendError, match="has changed since this run read the manifest"):
        await sender.body_for(EDIT, body)


async def test_a_missing_file_is_named(tmp_path: Path, sender: DataSender) -> None:
    body = body_of(tmp_path, picture())
    (tmp_path / "photo 0.png").unlink()
    with pytest.raises(CannotSendError, match=r"^photo 0\.png is missing$"):
        await sender.body_for(EDIT, body)


@pytest.mark.parametrize("linked", [False, True])
async def test_a_disk_that_is_gone_is_waited_for(tmp_path: Path, *, linked: bool) -> None:
    """Unplugged, or a server that restarts: not every job of the night fails for that."""
    disk = tmp_path / "disk"
    disk.mkdir()
    folder = tmp_path / "linked" if linked else disk
    body = body_of(disk, picture())
    if linked:
        folder.mkdir()
        (folder / "photo 0.png").symlink_to("../disk/photo 0.png")
    with open_data_sender(folder, fit=False) as sender:
        disk.rename(tmp_path / "unplugged")
        with pytest.raises(NotNowError, match=r"^photo 0\.png is missing, and its folder too$"):
            await sender.body_for(EDIT, body)
        (tmp_path / "unplugged").rename(disk)
        await sender.body_for(EDIT, body)


@pytest.mark.parametrize(
    ("number", "passes"),
    [
        (errno.EIO, True),
        (errno.ESTALE, True),
        (errno.ETIMEDOUT, True),
        (errno.EMFILE, True),
        (errno.EACCES, False),
        (errno.ELOOP, False),
    ],
)
def test_trouble_of_the_disk_is_told_from_that_of_the_file(
    tmp_path: Path, number: int, *, passes: bool
) -> None:
    found = unreadable(tmp_path / "a.png", "a.png", OSError(number, os.strerror(number)))
    assert isinstance(found, NotNowError) is passes
    assert str(found) == f"a.png cannot be read ({os.strerror(number)})"


def test_links_in_a_circle_are_no_crash(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to("b.png")
    (tmp_path / "b.png").symlink_to("a.png")
    with pytest.raises(CannotSendError, match=r"^a\.png cannot be read "):
        read_whole(tmp_path / "a.png", InputFile("0" * 64, "a.png", ""))


async def test_a_folder_is_no_file(tmp_path: Path, sender: DataSender) -> None:
    body = body_of(tmp_path, picture())
    (tmp_path / "photo 0.png").unlink()
    (tmp_path / "photo 0.png").mkdir()
    with pytest.raises(CannotSendError, match=r"^photo 0\.png "):
        await sender.body_for(EDIT, body)


async def test_a_link_to_a_picture_is_followed(tmp_path: Path, sender: DataSender) -> None:
    body = body_of(tmp_path, picture())
    (tmp_path / "photo 0.png").rename(tmp_path / "elsewhere.png")
    (tmp_path / "photo 0.png").symlink_to("elsewhere.png")
    text, _ = await sender.body_for(EDIT, body)
    assert sent_files(text) == [("image/png", picture())]


@pytest.mark.parametrize("content", [picture()[:-40], picture(form="JPEG")[:900], b"<html>", b""])
async def test_a_damaged_file_is_not_sent(
    tmp_path: Path, sender: DataSender, content: bytes
) -> None:
    with pytest.raises(CannotSendError, match=r"^photo 0\.png: "):
        await sender.body_for(EDIT, body_of(tmp_path, content))


def test_a_file_of_a_gibibyte_is_refused_before_it_is_read(tmp_path: Path) -> None:
    (file,) = files_in(body_of(tmp_path, picture()))
    os.truncate(tmp_path / "photo 0.png", 1024 * MIB)
    with pytest.raises(CannotSendError, match=r"photo 0\.png has more than 512 MiB"):
        read_whole(tmp_path / "photo 0.png", file)


async def test_a_broken_rule_is_quoted_with_its_cure(tmp_path: Path, sender: DataSender) -> None:
    with pytest.raises(CannotSendError, match=r"Maximum resolution is 4096x4096.*fit: true"):
        await sender.body_for(EDIT, body_of(tmp_path, picture((4200, 3000))))


@pytest.mark.parametrize("form", ["WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIC"])
async def test_other_formats_are_reencoded_if_asked_for(
    tmp_path: Path, fitting: DataSender, form: str
) -> None:
    text, _ = await fitting.body_for(EDIT, body_of(tmp_path, picture(form=form)))
    ((media_type, content),) = sent_files(text)
    assert media_type == "image/jpeg"
    with Image.open(BytesIO(content)) as sent:
        assert (sent.format, sent.size) == ("JPEG", (640, 480))


async def test_a_picture_that_fits_is_not_touched(tmp_path: Path, fitting: DataSender) -> None:
    text, _ = await fitting.body_for(EDIT, body_of(tmp_path, picture()))
    assert sent_files(text) == [("image/png", picture())]


async def test_a_large_picture_is_scaled_down_and_the_original_stays(
    tmp_path: Path, fitting: DataSender
) -> None:
    content = picture((6000, 3000))
    text, _ = await fitting.body_for(EDIT, body_of(tmp_path, content))
    ((_, copy),) = sent_files(text)
    with Image.open(BytesIO(copy)) as sent:
        assert sent.size == (4096, 2048)
    assert (tmp_path / "photo 0.png").read_bytes() == content


async def test_the_budget_is_free_after_each_failure(tmp_path: Path) -> None:
    body = body_of(tmp_path, picture())
    (tmp_path / "photo 0.png").write_bytes(b"other")
    with open_data_sender(tmp_path, fit=False, capacity=1000) as sender:
        for _ in range(3):
            with pytest.raises(CannotSendError):
                await sender.body_for(EDIT, body)
        assert sender._budget.free == 1000


async def test_too_many_files_for_one_request_are_refused(
    tmp_path: Path, sender: DataSender
) -> None:
    large = b"x" * (5 * MIB)
    with pytest.raises(CannotSendError, match=r"the vendor takes 64 MiB; a bucket"):
        await sender.body_for(EDIT, body_of(tmp_path, *[large] * 10))


def test_noise_is_made_to_fit_and_always_the_same() -> None:
    out = BytesIO()
    noise(2600, 2000).save(out, "BMP")
    rules = rules_of(EDIT, "image_urls")
    first = smaller_copy(out.getvalue(), rules, by_data=True)
    assert first == smaller_copy(out.getvalue(), rules, by_data=True)
    content, media_type = first
    assert len(content) <= 6 * MIB
    with Image.open(BytesIO(content)) as copy:
        facts = FileFacts(media_type, *copy.size, len(content))
    assert broken_rules(rules, facts) == []


def test_transparency_stays_and_exif_turns_the_copy() -> None:
    out = BytesIO()
    Image.new("RGBA", (5000, 2500), (1, 2, 3, 100)).save(out, "PNG")
    content, media_type = smaller_copy(out.getvalue(), rules_of(EDIT, "image_urls"), by_data=True)
    assert media_type == "image/png"
    with Image.open(BytesIO(content)) as copy:
        assert (copy.mode, copy.getchannel("A").getextrema()) == ("RGBA", (100, 100))
    turned, exif = BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (5000, 2500)).save(turned, "JPEG", exif=exif)
    content, _ = smaller_copy(turned.getvalue(), rules_of(EDIT, "image_urls"), by_data=True)
    with Image.open(BytesIO(content)) as copy:
        assert copy.size == (2048, 4096)
        assert 0x0112 not in copy.getexif()
