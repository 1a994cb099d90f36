"""README.md: the dataset card in the Hugging Face hub's format.

Its header lists each split's files, because a loader that has to guess takes `train/test-tube.png`
for a file of the split `test`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from batchgen.export.folder import Count

LICENSE_LINE = "# license: choose one, e.g. cc-by-4.0, and remove the leading #"
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
LARGEST = "1M<n<10M"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the prompts come from: file names, never paths of this machine."""

    name: str
    manifests: tuple[str, ...]
    data_files: tuple[str, ...] = ()
    rehearsal: bool = False


def card(
    origin: Origin,
    contents: str,
    counts: Sequence[Count],
    configs: Mapping[str, Mapping[str, str]],
) -> Iterator[str]:
    """Yield the card's text. `contents` is a sentence about the format.

    `configs`: for each config, the pattern of each split's files.
    """
    files = sum(count.files for count in counts)
    yield from _header(origin, files, configs)
    yield f"\n# {_escaped(origin.name)}\n\n"
    yield f"{_files(counts)}, made with batchgen. {contents}\n"
    if origin.rehearsal:
        yield "\nThis was a rehearsal: the emulator drew these files, no model made them.\n"
    yield "\n## Counts\n\n"
    yield from _table(("split", "kind"), _by_split(counts))
    yield "\n## Models\n\n"
    yield from _table(("model", "kind"), _by_model(counts))
    yield "\n## Prompts\n\n"
    yield f"The prompts come from {_names(origin.manifests)}"
    yield f", filled in with {_names(origin.data_files)}.\n" if origin.data_files else ".\n"
    yield "The fields `prompt` and `input` hold what was sent for each file.\n"
    yield "\n## Licence\n\nNot chosen yet: state it here, and in `license` above.\n"


def _header(origin: Origin, files: int, configs: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    size = next((name for bound, name in SIZES if files < bound), LARGEST)
    values: dict[str, object] = {
        "pretty_name": origin.name,
        "tags": ["batchgen", "synthetic"],
        "size_categories": [size],
    }
    if configs:
        values["configs"] = [
            {
                "config_name": name,
                "data_files": [{"split": one, "path": path} for one, path in patterns.items()],
            }
            for name, patterns in configs.items()
        ]
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    yield f"---\n{LICENSE_LINE}\n{text}---\n"


def _files(counts: Sequence[Count]) -> str:
    kinds = {count.kind: 0 for count in counts}
    for count in counts:
        kinds[count.kind] += count.files
    return " and ".join(
        f"{number:,} {kind}{'' if number == 1 else 's'}" for kind, number in sorted(kinds.items())
    )


def _by_split(counts: Sequence[Count]) -> dict[tuple[str, str], tuple[int, int]]:
    return _sums(((count.split, count.kind), count) for count in counts)


def _by_model(counts: Sequence[Count]) -> dict[tuple[str, str], tuple[int, int]]:
    return _sums(((count.model, count.kind), count) for count in counts)


def _sums(
    named: Iterable[tuple[tuple[str, str], Count]],
) -> dict[tuple[str, str], tuple[int, int]]:
    sums: dict[tuple[str, str], tuple[int, int]] = {}
    for name, count in named:
        files, size = sums.get(name, (0, 0))
        sums[name] = files + count.files, size + count.bytes
    return sums


def _table(
    heads: tuple[str, str], rows: Mapping[tuple[str, str], tuple[int, int]]
) -> Iterator[str]:
    yield f"| {heads[0]} | {heads[1]} | files | bytes |\n|---|---|---:|---:|\n"
    for names, (files, size) in rows.items():
        yield f"| {names[0]} | {names[1]} | {files:,} | {size:,} |\n"


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{_escaped(name).replace('`', '')}`" for name in names)


def _escaped(text: str) -> str:
    """Escape a name, so that it can begin no paragraph, table cell or tag."""
    return " ".join(text.split()).replace("<", "&lt;").replace("|", "&#124;")
