"""What people read: every error and every notice of the translation, word for word, in ``words.txt``.

A sentence that changes by accident, or loses its hint, is a client who no longer knows what to do. The table below has
to reach every place in ``claude`` and ``openai_chat`` that says something.

``MODELMUX_UPDATE_SNAPSHOTS=1 pytest ...`` writes the file anew; read the difference before it is committed.
"""

from __future__ import annotations

import ast
import base64
import json
import os
import sys
from pathlib import Path
from types import FrameType
from typing import Any, Final, NamedTuple

import pytest
from msgspec.structs import replace

from modelmux import claude
from modelmux.catalog import ModelCard, builtin
from modelmux.claude.embed import MAX_EMBEDDED, check_files, embed
from modelmux.claude.fold import MessageFold
from modelmux.claude.notices import Notices, reject_notices
from modelmux.claude.options import Options
from modelmux.claude.prepare import prepare
from modelmux.claude.reply_state import ReplyState
from modelmux.claude.request import RemoteFile
from modelmux.claude.schema import reader, root
from modelmux.dialects import openai_chat, openai_shared
from modelmux.dialects.openai_chat.decode import decode
from modelmux.dialects.openai_chat.field_support import FIELD_SUPPORT
from modelmux.error_kinds import KINDS
from modelmux.errors import GatewayError, InvalidRequest, UpstreamBroken
from modelmux.providers.vertex_claude.errors import UPSTREAM_KINDS
from modelmux.wire import anthropic
from support.cli import UPDATE
from support.foreign_cases import FOREIGN
from support.translation import OPUS, PREFILL, SONNET

Json = dict[str, Any]

WORDS: Final = Path(__file__).with_name("words.txt")
#: Thinks by budget, and can be forced.
BUDGET: Final = PREFILL
UNKNOWN: Final = builtin().card("claude-of-tomorrow")
NO_FORMAT: Final = replace(SONNET, structured_output=False)
PNG: Final = b"\x89PNG\r\n\x1a\n"
ASKS: Final[Json] = {
    "n": 2, "logprobs": True, "top_logprobs": 3, "logit_bias": {"1": 5}, "audio": {"voice": "x"},
    "modalities": ["text", "audio"], "moderation": {"mode": "block"}, "verbosity": "low", "seed": 0,
    "frequency_penalty": 0.5, "presence_penalty": -1, "metadata": {"a": "b"}, "store": True, "service_tier": "flex",
    "prompt_cache_key": "k", "prompt_cache_retention": "24h", "prediction": {},
}  # fmt: skip


class Case(NamedTuple):
    """A request that makes the translation say something."""

    title: str
    fields: Json
    card: ModelCard = SONNET
    options: Options | None = None
    unknown: tuple[str, ...] = ()
    assets: dict[str, Any] | None = None
    strict: bool = False
    other_model: bool = False


def user(*parts: Json, **fields: Any) -> Json:
    return {"role": "user", "content": list(parts) or "hi", **fields}


def talk(*messages: Json) -> Json:
    return {"messages": list(messages)}


def text(value: str = "hi", **fields: Any) -> Json:
    return {"type": "text", "text": value, **fields}


def picture(url: str, **fields: Any) -> Json:
    return {"type": "image_url", "image_url": {"url": url, **fields}}


def file(**fields: Any) -> Json:
    return {"type": "file", "file": fields}


def data(value: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(value).decode()}"


def tool(name: str = "f", parameters: Json | None = None, **fields: Any) -> Json:
    return {"type": "function", "function": {"name": name, "parameters": parameters, **fields}}


def allowed(*tools: Json) -> Json:
    return {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": list(tools)}}}


def call(id: str = "c1", arguments: str = "{}", name: str = "f") -> Json:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def called(*calls: Json, **fields: Any) -> Json:
    return {"role": "assistant", "content": None, "tool_calls": list(calls), **fields}


def result(id: str = "c1") -> Json:
    return {"role": "tool", "tool_call_id": id, "content": "r"}


def form(schema: Any, **fields: Any) -> Json:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, **fields}}}


def objects(properties: Json, **fields: Any) -> Json:
    return {"type": "object", "properties": properties, **fields}


def nested(levels: int) -> Json:
    inner: Json = {"type": "string"}
    for _ in range(levels):
        inner = objects({"p": inner}, required=["p"])
    return inner


