"""Whatever a client sends, there is one response: never a 500, errors in an envelope with a request id, bounded cost.

No case with a name of its own comes in here; those stand in ``behaviour/test_bad_input.py``.
"""

from __future__ import annotations

import asyncio
import copy
import functools
import json
import os
import tracemalloc
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from modelmux.wire.http import HttpCall
from support.asgi import Response
from support.blocks import WEATHER, tool
from support.fakes import FakeReply, FakeUpstream, message_reply, stream_reply, text_events
from support.gateway import PATH, ask
from support.pictures import data_url, image_part
from support.security import BEARER, PROJECT, Guarded, Pairs, guarded, send
from support.served import Served
from support.work import CountedCalls

#: Examples of each test: a few seconds together. A longer hunt sets the variable.
EXAMPLES = int(os.environ.get("MODELMUX_FUZZ_EXAMPLES", "150"))
_FUZZ = settings(max_examples=EXAMPLES)


def _answer(call: HttpCall) -> FakeReply:
    """What Vertex AI would: a stream where one is asked for."""
    body = json.loads(call.body)
    return stream_reply(*text_events("fine")) if body.get("stream") else message_reply("fine")


class _Endless(list[Any]):
    """A script without end."""

    def pop(self, index: Any = -1) -> Any:
        return _answer


def _subject() -> Guarded:
    subject = guarded(fetch={"enabled": False})
    assert isinstance(subject.upstream, FakeUpstream)
    subject.upstream.script = _Endless()
    return subject


def _judge(response: Response, subject: Guarded) -> None:
    assert 200 <= response.status < 500, (response.status, response.body, subject.out.getvalue())
    assert response.complete
    assert response.headers["x-request-id"]
    assert "internal_error" not in subject.out.getvalue()
    assert PROJECT not in response.body.decode("utf-8")
    if response.status >= 400 and response.body:
        error = json.loads(response.body)["error"]
        assert set(error) in ({"message", "type", "param", "code"}, {"message", "type"})  # OpenAI's, Anthropic's
        assert error["message"]
        assert len(response.body) < 20_000


def _ask(method: str, path: str, headers: Pairs, body: bytes, **more: Any) -> Response:
    subject = _subject()
    response = asyncio.run(send(subject.app, method, path, headers, body, **more))
    _judge(response, subject)
    return response


_METHODS = st.sampled_from(
    ["GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "get", "X" * 300, ""]
)
_PATHS = st.one_of(
    st.sampled_from(
        [PATH, "/v1/models", "/v1/models/x", "/health", "/metrics", "/", "", "//", "/v1", "/v1/v1/chat/completions"]
    ),
    st.text(max_size=200).map(lambda text: "/" + text),
    st.text("/.%\\;?#\x00ab1v", max_size=50).map(lambda text: "/v1/models/" + text),
)
_NAMES = st.sampled_from([
    b"authorization", b"x-api-key", b"content-type", b"content-length", b"content-encoding", b"host", b"origin",
    b"accept",
    b"x-request-id", b"x-modelmux-strict", b"x-modelmux-stream-mode", b"anthropic-version", b"user-agent", b"expect",
    b"transfer-encoding", b"x-session-affinity", b"access-control-request-method", b"x-stainless-timeout", b"cookie",
])  # fmt: skip
_VALUES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [
            b"application/json",
            b"-1",
            b"1e9",
            b"99999999999999999999",
            b"\xff\xfe",
            b"Bearer",
            b"gzip",
            b"*",
            b"",
            b"100-continue",
        ]
    ),
)


@_FUZZ
@given(
    _METHODS,
    _PATHS,
    st.lists(st.tuples(_NAMES, _VALUES), max_size=8),
    st.binary(max_size=80),
    st.binary(max_size=300),
    st.booleans(),
)
@example("GET", PATH, [(b"x-request-id", b"!\n")], b"", b"", True)
@example("OPTIONS", PATH, [(b"access-control-request-headers", b"x-a\n"), (b"origin", b"http://a")], b"", b"", True)
def test_any_request_gets_an_answer(
    method: str, path: str, headers: Pairs, query: bytes, body: bytes, with_key: bool
) -> None:
    _ask(method, path, [*(BEARER if with_key else []), *headers], body, query=query)


