"""The part of ``docs/compatibility.md`` about OpenAI Responses, made from the tables of its dialect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from modelmux.dialects.openai_responses.entries import MAX_ITEMS
from modelmux.dialects.openai_responses.field_support import FIELD_SUPPORT, INCLUDE_SUPPORT
from modelmux.dialects.openai_responses.item_support import ITEM_SUPPORT, PART_SUPPORT
from modelmux.dialects.openai_responses.response_object import TRUNCATED
from modelmux.dialects.openai_responses.tool_support import TOOL_SUPPORT
from modelmux.dialects.openai_shared.support import FieldSupport
from modelmux.wire.openai.responses_members import ITEM_MEMBERS, PART_MEMBERS

_HEAD = """
## OpenAI Responses

`POST /v1/responses`, `/v1/responses/compact` and `/v1/responses/input_tokens`, with and without `/v1`. The rules for
models above apply, and so do the sentences about notices and strict mode. What clients put into tools or items that are
left out is not read. [Operations](operations.md#stored-responses) describes what is stored."""
_HISTORY = """
### How a conversation is put together

Items become turns in order: those of the assistant in a row are one message, and so are those of the user, results of
tools first. The same conversation becomes the same bytes, whether it is sent inline, by `previous_response_id` or by
references to stored items, and a longer one begins with those of a shorter one.

| what | becomes |
|---|---|
| items without `type` | a message if they have a role, a reference if they have only an id |
| system and developer messages after the first turn | as in Chat Completions |
| a call without a result | an error result is added, with a notice |
| a result without a call | sent as text, with a notice |
| a second call with the same `call_id` | left out, with a notice |
| arguments that are empty, not JSON, or not an object | `{{}}`, or wrapped in an object, with a notice |
| reasoning that nothing follows, or only reasoning of another response | left out: the reply was cut off |
| a message of a response as the last item | the reply was cut off: a user turn asks the model to continue |
| any other message of the assistant as the last item | the beginning of the answer, as in Chat Completions |
| more than {items:,} items | 400 |
"""
_FOREIGN = """
### Other dialects inside Responses

As inside Chat Completions: a form that can mean only one thing is taken for it, and what is sent is what the form of
Responses would give.

| what is sent | becomes |
|---|---|
| `text`, `image_url` and `file` parts of Chat Completions | `input_text`, `input_image`, `input_file` |
| its messages with `tool_calls`, `function_call`, and those of the roles `tool` and `function` | calls and outputs |
| Anthropic's `image`, `document`, `search_result`, `tool_use`, `tool_result` blocks | parts, calls and outputs |
| Anthropic's thinking and blocks of server tools | left out, with a notice |
| MCP's `image`, `resource` and `resource_link`, and the whole result of a call | parts of an output |
| parts and blocks among the items | a message, a call or an output |
| tools with `input_schema` (Anthropic) or `inputSchema` (MCP), nested or without `type` | functions |
| the roles `human`, `ai` and `model`; roles in capitals | `user`, `assistant`, `assistant`; in small letters |
| `tool_choice` as `{"type": "auto"}`, `any`, `tool`, nested, or a tool's name alone | `tool_choice` |
"""
_MEMBERS = """
### Members that clients of Responses add

Released SDKs and clients add these by themselves, so they are neither reported nor refused in strict mode.

| of | member | source |
|---|---|---|"""
_REPLY = """
### Responses

| stop reason of Claude | `status` | |
|---|---|---|
{cut}| `refusal` | `completed` | a message with a refusal part; for Codex a text (`responses.codex_refusals_as_text`) |
| any other | `completed` | |

| in the reply | item |
|---|---|
| thinking blocks in a row | `reasoning`: `summary` is their text, `encrypted_content` the blocks, sealed |
| text | one `message` item until the next thinking or call; none for blank text |
| a tool call | the call of the tool's type, with the name and the namespace that the client gave |
| a web search | `web_search_call`; citations as `url_citation` |

An error before the first event has a status and OpenAI's envelope, with the types and codes above. Later it is
`response.failed`, whose code is `rate_limit_exceeded`, `invalid_prompt` (another 4xx) or `server_error`. Every stream
ends with exactly one of `response.completed`, `response.incomplete` and `response.failed`. After a minute of silence
`response.in_progress` is repeated, because Codex ignores comments.

Not served: conversations, background responses, WebSocket connections (426), and replays of streams."""


def lines() -> Iterator[str]:
    """The lines of the part."""
    yield _HEAD
    yield from _table("Fields of Responses", "field", FIELD_SUPPORT)
    yield from _table("Members of `include`", "member", INCLUDE_SUPPORT)
    yield from _table("Items", "type", ITEM_SUPPORT)
    yield from _table("Content parts", "type", PART_SUPPORT)
    yield from _table("Tools", "type", TOOL_SUPPORT)
    yield _HISTORY.format(items=MAX_ITEMS).rstrip("\n")
    yield _FOREIGN.rstrip("\n")
    yield _MEMBERS
    yield from _members(ITEM_MEMBERS)
    yield from _members(PART_MEMBERS)
    cut = "".join(f"| `{reason}` | `incomplete` | `max_output_tokens` |\n" for reason in sorted(TRUNCATED))
    yield _REPLY.format(cut=cut)


def _members(table: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    for kind, members in table.items():
        for name, source in members.items():
            yield f"| {'every item' if kind == '*' else f'`{kind}`'} | `{name}` | {source} |"


def _table(title: str, first: str, rows: Mapping[str, FieldSupport]) -> Iterator[str]:
    yield f"\n### {title}\n"
    yield f"| {first} | support | how |"
    yield "|---|---|---|"
    for name, support in rows.items():
        yield f"| `{name}` | {support.kind} | {support.explanation} |"
