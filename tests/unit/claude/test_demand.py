"""Risk: a request uses more than was reserved for it, so that a budget is passed; or far less, so that it is refused.

Beside made-up requests, the recorded ones: their real usage is below the bound. Left out is what Claude on Vertex AI
does not offer, and what is stated as not exact: results of web searches.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.claude.demand import Demand, demand_of
from modelmux.emulator.model import tokens
from support.recorded_messages import recorded_message
from support.recordings import recordings
from support.translation import SONNET

#: Marks of what is not offered on Vertex AI, or not exact.
_ELSEWHERE = ("mcp_servers", "code_execution", "container", "file_id", "web_search", "web_fetch", '"type":"url"')


def encoded(**fields: Any) -> bytes:
    body = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 100} | fields
    return json.dumps(body, separators=(",", ":")).encode()


@pytest.mark.parametrize("recording", recordings("message", "stream"))
def test_recorded_requests_used_less(recording: dict[str, Any]) -> None:
    request = recording.get("upstream_request")
    body = json.dumps(request, separators=(",", ":"))
    if not isinstance(request, dict) or any(mark in body for mark in _ELSEWHERE):
        pytest.skip("no request, or one that is not served here")
    usage = recorded_message(recording).get("usage") or {}
    demand = demand_of(body.encode(), SONNET)
    names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    assert sum(usage.get(name) or 0 for name in names) <= demand.prompt
    assert (usage.get("output_tokens") or 0) <= demand.output


@given(st.text(max_size=400), st.integers(0, 10**6))
def test_text_takes_no_more_than_the_bound(text: str, limit: int) -> None:
    demand = demand_of(encoded(messages=[{"role": "user", "content": text}], max_tokens=limit), SONNET)
    assert demand.prompt >= tokens.of_text(text) + tokens.MESSAGE_OVERHEAD
    assert demand.output == limit


def test_what_else_counts_is_read() -> None:
    plain = demand_of(encoded(), SONNET)
    assert plain == Demand(prompt=plain.prompt, output=100)
    assert plain.prompt < 200
    marked = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}
    assert demand_of(encoded(system=[marked]), SONNET).writes == "5m"
    marked["cache_control"] = {"type": "ephemeral", "ttl": "1h"}
    assert demand_of(encoded(system=[marked]), SONNET).writes == "1h"
    assert demand_of(encoded(speed="fast"), SONNET).fast
    searched = demand_of(encoded(tools=[{"type": "web_search_20250305", "name": "web_search", "max_uses": 3}]), SONNET)
    assert (searched.searches, searched.prompt > plain.prompt + 3 * 20_000) == (3, True)
    assert demand_of(encoded(tools=[{"type": "web_search_20250305", "name": "web_search"}]), SONNET).searches == 10


def test_without_a_limit_the_output_is_the_models_largest() -> None:
    assert demand_of(encoded(max_tokens=None), SONNET).output == SONNET.max_output


@pytest.mark.parametrize("fields", [{"max_tokens": "9"}, {"tools": [1]}, {"tools": "x"}, {"speed": 1}])
def test_a_body_that_the_upstream_refuses_is_no_error_here(fields: dict[str, Any]) -> None:
    assert demand_of(encoded(**fields), SONNET).prompt > 0


@pytest.mark.parametrize("odd", [{"max_tokens": 9.5}, {"tools": [1]}, {"temperature": [], "speed": "fast"}])
def test_a_value_of_another_type_hides_no_other(odd: dict[str, Any]) -> None:
    """The upstream may take what is not taken here."""
    search = {"type": "web_search_20250305", "max_uses": 3}
    fields = {"speed": "fast", "max_tokens": 50} | odd | {"tools": [search, *odd.get("tools", [{"max_uses": "x"}])]}
    demand = demand_of(encoded(**fields), SONNET)
    assert (demand.searches, demand.fast) == (3, True)
    assert demand.output == (50 if fields["max_tokens"] == 50 else 10)


@pytest.mark.parametrize(("uses", "searches"), [(30.0, 30), ("3", 10), (-1, 0), (-1.5, 0), (1e300, 10_000)])
def test_a_number_of_searches_is_read_as_it_may_be_meant(uses: Any, searches: int) -> None:
    demand = demand_of(encoded(tools=[{"type": "web_search_20250305", "max_uses": uses}, 1]), SONNET)
    assert demand.searches == searches


def test_escapes_hide_nothing() -> None:
    """The bytes are the client's own, and the upstream reads them as JSON."""
    marked = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    plain = encoded(system=[marked], tools=[], citations=1)
    escaped = plain
    for mark in (b"cache_control", b"1h", b"tools", b"citations"):
        escaped = escaped.replace(mark, b"\\u00%02x" % mark[0] + mark[1:])
    assert b"cache_control" not in escaped
    assert demand_of(escaped, SONNET).writes == "1h"
    assert demand_of(escaped, SONNET).prompt >= demand_of(plain, SONNET).prompt
    pdf = b'{"source":{"type":"base64","media_type":"application/pdf","data":""}}'
    escaped = pdf.replace(b"/", b"\\/")
    assert demand_of(escaped, SONNET).prompt == demand_of(pdf, SONNET).prompt


def test_a_text_that_quotes_an_escape_is_a_text() -> None:
    """Of source code that is in each turn of a conversation, and of bodies of megabytes: no work twice."""
    text = encoded(x=r"[\u0041-\u005A]" * 1000)
    assert b"\\\\u0041" in text
    assert demand_of(text, SONNET) == demand_of(text.replace(b"u00", b"v00"), SONNET)


@given(st.lists(st.sampled_from(["citations", "cache_control", "application/pdf", "x", "citation", "base6"])))
def test_what_stands_before_a_mark_does_not_hide_it(words: list[str]) -> None:
    without, demand = demand_of(encoded(x=""), SONNET), demand_of(encoded(x=words), SONNET)
    text = (len(encoded(x=words)) - len(encoded(x=""))) / 2
    files = 2_500 * words.count("application/pdf")
    assert abs(demand.prompt - without.prompt - text - files - 600 * ("citations" in words)) <= 1
    assert demand.writes == ("5m" if "cache_control" in words else "none")


def test_a_file_counts_by_what_it_shows_not_by_its_bytes() -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "A" * 400_000}
    block = {"type": "image", "source": source}
    demand = demand_of(encoded(messages=[{"role": "user", "content": [block]}]), SONNET)
    assert 1_600 < demand.prompt < 10_000


def test_no_prompt_is_longer_than_the_window() -> None:
    text = "x" * (4 * SONNET.context_window)
    window = max(SONNET.context_window, SONNET.beta_context_window or 0)
    assert demand_of(encoded(messages=[{"role": "user", "content": text * 2}]), SONNET).prompt == window