#: Texts, numbers and trees that parsers stumble over, as JSON text.
_ODD = st.sampled_from([
    "NaN", "Infinity", "-0", "1e999", "-1e-999", "9" * 400, "1." + "0" * 400, "0.1e1", "18446744073709551616",
    "-9223372036854775809", '"\\ud800"', '"\\udc00\\ud800"', '"\\u0000"', '"\ufeff"', '"\u202e"', "[]", "{}", "null",
    "true",
    '""', '" "', '"\\ud83d\\ude00"', "[[[[[]]]]]", "[" * 600 + "]" * 600, '{"a":' * 600 + "1" + "}" * 600,
    '"' + "a" * 5000 + '"',
    '"data:image/png;base64,"', '"http://127.0.0.1/"', '"data:;base64,===="', "2147483648", "-1", "0", "0.5",
])  # fmt: skip
_LEAF = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20)
)
_TREE: st.SearchStrategy[Any] = st.deferred(
    lambda: _LEAF | st.lists(_TREE, max_size=3) | st.dictionaries(st.text(max_size=10), _TREE, max_size=3)
)
_VALUE = st.one_of(
    _ODD,
    _TREE.map(json.dumps),
)
_FIELDS = [
    "model", "messages", "tools", "tool_choice", "functions", "function_call", "stream", "stream_options", "max_tokens",
    "max_completion_tokens", "temperature", "top_p", "top_k", "n", "stop", "seed", "user", "metadata",
    "response_format",
    "reasoning_effort", "reasoning", "thinking", "logprobs", "top_logprobs", "logit_bias", "modalities", "audio",
    "prediction",
    "parallel_tool_calls", "service_tier", "store", "web_search_options", "verbosity", "prompt_cache_key",
    "safety_identifier",
    "presence_penalty", "cache_control", "extra_body", "prompt_cache_options", "anthropic_beta", "moderation",
]  # fmt: skip
_MEMBER = st.tuples(st.sampled_from(_FIELDS) | st.text(max_size=12), _VALUE)


@_FUZZ
@given(st.lists(_MEMBER, max_size=5), st.booleans())
def test_any_field_gets_an_answer(members: list[tuple[str, str]], plain: bool) -> None:
    """Over a request that is right: fields twice, unknown ones, and any value in any of them."""
    base = [f"{json.dumps(k)}:{json.dumps(v)}" for k, v in ask().items()] if plain else []
    text = "{" + ",".join([*base, *(f"{json.dumps(name)}:{value}" for name, value in members)]) + "}"
    _ask("POST", PATH, [*BEARER, (b"content-type", b"application/json")], text.encode("utf-8", "surrogatepass"))


_SLOTS = ["role", "content", "name", "tool_calls", "tool_call_id", "refusal", "audio", "function_call", "cache_control",
          "reasoning_content", "thinking_blocks", "reasoning_details", "annotations"]  # fmt: skip
_ROLE = st.sampled_from(['"user"', '"assistant"', '"system"', '"developer"', '"tool"', '"function"'])
_PART = st.one_of(
    _VALUE,
    st.builds(
        lambda kind, key, value: f'{{"type":"{kind}","{key}":{value}}}',
        st.sampled_from(
            [
                "text",
                "image_url",
                "input_audio",
                "file",
                "refusal",
                "thinking",
                "document",
                "function",
                "custom",
                "tool_use",
            ]
        ),
        st.sampled_from(
            ["text", "image_url", "input_audio", "file", "refusal", "thinking", "function", "custom", "id", "source"]
        ),
        _VALUE,
    ),
)
_MESSAGE = st.one_of(
    _VALUE,
    st.builds(
        lambda role, parts, slots: (
            "{"
            + ",".join([f'"role":{role}', f'"content":[{",".join(parts)}]', *(f'"{k}":{v}' for k, v in slots)])
            + "}"
        ),
        _ROLE,
        st.lists(_PART, max_size=3),
        st.lists(
            st.tuples(st.sampled_from(_SLOTS), _VALUE | st.lists(_PART, max_size=2).map(lambda p: f"[{','.join(p)}]")),
            max_size=3,
        ),
    ),
)


@_FUZZ
@given(st.lists(_MESSAGE, max_size=4), st.lists(_PART, max_size=2), st.booleans())
def test_any_message_and_tool_gets_an_answer(messages: list[str], tools: list[str], stream: bool) -> None:
    text = (
        f'{{"model":"claude-sonnet-4-6","max_tokens":50,"stream":{json.dumps(stream)},"messages":[{",".join(messages)}],'
        f'"tools":[{",".join(tools)}]}}'
    )
    _ask("POST", PATH, [*BEARER, (b"content-type", b"application/json")], text.encode("utf-8", "surrogatepass"))


_CALL = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'}}
#: One of everything, and right.
_GOOD: dict[str, Any] = ask(
    tools=[tool(), {"type": "custom", "custom": {"name": "note", "description": "Keeps a text."}}],
    tool_choice={"type": "function", "function": {"name": "get_weather"}},
    response_format={"type": "json_schema", "json_schema": {"name": "out", "strict": True, "schema": WEATHER}},
    stop=["END"], temperature=0.5, metadata={"a": "b"}, stream_options={"include_usage": True}, user="somebody",
    parallel_tool_calls=False, reasoning_effort="none",
) | {
    "messages": [
        {"role": "system", "content": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]},
        {"role": "user", "name": "eve", "content": [{"type": "text", "text": "What is it?"}, image_part(data_url())]},
        {"role": "assistant", "content": "A look.", "tool_calls": [_CALL], "reasoning_content": "Hm."},
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "20"}]},
        {"role": "developer", "content": "In French."},
        {"role": "user", "content": "And now?"},
    ]
}  # fmt: skip


