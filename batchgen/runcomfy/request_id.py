"""Which texts can be a request id: it becomes part of an address and a row of the state file."""

from __future__ import annotations

from batchgen.runcomfy.token import HIDDEN

LONGEST_ID = 200
_UNSAFE = frozenset("/\\?#%")


def usable_request_id(value: object) -> str | None:
    """Give the id as text, or None. An integer counts as its digits.

    At most 200 visible ASCII characters, none that would change the meaning of an address. A server
    that gives the token back as an id has given none.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        return None
    text = value.strip()
    visible = text.isascii() and text.isprintable() and " " not in text
    if (
        HIDDEN in text
        or not visible
        or not 0 < len(text) <= LONGEST_ID
        or _UNSAFE.intersection(text)
    ):
        return None
    return text if text.strip(".") else None
