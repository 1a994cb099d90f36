"""Prompt, model, seed and job id in a result's own metadata, with the pixels as they were."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from batchgen.downloads.containers import CannotEmbedError, Edit, splice
from batchgen.downloads.decoding import decode
from batchgen.downloads.embedding import Provenance, exif, find_edits, xmp
from batchgen.downloads.media import Media, MediaKind
from tests.downloads.conftest import picture

FOX = Provenance("fox-1", "bytedance/dreamina-4-0/edit", "Ein Füchs 🦊 & <b>\n中文", 7)
NOTHING = Provenance("a", "m", None, None)
PROMPT_TAG, COMMENT_TAG, EXIF_TAG = 0x010E, 0x9286, 0x8769


def embed(content: bytes, provenance: Provenance = FOX) -> bytes:
    file, out = io.BytesIO(content), io.BytesIO()
    splice(file, find_edits(file, decode(file), provenance), out)
    return out.getvalue()


def edits(content: bytes, media_type: str, provenance: Provenance = FOX) -> list[Edit]:
    """Of bytes that need not decode."""
    media = Media(MediaKind.IMAGE, media_type, "", 96, 64, None, 1)
    return find_edits(io.BytesIO(content), media, provenance)


def pixels(content: bytes) -> list[bytes]:
    frames = []
    with Image.open(io.BytesIO(content)) as opened:
        for number in range(getattr(opened, "n_frames", 1)):
            opened.seek(number)
            frames.append(opened.convert("RGBA").tobytes())
    return frames


def frames(content: bytes) -> list[tuple[int | None, bytes]]:
    """Times and packets, and the decoded frames."""
    with av.open(io.BytesIO(content), "r") as container:
        found = [(packet.pts, bytes(packet)) for packet in container.demux(video=0)]
    with av.open(io.BytesIO(content), "r") as container:
        decoded = [(f.pts, f.to_ndarray().tobytes()) for f in container.decode(video=0)]
    return [*found, *decoded]


def exif_of(content: bytes) -> tuple[str | None, dict[str, Any]]:
    with Image.open(io.BytesIO(content)) as opened:
        found = opened.getexif()
    comment = found.get_ifd(EXIF_TAG)[COMMENT_TAG]
    assert comment.startswith(b"UNICODE\0")
    known = json.loads(comment[8:].decode("utf-16-be"))
    described = found.get(PROMPT_TAG)
    # Pillow reads ASCII as Latin-1.
    return described and described.encode("latin-1").decode(), known


def xmp_of(content: bytes) -> dict[str, str]:
    with Image.open(io.BytesIO(content)) as opened:
        packet = opened.info["xmp"]
    root = ET.fromstring(packet)
    return {element.tag.rpartition("}")[2]: "".join(element.itertext()) for element in root.iter()}


def lossless(mode: str, **options: Any) -> bytes:
    made = Image.effect_noise((50, 40), 90).convert(mode)
    if mode == "RGBA":
        made.putalpha(Image.linear_gradient("L").resize((50, 40)))
    held = io.BytesIO()
    made.save(held, "WEBP", **options)
    return held.getvalue()


def animated() -> bytes:
    stills = [Image.effect_noise((32, 24), 90).convert("RGB") for _ in range(3)]
    held = io.BytesIO()
    stills[0].save(held, "WEBP", save_all=True, append_images=stills[1:], duration=40)
    return held.getvalue()


PICTURES: dict[str, Callable[[], bytes]] = {
    "png": lambda: picture("PNG"),
    "jpg": lambda: picture("JPEG"),
    "progressive.jpg": lambda: picture("JPEG", progressive=True),
    "odd.jpg": lambda: picture("JPEG", (33, 17), icc_profile=b"x" * 300),
    "webp": lambda: picture("WEBP"),
    "odd.webp": lambda: picture("WEBP", (33, 17)),
    "lossless.webp": lambda: lossless("RGB", lossless=True),
    "alpha.webp": lambda: lossless("RGBA", lossless=True),
    "lossy-alpha.webp": lambda: lossless("RGBA"),
    "icc.webp": lambda: picture("WEBP", icc_profile=b"x" * 301),
    "animated.webp": animated,
}


@pytest.fixture(scope="module", params=PICTURES)
def content(request: pytest.FixtureRequest) -> bytes:
    return PICTURES[request.param]()


def test_no_pixel_changes_and_the_same_file_gets_the_same_bytes(content: bytes) -> None:
    made = embed(content)
    assert made != content
    assert pixels(made) == pixels(content)
    assert decode(io.BytesIO(made)) == decode(io.BytesIO(content))
    assert embed(content) == made


def test_readers_find_the_prompt_and_all_four(content: bytes) -> None:
    for provenance in (FOX, NOTHING):
        made = embed(content, provenance)
        if made.startswith(b"\x89PNG"):
            with Image.open(io.BytesIO(made)) as opened:
                texts = opened.text  # type: ignore[attr-defined] # of a PNG
            found = (texts.get("Description"), json.loads(texts["Comment"]))
        else:
            found = exif_of(made)
        assert found == (provenance.prompt, provenance.known)
        fields = xmp_of(made)
        assert fields["job"] == provenance.job_id
        assert fields.get("description") == provenance.prompt
        assert fields.get("seed") == (None if provenance.seed is None else "7")


def test_nothing_else_is_in_the_metadata() -> None:
    body = json.dumps({"prompt": "a", "seed": 1, "image_urls": ["https://x/?token=secret"]})
    found = Provenance.of("j", "m", body)
    assert found.known == {"prompt": "a", "model": "m", "seed": 1, "job": "j"}
    assert Provenance.of("j", "m", '{"prompt":["a"],"seed":true}').known == {
        "model": "m",
        "job": "j",
    }


@pytest.mark.parametrize("name", ["jpg", "progressive.jpg", "odd.jpg"])
def test_all_else_of_a_jpeg_is_byte_for_byte_the_same(name: str) -> None:
    before = PICTURES[name]()
    made = embed(before)
    start = before.index(b"\xff\xda")
    assert made.endswith(before[start:])
    assert made.startswith(before[:20])  # JFIF first
    (edit,) = edits(before, "image/jpeg")
    assert before == made.replace(edit.data, b"", 1)


@pytest.mark.parametrize("name", ["mp4", "fast.mp4"])
def test_a_video_gets_a_comment_and_keeps_its_frames(media: dict[str, bytes], name: str) -> None:
    before = media[name]
    made = embed(before)
    assert frames(made) == frames(before)
    with av.open(io.BytesIO(made)) as container:
        assert json.loads(container.metadata["comment"]) == FOX.known
        assert "encoder" in container.metadata  # what was there stays
    assert embed(before) == made
    with pytest.raises(CannotEmbedError, match="metadata of its own"):
        embed(made)


def test_a_video_without_tags_gets_them(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w", format="mp4", options={"fflags": "+bitexact"}) as output:
        stream: Any = output.add_stream("mpeg4", rate=24)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        still = Image.new("RGB", (32, 32))
        output.mux(stream.encode(av.VideoFrame.from_image(still)))  # type: ignore[no-untyped-call] # PyAV
        output.mux(stream.encode())
    made = embed(path.read_bytes())
    with av.open(io.BytesIO(made)) as container:
        assert json.loads(container.metadata["comment"]) == FOX.known


@pytest.mark.parametrize("name", ["gif", "mov", "webm", "mkv"])
def test_other_formats_take_none(media: dict[str, bytes], name: str) -> None:
    with pytest.raises(CannotEmbedError, match="files take none"):
        embed(media[name])


def test_fragments_of_a_video_have_offsets_that_are_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    options = {"movflags": "frag_keyframe+empty_moov"}
    with av.open(str(path), "w", format="mp4", options=options) as output:
        stream: Any = output.add_stream("mpeg4", rate=24)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        still = Image.new("RGB", (32, 32))
        output.mux(stream.encode(av.VideoFrame.from_image(still)))  # type: ignore[no-untyped-call] # PyAV
        output.mux(stream.encode())
    with pytest.raises(CannotEmbedError, match="its structure"):
        embed(path.read_bytes())


def test_what_a_picture_says_of_itself_stays() -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    for codec in ("JPEG", "WEBP"):
        made = embed(picture(codec, exif=turned))
        with Image.open(io.BytesIO(made)) as opened:
            assert dict(opened.getexif()) == {0x0112: 6}
        assert xmp_of(made)["job"] == "fox-1"
        both = picture(codec, exif=turned, xmp=b"<x/>")
        with pytest.raises(CannotEmbedError, match="metadata of its own"):
            embed(both)


def test_signed_content_credentials_are_not_broken(media: dict[str, bytes]) -> None:
    png, jpeg, webp = picture("PNG"), picture("JPEG"), picture("WEBP")
    chunk = b"caBXx"
    signed_png = (
        png[:33] + struct.pack(">I", 1) + chunk + struct.pack(">I", zlib.crc32(chunk)) + png[33:]
    )
    signed_jpeg = jpeg[:20] + b"\xff\xeb\0\6JP\0\1" + jpeg[20:]
    tail = b"C2PA\2\0\0\0ab"
    signed_webp = webp[:4] + struct.pack("<I", len(webp) - 8 + len(tail)) + webp[8:] + tail
    box = bytes.fromhex("00000018") + b"uuid" + bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
    for signed in (signed_png, signed_jpeg, signed_webp, media["mp4"] + box):
        with pytest.raises(CannotEmbedError, match="C2PA"):
            embed(signed)


def test_a_huge_prompt_fits_as_far_as_the_format_goes() -> None:
    for size, codecs in ((20_000, ("PNG", "JPEG", "WEBP")), (500_000, ("PNG", "WEBP"))):
        long = Provenance("a", "m", "é" * (size // 2), None)
        for codec in codecs:
            assert xmp_of(embed(picture(codec), long))["description"] == long.prompt
    with pytest.raises(CannotEmbedError, match="too long for this format"):
        embed(picture("JPEG"), Provenance("a", "m", "x" * 70_000, None))


def test_if_only_one_of_two_fits_a_jpeg_gets_that_one() -> None:
    made = embed(picture("JPEG"), Provenance("a", "m", "x" * 30_000, None))
    assert xmp_of(made)["description"] == "x" * 30_000
    with Image.open(io.BytesIO(made)) as opened:
        assert not opened.getexif()


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(), st.text(max_size=20))
def test_any_prompt_comes_back_from_exif_and_is_well_formed_xmp(
    prompt: str, seed: int, job_id: str
) -> None:
    prompt = prompt.replace("\0", "")
    job_id = "".join(one for one in job_id if one.isprintable())
    given_ = Provenance(job_id, "m", prompt, seed)
    found = Image.Exif()
    found.load(b"Exif\0\0" + exif(given_))
    comment = found.get_ifd(EXIF_TAG)[COMMENT_TAG]
    assert json.loads(comment[8:].decode("utf-16-be")) == given_.known
    ET.fromstring(xmp(given_))


@given(st.data())
def test_damaged_structures_are_refused_or_edited_and_nothing_else(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["png", "jpeg", "webp", "mp4"]))
    content = bytearray(SMALL[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))]
    try:
        found = edits(bytes(content), f"{'video' if kind == 'mp4' else 'image'}/{kind}")
    except CannotEmbedError:
        return
    out = io.BytesIO()
    splice(io.BytesIO(bytes(content)), found, out)
    grown = sum(len(edit.data) - (edit.end - edit.start) for edit in found)
    assert len(out.getvalue()) == len(content) + grown


def _small_mp4() -> bytes:
    held = io.BytesIO()
    with av.open(held, "w", format="mp4") as output:
        stream: Any = output.add_stream("mpeg4", rate=24)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "yuv420p"
        still = Image.new("RGB", (16, 16))
        output.mux(stream.encode(av.VideoFrame.from_image(still)))  # type: ignore[no-untyped-call] # PyAV
        output.mux(stream.encode())
    return held.getvalue()


SMALL = {
    "png": picture("PNG", (4, 4)),
    "jpeg": picture("JPEG", (4, 4)),
    "webp": picture("WEBP", (4, 4)),
    "mp4": _small_mp4(),
}


def test_boxes_in_boxes_without_end_are_refused() -> None:
    box = b""
    for _ in range(3000):
        box = (len(box) + 8).to_bytes(4) + b"trak" + box
    moov = (len(box) + 8).to_bytes(4) + b"moov" + box
    with pytest.raises(CannotEmbedError):
        edits(b"\0\0\0\x10ftypisom\0\0\0\0" + moov, "video/mp4")
