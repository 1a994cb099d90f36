"""Texts as SQLite takes them: UTF-8, which the names of files need not be."""

from __future__ import annotations


def storable(text: str) -> str:
    if text.isascii():
        return text
    # Python gives each byte that is no UTF-8 as a lone surrogate.
    return text.encode(errors="backslashreplace").decode()
