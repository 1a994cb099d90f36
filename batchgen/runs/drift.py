"""Where the vendor's schema of a model differs from the bundled one, and which jobs that breaks.

Titles, descriptions, defaults and order restrict nothing, so they are not compared. Only plain
rules are applied to a job: a schema that cannot be understood stops no run. Pure.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from batchgen.jobs import model_alias
from batchgen.models.dialect import normalized
from batchgen.references import as_written
from batchgen.text import plain_text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from batchgen.jobs import JsonObject, JsonValue
    from batchgen.manifest.policy import Policy
    from batchgen.models.catalog import Catalog


COMPARED = (
    "type",
    "format",
    "const",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "uniqueItems",
)
SAME_TYPE = {"float": "number"}
"""The dialect's name and JSON Schema's own."""

LONGEST_VALUE = 60
SHOWN_CHOICES = 4


def schema_differences(
    known: Mapping[str, JsonValue], live: JsonObject, known_as: str = "bundled"
) -> list[str]:
    """Give a sentence for each difference, such as `image_urls.maxItems is 6, bundled 10`.

    `known_as` is what the known schema is called. Both are brought into one form before.
    """
    rules = normalized(known)
    return list(_Comparison(known_as).schemas(rules, _in_one_form(live, rules), ""))


def _in_one_form(live: JsonObject, known: Mapping[str, JsonValue]) -> JsonObject:
    """The vendor's schema with its rules in one form; as it is if it is no schema at all.

    A name that it only requires, without a property, is left out unless the known schema has it.
    """
    try:
        found = normalized(live)
    except (TypeError, ValueError, AttributeError, RecursionError):
        return live
    names = mapping(live.get("properties")).keys() | mapping(known.get("properties")).keys()
    parts = mapping(found.get("properties"))
    return {**found, "properties": {name: part for name, part in parts.items() if name in names}}


@dataclass(frozen=True, slots=True)
class _Comparison:
    known_as: str

    def schemas(self, known: JsonObject, live: JsonObject, path: str) -> Iterator[str]:
        for key in COMPARED:
            before, now = rule_value(known, key), rule_value(live, key)
            if before != now:
                yield f"{plain(join(path, key))} is {words(now)}, {self.known_as} {words(before)}"
        yield from self._choices(known, live, path)
        yield from self._file_rules(known, live, path)
        yield from self._fields(known, live, path)
        # Only as deep as the known one: the vendor's may be of any depth.
        if isinstance(items := known.get("items"), dict):
            yield from self.schemas(items, mapping(live.get("items")), f"{path}[]")

    def _fields(self, known: JsonObject, live: JsonObject, path: str) -> Iterator[str]:
        ours, theirs = mapping(known.get("properties")), mapping(live.get("properties"))
        needed, needed_now = as_list(known.get("required")), as_list(live.get("required"))
        for name, wanted in ours.items():
            here = join(path, name)
            if name not in theirs:
                yield f"{plain(here)} is gone"
                continue
            if (name in needed) != (name in needed_now):
                yield f"{plain(here)} is {'required' if name in needed_now else 'optional'} now"
            yield from self.schemas(mapping(wanted), mapping(theirs[name]), here)
        for name in theirs:
            if name not in ours:
                kind = "a new required field" if name in needed_now else "a new field"
                yield f"{plain(join(path, name))} is {kind}"

    def _choices(self, known: JsonObject, live: JsonObject, path: str) -> Iterator[str]:
        before, now = as_list(known.get("enum")), as_list(live.get("enum"))
        if bool(before) != bool(now):
            yield f"{plain(join(path, 'enum'))} is {listed(now)}, {self.known_as} {listed(before)}"
            return
        if more := [one for one in now if one not in before]:
            yield f"{plain(path)} takes {listed(more)} too"
        if gone := [one for one in before if one not in now]:
            yield f"{plain(path)} no longer takes {listed(gone)}"

    def _file_rules(self, known: JsonObject, live: JsonObject, path: str) -> Iterator[str]:
        before, now = _rules(known), _rules(live)
        for rule in sorted(before.keys() | now.keys()):
            if before.get(rule) != now.get(rule):
                here = plain(join(path, rule))
                yield f"{here} is {words(now.get(rule))}, known {words(before.get(rule))}"


def _rules(schema: JsonObject) -> dict[str, JsonValue]:
    rules = [mapping(one) for one in as_list(schema.get("validations"))]
    return {
        str(rule.get("validation_rule")): _number(rule.get("validation_value")) for rule in rules
    }


def _number(value: JsonValue) -> JsonValue:
    """The dialect writes a limit as a number or as a text: 50 and "50" are one limit."""
    try:
        return float(value) if isinstance(value, int | float | str) else value
    except (ValueError, OverflowError):
        return value


def rule_value(schema: JsonObject, key: str) -> JsonValue:
    value = schema.get(key)
    return SAME_TYPE.get(value, value) if key == "type" and isinstance(value, str) else value


def words(value: JsonValue) -> str:
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:g}"
    return plain(json.dumps(value, ensure_ascii=False))


def listed(values: Sequence[JsonValue]) -> str:
    shown = ", ".join(map(words, values[:SHOWN_CHOICES]))
    more = f" and {len(values) - SHOWN_CHOICES} more" if len(values) > SHOWN_CHOICES else ""
    return f"{shown}{more}" or "none"


def plain(text: str) -> str:
    return plain_text(text, LONGEST_VALUE)


def join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def mapping(value: JsonValue) -> JsonObject:
    return value if isinstance(value, dict) else {}


def as_list(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []


@dataclass(frozen=True, slots=True)
class BrokenRule:
    """A current rule of the vendor's that a body breaks, as a sentence, and the value, if any.

    Bodies that break the same rule have the same `rule`.
    """

    rule: str
    got: str = ""


def broken_rules(
    bundled: Mapping[str, JsonValue], live: JsonObject, body: JsonObject, accepted: Collection[str]
) -> Iterator[BrokenRule]:
    """Find why the vendor would refuse a body that fits the bundled schema, or ignore a part of it.

    The values of `accepted` keys are not judged.
    """
    ours, theirs = mapping(bundled.get("properties")), mapping(live.get("properties"))
    # A schema without a single known field describes something other than the input.
    if ours.keys().isdisjoint(theirs):
        return
    judged = {key: value for key, value in body.items() if key not in accepted}
    for key, value in judged.items():
        if key in theirs:
            yield from _broken(mapping(ours.get(key)), mapping(theirs[key]), value, key)
        elif live.get("additionalProperties") in (None, False):
            yield BrokenRule(f"{plain(key)} is gone")
    required = [one for one in as_list(live.get("required")) if isinstance(one, str)]
    for key in required:
        if key in theirs and key not in body:
            yield BrokenRule(f"{plain(key)} is required now")


def _broken(
    bundled: JsonObject, live: JsonObject, value: JsonValue, path: str
) -> Iterator[BrokenRule]:
    """A rule that the bundled schema has too is already obeyed."""
    for key, breaks in _BREAKS.items():
        before, now = rule_value(bundled, key), rule_value(live, key)
        if now is not None and before != now and breaks(value, now):
            rule = f"{plain(join(path, key))} is {words(now)}, bundled {words(before)}"
            yield BrokenRule(rule, words(value))
    choices = as_list(live.get("enum"))
    if choices and choices != as_list(bundled.get("enum")) and value not in choices:
        yield BrokenRule(f"{plain(path)} takes {listed(choices)}", words(value))
    parts = bundled.get("items"), live.get("items")
    if isinstance(value, list) and isinstance(parts[0], dict) and isinstance(parts[1], dict):
        for item in value:
            yield from _broken(parts[0], parts[1], item, f"{path}[]")


def _number_or_none(value: JsonValue) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _compares(breaks: Callable[[float, float], bool]) -> Callable[[JsonValue, JsonValue], bool]:
    def judge(value: JsonValue, limit: JsonValue) -> bool:
        number, bound = _number_or_none(value), _number_or_none(limit)
        return number is not None and bound is not None and breaks(number, bound)

    return judge


def _measures(
    kind: type[str | list[JsonValue]], breaks: Callable[[float, float], bool]
) -> Callable[[JsonValue, JsonValue], bool]:
    def judge(value: JsonValue, limit: JsonValue) -> bool:
        bound = _number_or_none(limit)
        return isinstance(value, kind) and bound is not None and breaks(len(value), bound)

    return judge


_KINDS: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "float": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


def _is_other_type(value: JsonValue, types: JsonValue) -> bool:
    names = types if isinstance(types, list) else [types]
    known = [_KINDS[name] for name in names if isinstance(name, str) and name in _KINDS]
    if len(known) < len(names):
        return False
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool):
        return not any(bool in kinds for kinds in known)
    return not any(isinstance(value, kinds) for kinds in known)


_BREAKS: Mapping[str, Callable[[JsonValue, JsonValue], bool]] = {
    "type": _is_other_type,
    "const": lambda value, only: value != only,
    "minimum": _compares(lambda value, limit: value < limit),
    "maximum": _compares(lambda value, limit: value > limit),
    "exclusiveMinimum": _compares(lambda value, limit: value <= limit),
    "exclusiveMaximum": _compares(lambda value, limit: value >= limit),
    "minLength": _measures(str, lambda length, limit: length < limit),
    "maxLength": _measures(str, lambda length, limit: length > limit),
    "minItems": _measures(list, lambda length, limit: length < limit),
    "maxItems": _measures(list, lambda length, limit: length > limit),
}


SHOWN_JOBS = 3


@dataclass(slots=True)
class _Jobs:
    """The first few jobs that break a rule, and how many do; `got` is the first one's value."""

    got: str
    first: list[str] = field(default_factory=list)
    count: int = 0

    def sentence(self) -> str:
        got = f"; got {self.got}" if self.got else ""
        more = self.count - len(self.first)
        return f"{got} (job {', '.join(self.first)}{f' and {more:,} more' if more else ''})"


