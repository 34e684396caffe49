"""Message threads are refused in the form by which the SDKs' tool runners learn to go without them."""

from __future__ import annotations

import pytest

from modelmux.catalog import builtin
from modelmux.claude.native import NativeRequest
from modelmux.claude.options import Options
from modelmux.errors import InvalidRequest
from modelmux.providers.vertex_claude.native.prepare import prepare_native


def test_a_thread_is_refused_as_the_sdks_expect_it() -> None:
    content = {"messages": [], "thread": {"type": "new"}}
    native = NativeRequest(b"{}", content, [])
    card = builtin().find("claude-opus-5-5")
    assert card is not None
    with pytest.raises(InvalidRequest, match="does not offer message threads") as raised:
        prepare_native(native, card, Options())
    assert raised.value.details == {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
