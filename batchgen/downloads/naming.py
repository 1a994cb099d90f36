"""Any text → a name that every file system takes, the same on every run.

A text that is safe already stays as it is. Any other gets `-` and 8 hex digits of its SHA-256 at
the end: replacing characters can make two texts alike, and two texts must stay two files.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

PART_BYTES = 100
NAME_BYTES = 240
HASH_DIGITS = 8
SUFFIX_BYTES = HASH_DIGITS + 1

RESERVED = frozenset('<>:"\\|?*')
# Control, format (bidi, zero width), surrogate, private use, line and paragraph separator.
UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
# Invisible, though Unicode calls them letters or marks.
INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
# Windows opens a device for these, whatever the extension (learn.microsoft.com, "Naming Files").
DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\.|$)", re.IGNORECASE)

# Safe as it stands, seen at one glance: most of a million names are like this.
PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,98}(?<!\.)", re.ASCII)


def safe_name(text: str) -> str:
    """Make a relative path with `/` between folders, of at most 240 bytes, 100 a part.

    Idempotent. A text of which nothing is left becomes `unnamed-` and its hash.
    """
    if PLAIN.fullmatch(text) and not DEVICE.match(text):
        return text
    return _made_safe(text)


def _made_safe(text: str) -> str:
    parts = [part for part in map(_safe_part, text.split("/")) if part]
    name = "/".join(parts)
    if name and name == text and len(name.encode()) <= NAME_BYTES:
        return name
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:HASH_DIGITS]
    return f"{_room_for_suffix(parts)}-{digest}"


def name_key(name: str) -> str:
    """Two names with one key would be one file on a disk that ignores case."""
    if name.isascii():
        return name.lower()
    folded = unicodedata.normalize("NFD", name).casefold()
    return unicodedata.normalize("NFC", folded)


def file_names(stem: str, count: int) -> tuple[str, ...]:
    """Name a job's files: `stem` alone, or `stem.1` … `stem.n`.

    Not with a dash: `boat-2` is a job of its own, such as the second of `repeat: 2`.
    """
    if count == 1:
        return (stem,)
    return tuple(f"{stem}.{number}" for number in range(1, count + 1))


def _safe_part(part: str) -> str:
    composed = unicodedata.normalize("NFC", part)
    visible = "".join("_" if _is_unsafe(character) else character for character in composed)
    trimmed = _avoid_device(visible.lstrip(" .-").rstrip(" ."))
    # Cutting may bare a device's name: "CON", many spaces, "x".
    return _avoid_device(_cut(trimmed, PART_BYTES))


def _is_unsafe(character: str) -> bool:
    return (
        character in RESERVED
        or character in INVISIBLE
        or unicodedata.category(character) in UNSAFE_CATEGORIES
    )


def _avoid_device(part: str) -> str:
    return f"_{part}" if DEVICE.match(part) else part


def _cut(text: str, limit: int) -> str:
    encoded = text.encode()
    if len(encoded) <= limit:
        return text
    return encoded[:limit].decode(errors="ignore").rstrip(" .")


def _room_for_suffix(parts: list[str]) -> str:
    name = _cut("/".join(parts) or "unnamed", NAME_BYTES - SUFFIX_BYTES).rstrip(" ./")
    # The cut may have taken the last part: only now is it known which one bears the suffix.
    *folders, last = name.split("/")
    return "/".join([*folders, _cut(last, PART_BYTES - SUFFIX_BYTES)])
