"""Where metadata goes in a PNG, JPEG, WebP or MP4, without encoding a pixel again. Pure.

Each function finds the edits for one format; all bytes outside them stay as they are. By hand: in
Pillow and PyAV adding metadata means writing the whole file anew, piexif is no longer kept and
knows no XMP, and mutagen (MP4 only) and pyexiv2 are under the GPL.

Sources: PNG 3rd edition 11.3.3; JPEG (T.81 B.1) with Exif 2.32 4.5.4 and XMP part 3, 1.1.3; the
WebP container specification; ISO/IEC 14496-12 (boxes) and the QuickTime file format (`ilst`).
"""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BLOCK = 1024 * 1024
MOST_SEGMENT = 65_533
"""Bytes in a segment of a JPEG, without its marker and length."""
MOST_INDEX = 64 * 1024 * 1024
"""Bytes of an MP4's index: hours of video."""
SIGNED = "it has signed content credentials (C2PA), which a change would break"
UNKNOWN = "its structure is not one that metadata can be added to safely"


class CannotEmbedError(ValueError):
    """The file takes no metadata, or not safely; the message says why."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace the bytes from `start` to `end` by `data`."""

    start: int
    end: int
    data: bytes


def splice(file: BinaryIO, edits: Sequence[Edit], out: BinaryIO) -> None:
    """Copy a file with edits, which are in order and do not overlap; block by block."""
    at = 0
    for edit in edits:
        _copy(file, at, edit.start, out)
        out.write(edit.data)
        at = edit.end
    _copy(file, at, file.seek(0, io.SEEK_END), out)


def _copy(file: BinaryIO, start: int, end: int, out: BinaryIO) -> None:
    file.seek(start)
    while start < end:
        block = _exactly(file, min(BLOCK, end - start))
        out.write(block)
        start += len(block)


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise CannotEmbedError(UNKNOWN)
    return data


# --- PNG ------------------------------------------------------------------------------------------

PNG_START = 8
XMP_KEYWORD = "XML:com.adobe.xmp"


def png_edits(file: BinaryIO, texts: dict[str, str]) -> list[Edit]:
    """Put an iTXt chunk for each keyword behind the header, where every reader sees it."""
    file.seek(PNG_START)
    after_header = 0
    while True:
        head = file.read(8)
        if len(head) < 8:  # noqa: PLR2004 - a length and a type
            raise CannotEmbedError(UNKNOWN)
        size, kind = int.from_bytes(head[:4]), head[4:]
        if kind == b"caBX":
            raise CannotEmbedError(SIGNED)
        end = file.seek(size + 4, io.SEEK_CUR)
        if kind == b"IHDR":
            after_header = end
        elif kind == b"IEND":
            break
    chunks = b"".join(_itxt(keyword, text) for keyword, text in texts.items())
    return [Edit(after_header, after_header, chunks)]


def _itxt(keyword: str, text: str) -> bytes:
    # Keyword, not compressed, no language, no translated keyword.
    data = b"iTXt" + keyword.encode("latin-1") + b"\0\0\0\0\0" + text.encode()
    return (len(data) - 4).to_bytes(4) + data + zlib.crc32(data).to_bytes(4)


# --- JPEG -----------------------------------------------------------------------------------------

EXIF_HEAD = b"Exif\0\0"
XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\0"
APP0, APP1, APP11, START_OF_SCAN = 0xE0, 0xE1, 0xEB, 0xDA


def jpeg_edits(file: BinaryIO, exif: bytes, xmp: bytes) -> list[Edit]:
    """Put Exif and XMP segments behind JFIF's; what the file has of either stays."""
    file.seek(2)
    at = 2
    taken = set()
    for marker, start, data in _segments(file):
        if marker == APP0 and at == start:
            at = start + 4 + len(data)
        if marker == APP11 and data.startswith(b"JP"):
            raise CannotEmbedError(SIGNED)
        taken |= {head for head in (EXIF_HEAD, XMP_HEAD) if data.startswith(head)}
    wanted = ((EXIF_HEAD, exif), (XMP_HEAD, xmp))
    bodies = [head + data for head, data in wanted if head not in taken]
    bodies = _fitting(bodies, [len(body) <= MOST_SEGMENT for body in bodies])
    segments = (b"\xff\xe1" + (len(body) + 2).to_bytes(2) + body for body in bodies)
    return [Edit(at, at, b"".join(segments))]


