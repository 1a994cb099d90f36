"""The result's files, cost and place in the queue, from a body that may hold anything."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

OUTPUT_KEYS = ("image", "images", "video", "videos")
LONGEST_URL = 8192
LONGEST_DATA = 64 * 1024 * 1024
DATA = "data:"
_DATA_OF_MEDIA = re.compile(r"data:(image|video)/[\w.+-]{1,64}[;,]", re.ASCII | re.IGNORECASE)
_BESIDE = re.compile(r"thumb|preview|poster|cover|avatar|icon|input|\bpage|page_")
_FARTHEST_PLACE = 10**9
MOST_USD = 1000.0
"""The dearest request that is believed: hundreds of times what a model of the vendor costs. A
larger number is another unit or a server in trouble, and one of it would end every budget."""
_LONGEST_COST = 40
_COST = re.compile(
    r"(?:USD\s*|\$\s*)?(?P<amount>\d+(?:\.\d*)?|\.\d+)(?:\s*(?:USD|\$))?", re.IGNORECASE | re.ASCII
)


@dataclass(frozen=True, slots=True)
class Output:
    """`urls` of the result's files, without repeats.

    A file that came inside the answer, as a `data:` URI, has a short reference there; `data` has
    the URI for it. `guessed`: they stand under keys that nobody documents, so what lies behind them
    is yet to be seen.
    """

    urls: tuple[str, ...] = ()
    data: Mapping[str, str] = field(default_factory=dict)
    guessed: bool = False


def read_output(output: object) -> Output:
    """Find the files' addresses in `output`: http(s) and `data:`.

    The documented keys come in an order of our own: asked twice, the vendor may order them
    differently, and the second file must not become the first. Only where they hold nothing are
    other keys searched: a paid result may stand under a key that nobody documented.
    """
    if not isinstance(output, dict):
        plain = isinstance(output, str) or (
            isinstance(output, list) and all(isinstance(one, str) for one in output)
        )
        return _output([output], guessed=not plain)
    named = _output([output.get(key) for key in OUTPUT_KEYS])
    return named if named.urls else _output([output], guessed=True)


def reference_of(data_uri: str) -> str:
    """Stand for a `data:` URI where megabytes have no place: its type and the hash of its text."""
    media_type = data_uri[len(DATA) :].partition(",")[0].partition(";")[0].lower()
    digest = hashlib.sha256(data_uri.encode(errors="replace")).hexdigest()
    return f"{DATA}{media_type};sha256={digest[:16]}"


def _output(values: Iterable[object], *, guessed: bool = False) -> Output:
    urls: dict[str, None] = {}
    data: dict[str, str] = {}
    for address in _addresses(values, guessed=guessed):
        url = address
        if address[: len(DATA)].lower() == DATA:
            url = reference_of(address)
            data[url] = address
        urls[url] = None
    return Output(tuple(urls), data, guessed and bool(urls))


def _addresses(values: Iterable[object], *, guessed: bool) -> Iterator[str]:
    # A stack, not recursion: a body may be nested deeper than Python's calls may be.
    stack = list(values)[::-1]
    while stack:
        value = stack.pop()
        if isinstance(value, str):
            if _is_address(value):
                yield value
        elif isinstance(value, dict):
            stack.extend(
                [one for key, one in value.items() if not (guessed and _misleads(key))][::-1]
            )
        elif isinstance(value, list):
            stack.extend(value[::-1])


def _misleads(key: str) -> bool:
    """Whether a key names something beside the result: a small picture of it, or the input."""
    return _BESIDE.search(key.lower()) is not None


def _is_address(text: str) -> bool:
    if _DATA_OF_MEDIA.match(text):
        return len(text) <= LONGEST_DATA
    return (
        text[:8].lower().startswith(("https://", "http://"))
        and len(text) <= LONGEST_URL
        and text.isprintable()
        and " " not in text
    )


def usd(value: object) -> float | None:
    """Read dollars, a number or a text such as "0.05" or "$0.05"; None for what is no cost."""
    if isinstance(value, str) and len(value) <= _LONGEST_COST:
        match = _COST.fullmatch(value.strip())
        value = float(match["amount"]) if match else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        amount = float(value)
    except OverflowError:
        return None
    return amount if 0 <= amount <= MOST_USD else None


def queue_place(value: object) -> int | None:
    """Read a place in the queue, from 0; None for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:20])
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= _FARTHEST_PLACE else None
