"""What a look at an input image means for the jobs that use it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from batchgen.downloads.look import Gone, Looked, NoAnswer, NotUsable
from batchgen.models.file_rules import FileFacts, broken_rules

if TYPE_CHECKING:
    from batchgen.downloads.look import LookOutcome
    from batchgen.models.catalog import Model

MOST_SILENCES = 5
MOST_COUNTED = 10_000


class Silences:
    """How often a URL gave no answer while others did.

    A silence counts only where something was heard since the last one: were it this machine's
    network that is down, a night of waiting would refuse every job.
    """

    def __init__(self) -> None:
        self._heard = 0
        self._counted: dict[str, tuple[int, int]] = {}

    def note(self, url: str) -> None:
        count, heard = self._counted.pop(url, (0, -1))
        if len(self._counted) >= MOST_COUNTED:
            self._counted.pop(next(iter(self._counted)))
        self._counted[url] = (count + (heard != self._heard), self._heard)

    def end(self, url: str) -> None:
        self._heard += 1
        self._counted.pop(url, None)

    def are_too_many(self, url: str) -> bool:
        return self._counted.get(url, (0, 0))[0] >= MOST_SILENCES


def trouble_with(model: Model, key: str, outcome: LookOutcome) -> str | None:
    """Say what is wrong with an image under a key of a model, in the page's words where it can."""
    match outcome:
        case Looked(media_type, width, height, size):
            broken = broken_rules(model, key, FileFacts(media_type, width, height, size))
            return " ".join(map(str, broken)) or None
        case NotUsable(reason) | Gone(reason) | NoAnswer(reason):
            return reason


def tells_nothing(outcome: LookOutcome) -> bool:
    """Whether the network, or its DNS, is to blame, and not the picture.

    A name that leads inside from the start is refused before the run.
    """
    match outcome:
        case NoAnswer() | NotUsable(by_dns=True):
            return True
        case _:
            return False


def shown(url: str) -> str:
    """The URL without what may sign it: a signed URL is a key to the file."""
    parts = urlsplit(url)
    return parts._replace(query="…" if parts.query else "", fragment="").geturl()


def host_of(url: str) -> str:
    return urlsplit(url).hostname or ""