@dataclass(slots=True)
class RefusedJobs:
    """Inputs that the vendor no longer takes, by model and rule."""

    _found: dict[tuple[str, str], _Jobs] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, model: str, job_id: str, refusal: BrokenRule) -> None:
        jobs = self._found.setdefault((model, refusal.rule), _Jobs(refusal.got))
        jobs.count += 1
        if len(jobs.first) < SHOWN_JOBS:
            jobs.first.append(job_id)

    @property
    def models(self) -> list[str]:
        return list(dict.fromkeys(model for model, _ in self._found))

    def lines(self) -> list[str]:
        """Say `t2i: scale.maximum is 0.5, bundled 1; got 0.7 (job a, b, c and 117 more)`."""
        return [
            f"{model_alias(model)}: {rule}{jobs.sentence()}"
            for (model, rule), jobs in self._found.items()
        ]


WAYS_OUT = (
    "change these inputs, leave the model out (--model '!{alias}'), or have keys sent as they are"
    " (run.models: {{{model}: {{accept_fields: [KEY]}}}})"
)


def ways_out(model: str) -> str:
    return WAYS_OUT.format(alias=model_alias(model), model=model)


class LiveRules:
    """What the vendor's current schemas forbid, where they differ from the bundled ones.

    Keys in the manifest's `accept_fields` are not judged.
    """

    def __init__(
        self, changed: Mapping[str, Mapping[str, Any]], policy: Policy, catalog: Catalog
    ) -> None:
        """`changed`: the vendor's schema of each model where it differs from the catalog's."""
        self._catalog = catalog
        self._accepted = {name: limits.accept_fields for name, limits in policy.models.items()}
        self._live = changed

    @property
    def models(self) -> list[str]:
        """Models whose jobs need to be judged."""
        return list(self._live)

    def refusals(self, model: str, body: str) -> list[BrokenRule]:
        known, live = self._catalog.find(model), self._live.get(model)
        if known is None or live is None:
            return []
        accepted = self._accepted.get(model, ())
        now = _in_one_form(live, known.rules)
        return list(broken_rules(known.rules, now, json.loads(as_written(body)), accepted))

    def judged(self, jobs_of: Callable[[str], Iterable[tuple[str, str]]]) -> RefusedJobs:
        """Judge the jobs, `(id, body)`, that `jobs_of` gives for each model in question."""
        outdated = RefusedJobs()
        for model in self.models:
            for job_id, body in jobs_of(model):
                for refusal in self.refusals(model, body):
                    outdated.add(model, job_id, refusal)
        return outdated
