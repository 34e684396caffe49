"""A sample value of any JSON schema, the same for the same schema and text.

Used for tool arguments (required properties, and optional ones that the text mentions) and for structured output (all
properties, required ones first, in the order of the real service).
"""

from __future__ import annotations

import re
from typing import Any, Final

from modelmux.emulator.model.phrases import Phrases

_MAX_DEPTH: Final = 6
_FORMATS: Final = {
    "date-time": "2026-01-15T09:30:00Z",
    "date": "2026-01-15",
    "time": "09:30:00Z",
    "duration": "P1D",
    "email": "ada@example.com",
    "hostname": "example.com",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "6f1d9a52-0c7e-4b8f-9a63-2d5e8c1b7f40",
}
_PATTERN_SAMPLES: Final = (
    "a",
    "A",
    "1",
    "abc",
    "ABC",
    "123",
    "12345",
    "2026-01-15",
    "09:30",
    "a-b",
    "A1",
    "AB-123",
    "EUR",
)
_LOCATION_PROPERTIES: Final = (
    "city",
    "location",
    "place",
    "country",
    "town",
    "address",
    "destination",
    "origin",
    "region",
)
_TEXT_PROPERTIES: Final = (
    "query",
    "question",
    "prompt",
    "text",
    "message",
    "content",
    "input",
    "topic",
    "search",
    "task",
    "q",
)
_SAMPLES: Final = {
    "name": "Alex Johnson",
    "title": "A plausible title",
    "id": "id-1",
    "command": "ls -la",
    "unit": "celsius",
    "currency": "EUR",
}


