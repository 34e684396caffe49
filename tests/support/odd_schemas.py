"""Schemas that clients may send: valid ones, and whatever older drafts, other dialects and sloppy generators write."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from modelmux.claude.schema.draft2020 import CHECKS

KEYWORDS: Final = [*CHECKS, "nullable", "additionalItems", "id", "example", "x-order"]
TYPES: Final = [
    "object", "array", "string", "integer", "number", "boolean", "null", "any", "STRING", "OBJECT", "int", "float",
    "list", "dict", "date", "file", "string|null", "", "Any",
]  # fmt: skip
#: Names of properties: legal, illegal, and of a form of their own.
NAMES: Final = st.one_of(
    st.sampled_from(["a", "b", "Account Number", "filter[id]", "数量", "", "a.b", "x" * 65, "a\n", "type", "required"]),
    st.text(max_size=5),
)
_SCALARS: Final = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([*TYPES, "5", "true", "^a+$", "[", r"\p{L}", "#/properties/a", "http://x#y"]), st.text(max_size=4),
)  # fmt: skip


def _values(schemas: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    keys = st.one_of(NAMES, st.sampled_from(KEYWORDS))
    return st.one_of(
        st.dictionaries(st.sampled_from(KEYWORDS), schemas, max_size=5),
        st.dictionaries(st.sampled_from(["type", "properties", "required", "items", "minimum"]), schemas, max_size=4),
        st.dictionaries(keys, schemas, max_size=4),
        st.lists(schemas, max_size=3),
    )


#: Any JSON, with a liking for what schemas consist of.
SCHEMA_VALUES: Final[st.SearchStrategy[Any]] = st.recursive(_SCALARS, _values, max_leaves=20)
#: Any object that a client may send as a schema, most of them with few keywords.
SCHEMAS: Final[st.SearchStrategy[dict[str, Any]]] = st.tuples(
    st.dictionaries(st.sampled_from(KEYWORDS), SCHEMA_VALUES, max_size=4),
    st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(TYPES),
            "properties": st.dictionaries(NAMES, SCHEMA_VALUES, max_size=4),
            "required": st.lists(NAMES, max_size=3),
        },
    ),
).map(lambda parts: parts[0] | parts[1])


def valid_by_jsonschema(schema: Any) -> bool:
    """What the judge says: the metaschema of draft 2020-12, whatever ``$schema`` names."""
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError:
        return False
    return True