def _paths(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return (
        [path, *(inner_path for key, part in inner for inner_path in _paths(part, (*path, key)))]
        if path or inner
        else []
    )


_PATHS = [path_in_body for path_in_body in _paths(_GOOD) if path_in_body]
_HOLE = "\x07hole\x07"


def _changed(path_in_body: tuple[str | int, ...], how: str, tree: Any) -> Any:
    """``tree`` with what stands at ``place`` gone, twice, or a hole; as it is where the place is no more."""
    tree = copy.deepcopy(tree)
    try:
        holder = functools.reduce(lambda held, key: held[key], path_in_body[:-1], tree)
        if how == "gone":
            del holder[path_in_body[-1]]
        elif how == "twice" and isinstance(holder, list):
            holder.insert(path_in_body[-1], copy.deepcopy(holder[path_in_body[-1]]))
        else:
            holder[path_in_body[-1]] = _HOLE
    except (KeyError, IndexError, TypeError):
        return tree
    return tree


@_FUZZ
@given(
    st.lists(st.tuples(st.sampled_from(_PATHS), st.sampled_from(["gone", "twice", "other"])), min_size=1, max_size=3),
    st.lists(_VALUE, min_size=3, max_size=3),
    st.booleans(),
)
def test_any_change_of_a_good_request_gets_an_answer(
    changes: list[tuple[tuple[str | int, ...], str]], values: list[str], stream: bool
) -> None:
    tree = _GOOD | {"stream": stream}
    for path_in_body, how in changes:
        tree = _changed(path_in_body, how, tree)
    text = json.dumps(tree)
    for value in values:
        text = text.replace(json.dumps(_HOLE), value, 1)
    _ask("POST", PATH, [*BEARER, (b"content-type", b"application/json")], text.encode("utf-8", "surrogatepass"))


def test_the_good_request_is_answered() -> None:
    for stream in (False, True):
        response = _ask("POST", PATH, BEARER, json.dumps(_GOOD | {"stream": stream}).encode())
        assert response.status == 200, response.body


@settings(max_examples=max(20, EXAMPLES // 5))
@given(
    st.lists(
        st.binary(max_size=80)
        | st.sampled_from(
            [
                b"\r\n",
                b"\r\n\r\n",
                b"GET / HTTP/1.1\r\n",
                b"Host: localhost\r\n",
                b"POST /v1/chat/completions HTTP/1.1\r\n",
                b"Content-Length: 5\r\n",
                b"Transfer-Encoding: chunked\r\n",
                b"0\r\n\r\n",
                b"5\r\nhello\r\n",
                b": ",
                b"\x00",
            ]
        ),
        min_size=1,
        max_size=12,
    )
)
def test_any_bytes_on_a_connection_get_an_answer_or_the_end(pieces: list[bytes]) -> None:
    async def talk() -> tuple[bytes, str]:
        subject = _subject()
        async with Served(
            subject.app, head_seconds=0.05, body_idle_seconds=0.05, keep_alive=0.05
        ).listening() as server:
            return await server.talk(b"".join(pieces)), subject.out.getvalue()

    got, logged = asyncio.run(talk())
    assert b"HTTP/1.1 5" not in got.replace(b"HTTP/1.1 505", b"")
    assert "internal_error" not in logged
    assert not got or got.startswith(b"HTTP/1.")


_DEPTH = 400_000
_HUGE = {
    "arrays in a message": b'{"model":"m","messages":' + b"[" * _DEPTH + b"]" * _DEPTH + b"}",
    "objects nobody knows": b'{"model":"m","messages":[],"metadata":' + b'{"a":' * _DEPTH + b"1" + b"}" * _DEPTH + b"}",
    "a tool's schema": json.dumps(ask()).encode()[:-1] + b',"tools":[{"type":"function","function":{"name":"f",'
    + b'"parameters":' + b'{"items":' * 50_000 + b"{}" + b"}" * 50_000 + b"}}]}",
    "a long number": b'{"model":"m","messages":[],"seed":' + b"9" * 3_000_000 + b"}",
    "a long fraction": b'{"model":"m","messages":[],"temperature":0.' + b"9" * 3_000_000 + b"}",
    "many keys": b'{"model":"m","messages":[],' + b",".join(b'"k%d":1' % n for n in range(200_000)) + b"}",
    "many messages": b'{"model":"m","messages":[' + b",".join([b'{"role":"boss"}'] * 200_000) + b"]}",
    "many empty messages": b'{"model":"claude-sonnet-4-6","messages":['
    + b",".join([b'{"role":"user","content":""}'] * 30_000) + b"]}",
    "many escapes": b'{"model":"' + b"\\u0041" * 500_000 + b'","messages":[]}',
    "many stops": json.dumps(ask(stop=["x"] * 200_000)).encode(),
    "one key again and again": b"{" + b'"model":"m",' * 300_000 + b'"messages":[]}',
}  # fmt: skip


@pytest.mark.parametrize("name", _HUGE)
def test_huge_and_deep_bodies_cost_little(name: str) -> None:
    body = _HUGE[name]
    _ask("POST", PATH, BEARER, b"{}")  # what is built once is not the body's cost
    tracemalloc.start()
    try:
        with CountedCalls() as work:
            response = _ask("POST", PATH, BEARER, body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert response.status in (200, 400, 404, 413)
    assert work.calls < 1_500_000, "some 30 calls for a message"
    assert peak < 40 * len(body) + 30_000_000