def doubling(levels: int) -> Json:
    """Each definition uses the next one twice."""
    last = {f"d{levels}": {"type": "string"}}
    both = {f"d{i}": objects({k: {"$ref": f"#/$defs/d{i + 1}"} for k in "ab"}, required=["a", "b"])
            for i in range(levels)}  # fmt: skip
    return objects({"p": {"$ref": "#/$defs/d0"}}, required=["p"], **{"$defs": both | last})


def chain(levels: int) -> Json:
    """Definitions of ten levels that use each other in a row: no deeper than ten on paper."""

    def link(i: int) -> Json:
        part: Json = {"$ref": f"#/$defs/d{i + 1}"} if i < levels else {"type": "string"}
        for _ in range(10):
            part = objects({"p": part}, required=["p"])
        return part

    return objects(
        {"p": {"$ref": "#/$defs/d0"}}, required=["p"], **{"$defs": {f"d{i}": link(i) for i in range(levels + 1)}}
    )


def optional(count: int) -> Json:
    return objects({f"p{i}": {"type": "string"} for i in range(count)})


def several(count: int) -> Json:
    return objects(
        {f"p{i}": {"type": ["string", "null"]} for i in range(count)}, required=[f"p{i}" for i in range(count)]
    )


LONG: Final = "x" * 300_000
STRING: Final[Json] = {"type": "string"}
LAST: Final = {"role": "assistant", "content": "Once"}
MARK: Final = {"type": "ephemeral"}
WEB: Final[Json] = {"web_search_options": {}}

