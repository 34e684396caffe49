"""Schemas that cost more than their length, as far as known."""

from __future__ import annotations

from typing import Final

from bench.costly.forms import Grower, Json, object_schema


def _doubling(keyword: str) -> Grower:
    """Definitions that each use the next one twice: 2**n uses."""

    def build(count: int) -> Json:
        uses = {f"d{i}": {keyword: [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(count)}
        return {keyword: [{"$ref": "#/$defs/d0"}], "$defs": {**uses, f"d{count}": object_schema()}}

    return build


def _doubling_properties(count: int) -> Json:
    """The same below properties, which only a strict tool reads."""
    uses = {
        f"d{i}": object_schema(
            properties={k: {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}], "description": "x"} for k in "ab"},
            required=["a", "b"],
            additionalProperties=False,
        )
        for i in range(count)
    }
    return object_schema(
        properties={"r": {"$ref": "#/$defs/d0"}},
        required=["r"],
        additionalProperties=False,
        **{"$defs": {**uses, f"d{count}": {"type": "string"}}},
    )


def _wide_variants(keyword: str) -> Grower:
    """Many variants with one large definition behind each."""

    def build(count: int) -> Json:
        half = max(1, count // 2)
        large = object_schema(properties={f"p{i}": {"type": "string"} for i in range(half)}, required=["p0"])
        return {keyword: [{"$ref": "#/$defs/d"}] * half, "$defs": {"d": large}}

    return build


def _long_reference(count: int) -> Json:
    """References with long paths, each followed step by step."""
    reference = "#" + "/$defs/a" * 50
    return {"anyOf": [{"$ref": reference}] * count, "$defs": {"a": {"$defs": {"a": {}}}}}


def _shared_properties(count: int) -> Json:
    """Keywords beside variants are repeated in each of them."""
    half = max(1, count // 2)
    properties = {f"p{i}": {"type": "string"} for i in range(half)}
    return object_schema(
        properties={"x": object_schema(properties=properties, anyOf=[{"required": ["p0"]}] * half)}, required=["x"]
    )


def _chain(count: int) -> Json:
    """A chain of references."""
    links = {f"d{i}": {"$ref": f"#/$defs/d{i + 1}"} for i in range(count)}
    return object_schema(
        properties={"x": {"$ref": "#/$defs/d0"}}, **{"$defs": {**links, f"d{count}": {"type": "string"}}}
    )


def _nested(levels: int) -> Grower:
    def build(count: int) -> Json:
        def one() -> Json:
            part: Json = {"type": "string", "minLength": "1"}
            for _ in range(levels):
                part = {"type": "array", "items": part}
            return part

        return object_schema(properties={f"p{i}": one() for i in range(max(1, count // levels))})

    return build


#: Every character of the first plane.
_WIDE_RANGE: Final = "[\x00-\uffff]"


def _odd(count: int) -> Json:
    """Keys that Claude does not accept."""
    return {f"ä {i}": {} for i in range(count)}


def _spelt(number: int) -> str:
    """One name in many spellings of a reference."""
    return "".join(f"%{ord(c):02x}" if number >> i & 1 else c for i, c in enumerate("abcdefghijkl"))


SCHEMAS: Final[dict[str, Grower]] = {
    **{f"doubling {k}": _doubling(k) for k in ("allOf", "anyOf", "oneOf")},
    "doubling properties": _doubling_properties,
    **{f"wide {k}": _wide_variants(k) for k in ("allOf", "anyOf", "oneOf")},
    "long references": _long_reference,
    "shared properties": _shared_properties,
    "chain": _chain,
    "nested": _nested(90),
    "nested less": _nested(20),
    "patterns": lambda n: object_schema(
        properties={f"p{i}": {"type": "string", "pattern": f"(?:[a-z{i}]|(?:x{i}|y)?){{1,9}}" * 20} for i in range(n)}
    ),
    "one long pattern": lambda n: object_schema(properties={"p": {"type": "string", "pattern": "(a|b)" * n}}),
    "patterns of one character": lambda n: object_schema(
        properties={f"p{i}": {"pattern": chr(0x4E00 + i % 20000)} for i in range(n)}
    ),
    "nested patterns": lambda n: object_schema(
        properties={f"p{i}": {"pattern": "(" * 40 + f"[^{i}]" + ")*" * 40} for i in range(n)}
    ),
    "sets in patterns": lambda n: object_schema(
        properties={
            f"p{i}": {"pattern": "(?i)[" + "".join(chr(0x400 + 7 * k + i % 7) for k in range(300)) + "]"}
            for i in range(n)
        }
    ),
    "wide ranges in a pattern": lambda n: object_schema(
        properties={"p": {"type": "string", "pattern": "(?i)" + _WIDE_RANGE * min(n, 398)}}, required=["p"]
    ),
    "wide ranges in patterns": lambda n: object_schema(
        properties={f"p{i}": {"type": "string", "pattern": f"{i}" + _WIDE_RANGE * 90} for i in range(n)},
        required=[f"p{i}" for i in range(n)],
        additionalProperties=False,
    ),
    "ranges in patterns": lambda n: object_schema(
        properties={f"p{i}": {"pattern": f"(?i){i}" + "[ -~]" * 390} for i in range(n)}
    ),
    "counted patterns": lambda n: object_schema(
        properties={f"p{i}": {"pattern": f"(?:a{{1,{i + 1}}}){{1,99}}" * 30} for i in range(n)}
    ),
    "pattern properties": lambda n: object_schema(patternProperties={f"^(a|{i})[x-z]+$": {} for i in range(n)}),
    "refused patterns": lambda n: object_schema(properties={f"p{i}": {"pattern": f"(a|b{i}" * 9} for i in range(n)}),
    "properties": lambda n: object_schema(properties={f"p{i}": {"type": "string"} for i in range(n)}),
    "strict properties": lambda n: object_schema(
        properties={f"p{i}": {"type": "string", "minLength": 1} for i in range(n)},
        required=[f"p{i}" for i in range(n)],
        additionalProperties=False,
    ),
    "odd keys": lambda n: object_schema(properties=_odd(n)),
    "odd keys and references": lambda n: object_schema(
        properties={f"ä {i}": {"$ref": f"#/properties/ä {i + 1}"} for i in range(n)}
    ),
    "odd keys and copies": lambda n: object_schema(
        properties=_odd(1),
        **{"not": {"allOf": [{"$ref": f"#/x/{_spelt(i)}"} for i in range(n)]}},
        x={_spelt(0): {"properties": {"ä 0": {"description": "x" * 20 * n}}}},
    ),
    "odd keys and the same target": lambda n: object_schema(
        properties=_odd(1), x=[{"$ref": "#/not"}] * n, **{"not": {"default": [[]] * 10 * n}}
    ),
    "odd keys and names": lambda n: object_schema(
        properties=_odd(n), **{"not": {"allOf": [{"propertyNames": {"minLength": 1}}] * n}}
    ),
    "odd keys and patterns": lambda n: object_schema(
        properties={f"ä {i}".ljust(190, "a"): {} for i in range(n)}, patternProperties={f"a*b{i}": {} for i in range(n)}
    ),
    "odd keys and examples": lambda n: object_schema(properties=_odd(n), examples=[{}] * n),
    "odd keys and a long name": lambda n: object_schema(
        properties=_odd(1), x=[{"$ref": f"http://a/{i}#/x"} for i in range(n)], **{"$id": "http://a/" + "x" * 20 * n}
    ),
    "old types": lambda n: object_schema(properties={f"p{i}": {"type": "str"} for i in range(n)}),
    "old required": lambda n: object_schema(properties={f"p{i}": {"required": True} for i in range(n)}),
    "required": lambda n: object_schema(required=[f"p{i}" for i in range(n)]),
    "repeated required": lambda n: object_schema(required=["p"] * n),
    "enum": lambda n: object_schema(properties={"p": {"enum": [f"v{i}" for i in range(n)], "nullable": True}}),
    "enum of numbers": lambda n: object_schema(properties={"p": {"enum": list(range(n))}}),
    "types": lambda n: object_schema(
        properties={f"p{i}": {"type": ["string", "null"], "nullable": True} for i in range(n)}
    ),
    "unions": lambda n: object_schema(properties={f"p{i}": {"anyOf": [{}, {"type": "null"}]} for i in range(n)}),
    "prefix items": lambda n: object_schema(
        properties={"p": {"type": "array", "prefixItems": [{"const": i} for i in range(n)]}}
    ),
    "root variants": lambda n: {"anyOf": [object_schema(properties={f"p{i}": {"const": i}}) for i in range(n)]},
    "root variants of one name": lambda n: {"anyOf": [object_schema(properties={"p": {"const": i}}) for i in range(n)]},
    "root allOf of one name": lambda n: {"allOf": [object_schema(properties={"p": {"const": i}}) for i in range(n)]},
    "root allOf with rest": lambda n: {"allOf": [object_schema(**{f"x-{i}": i}) for i in range(n)]},
    "allOf of one name": lambda n: object_schema(
        properties={"x": {"allOf": [object_schema(properties={"p": {"const": i}}) for i in range(n)]}}, required=["x"]
    ),
    "allOf with titles": lambda n: object_schema(
        properties={"x": {"allOf": [{"type": "string", "minLength": i} for i in range(n)]}}, required=["x"]
    ),
    "empty schemas": lambda n: {"allOf": [{}] * n},
    "definitions": lambda n: object_schema(**{"$defs": {f"d{i}": {} for i in range(n)}}),
    "empty lists": lambda n: object_schema(properties={"p": {"default": [[]] * n}}),
    "dependencies": lambda n: object_schema(dependencies={f"p{i}": ["a", "a"] for i in range(n)}),
    "description lists": lambda n: object_schema(properties={f"p{i}": {"description": ["a", "b"]} for i in range(n)}),
}
