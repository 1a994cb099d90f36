"""PNG files put together by hand, where a codec would refuse or take longer.

The layout is that of the PNG specification, sections 5 and 11.
"""

from __future__ import annotations

import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
BIT_DEPTH = 8
RGB = 2


def rgb_png(width: int, height: int, rows: bytes) -> bytes:
    """Make a PNG of rows that stand as they are, each behind its filter byte.

    The rows are neither compressed nor counted: the header may claim what it likes.
    """
    header = struct.pack(">IIBBBBB", width, height, BIT_DEPTH, RGB, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 0)), (b"IEND", b""))
    return SIGNATURE + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