def _segments(file: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
    """Yield marker, place and data of each segment before the first scan."""
    while True:
        start = file.tell()
        head = _exactly(file, 4)
        if head[0] != 0xFF or head[1] in (0x00, 0x01, 0xFF) or 0xD0 <= head[1] <= 0xD9:  # noqa: PLR2004 - markers
            raise CannotEmbedError(UNKNOWN)
        if head[1] == START_OF_SCAN:
            return
        yield head[1], start, _exactly(file, max(0, int.from_bytes(head[2:]) - 2))


def _fitting(bodies: list[bytes], fits: list[bool]) -> list[bytes]:
    found = [body for body, does in zip(bodies, fits, strict=True) if does]
    if not bodies:
        raise CannotEmbedError("it has metadata of its own")
    if not found:
        raise CannotEmbedError("the prompt is too long for this format")
    return found


# --- WebP -----------------------------------------------------------------------------------------

ALPHA, EXIF_FLAG, XMP_FLAG = 0x10, 0x08, 0x04


def webp_edits(file: BinaryIO, size: tuple[int, int], exif: bytes, xmp: bytes) -> list[Edit]:
    """Append EXIF and XMP chunks, and announce them; what the file has of either stays."""
    end = file.seek(0, io.SEEK_END)
    file.seek(0)
    whole = int.from_bytes(_exactly(file, 12)[4:8], "little") + 8
    if whole != end:
        raise CannotEmbedError(UNKNOWN)
    chunks = {kind: (start, length) for kind, start, length in _chunks(file, end)}
    if b"C2PA" in chunks:
        raise CannotEmbedError(SIGNED)
    wanted = ((b"EXIF", exif, EXIF_FLAG), (b"XMP ", xmp, XMP_FLAG))
    new = [one for one in wanted if one[0] not in chunks]
    if not new:
        raise CannotEmbedError("it has metadata of its own")
    flags = sum(flag for _, _, flag in new)
    announced = _announced(file, chunks, size, flags)
    tail = b"".join(_chunk(kind, data) for kind, data, _ in new)
    grown = whole - 8 + len(tail) + len(announced.data) - (announced.end - announced.start)
    return [Edit(4, 8, grown.to_bytes(4, "little")), announced, Edit(end, end, tail)]


def _chunks(file: BinaryIO, end: int) -> Iterator[tuple[bytes, int, int]]:
    while (start := file.tell()) < end:
        head = _exactly(file, 8)
        length = int.from_bytes(head[4:], "little")
        yield head[:4], start, length
        if file.seek(length + length % 2, io.SEEK_CUR) > end:
            raise CannotEmbedError(UNKNOWN)


def _announced(
    file: BinaryIO, chunks: dict[bytes, tuple[int, int]], size: tuple[int, int], flags: int
) -> Edit:
    """Set flags in the VP8X chunk, or make one: only a file with it can have metadata."""
    if b"VP8X" in chunks:
        at = chunks[b"VP8X"][0] + 8
        file.seek(at)
        return Edit(at, at + 1, bytes([_exactly(file, 1)[0] | flags]))
    first = next(iter(chunks), b"")
    if first == b"VP8L":
        # Signature, 14 bits of width, 14 of height, one for alpha.
        file.seek(chunks[first][0] + 8)
        flags |= ALPHA if _exactly(file, 5)[4] & 0x10 else 0
    elif first != b"VP8 ":
        raise CannotEmbedError(UNKNOWN)
    width, height = ((side - 1).to_bytes(3, "little") for side in size)
    return Edit(12, 12, _chunk(b"VP8X", bytes([flags, 0, 0, 0]) + width + height))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return kind + len(data).to_bytes(4, "little") + data + bytes(len(data) % 2)


# --- MP4 ------------------------------------------------------------------------------------------

PLAIN_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"uuid"})
"""At the top. Others, such as fragments, may hold offsets that are not known here."""
C2PA_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
CONTAINERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"udta"})
DEEPEST = 10
"""Boxes in boxes; FFmpeg reads no more."""
WITH_OFFSETS = {b"stco": 4, b"co64": 8}
COMMENT = b"\xa9cmt"
HANDLER = bytes(8) + b"mdirappl" + bytes(9)
UTF_8 = (1).to_bytes(4) + bytes(4)


def mp4_edits(file: BinaryIO, comment: str) -> list[Edit]:
    """Add the comment to the index, and correct the index if the frames behind it move."""
    boxes = list(_top_boxes(file))
    indexes = [(start, end) for kind, start, end in boxes if kind == b"moov"]
    if len(indexes) != 1 or any(kind not in PLAIN_BOXES for kind, _, _ in boxes):
        raise CannotEmbedError(UNKNOWN)
    start, end = indexes[0]
    if end - start > MOST_INDEX:
        raise CannotEmbedError(UNKNOWN)
    file.seek(start)
    index = _exactly(file, end - start)
    moved = len(_index(index, comment, 0, end)) - len(index)
    return [Edit(start, end, _index(index, comment, moved, end))]


