"""Foreign text, made safe to show: on a terminal, in a log, in a report."""

from __future__ import annotations

import re

WORDS_LIMIT = 500
RAW_LIMIT = 4096
_CUT = "…"

_ESCAPE_SEQUENCE = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # OSC: titles and links, up to BEL or ST
    r"|\x1b[PX^_][^\x1b]*\x1b\\"  # DCS, SOS, PM, APC
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[ -/]*[0-~]"  # the short ones
)


def plain_text(text: str, limit: int = WORDS_LIMIT) -> str:
    """One line of printable characters, at most `limit` of them.

    Escape sequences go whole. Control characters, line breaks, direction marks and lone surrogates
    become spaces, and runs of spaces become one.
    """
    if not text.isprintable():
        # Only a bounded stretch is looked at: cleaning may shorten it, never lengthen it.
        text = _ESCAPE_SEQUENCE.sub("", text[: limit * 4])
        text = "".join(char if char.isprintable() else " " for char in text)
    text = " ".join(text[: limit * 4].split())
    return text if len(text) <= limit else text[: limit - 1] + _CUT
