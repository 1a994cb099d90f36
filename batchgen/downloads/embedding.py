"""What was asked for, in a result's own metadata: prompt, model, seed and job id, nothing else.

The texts depend on these four alone, so that a file that is downloaded again gets the same bytes.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO
from xml.sax.saxutils import escape

from batchgen.downloads.containers import (
    XMP_KEYWORD,
    CannotEmbedError,
    Edit,
    jpeg_edits,
    mp4_edits,
    png_edits,
    webp_edits,
)

if TYPE_CHECKING:
    from batchgen.downloads.media import Media
    from batchgen.jobs import JsonValue

NAMESPACE = "urn:batchgen:1"
_NOT_IN_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_XMP = """\
<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF \
xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" \
xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:batchgen="{namespace}">
{fields}
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>"""
_DESCRIPTION = (
    '<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{}</rdf:li></rdf:Alt></dc:description>'
)


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a result comes from. `prompt` and `seed` are None if the input has none."""

    job_id: str
    model: str
    prompt: str | None
    seed: int | None

    @classmethod
    def of(cls, job_id: str, model: str, body: str) -> Provenance:
        """`body` is what was sent, as JSON."""
        sent = json.loads(body)
        prompt, seed = sent.get("prompt"), sent.get("seed")
        return cls(
            job_id,
            model,
            prompt if isinstance(prompt, str) else None,
            seed if type(seed) is int else None,
        )

    @property
    def known(self) -> dict[str, JsonValue]:
        fields = {"prompt": self.prompt, "model": self.model, "seed": self.seed, "job": self.job_id}
        return {name: value for name, value in fields.items() if value is not None}

    @property
    def comment(self) -> str:
        """All of it, as JSON."""
        return json.dumps(self.known, ensure_ascii=False)


def find_edits(file: BinaryIO, media: Media, provenance: Provenance) -> list[Edit]:
    """Raises CannotEmbedError if the file takes no metadata."""
    match media.media_type:
        case "image/png":
            return png_edits(file, _png_texts(provenance))
        case "image/jpeg":
            return jpeg_edits(file, exif(provenance), xmp(provenance).encode())
        case "image/webp":
            size = (media.width, media.height)
            return webp_edits(file, size, exif(provenance), xmp(provenance).encode())
        case "video/mp4":
            return mp4_edits(file, provenance.comment)
    raise CannotEmbedError(f"{media.media_type} files take none")


def _png_texts(provenance: Provenance) -> dict[str, str]:
    """Keywords of the PNG specification: a keyword `prompt` is ComfyUI's, for its workflows."""
    texts = {} if provenance.prompt is None else {"Description": provenance.prompt}
    return {**texts, "Comment": provenance.comment, XMP_KEYWORD: xmp(provenance)}


def xmp(provenance: Provenance) -> str:
    fields = [
        f"<batchgen:{name}>{_as_xml(str(value))}</batchgen:{name}>"
        for name, value in provenance.known.items()
        if name != "prompt"
    ]
    if provenance.prompt is not None:
        fields.insert(0, _DESCRIPTION.format(_as_xml(provenance.prompt)))
    return _XMP.format(namespace=NAMESPACE, fields="\n".join(fields))


def _as_xml(text: str) -> str:
    return escape(_NOT_IN_XML.sub("\ufffd", text), {"\r": "&#13;"})


# Tags and types of Exif (TIFF 6.0).
_DESCRIPTION_TAG, _POINTER_TAG, _VERSION_TAG, _COMMENT_TAG = 0x010E, 0x8769, 0x9000, 0x9286
_ASCII, _LONG, _UNDEFINED = 2, 4, 7
_INLINE = 4


def exif(provenance: Provenance) -> bytes:
    """Return Exif with ImageDescription (the prompt) and UserComment (all of it)."""
    # UTF-16 in the byte order of the whole is how other tools write prompts.
    comment = b"UNICODE\0" + provenance.comment.encode("utf-16-be")
    head = b"MM\0\x2a\0\0\0\x08"
    entries = [(_POINTER_TAG, _LONG, bytes(4))]
    if provenance.prompt is not None:
        # A NUL ends the text.
        text = provenance.prompt.replace("\0", "\ufffd").encode() + b"\0"
        entries.insert(0, (_DESCRIPTION_TAG, _ASCII, text))
    behind = len(head) + len(_directory(entries, len(head)))
    entries[-1] = (_POINTER_TAG, _LONG, behind.to_bytes(4))
    inner = [(_VERSION_TAG, _UNDEFINED, b"0232"), (_COMMENT_TAG, _UNDEFINED, comment)]
    return head + _directory(entries, len(head)) + _directory(inner, behind)


def _directory(entries: list[tuple[int, int, bytes]], at: int) -> bytes:
    """Return a directory that begins at the offset `at`, with its values behind it."""
    table, values = len(entries).to_bytes(2), b""
    free = at + 2 + 12 * len(entries) + 4
    for tag, kind, value in entries:
        count = len(value) // 4 if kind == _LONG else len(value)
        place = value.ljust(_INLINE, b"\0")
        if len(value) > _INLINE:
            place = (free + len(values)).to_bytes(4)
            values += value + bytes(len(value) % 2)
        table += tag.to_bytes(2) + kind.to_bytes(2) + count.to_bytes(4) + place
    return table + bytes(4) + values