class SchemaSampler:
    """Samples values, using the phrases of one text.

    ``include_optional``: also sample optional properties that the text does not mention. ``names``: the names to use,
    in order; several calls of one tool get different ones.
    """

    def __init__(self, root: Any, phrases: Phrases, *, include_optional: bool, names: list[str] | None = None) -> None:
        self._root = root
        self._phrases = phrases
        self._include_optional = include_optional
        self._names = list(phrases.names if names is None else names)
        self._quoted = list(phrases.quoted)
        self._numbers = list(phrases.numbers)

    def value(self, schema: Any = None, name: str = "", depth: int = 0) -> Any:
        """A value that conforms to a schema (by default the root)."""
        schema = self._resolve(self._root if schema is None else schema)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self._choice(schema["enum"])
        for key in ("anyOf", "oneOf"):
            if isinstance(schema.get(key), list) and schema[key]:
                return self.value(self._branch(schema[key], depth), name, depth + 1)
        if isinstance(schema.get("allOf"), list) and schema["allOf"]:
            return self.value(self._merged(schema), name, depth + 1)
        return self._of_type(schema, name, depth)

    def _of_type(self, schema: dict[str, Any], name: str, depth: int) -> Any:
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((k for k in kind if k != "null"), "null")
        if kind is None:
            kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, name, depth)
        if kind in ("integer", "number"):
            return self._number(schema, integer=kind == "integer")
        if kind == "boolean":
            return self._boolean(name)
        return None if kind == "null" else self._string(schema, name)

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        required = [key for key in schema.get("required") or [] if isinstance(key, str)]
        optional = [key for key in properties if key not in required]
        names = required + [key for key in optional if self._includes(key, properties[key], depth)]
        return {key: self.value(properties.get(key, {}), key, depth + 1) for key in names}

    def _includes(self, key: str, schema: Any, depth: int) -> bool:
        if depth >= _MAX_DEPTH:
            return False
        if self._include_optional or self._phrases.contains_word(key):
            return True
        choices = self._resolve(schema).get("enum")
        return isinstance(choices, list) and any(self._phrases.contains_word(str(choice)) for choice in choices)

    def _array(self, schema: dict[str, Any], name: str, depth: int) -> list[Any]:
        fixed = schema.get("prefixItems")
        if isinstance(fixed, list):
            return [self.value(item, name, depth + 1) for item in fixed]
        items = schema.get("items")
        min_items = _int(schema.get("minItems"), 0)
        if depth >= _MAX_DEPTH and not min_items:
            return []
        singular = name[:-3] + "y" if name.endswith("ies") else name.removesuffix("s")
        locations = len(self._names) if _is_text(items) and any(w in singular for w in _LOCATION_PROPERTIES) else 0
        count = min(max(min_items, locations, 1), _int(schema.get("maxItems"), 100))
        return [self.value(items if isinstance(items, dict) else {}, singular, depth + 1) for _ in range(count)]

    def _string(self, schema: dict[str, Any], name: str) -> str:
        sample = self._constrained_string(schema, name.lower()) or self._free_string(name.lower())
        min_length, max_length = _int(schema.get("minLength"), 0), _int(schema.get("maxLength"), 100_000)
        if len(sample) < min_length:
            sample = (sample + " " if sample else "x") * (min_length // max(len(sample), 1) + 1)
            sample = sample[:min_length]
        return sample[:max_length]

    def _constrained_string(self, schema: dict[str, Any], name: str) -> str | None:
        phrases, string_format = self._phrases, schema.get("format")
        if string_format in ("uri", "url") or "url" in name:
            return next(iter(phrases.urls), _FORMATS["uri"])
        if string_format == "email" or "email" in name:
            return next(iter(phrases.emails), _FORMATS["email"])
        if string_format == "date" or name in ("date", "day"):
            return next(iter(phrases.dates), _FORMATS["date"])
        if isinstance(string_format, str) and string_format in _FORMATS:
            return _FORMATS[string_format]
        pattern = schema.get("pattern")
        if isinstance(pattern, str):
            return _matching(pattern, [*phrases.quoted, *phrases.names, *_PATTERN_SAMPLES])
        examples = schema.get("examples")
        sample = schema.get("default", examples[0] if isinstance(examples, list) and examples else None)
        return sample if isinstance(sample, str) else None

    def _free_string(self, name: str) -> str:
        phrases = self._phrases
        if "expression" in name or "formula" in name or name in ("maths", "math", "calculation"):
            return phrases.expression() or "1 + 1"
        if any(word in name for word in _LOCATION_PROPERTIES) and self._names:
            return self._names.pop(0)
        if self._quoted:
            return self._quoted.pop(0)
        if name in _TEXT_PROPERTIES or name.endswith(_TEXT_PROPERTIES[:4]):
            return phrases.text or "hello"
        for word, sample in _SAMPLES.items():
            if name == word or name.endswith("_" + word):
                return self._names.pop(0) if word == "name" and self._names else sample
        if any(word in name for word in _LOCATION_PROPERTIES):
            return "Paris"
        return f"sample {name}".strip() if self._include_optional or not phrases.names else phrases.names[0]

    def _number(self, schema: dict[str, Any], *, integer: bool) -> Any:
        number: Any = self._numbers.pop(0) if self._numbers else schema.get("default", 1)
        if not isinstance(number, int | float) or isinstance(number, bool):
            number = 1
        step = schema.get("multipleOf")
        if isinstance(step, int | float) and step > 0:
            number = step * max(1, round(number / step))
        low, high = schema.get("minimum"), schema.get("maximum")
        above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
        unit = 1 if integer else 0.5
        if isinstance(low, int | float) and number < low:
            number = low
        if isinstance(above, int | float) and number <= above:
            number = above + unit
        if isinstance(high, int | float) and number > high:
            number = high
        if isinstance(below, int | float) and number >= below:
            number = below - unit
        return int(number) if integer else number

    def _boolean(self, name: str) -> bool:
        phrases = self._phrases
        return not (
            phrases.contains_word(f"no {name}")
            or phrases.contains_word("false")
            or phrases.contains_word(f"without {name}")
        )

    def _choice(self, choices: list[Any]) -> Any:
        return next((c for c in choices if isinstance(c, str) and self._phrases.contains_word(c)), choices[0])

    def _branch(self, branches: list[Any], depth: int) -> Any:
        """The first branch that is not null; beyond the depth limit null, if allowed, so that recursion ends."""
        resolved = [self._resolve(branch) for branch in branches]
        nulls = [b for b in resolved if b.get("type") == "null"]
        if depth >= _MAX_DEPTH and nulls:
            return nulls[0]
        return next((b for b in resolved if b.get("type") != "null"), resolved[0])

    def _merged(self, schema: dict[str, Any]) -> dict[str, Any]:
        parts = [self._resolve(part) for part in schema["allOf"]]
        merged: dict[str, Any] = {k: v for k, v in schema.items() if k != "allOf"}
        for part in parts:
            properties = {**merged.get("properties", {}), **part.get("properties", {})}
            required = [*merged.get("required", []), *part.get("required", [])]
            merged = {**merged, **part, "properties": properties, "required": required}
        return merged

    def _resolve(self, schema: Any) -> dict[str, Any]:
        """A schema with its local ``$ref`` resolved; an unresolvable one becomes the empty schema."""
        for _ in range(10):
            if not isinstance(schema, dict):
                return {}
            reference = schema.get("$ref")
            if not isinstance(reference, str):
                return schema
            schema = resolve_ref(self._root, reference)
        return {}


def resolve_ref(root: Any, reference: str) -> Any:
    """The schema that a local reference (``#/$defs/x``) points to, or None."""
    if not reference.startswith("#"):
        return None
    target = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        if part:
            target = target.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(target, dict) else None
    return target


def _matching(pattern: str, samples: list[str]) -> str:
    try:
        compiled = re.compile(pattern)
    except re.error:
        return samples[0]
    return next((sample for sample in samples if compiled.search(sample)), samples[0])


def _is_text(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("type") == "string"


def _int(value: Any, otherwise: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else otherwise
