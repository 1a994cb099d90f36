"""References from a job's input to another job's result. Pure: texts in, texts out.

A result has no URL before it is made, yet the input that uses it must be validated and never
change. So a reference is itself a URL, under a domain that no server has (RFC 2606), and is
replaced by the vendor's own URL just before the submit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast
from urllib.parse import quote, unquote

from batchgen.input_files import with_paths, with_public_paths

if TYPE_CHECKING:
    from collections.abc import Mapping

HOST = "jobs.batchgen.invalid"
Kind = Literal["image", "video", "audio"]

_REFERENCE = re.compile(
    rf"https://{re.escape(HOST)}/(?P<job>[A-Za-z0-9_.~%-]+)/(?P<kind>image|video|audio)/(?P<position>[0-9]+)"
)


@dataclass(frozen=True, slots=True)
class Reference:
    """One output of another job. `position` counts from 0, as a template writes it."""

    job_id: str
    kind: Kind
    position: int
    url: str


def reference_url(job_id: str, kind: Kind, position: int) -> str:
    return f"https://{HOST}/{quote(job_id, safe='')}/{kind}/{position}"


def references_in(body: str) -> tuple[Reference, ...]:
    """Return the references in a body, each once, in order."""
    if HOST not in body:
        return ()
    found = dict.fromkeys(match.group() for match in _REFERENCE.finditer(body))
    return tuple(map(_read, found))


def resolved(body: str, urls: Mapping[str, str]) -> str:
    """Replace the references by the real URLs. Raises KeyError for a reference without one."""
    return _REFERENCE.sub(lambda match: _as_json(urls[match.group()]), body)


def as_written(body: str) -> str:
    """Return a body with its references and own files as a manifest writes them."""
    return with_paths(_with_expressions(body))


def as_published(body: str) -> str:
    """The same, without folders outside the manifest's own.

    For what people pass on: metadata.jsonl, exports, reports, and the live page, which is a report.
    """
    return with_public_paths(_with_expressions(body))


def _with_expressions(body: str) -> str:
    return resolved(body, {one.url: f"{{{{ {_expression(one)} }}}}" for one in references_in(body)})


def _expression(one: Reference) -> str:
    job = f"jobs.{one.job_id}" if one.job_id.isidentifier() else f"jobs['{one.job_id}']"
    return f"{job}.{one.kind}s[{one.position}]" if one.position else f"{job}.{one.kind}"


def _read(url: str) -> Reference:
    parts = _REFERENCE.fullmatch(url)
    assert parts is not None, "finditer found it"
    kind = cast("Kind", parts["kind"])
    return Reference(unquote(parts["job"]), kind, int(parts["position"]), url)


def _as_json(text: str) -> str:
    """Escape a text for a place between quotes in JSON."""
    return text.replace("\\", "\\\\").replace('"', '\\"')
