"""The keywords of JSON Schema: each says whether a value fits it, None where that cannot be told.

What is not read (regular expressions, ``unevaluatedProperties``) makes the result uncertain instead of wrong.
``format`` is an annotation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, Protocol

from modelmux.claude.schema.reader import dict_in, list_in, names_in
from modelmux.claude.schema.work import Work

Json = dict[str, Any]
#: Whether a value fits; None where it cannot be told.
Verdict = bool | None


class Checker(Protocol):
    """What keywords need of ``SchemaChecker``, which describes it."""

    work: Work

    def fits(self, schema: Any, value: Any, level: int) -> Verdict: ...

    def target(self, reference: str) -> Any: ...

    def values_of(self, enum: list[Any]) -> frozenset[Any]: ...

    def comparable(self, value: Any) -> Any: ...


class Step(NamedTuple):
    """One keyword and the value that it is applied to.

    :param schema: which has the keyword.
    """

    checker: Checker
    schema: Json
    argument: Any
    value: Any
    level: int

    def fits(self, schema: Any, value: Any) -> Verdict:
        return self.checker.fits(schema, value, self.level)

    def entries(self) -> Iterable[tuple[str, Any]]:
        """Those of an argument that is an object."""
        entries = dict_in(self.argument)
        self.checker.work.charge(len(entries))
        return entries.items()


# --- verdicts on several values --------------------------------------------------------------------------------------


def _every(verdicts: Iterable[Verdict]) -> Verdict:
    """Whether all are true."""
    certain: Verdict = True
    for verdict in verdicts:
        if verdict is False:
            return False
        certain = certain and verdict
    return certain


def _some(verdicts: Iterable[Verdict]) -> Verdict:
    """Whether at least one is true."""
    certain: Verdict = False
    for verdict in verdicts:
        if verdict:
            return True
        certain = None if verdict is None else certain
    return certain


def _between(verdicts: list[Verdict], least: float, most: float) -> Verdict:
    """Whether the number of those that are true is within bounds."""
    known, unknown = verdicts.count(True), verdicts.count(None)
    if known + unknown < least or known > most:
        return False
    return True if known >= least and known + unknown <= most else None


# --- keywords for values of any type ---------------------------------------------------------------------------------


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: Final[Mapping[str, Callable[[Any], bool]]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": _is_number,
    "integer": lambda value: _is_number(value) and (isinstance(value, int) or value.is_integer()),
}


def _type(step: Step) -> Verdict:
    names = step.argument if isinstance(step.argument, list) else [step.argument]
    tests = [_TYPES.get(name) if isinstance(name, str) else None for name in names]
    return _some(test(step.value) if test is not None else None for test in tests)


def _enum(step: Step) -> Verdict:
    if not isinstance(step.argument, list):
        return None
    return step.checker.comparable(step.value) in step.checker.values_of(step.argument)


def _const(step: Step) -> Verdict:
    return bool(step.checker.comparable(step.argument) == step.checker.comparable(step.value))


def _ref(step: Step) -> Verdict:
    return step.fits(step.checker.target(step.argument), step.value) if isinstance(step.argument, str) else None


def _all_of(step: Step) -> Verdict:
    return _every(step.fits(part, step.value) for part in list_in(step.argument))


def _any_of(step: Step) -> Verdict:
    variants = list_in(step.argument)
    return _some(step.fits(part, step.value) for part in variants) if variants else None


def _one_of(step: Step) -> Verdict:
    variants = list_in(step.argument)
    return _between([step.fits(part, step.value) for part in variants], 1, 1) if variants else None


def _not(step: Step) -> Verdict:
    verdict = step.fits(step.argument, step.value)
    return None if verdict is None else not verdict


def _if(step: Step) -> Verdict:
    condition = step.fits(step.argument, step.value)
    if condition is None:
        return None
    return step.fits(step.schema.get("then" if condition else "else", True), step.value)


# --- keywords for objects --------------------------------------------------------------------------------------------


def _properties(step: Step) -> Verdict:
    value = step.value
    if not isinstance(value, dict):
        return True
    return _every(step.fits(part, value[name]) for name, part in step.entries() if name in value)


def _additional_properties(step: Step) -> Verdict:
    value, known = dict_in(step.value), dict_in(step.schema.get("properties"))
    step.checker.work.charge(len(value))
    others = [part for name, part in value.items() if name not in known]
    if others and "patternProperties" in step.schema:
        return True if step.argument is True else None
    return _every(step.fits(step.argument, part) for part in others)


def _pattern_properties(step: Step) -> Verdict:
    return None if isinstance(step.value, dict) and step.value else True


def _property_names(step: Step) -> Verdict:
    return _every(step.fits(step.argument, name) for name in dict_in(step.value))


def _required(step: Step) -> Verdict:
    step.checker.work.charge(len(list_in(step.argument)))
    return not isinstance(step.value, dict) or all(name in step.value for name in names_in(step.argument))


def _dependent_required(step: Step) -> Verdict:
    present = (names for key, names in step.entries() if key in dict_in(step.value))
    return _every(_required(step._replace(argument=names)) for names in present)


def _dependent_schemas(step: Step) -> Verdict:
    present = (part for key, part in step.entries() if key in dict_in(step.value))
    return _every(step.fits(part, step.value) for part in present)


# --- keywords for arrays ---------------------------------------------------------------------------------------------


def _items(step: Step) -> Verdict:
    if isinstance(step.argument, list):  # before draft 2020-12
        return _prefix_items(step)
    rest = list_in(step.value)[len(list_in(step.schema.get("prefixItems"))) :]
    return _every(step.fits(step.argument, item) for item in rest)


def _prefix_items(step: Step) -> Verdict:
    pairs = zip(list_in(step.argument), list_in(step.value), strict=False)
    return _every(step.fits(part, item) for part, item in pairs)


def _contains(step: Step) -> Verdict:
    if not isinstance(step.value, list):
        return True
    least, most = step.schema.get("minContains", 1), step.schema.get("maxContains", len(step.value))
    if not (_is_number(least) and _is_number(most)):
        return None
    return _between([step.fits(step.argument, item) for item in step.value], least, most)


def _unique_items(step: Step) -> Verdict:
    if step.argument is not True:
        return True
    items = list_in(step.value)
    return len({step.checker.comparable(item) for item in items}) == len(items)


# --- keywords that bound a number ------------------------------------------------------------------------------------


def _bound(measure: Callable[[Any], float | None], within: Callable[[float, float], bool]) -> Callable[[Step], Verdict]:
    """A keyword whose argument bounds a measure; ``measure`` gives None for a value that has none."""

    def apply(step: Step) -> Verdict:
        measured = measure(step.value)
        if measured is None:
            return True
        return within(measured, step.argument) if _is_number(step.argument) else None  # draft 4: a boolean

    return apply


def _number(value: Any) -> float | None:
    return value if _is_number(value) else None


def _size(value: Any) -> float | None:
    return len(value) if isinstance(value, dict) else None


def _count(value: Any) -> float | None:
    return len(value) if isinstance(value, list) else None


def _length(value: Any) -> float | None:
    return len(value) if isinstance(value, str) else None


def _at_least(measured: float, bound: float) -> bool:
    return measured >= bound


def _at_most(measured: float, bound: float) -> bool:
    return measured <= bound


def _multiple_of(step: Step) -> Verdict:
    if not _is_number(step.value):
        return True
    if not (isinstance(step.argument, int) and isinstance(step.value, int)) or step.argument <= 0:
        return None  # floats are not exact
    return step.value % step.argument == 0


def _pattern(step: Step) -> Verdict:
    return None if isinstance(step.value, str) else True  # a client's expression may take forever


KEYWORDS: Final[Mapping[str, Callable[[Step], Verdict]]] = {
    "type": _type,
    "enum": _enum,
    "const": _const,
    "$ref": _ref,
    "allOf": _all_of,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "not": _not,
    "if": _if,
    "properties": _properties,
    "additionalProperties": _additional_properties,
    "patternProperties": _pattern_properties,
    "propertyNames": _property_names,
    "required": _required,
    "dependentRequired": _dependent_required,
    "dependentSchemas": _dependent_schemas,
    "minProperties": _bound(_size, _at_least),
    "maxProperties": _bound(_size, _at_most),
    "items": _items,
    "prefixItems": _prefix_items,
    "contains": _contains,
    "uniqueItems": _unique_items,
    "minItems": _bound(_count, _at_least),
    "maxItems": _bound(_count, _at_most),
    "minLength": _bound(_length, _at_least),
    "maxLength": _bound(_length, _at_most),
    "pattern": _pattern,
    "minimum": _bound(_number, _at_least),
    "maximum": _bound(_number, _at_most),
    "exclusiveMinimum": _bound(_number, lambda measured, bound: measured > bound),
    "exclusiveMaximum": _bound(_number, lambda measured, bound: measured < bound),
    "multipleOf": _multiple_of,
}
#: Keywords that constrain a value and are not read.
UNREAD: Final = frozenset(
    {"$dynamicRef", "$recursiveRef", "additionalItems", "dependencies", "unevaluatedItems", "unevaluatedProperties"}
)
