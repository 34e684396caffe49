"""Forms and queries, each name of which comes once."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from modelmux.admin.app import read_body
from modelmux.admin.operation import MAX_BODY
from modelmux.errors import InvalidRequest, UnsupportedMediaType
from modelmux.server.responses import Receive, Scope

_MAX_FIELDS: Final = 50
_TYPE: Final = b"application/x-www-form-urlencoded"


def read_query(scope: Scope) -> dict[str, str]:
    """:raises InvalidRequest:"""
    return _once(scope.get("query_string", b""))


async def read_form(scope: Scope, receive: Receive, most: int = MAX_BODY) -> dict[str, str]:
    """:param most: bytes. :raises InvalidRequest, UnsupportedMediaType, PayloadTooLarge, ClientDisconnected:"""
    kind = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
    if kind.partition(b";")[0].strip().lower() != _TYPE:
        raise UnsupportedMediaType("This is not a form.", hint="Programs use the admin API.")
    return _once(await read_body(receive, most))


def _once(text: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(text.decode("ascii"), keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")
    except ValueError:
        raise InvalidRequest("The fields cannot be read.", hint="Load the page again.") from None
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise InvalidRequest("A field comes twice.", hint="Load the page again.")
    return fields