def _top_boxes(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    whole = file.seek(0, io.SEEK_END)
    at = 0
    while at < whole:
        file.seek(at)
        head = _exactly(file, 8)
        size, kind = int.from_bytes(head[:4]), head[4:]
        header = 8
        if size == 1:
            size, header = int.from_bytes(_exactly(file, 8)), 16
        if kind == b"uuid" and _exactly(file, 16) == C2PA_UUID:
            raise CannotEmbedError(SIGNED)
        end = at + size if size else whole
        if end > whole or (size and size < header):
            raise CannotEmbedError(UNKNOWN)
        yield kind, at, end
        at = end


def _index(index: bytes, comment: str, moved: int, behind: int) -> bytes:
    """Return the index with the comment; offsets from `behind` on have moved."""
    ((_, body),) = _boxes(index)
    parts = [(kind, _moved(kind, part, moved, behind)) for kind, part in _boxes(body)]
    tags = [(kind, part) for kind, part in parts if kind == b"udta"]
    if len(tags) > 1:
        raise CannotEmbedError(UNKNOWN)
    others = [(kind, part) for kind, part in parts if kind != b"udta"]
    own = _with_comment(tags[0][1] if tags else b"", comment)
    return _box(b"moov", b"".join(_box(*one) for one in (*others, (b"udta", own))))


def _boxes(data: bytes) -> list[tuple[bytes, bytes]]:
    found = []
    at = 0
    while at + 8 <= len(data):
        size, kind, header = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8], 8
        if size == 1:
            size, header = int.from_bytes(data[at + 8 : at + 16]), 16
        size = size or len(data) - at
        if size < header or at + size > len(data):
            raise CannotEmbedError(UNKNOWN)
        found.append((kind, data[at + header : at + size]))
        at += size
    # `udta` may end with four zero bytes.
    if any(data[at:]):
        raise CannotEmbedError(UNKNOWN)
    return found


def _box(kind: bytes, body: bytes) -> bytes:
    return (len(body) + 8).to_bytes(4) + kind + body


def _moved(kind: bytes, body: bytes, by: int, behind: int, depth: int = 0) -> bytes:
    """Move the offsets in the index, however deep."""
    if kind == b"saio" or depth > DEEPEST:
        raise CannotEmbedError(UNKNOWN)
    if kind in WITH_OFFSETS:
        return _moved_offsets(body, WITH_OFFSETS[kind], by, behind)
    if kind not in CONTAINERS or kind == b"udta":
        return body
    inner = ((name, _moved(name, part, by, behind, depth + 1)) for name, part in _boxes(body))
    return b"".join(_box(*one) for one in inner)


def _moved_offsets(body: bytes, width: int, by: int, behind: int) -> bytes:
    """`body`: version and flags, a count, the offsets."""
    count = int.from_bytes(body[4:8])
    if len(body) != 8 + count * width:
        raise CannotEmbedError(UNKNOWN)
    made = [body[:8]]
    for at in range(8, len(body), width):
        offset = int.from_bytes(body[at : at + width])
        offset += by if offset >= behind else 0
        if offset >= 1 << 8 * width:
            raise CannotEmbedError("it is too long for its index")
        made.append(offset.to_bytes(width))
    return b"".join(made)


def _with_comment(tags: bytes, comment: str) -> bytes:
    """`tags` is the body of udta: udta > meta > ilst > the comment > data."""
    item = _box(COMMENT, _box(b"data", UTF_8 + comment.encode()))
    boxes = _boxes(tags)
    if all(kind != b"meta" for kind, _ in boxes):
        meta = bytes(4) + _box(b"hdlr", HANDLER) + _box(b"ilst", item)
        return b"".join(_box(*one) for one in (*boxes, (b"meta", meta)))
    return b"".join(
        _box(kind, _meta_with(body, item) if kind == b"meta" else body) for kind, body in boxes
    )


def _meta_with(body: bytes, item: bytes) -> bytes:
    # ISO's meta begins with a version and flags; QuickTime's does not.
    head = b"" if body[4:8] == b"hdlr" else body[:4]
    boxes = _boxes(body[len(head) :])
    lists = [part for kind, part in boxes if kind == b"ilst"]
    handlers = [part for kind, part in boxes if kind == b"hdlr"]
    is_known = len(lists) <= 1 and len(handlers) == 1 and handlers[0][8:12] == b"mdir"
    # Items (`iloc`) have offsets of their own.
    if not is_known or any(kind in {b"iloc", b"idat"} for kind, _ in boxes):
        raise CannotEmbedError(UNKNOWN)
    known = lists[0] if lists else b""
    if any(kind == COMMENT for kind, _ in _boxes(known)):
        raise CannotEmbedError("it has metadata of its own")
    others = [(kind, part) for kind, part in boxes if kind != b"ilst"]
    return head + b"".join(_box(*one) for one in (*others, (b"ilst", known + item)))