CASES: Final = [
    *(Case(f"{name} is set", {name: value}) for name, value in ASKS.items()),
    Case("a field nobody knows", {}, unknown=("colour",)),
    Case("chunks to pad", {"stream": True, "stream_options": {"include_obfuscation": True}}),
    Case("two token limits", {"max_tokens": 5, "max_completion_tokens": 6}),
    Case("two users", {"user": "a", "safety_identifier": "b"}),
    Case("very many tools", {"tools": [tool()] * 10_001}),
    Case("two tool choices", {"tools": [tool()], "tool_choice": "auto", "function_call": "none"}),
    Case("three ways to ask for reasoning", {"thinking": {"type": "adaptive"}, "reasoning": {"enabled": True},
                                             "reasoning_effort": "low"}),
    Case("strict mode", {"seed": 1, "temperature": 2}, strict=True),
    # messages
    Case("no messages", talk()),
    Case("the assistant begins", talk({"role": "assistant", "content": "a"}, user())),
    Case("names", talk(user(name="Ann"))),
    Case("empty content", talk({"role": "user", "content": ""})),
    Case("a late system message", talk(user(), {"role": "system", "content": "s"}, user())),
    Case("an image of the system", talk({"role": "system", "content": [picture(data(PNG))]}, user())),
    Case("the assistant's audio", talk(user(), {"role": "assistant", "audio": {"id": "x"}}, user())),
    Case("arguments that are no JSON", talk(user(), called(call(arguments="{")), result())),
    Case("arguments with half a surrogate pair", talk(user(), called(call(arguments=r'{"a":"\ud83d"}')), result())),
    Case("arguments that are no object", talk(user(), called(call(arguments="[1]")), result())),
    Case("a call without an answer", talk(user(), called(call()), user())),
    Case("an answer without a call", talk(user(), result())),
    Case("an id again, and the history's tools", talk(user(), called(call(), call()), result(), result())),
    Case("names Vertex AI refuses", {"tools": [tool("a.b")], **talk(user(), called(call(name="a.b")), result())}),
    Case("a prefill where there is none", talk(user(), LAST)),
    Case("a prefill, gone on", talk(user(), LAST), options=Options(prefill="continue")),
    Case("a prefill beside a schema", {**talk(user(), LAST), **form(objects({}))}, PREFILL),
    Case("a prefill of a thinking model", {**talk(user(), LAST), "reasoning_effort": "low"}, BUDGET),
    # content
    Case("audio", talk(user({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}))),
    Case("detail of an image", talk(user(picture(data(PNG), detail="low")))),
    Case("a document as an image", talk(user(picture("https://x/a"))), assets={
        "https://x/a": anthropic.DocumentBlock(anthropic.TextSource("text/plain", "a"))}),
    Case("a URL that was not fetched", talk(user(picture("https://x/a")))),
    Case("another kind of URL", talk(user(picture("ftp://x/a")))),
    Case("a data URL without base64", talk(user(picture("data:image/png,a")))),
    Case("a data URL with broken base64", talk(user(picture("data:image/png;base64,a")))),
    Case("an image of another type", talk(user(picture(data(b"BM", "image/bmp"))))),
    Case("an image of a type with markup", talk(user(picture(data(b"BM\0", "<b>"))))),
    Case("a large image", talk(user(picture(data(PNG + b"x" * 4_000_000))))),
    Case("a file's id", talk(user(file(file_id="file-1")))),
    Case("a long file name", talk(user(file(filename="x" * 600, file_data=data(b"a", "text/plain"))))),
    Case("a file of another type", talk(user(file(file_data=data(b"\0", "application/zip"))))),
    # tools
    Case("two tools of a name", {"tools": [tool(), tool()]}),
    Case("a tool of another type", {"tools": [{"type": "mcp"}]}),
    Case("a tool without its definition", {"tools": [{"type": "function"}]}),
    Case("a grammar", {"tools": [{"type": "custom", "custom": {"name": "g", "format": {"type": "grammar"}}}]}),
    Case("a root of another type", {"tools": [tool(parameters={"type": "array", "items": STRING})]}),
    Case("a root of variants", {"tools": [tool(parameters={"anyOf": [objects({"a": STRING}), objects({})]})]}),
    Case("a root in a circle", {"tools": [tool(parameters={
        "$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}})]}),
    Case("a deep root", {"tools": [tool(parameters={"allOf": [], "default": json.loads("[" * 200 + "]" * 200)})]}),
    Case("a root that combines too much", {"tools": [tool(parameters={
        "anyOf": [{"$ref": "#/$defs/d"}] * 4, "$defs": {"d": objects({"a": {"description": LONG}})}})]}),
    Case("schemas with too many expressions", {"tools": [tool(parameters=objects({
        f"p{i}": {**STRING, "pattern": f"{i}" * 1_000} for i in range(30)}))]}),
    Case("an answer with too many expressions", form({**objects({"a": True}), "patternProperties": {
        f"{i}" * 1_000: {} for i in range(30)}})),
    Case("strict tools that take too much work", {"tools": [
        tool(f"f{i}", objects({"a": {"anyOf": [STRING] * 4_900}}), strict=True) for i in range(3)]}),
    Case("strict tools of a model without", {"tools": [tool(parameters=objects({}), strict=True)]}, NO_FORMAT),
    Case("a strict tool that does not fit", {"tools": [tool(parameters=objects({"a": {}}), strict=True)]}),
    Case("too many strict tools", {"tools": [tool(f"f{i}", objects({}), strict=True) for i in range(21)]}),
    Case("strict tools too large together", {"tools": [tool(f"f{i}", optional(13), strict=True) for i in range(2)]}),
    Case("a strict tool with limits", {"tools": [
        tool(parameters=objects({"a": {**STRING, "maxLength": 3, "minLength": 1}}), strict=True)]}),
    Case("tool choice without tools", {"tool_choice": "required"}),
    Case("tool choice of another word", {"tools": [tool()], "tool_choice": "maybe"}),
    Case("tool choice of another tool", {"tools": [tool()], "tool_choice": {
        "type": "function", "function": {"name": "g"}}}),
    Case("tool choice where none can be forced", {"tools": [tool()], "tool_choice": "required"}, OPUS,
         Options(forced_tool_choice="error")),
    Case("the same, downgraded", {"tools": [tool()], "tool_choice": "required"}, OPUS),
    Case("an allowed tool that is none", {"tools": [tool()], **allowed({"name": "g"})}),
    Case("no tool allowed", {"tools": [tool()], **allowed()}),
    Case("web search of a model without", WEB, replace(SONNET, web_search=False)),
    Case("web search beside a tool of its name", {**WEB, "tools": [tool("web_search")]}),
    Case("web search with settings", {"web_search_options": {
        "search_context_size": "high", "filters": 1, "user_location": "x"}}),
    # sampling
    Case("no tokens", {"max_tokens": 0}),
    Case("no completion tokens", {"max_completion_tokens": 0}),
    Case("too many tokens", {"max_tokens": 10_000_000}),
    Case("a temperature beyond all", {"temperature": 2.1}),
    Case("a negative top_p", {"top_p": -0.1}),
    Case("a negative top_k", {"top_k": -1}),
    Case("sampling where there is none", {"temperature": 1, "top_p": 1, "top_k": 1}, OPUS),
    Case("a hot temperature", {"temperature": 1.5, "top_p": 0.5}),
    Case("too many stop sequences", {"stop": ["x"] * 16_385}),
    Case("blank stop sequences", {"stop": [" ", "a"]}),
    # reasoning
    Case("reasoning where there is none", {"reasoning_effort": "low"}, replace(SONNET, thinking=())),
    Case("no reasoning where there always is", {"reasoning_effort": "none"}, OPUS),
    Case("reasoning beside sampling", {"reasoning_effort": "low", "temperature": 0.5, "top_k": 5}),
    Case("reasoning beside a low top_p", {"reasoning_effort": "low", "top_p": 0.5}),
    Case("reasoning beside a forced call", {
        "reasoning_effort": "low", "tools": [tool()], "tool_choice": "required"}, BUDGET),
    Case("a small budget", {"thinking": {"type": "enabled", "budget_tokens": 5}}, BUDGET),
    Case("a budget beyond the limit", {"reasoning_effort": "high", "max_tokens": 3000}, BUDGET),
    Case("a limit too small to think", {"reasoning_effort": "high", "max_tokens": 500}, BUDGET),
    Case("an effort the model does not have", {"reasoning_effort": "xhigh"}),
    Case("an effort nobody has", {"reasoning_effort": "some"}),
    Case("a type of thinking nobody has", {"thinking": {"type": "deep"}}),
    Case("a budget that is no number", {"reasoning": {"max_tokens": True}}),
    # structured output
    Case("another response format", {"response_format": {"type": "xml"}}),
    Case("a schema of another dialect", form({"type": "OBJECT", "properties": {"a": {"type": "STRING"}}})),
    Case("a key that is not legal", {"tools": [tool(parameters=objects({"a b": {}}))]}),
    Case("no schema", {"response_format": {"type": "json_schema"}}),
    Case("a schema where there is no way", form(objects({"a": {}})), OPUS),
    Case("a schema of no object where there is no format", form({"type": "array", "items": STRING}), NO_FORMAT),
    Case("a schema with limits", form(objects({"a": {"type": "integer", "minimum": 1}}))),
    Case("a schema of a model without", form(objects({})), NO_FORMAT),
    *(Case(f"a schema, {why}", form(given)) for why, given in [
        ("recursive", objects({"a": {"$ref": "#/$defs/n"}}, **{"$defs": {"n": objects({"n": {"$ref": "#/$defs/n"}})}})),
        ("deep", nested(60)), ("deep as JSON", objects({"a": {"default": json.loads("[" * 200 + "]" * 200)}})),
        ("deep by references", chain(6)), ("doubling", doubling(13)),
        ("of many parts", objects({"a": {"anyOf": [STRING] * 5000}})),
        ("of many optional properties", optional(25)), ("of many unions", several(17)),
        ("too large", objects({"a": {"allOf": [{"enum": ["x"] * 20_000}] * 50}})),
        ("of anything", objects({"a": True})), ("of no type", objects({"a": {}})),
        ("of any keys", objects({"a": {"type": "object"}})), ("of another document", objects({"a": {"$ref": "https://x"}})),
        ("of a part of itself", objects({"a": STRING, "b": {"$ref": "#/properties/a"}})),
        ("of no schema", objects({"a": {"allOf": [1]}})),
        ("of no type left", objects({"a": {"allOf": [STRING, {"type": "object"}]}})),
    ]),
    # fallback
    Case("thinking of another model", talk(user(), {"role": "assistant", "content": "a", "thinking_blocks": [
        {"type": "thinking", "thinking": "hm", "signature": "s"}]}, user()), other_model=True),
    # caching
    Case("a lifetime nobody has", {"cache_control": {"type": "ephemeral", "ttl": "2h"}}),
    Case("a lifetime nobody has, of a part", talk(user(text(cache_control={"type": "ephemeral", "ttl": "2h"})))),
    Case("the same in OpenAI's form", talk(user(text(prompt_cache_breakpoint={"ttl": "2h"})))),
    Case("the same in OpenAI's options", {"prompt_cache_options": {"ttl": "2h"}}),
    Case("a mode nobody has", {"prompt_cache_options": {"mode": "full"}}),
    Case("an option nobody has", {"prompt_cache_options": {"size": 1}}),
    Case("five breakpoints", talk(user(*(text(cache_control=MARK) for _ in range(5))))),
    Case("a short one before a long one", talk(user(
        text(cache_control=MARK), text(cache_control={**MARK, "ttl": "1h"})))),
]  # fmt: skip

CASES += [Case(title, fields) for title, fields in FOREIGN]
CASES += [Case("an effort beside a model that has none", {"output_config": {"effort": "low"}}, BUDGET)]


def output_lines(case: Case) -> list[str]:
    """The lines of one case: what was refused, or else the notices."""
    body = {"model": "m", "messages": [user()], **dict.fromkeys(case.unknown, 1), **case.fields}
    try:
        _, request, plan = decode(json.dumps(body).encode())
        embedded = embed(request, case.assets or {})
        done = prepare(embedded, plan, case.card, case.options or Options(), other_model=case.other_model)
        if case.strict:
            reject_notices(done.notices)
    except InvalidRequest as error:
        return refused(error)
    return [f"{n.action} {n.field}: {n.reason}" for n in done.notices]


def refused(error: GatewayError) -> list[str]:
    head = f"{error.status} {error.type}, code {error.code}, param {error.param}"
    return [head, error.message, *([f"hint: {error.hint}"] if error.hint else [])]


def replies() -> list[str]:
    """What is said where the upstream says nothing readable, and of a stream that stops."""
    lines: list[str] = []
    for name in UPSTREAM_KINDS:
        kind = KINDS[name]
        lines += [f"# {name}", f"{kind.status} {kind.message}", *([f"hint: {kind.remedy}"] if kind.remedy else []), ""]
    for title, ending in [("streamed", ReplyState().check_complete), ("folded", MessageFold().result)]:
        with pytest.raises(UpstreamBroken) as caught:
            ending()
        lines += [f"# a reply that stops, {title}", *refused(caught.value), ""]
    return lines


def test_no_sentence_changes_unread() -> None:
    lines = [line for case in CASES for line in [f"# {case.title}", *output_lines(case), ""]]
    written = "\n".join([*lines, *replies()])
    if os.environ.get(UPDATE):
        WORDS.write_text(written, "utf-8")
    assert written == WORDS.read_text("utf-8"), f"{UPDATE}=1 writes {WORDS.name} anew"


def test_every_case_says_something() -> None:
    assert [case.title for case in CASES if not output_lines(case)] == []
    assert set(ASKS) == {name for name, fate in FIELD_SUPPORT.items() if fate.kind in ("ignored", "rejected")}


def _places() -> dict[tuple[str, int], str]:
    """Where they say something: each call, by file and line."""
    found: dict[tuple[str, int], str] = {}
    folders = [Path(package.__path__[0]) for package in (claude, openai_chat, openai_shared)]
    for path in (path for folder in folders for path in folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
                ("InvalidRequest", "notices.add", "NotExpressible", "._rejected")
            ):
                found[path.name, node.lineno] = ast.unparse(node)
    return found


def test_the_table_reaches_every_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    reached: set[tuple[str, int]] = set()

    def watch(owner: type, name: str) -> None:
        real = getattr(owner, name)

        def seen(*args: Any, **fields: Any) -> Any:
            caller: FrameType = sys._getframe(1)
            reached.add((Path(caller.f_code.co_filename).name, caller.f_lineno))
            return real(*args, **fields)

        monkeypatch.setattr(owner, name, seen)

    for owner, name in [
        (InvalidRequest, "__init__"), (Notices, "add"), (reader.NotExpressible, "__init__"),
        (root._RootMerger, "_rejected"),
    ]:  # fmt: skip
        watch(owner, name)
    for case in CASES:
        output_lines(case)
    picture_file = anthropic.ImageBlock(anthropic.Base64Source("image/png", ""))
    with pytest.raises(InvalidRequest, match="not a document"):  # only said of native requests
        check_files([RemoteFile("https://x", "document", "f")], {"https://x": picture_file})
    huge = anthropic.ImageBlock(anthropic.Base64Source("image/png", "x" * (MAX_EMBEDDED + 1)))
    with pytest.raises(InvalidRequest, match="larger than 30 MiB together"):  # no case has a file as large
        check_files([RemoteFile("https://x", "image", "f")], {"https://x": huge})
    places = _places()
    assert len(places) > 100
    assert [f"{file}:{line} {words}" for (file, line), words in places.items() if (file, line) not in reached] == []
