"""A schema with keys under its root renamed, wherever it speaks of the same object.

A schema within it describes either the object whose keys are renamed or another value, whose keys stay. A reference
from one to a schema of the other kind would now mean the wrong keys: it gets a copy of its target in ``$defs``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urljoin

import msgspec

from modelmux.claude.schema.conformance import SchemaChecker
from modelmux.claude.schema.draft2020 import compiles
from modelmux.claude.schema.patterns import cost_of
from modelmux.claude.schema.reader import unescaped
from modelmux.claude.schema.work import TooMuchWork, Work

#: Levels of schemas that describe the same object: below, keys stay.
_MAX_LEVELS: Final = 20
#: Levels of JSON that are searched for references.
_MAX_JSON_LEVELS: Final = 150
#: Schemas and values that copies may hold together.
_MAX_COPIED: Final = 20_000
#: Keywords with schemas of the same object, and those that name its keys.
_SAME_OBJECT: Final = ("if", "then", "else", "not")
_VARIANTS: Final = ("allOf", "anyOf", "oneOf")
_NAMED: Final = ("dependentSchemas", "dependentRequired", "dependencies")
_VALUES: Final = ("examples", "enum")
_VALUE: Final = ("default", "const")
_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")
#: Keywords that name a schema or begin a document: a copy has none.
_IDENTITY: Final = frozenset({"$id", "$schema", "$anchor", "$dynamicAnchor", "$recursiveAnchor", "$vocabulary"})
_DEFINITIONS: Final = ("$defs", "definitions")
#: Keywords of ``propertyNames`` that take the new names as soon as they list these.
_LISTING: Final = frozenset({"enum", "const", "type", "title", "description"})
#: Without groups, with at most one repetition, and nothing that Python warns of.
_READABLE_PATTERN: Final = re.compile(
    r"(?!.*(?:\[\[|--|&&|~~|\|\|))(?:[^()*+?{]|\\.)*+[*+?]?(?:[^()*+?{]|\\.)*+", re.DOTALL
)
#: Characters of patterns and keys that are matched, and how many times: patterns with one repetition take no longer
#: than the square of it.
_MAX_MATCHED: Final = 200
_MAX_MATCHES: Final = 500
#: Bytes of a copy for a unit of ``Work``; of the square of the characters that are matched; keys that are looked at.
_COPIED: Final = 16
_MATCHED: Final = 256
_LOOKED_AT: Final = 8

Json = dict[str, Any]


class _Target(NamedTuple):
    """What a reference points to.

    :param pointer: with the new keys.
    :param same_object: whether keys are renamed where it stands.
    """

    value: Any
    pointer: str
    same_object: bool


class SchemaRenaming:
    """One schema while keys under its root are renamed.

    :param rename_value: renames keys of one object, an example of the values.
    :param work: what is left for the schemas of the request.
    """

    def __init__(self, root: Json, names: Mapping[str, str], rename_value: Callable[[Json], Json], work: Work) -> None:
        self._root = root
        self._names = names
        self._work = work
        self._mentioned = frozenset((*names, *_REFERENCES, "properties"))
        self._rename_value = rename_value
        base = root.get("$id")
        self._base = base.partition("#")[0] if isinstance(base, str) else ""
        self._checker = SchemaChecker(root, work)
        self._copies: dict[tuple[str, bool], str] = {}
        self._pending: list[tuple[str, Any, bool]] = []
        self._copied = 0
        self._matches = 0

    def renamed(self) -> Json:
        """The schema with its new keys.

        :raises TooMuchWork: copies and patterns take more than is left.
        """
        result: Json = self._schema(self._root, True, 0, 0)
        definitions: Json = {}
        while self._pending:
            name, value, same_object = self._pending.pop()
            definitions[name] = self._schema(value, same_object, 0, 0, copies=True)
        return {**result, "$defs": {**result.get("$defs", {}), **definitions}} if definitions else result

    def _schema(self, schema: Any, same: bool, level: int, depth: int, *, copies: bool = False) -> Any:
        """A part of the schema.

        :param same: whether it describes the object whose keys are renamed.
        :param level: of schemas of that object. :param depth: of JSON.
        """
        if isinstance(schema, list) and depth <= _MAX_JSON_LEVELS:
            return [self._schema(part, same, level, depth + 1, copies=copies) for part in schema]
        if not isinstance(schema, dict) or depth > _MAX_JSON_LEVELS:
            return schema
        self._copied += copies
        if level > _MAX_LEVELS:
            same = False
        if isinstance(schema.get("$id"), str) and schema is not self._root and not same and not copies:
            return schema  # a document of its own

        def inside(part: Any, same: bool = False) -> Any:
            return self._schema(part, same, level + 1, depth + 1, copies=copies)

        left_out = _IDENTITY.union(_DEFINITIONS if schema is self._root else ()) if copies else ()
        return {key: self._keyword(key, part, same, inside) for key, part in schema.items() if key not in left_out}

    def _keyword(self, key: str, value: Any, same: bool, inside: Callable[..., Any]) -> Any:
        if key in _REFERENCES and isinstance(value, str):
            return self._reference(value, same)
        if key in _VALUES or key in _VALUE:
            return self._values(value, listed=key in _VALUES) if same else value
        if key == "required" and same:
            return self._listed(value)
        if isinstance(value, dict):
            if key in _NAMED:
                return {self._new(name, same): self._dependent(part, same, inside) for name, part in value.items()}
            if key == "propertyNames" and same:
                return self._property_names(inside(value), value)
            if key in ("properties", "patternProperties", *_DEFINITIONS):
                rename = self._pattern if key == "patternProperties" else self._new
                return {rename(name, same and key not in _DEFINITIONS): inside(part) for name, part in value.items()}
        return inside(value, same and key in (*_SAME_OBJECT, *_VARIANTS))

    def _new(self, name: Any, same: bool = True) -> Any:
        return self._names.get(name, name) if same and isinstance(name, str) else name

    def _listed(self, value: Any) -> Any:
        return list(map(self._new, value)) if isinstance(value, list) else value

    def _dependent(self, part: Any, same: bool, inside: Callable[..., Any]) -> Any:
        if isinstance(part, list):
            return self._listed(part) if same else part
        return inside(part, same)

    def _values(self, value: Any, *, listed: bool) -> Any:
        if listed and isinstance(value, list):
            return [self._values(part, listed=False) for part in value]
        return self._rename_value(value) if isinstance(value, dict) else value

    def _property_names(self, schema: Json, own: Json) -> Json:
        """A schema of names that takes the new name of every key that the client's takes."""
        renamed = {key: self._listed(v) if key == "enum" else v for key, v in schema.items()}
        if "const" in renamed:
            renamed["const"] = self._new(renamed["const"])
        self._work.charge(len(self._names) // _LOOKED_AT)
        allowed = [] if own.keys() <= _LISTING else [new for key, new in self._names.items() if self._takes(own, key)]
        return {"anyOf": [{"enum": allowed}, renamed]} if allowed else renamed

    def _takes(self, schema: Json, key: str) -> bool:
        try:
            return self._checker.fits(schema, key, 0) is not False
        except TooMuchWork:
            if self._work.left < 0:
                raise
            return True  # nested too deeply

    def _pattern(self, pattern: str, same: bool = True) -> str:
        """A pattern of keys that matches the new key where it matches the old one; the same if that cannot be told."""
        if not same or len(pattern) > _MAX_MATCHED or not _READABLE_PATTERN.fullmatch(pattern) or not compiles(pattern):
            return pattern
        self._work.charge(cost_of(pattern) + len(self._names) // _LOOKED_AT)
        compiled = re.compile(pattern)
        added: list[str] = []
        removed: list[str] = []
        for key, new in self._names.items():
            self._matches += 1
            if len(key) <= _MAX_MATCHED and self._matches <= _MAX_MATCHES:
                self._work.charge(1 + len(key) ** 2 // _MATCHED)
                matches = compiled.search(key) is not None
                if matches != (compiled.search(new) is not None):
                    (added if matches else removed).append(re.escape(new))
        result = rf"^(?!(?:{'|'.join(removed)})$)[\s\S]*?(?:{pattern})" if removed else pattern
        result = f"(?:{result})|^(?:{'|'.join(added)})$" if added else result
        self._work.charge(cost_of(result))
        return result if compiles(result) else pattern

    def _reference(self, reference: str, same: bool) -> str:
        target = self._target(reference)
        if target is None:
            return reference
        if target.same_object == same or not isinstance(target.value, dict):
            return target.pointer
        key = (target.pointer, same)
        if key not in self._copies:
            if self._copied > _MAX_COPIED or not self._differs(target.value):
                return target.pointer
            name = f"{'renamed' if same else 'original'}_{len(self._copies)}"
            while name in self._root.get("$defs", ()):
                name += "_"
            self._work.charge(_size(target.value) // _COPIED)
            self._copies[key] = name
            self._pending.append((name, target.value, same))
        document = reference.partition("#")[0]
        return f"{document}#/$defs/{self._copies[key]}"

    def _target(self, reference: str) -> _Target | None:
        """None for a reference to another document, or by a name."""
        document, mark, fragment = reference.partition("#")
        if document and not self._is_own(document):
            return None
        if fragment and not fragment.startswith("/"):
            return None
        value: Any = self._root
        same, level, keyword = True, 0, ""
        steps = fragment.split("/")[1:]
        for index, step in enumerate(steps):
            name = unescaped(unquote(step))
            if keyword in ("properties", *_NAMED, *_VARIANTS):  # this step is a name or an index in it
                if keyword not in _VARIANTS:
                    steps[index] = self._names.get(name, step) if same else step
                same = same and keyword != "properties"
                keyword = ""
            elif name in _SAME_OBJECT:
                level += 1
            elif name in ("properties", *_NAMED, *_VARIANTS):
                level += name != "properties"
                keyword = name
            else:
                same = False
            same = same and level <= _MAX_LEVELS
            value = _step(value, name)
        return _Target(value, "".join((document, mark, *(f"/{step}" for step in steps))), same)

    def _is_own(self, document: str) -> bool:
        self._work.charge((len(self._base) + len(document)) // _COPIED)
        try:
            return bool(self._base) and urljoin(self._base, document) == self._base
        except ValueError:
            return False

    def _differs(self, schema: Any) -> bool:
        """Whether a schema may mention renamed keys, itself or by a reference."""
        pending, seen = [schema], 0
        while pending:
            part = pending.pop()
            seen += 1
            if isinstance(part, str) and part in self._names:
                break
            if isinstance(part, dict):
                if not self._mentioned.isdisjoint(part):
                    break
                pending += part.values()
            elif isinstance(part, list):
                pending += part
        else:
            self._copied += seen
            self._work.charge(seen)
            return False
        self._work.charge(seen + len(pending) // _LOOKED_AT)
        return True


def _size(value: Any) -> int:
    """Bytes of JSON."""
    return len(msgspec.json.encode(value, enc_hook=float))


def _step(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return value.get(name)
    return value[int(name)] if isinstance(value, list) and name.isdecimal() and int(name[:9]) < len(value) else None
